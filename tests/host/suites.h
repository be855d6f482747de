// The suites as plug-ins see them: those of the HostSupport library with each
// call logged and the profile's quirks in between.
#pragma once

#include <cstdarg>
#include <set>
#include <string>

#include "openfx.h"

namespace host {

// Suites that are not there ("message", "progress:2") and suites whose
// functions all fail.
extern std::set<std::string> absent_suites, failing_suites;

// A message as the profile's host would show it.
std::string format_message(const char *format, va_list args);

class Host : public OFX::Host::ImageEffect::Host {
public:
  Host();
  const void *fetchSuite(const char *name, int version) override;
  OFX::Host::ImageEffect::Instance *
  newInstance(void *, OFX::Host::ImageEffect::ImageEffectPlugin *plugin,
              OFX::Host::ImageEffect::Descriptor &descriptor,
              const std::string &context) override;
  OFX::Host::ImageEffect::Descriptor *
  makeDescriptor(OFX::Host::ImageEffect::ImageEffectPlugin *plugin) override;
  OFX::Host::ImageEffect::Descriptor *
  makeDescriptor(const OFX::Host::ImageEffect::Descriptor &root,
                 OFX::Host::ImageEffect::ImageEffectPlugin *plugin) override;
  OFX::Host::ImageEffect::Descriptor *
  makeDescriptor(const std::string &bundle,
                 OFX::Host::ImageEffect::ImageEffectPlugin *plugin) override;
  OfxStatus vmessage(const char *type, const char *id, const char *format,
                     va_list args) override;
  OfxStatus setPersistentMessage(const char *type, const char *id,
                                 const char *format, va_list args) override;
  OfxStatus clearPersistentMessage() override { return kOfxStatOK; }
};

// Tables of functions, in their own files.
const OfxPropertySuiteV1 *property_suite(const OfxPropertySuiteV1 *library);
const OfxImageEffectSuiteV1 *effect_suite(const OfxImageEffectSuiteV1 *library);
const OfxParameterSuiteV1 *param_suite(const OfxParameterSuiteV1 *library);
const void *thread_suite(bool dummy);
const void *small_suite(const std::string &name, int version, bool fails,
                        const void *library);

// To stand at the head of each suite function: logs the call and takes back
// the strings that were lent to this thread, which hold until its next call.
class Call {
public:
  explicit Call(const char *function, const char *detail = nullptr);
  OfxStatus done(OfxStatus status) const;

private:
  const char *function_, *detail_;
};

// A copy of `text` that holds until this thread's next suite call.
const char *lend(const std::string &text);

} // namespace host
