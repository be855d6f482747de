// The property suite, without the properties that the profile's host lacks.
#include "suites.h"

#include <stdexcept>

#include "binary.h"
#include "effect.h"
#include "profile.h"

namespace host {
namespace {

const OfxPropertySuiteV1 *real;

bool is_missing(OfxPropertySetHandle handle, const char *name) {
  if (profile.missing.count(name))
    return true;
  if (profile.image_scale != ImageScale::missing || !handle ||
      std::string(name) != kOfxImageEffectPropRenderScale)
    return false;
  auto *set = reinterpret_cast<OFX::Host::Property::Set *>(handle);
  return dynamic_cast<OFX::Host::ImageEffect::ImageBase *>(set) != nullptr;
}

OfxStatus judge(const Call &call, OfxStatus status, const char *name) {
  call.done(status);
  if (status == kOfxStatErrUnknown && profile.throw_on_unknown)
    throw std::runtime_error(std::string("unknown property ") + name);
  return status;
}

#define FORWARD(FUNCTION, TYPE)                                                \
  OfxStatus FUNCTION(OfxPropertySetHandle set, const char *name, int n,        \
                     TYPE value) {                                             \
    Call call(#FUNCTION, name);                                                \
    OfxStatus status = is_missing(set, name)                                   \
                           ? kOfxStatErrUnknown                                \
                           : real->FUNCTION(set, name, n, value);              \
    return judge(call, status, name);                                          \
  }

FORWARD(propSetPointer, void *)
FORWARD(propSetString, const char *)
FORWARD(propSetDouble, double)
FORWARD(propSetPointerN, void *const *)
FORWARD(propSetStringN, const char *const *)
FORWARD(propSetDoubleN, const double *)
FORWARD(propSetIntN, const int *)
FORWARD(propGetPointer, void **)
FORWARD(propGetDouble, double *)
FORWARD(propGetInt, int *)
FORWARD(propGetPointerN, void **)
FORWARD(propGetDoubleN, double *)
FORWARD(propGetIntN, int *)

OfxStatus propSetInt(OfxPropertySetHandle set, const char *name, int n,
                     int value) {
  Call call("propSetInt", name);
  if (value == 0 && profile.secret_stays &&
      std::string(name) == kOfxParamPropSecret &&
      hidden_in_describe(reinterpret_cast<OFX::Host::Property::Set *>(set)))
    return judge(call, kOfxStatErrValue, name);
  OfxStatus status = is_missing(set, name)
                         ? kOfxStatErrUnknown
                         : real->propSetInt(set, name, n, value);
  return judge(call, status, name);
}

OfxStatus propGetString(OfxPropertySetHandle set, const char *name, int n,
                        char **value) {
  Call call("propGetString", name);
  char *text = nullptr;
  OfxStatus status = is_missing(set, name)
                         ? kOfxStatErrUnknown
                         : real->propGetString(set, name, n, &text);
  if (status == kOfxStatOK)
    *value = const_cast<char *>(lend(text ? text : ""));
  return judge(call, status, name);
}

OfxStatus propGetStringN(OfxPropertySetHandle set, const char *name, int n,
                         char **values) {
  Call call("propGetStringN", name);
  OfxStatus status = is_missing(set, name)
                         ? kOfxStatErrUnknown
                         : real->propGetStringN(set, name, n, values);
  if (status == kOfxStatOK) {
    for (int i = 0; i < n; ++i)
      values[i] = const_cast<char *>(lend(values[i] ? values[i] : ""));
  }
  return judge(call, status, name);
}

OfxStatus propReset(OfxPropertySetHandle set, const char *name) {
  Call call("propReset", name);
  return judge(call, real->propReset(set, name), name);
}

OfxStatus propGetDimension(OfxPropertySetHandle set, const char *name,
                           int *count) {
  Call call("propGetDimension", name);
  OfxStatus status = is_missing(set, name)
                         ? kOfxStatErrUnknown
                         : real->propGetDimension(set, name, count);
  return judge(call, status, name);
}

const OfxPropertySuiteV1 suite = {
    propSetPointer,  propSetString,   propSetDouble,  propSetInt,
    propSetPointerN, propSetStringN,  propSetDoubleN, propSetIntN,
    propGetPointer,  propGetString,   propGetDouble,  propGetInt,
    propGetPointerN, propGetStringN,  propGetDoubleN, propGetIntN,
    propReset,       propGetDimension};

} // namespace

const OfxPropertySuiteV1 *property_suite(const OfxPropertySuiteV1 *library) {
  real = library;
  return &suite;
}

} // namespace host
