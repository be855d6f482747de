// The actions of the image effect API: OpenFX in, one bridge call, OpenFX out.
#pragma once

#include "instance.h"

namespace longtake {

OfxStatus describe(OfxImageEffectHandle effect);
OfxStatus describe_in_context(OfxImageEffectHandle effect,
                              OfxPropertySetHandle in);
OfxStatus render(Instance &instance, OfxPropertySetHandle in);
OfxStatus is_identity(Instance &instance, OfxPropertySetHandle in,
                      OfxPropertySetHandle out);
OfxStatus frames_needed(Instance &instance, OfxPropertySetHandle in,
                        OfxPropertySetHandle out);
OfxStatus time_domain(Instance &instance, OfxPropertySetHandle out);
OfxStatus region_of_definition(Instance &instance, OfxPropertySetHandle out);
OfxStatus regions_of_interest(Instance &instance, OfxPropertySetHandle out);
OfxStatus clip_preferences(Instance &instance, OfxPropertySetHandle out);
OfxStatus instance_changed(Instance &instance, OfxPropertySetHandle in);

} // namespace longtake
