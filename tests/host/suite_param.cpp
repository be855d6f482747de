// The parameter suite. The functions with open argument lists go to the
// parameter itself, as the library's do.
#include "suites.h"

#include "binary.h"
#include "effect.h"
#include "profile.h"
#include "report.h"

namespace host {
namespace {

typedef OFX::Host::Param::Instance Param;
const OfxParameterSuiteV1 *real;

Param *instance(OfxParamHandle handle) {
  Param *param = reinterpret_cast<Param *>(handle);
  return param && param->verifyMagic() ? param : nullptr;
}

// The specification's list of where values may be set.
bool may_set() {
  const std::string action = current_action();
  return action == kOfxActionCreateInstance ||
         action == kOfxActionInstanceChanged ||
         action == kOfxActionBeginInstanceChanged ||
         action == kOfxActionEndInstanceChanged ||
         action == kOfxActionSyncPrivateData;
}

OfxStatus get(Param *param, bool timed, OfxTime time, va_list args) {
  if (!param)
    return kOfxStatErrBadHandle;
  if (auto *text = dynamic_cast<OFX::Host::Param::StringInstance *>(param)) {
    std::string value;
    OfxStatus status = timed ? text->get(time, value) : text->get(value);
    *va_arg(args, const char **) = lend(value);
    return status;
  }
  return timed ? param->getV(time, args) : param->getV(args);
}

OfxStatus set(Param *param, bool timed, OfxTime time, va_list args) {
  if (!param)
    return kOfxStatErrBadHandle;
  if (!may_set())
    fault("the parameter " + param->getName() + " was set " +
          (*current_action() ? std::string("in ") + current_action()
                             : std::string("outside any action")));
  OfxStatus status = timed ? param->setV(time, args) : param->setV(args);
  if (status == kOfxStatOK)
    param->getParamSetInstance()->paramChangedByPlugin(param);
  return status;
}

const char *name_of(Param *param) {
  return param && logging() ? param->getName().c_str() : nullptr;
}

OfxStatus paramDefine(OfxParamSetHandle set, const char *type, const char *name,
                      OfxPropertySetHandle *properties) {
  Call call("paramDefine", name);
  return call.done(real->paramDefine(set, type, name, properties));
}

OfxStatus paramGetHandle(OfxParamSetHandle set, const char *name,
                         OfxParamHandle *param,
                         OfxPropertySetHandle *properties) {
  Call call("paramGetHandle", name);
  return call.done(real->paramGetHandle(set, name, param, properties));
}

OfxStatus paramSetGetPropertySet(OfxParamSetHandle set,
                                 OfxPropertySetHandle *properties) {
  Call call("paramSetGetPropertySet");
  return call.done(real->paramSetGetPropertySet(set, properties));
}

OfxStatus paramGetPropertySet(OfxParamHandle param,
                              OfxPropertySetHandle *properties) {
  Call call("paramGetPropertySet");
  return call.done(real->paramGetPropertySet(param, properties));
}

OfxStatus paramGetValue(OfxParamHandle handle, ...) {
  Call call("paramGetValue", name_of(instance(handle)));
  va_list args;
  va_start(args, handle);
  OfxStatus status = get(instance(handle), false, 0, args);
  va_end(args);
  return call.done(status);
}

OfxStatus paramGetValueAtTime(OfxParamHandle handle, OfxTime time, ...) {
  Call call("paramGetValueAtTime", name_of(instance(handle)));
  va_list args;
  va_start(args, time);
  OfxStatus status = get(instance(handle), true, time, args);
  va_end(args);
  return call.done(status);
}

OfxStatus paramGetDerivative(OfxParamHandle, OfxTime, ...) {
  Call call("paramGetDerivative");
  return call.done(kOfxStatErrUnsupported);
}

OfxStatus paramGetIntegral(OfxParamHandle, OfxTime, OfxTime, ...) {
  Call call("paramGetIntegral");
  return call.done(kOfxStatErrUnsupported);
}

OfxStatus paramSetValue(OfxParamHandle handle, ...) {
  Call call("paramSetValue", name_of(instance(handle)));
  va_list args;
  va_start(args, handle);
  OfxStatus status = set(instance(handle), false, 0, args);
  va_end(args);
  return call.done(status);
}

OfxStatus paramSetValueAtTime(OfxParamHandle handle, OfxTime time, ...) {
  Call call("paramSetValueAtTime", name_of(instance(handle)));
  va_list args;
  va_start(args, time);
  OfxStatus status = set(instance(handle), true, time, args);
  va_end(args);
  return call.done(status);
}

OfxStatus paramGetNumKeys(OfxParamHandle param, unsigned int *count) {
  Call call("paramGetNumKeys");
  return call.done(real->paramGetNumKeys(param, count));
}

OfxStatus paramGetKeyTime(OfxParamHandle param, unsigned int n, OfxTime *time) {
  Call call("paramGetKeyTime");
  return call.done(real->paramGetKeyTime(param, n, time));
}

OfxStatus paramGetKeyIndex(OfxParamHandle param, OfxTime time, int direction,
                           int *index) {
  Call call("paramGetKeyIndex");
  return call.done(real->paramGetKeyIndex(param, time, direction, index));
}

OfxStatus paramDeleteKey(OfxParamHandle param, OfxTime time) {
  Call call("paramDeleteKey");
  return call.done(real->paramDeleteKey(param, time));
}

OfxStatus paramDeleteAllKeys(OfxParamHandle param) {
  Call call("paramDeleteAllKeys");
  return call.done(real->paramDeleteAllKeys(param));
}

// Resolve's is faulty, so that nobody should call it there.
OfxStatus paramCopy(OfxParamHandle to, OfxParamHandle from, OfxTime offset,
                    const OfxRangeD *range) {
  Call call("paramCopy");
  if (profile.clamp_params_without_range)
    fault("paramCopy was called, which this host does wrongly");
  return call.done(real->paramCopy(to, from, offset, range));
}

OfxStatus paramEditBegin(OfxParamSetHandle set, const char *name) {
  Call call("paramEditBegin", name);
  return call.done(real->paramEditBegin(set, name));
}

OfxStatus paramEditEnd(OfxParamSetHandle set) {
  Call call("paramEditEnd");
  return call.done(real->paramEditEnd(set));
}

const OfxParameterSuiteV1 suite = {
    paramDefine,         paramGetHandle,   paramSetGetPropertySet,
    paramGetPropertySet, paramGetValue,    paramGetValueAtTime,
    paramGetDerivative,  paramGetIntegral, paramSetValue,
    paramSetValueAtTime, paramGetNumKeys,  paramGetKeyTime,
    paramGetKeyIndex,    paramDeleteKey,   paramDeleteAllKeys,
    paramCopy,           paramEditBegin,   paramEditEnd};

} // namespace

const OfxParameterSuiteV1 *param_suite(const OfxParameterSuiteV1 *library) {
  real = library;
  return &suite;
}

} // namespace host
