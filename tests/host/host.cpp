// What the host says of itself, and which suites it has.
#include "suites.h"

#include <cstdio>
#include <cstdlib>

#include "openfx.h"

#include "binary.h"
#include "effect.h"
#include "profile.h"
#include "report.h"

namespace host {

std::set<std::string> absent_suites, failing_suites;

namespace {

// The short name that options use.
std::string short_name(const std::string &suite) {
  if (suite == kOfxPropertySuite)
    return "property";
  if (suite == kOfxImageEffectSuite)
    return "effect";
  if (suite == kOfxParameterSuite)
    return "parameter";
  if (suite == kOfxMemorySuite)
    return "memory";
  if (suite == kOfxMultiThreadSuite)
    return "multithread";
  if (suite == kOfxMessageSuite)
    return "message";
  if (suite == kOfxProgressSuite)
    return "progress";
  if (suite == kOfxTimeLineSuite)
    return "timeline";
  return suite;
}

bool offered(const std::string &name, int version) {
  if (absent_suites.count(name) ||
      absent_suites.count(name + ":" + std::to_string(version)))
    return false;
  if (name == "message")
    return version == 1 ? profile.message : profile.message2;
  if (name == "progress")
    return version == 1 ? profile.progress : profile.progress2;
  if (name == "timeline")
    return profile.timeline;
  if (name == "multithread")
    return profile.threads != Threads::none;
  return true;
}

template <class Set>
void set_list(Set &set, const char *property,
              const std::vector<std::string> &values) {
  for (size_t i = 0; i < values.size(); ++i)
    set.setStringProperty(property, values[i], int(i));
}

} // namespace

Host::Host() {
  auto &p = _properties;
  if (profile.depths.empty())
    profile.depths = {kOfxBitDepthByte, kOfxBitDepthShort, kOfxBitDepthHalf,
                      kOfxBitDepthFloat};
  if (profile.components.empty())
    profile.components = {kOfxImageComponentRGBA, kOfxImageComponentRGB,
                          kOfxImageComponentAlpha};
  p.setIntPropertyN(kOfxPropAPIVersion, profile.api, 2);
  p.setStringProperty(kOfxPropName, profile.label);
  p.setStringProperty(kOfxPropLabel, profile.label);
  p.setIntProperty(kOfxPropVersion, 1, 0);
  p.setIntProperty(kOfxPropVersion, 0, 1);
  p.setStringProperty(kOfxPropVersionLabel, "1.0");
  p.setIntProperty(kOfxImageEffectHostPropIsBackground, 1);
  p.setIntProperty(kOfxImageEffectPropSupportsOverlays, 0);
  p.setIntProperty(kOfxImageEffectPropSupportsMultiResolution,
                   profile.multi_resolution);
  p.setIntProperty(kOfxImageEffectPropSupportsTiles, profile.tiles);
  p.setIntProperty(kOfxImageEffectPropTemporalClipAccess, profile.temporal);
  set_list(p, kOfxImageEffectPropSupportedComponents, profile.components);
  set_list(p, kOfxImageEffectPropSupportedContexts, profile.contexts);
  set_list(p, kOfxImageEffectPropSupportedPixelDepths, profile.depths);
  p.setIntProperty(kOfxImageEffectPropSupportsMultipleClipDepths,
                   profile.multiple_depths);
  p.setIntProperty(kOfxImageEffectPropSupportsMultipleClipPARs, 0);
  const char *cuda = profile.cuda == Cuda::off ? "false" : "true";
  p.setStringProperty(kOfxImageEffectPropCudaRenderSupported, cuda);
  p.setStringProperty(kOfxImageEffectPropCudaStreamSupported,
                      profile.cuda_stream ? cuda : "false");
  p.setIntProperty(kOfxImageEffectPropSetableFrameRate, 0);
  p.setIntProperty(kOfxImageEffectPropSetableFielding, 0);
  p.setIntProperty(kOfxParamHostPropSupportsChoiceAnimation, 1);
  p.setIntProperty(kOfxParamHostPropSupportsBooleanAnimation, 1);
  p.setIntProperty(kOfxParamHostPropMaxParameters, -1);
  p.setIntProperty(kOfxParamHostPropMaxPages, 1);
}

const void *Host::fetchSuite(const char *name, int version) {
  std::string suite = short_name(name);
  const void *found = nullptr;
  if (version > 1 && profile.die_on_version_2) {
    fault("version " + std::to_string(version) + " of the suite " + suite +
          " was fetched, which this host dies of");
    exit(70);
  }
  if (offered(suite, version)) {
    bool fails = failing_suites.count(suite) > 0;
    const void *library =
        OFX::Host::ImageEffect::Host::fetchSuite(name, version);
    if (suite == "property" && library)
      found = property_suite(static_cast<const OfxPropertySuiteV1 *>(library));
    else if (suite == "effect" && library)
      found = effect_suite(static_cast<const OfxImageEffectSuiteV1 *>(library));
    else if (suite == "parameter" && library)
      found = param_suite(static_cast<const OfxParameterSuiteV1 *>(library));
    else if (suite == "multithread" && version == 1 && !fails)
      found = thread_suite(profile.threads == Threads::dummy);
    else if (library)
      found = small_suite(suite, version, fails, library);
  }
  log("fetchSuite " + suite + " " + std::to_string(version) +
      (found ? "" : " = none"));
  return found;
}

OFX::Host::ImageEffect::Instance *
Host::newInstance(void *, OFX::Host::ImageEffect::ImageEffectPlugin *plugin,
                  OFX::Host::ImageEffect::Descriptor &descriptor,
                  const std::string &context) {
  return new Effect(plugin, descriptor, context);
}

OFX::Host::ImageEffect::Descriptor *
Host::makeDescriptor(OFX::Host::ImageEffect::ImageEffectPlugin *plugin) {
  return new OFX::Host::ImageEffect::Descriptor(plugin);
}

OFX::Host::ImageEffect::Descriptor *
Host::makeDescriptor(const OFX::Host::ImageEffect::Descriptor &root,
                     OFX::Host::ImageEffect::ImageEffectPlugin *plugin) {
  return new OFX::Host::ImageEffect::Descriptor(root, plugin);
}

OFX::Host::ImageEffect::Descriptor *
Host::makeDescriptor(const std::string &bundle,
                     OFX::Host::ImageEffect::ImageEffectPlugin *plugin) {
  return new OFX::Host::ImageEffect::Descriptor(bundle, plugin);
}

OfxStatus Host::vmessage(const char *type, const char *, const char *format,
                         va_list args) {
  emit(Json("message")
           .add("kind", type)
           .add("persistent", false)
           .add("text", format_message(format, args)));
  return kOfxStatOK;
}

OfxStatus Host::setPersistentMessage(const char *type, const char *id,
                                     const char *format, va_list args) {
  return vmessage(type, id, format, args);
}

std::string format_message(const char *format, va_list args) {
  std::string text;
  if (profile.garble_format) {
    // Natron hands a list of arguments on as if it were the arguments: a
    // conversion prints nonsense, finished text comes through.
    for (const char *c = format; *c; ++c) {
      if (c[0] == '%' && c[1] == '%')
        ++c;
      else if (c[0] == '%')
        text += "<garbled>";
      text += *c;
    }
    return text;
  }
  char buffer[4096];
  vsnprintf(buffer, sizeof buffer, format, args);
  return buffer;
}

} // namespace host
