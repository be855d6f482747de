#include "entry.h"

#include <new>
#include <string>

#include "actions.h"
#include "instance.h"

namespace longtake {
namespace {

OfxStatus dispatch(const std::string &action, const void *handle,
                   OfxPropertySetHandle in, OfxPropertySetHandle out) {
  auto effect = static_cast<OfxImageEffectHandle>(const_cast<void *>(handle));

  // Load and describe answer kOfxStatOK to the letter: with anything else
  // some hosts list no plug-in at all.
  if (action == kOfxActionLoad)
    return fetch_suites() ? kOfxStatOK : kOfxStatErrMissingHostFeature;
  if (action == kOfxActionUnload)
    return kOfxStatOK;
  if (!suites().property)
    return kOfxStatErrMissingHostFeature;
  if (action == kOfxActionDescribe)
    return describe(effect);
  if (action == kOfxImageEffectActionDescribeInContext)
    return describe_in_context(effect, in);
  if (action == kOfxActionCreateInstance)
    return create_instance(effect);
  if (action == kOfxActionDestroyInstance)
    return destroy_instance(effect);

  // Some hosts go on with an instance whose creation failed.
  Instance *instance = instance_of(effect);
  if (!instance)
    return action == kOfxImageEffectActionRender ? kOfxStatErrBadHandle
                                                 : kOfxStatReplyDefault;
  if (action == kOfxImageEffectActionRender)
    return render(*instance, in);
  if (action == kOfxImageEffectActionIsIdentity)
    return is_identity(*instance, in, out);
  if (action == kOfxImageEffectActionGetFramesNeeded)
    return frames_needed(*instance, in, out);
  if (action == kOfxImageEffectActionGetTimeDomain)
    return time_domain(*instance, out);
  if (action == kOfxImageEffectActionGetRegionOfDefinition)
    return region_of_definition(*instance, out);
  if (action == kOfxImageEffectActionGetRegionsOfInterest)
    return regions_of_interest(*instance, out);
  if (action == kOfxImageEffectActionGetClipPreferences)
    return clip_preferences(*instance, out);
  if (action == kOfxActionInstanceChanged)
    return instance_changed(*instance, in);
  if (action == kOfxActionPurgeCaches) {
    node_purge(*instance->node);
    return kOfxStatOK;
  }
  // Nothing is held back between these: all that counts is in parameters and
  // in caches that look after themselves.
  if (action == kOfxActionBeginInstanceChanged ||
      action == kOfxActionEndInstanceChanged ||
      action == kOfxImageEffectActionBeginSequenceRender ||
      action == kOfxImageEffectActionEndSequenceRender ||
      action == kOfxActionSyncPrivateData)
    return kOfxStatOK;
  return kOfxStatReplyDefault;
}

OfxStatus main_entry(const char *action, const void *handle,
                     OfxPropertySetHandle in, OfxPropertySetHandle out) {
  try {
    if (!action)
      return kOfxStatErrValue;
    return dispatch(action, handle, in, out);
  } catch (const std::bad_alloc &) {
    return kOfxStatErrMemory;
  } catch (...) {
    return kOfxStatFailed;
  }
}

void set_host_entry(OfxHost *host) { set_host(host); }

} // namespace

const PluginSpec &plugin() {
  static const PluginSpec spec = plugin_spec();
  return spec;
}

std::size_t plugin_address() noexcept {
  try {
    static const std::string identifier(plugin().identifier);
    static OfxPlugin the_plugin = {kOfxImageEffectPluginApi,
                                   kOfxImageEffectPluginApiVersion,
                                   identifier.c_str(),
                                   plugin().major,
                                   plugin().minor,
                                   set_host_entry,
                                   main_entry};
    return reinterpret_cast<std::size_t>(&the_plugin);
  } catch (...) {
    return 0;
  }
}

void take_host(std::size_t host) noexcept {
  set_host(reinterpret_cast<const OfxHost *>(host));
}

} // namespace longtake
