// Parameters of an instance: values that hold still, set by name from text.
#pragma once

#include <memory>
#include <string>

#include "openfx.h"

namespace host {

// A parameter of the type that `descriptor` tells, or null for types that no
// host must have.
OFX::Host::Param::Instance *make_param(OFX::Host::Param::Descriptor &descriptor,
                                       OFX::Host::Param::SetInstance *owner);

// Sets a parameter from text: numbers separated by commas, or the label or
// number of a choice. False where the text does not fit.
bool set_from_text(OFX::Host::Param::Instance &param, const std::string &text);

// The value as text.
std::string value_text(OFX::Host::Param::Instance &param);

} // namespace host
