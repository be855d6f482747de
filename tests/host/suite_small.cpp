// The message, progress, timeline and memory suites, and their broken twins
// whose functions all fail.
#include "suites.h"

#include "openfx.h"

#include "binary.h"
#include "effect.h"
#include "profile.h"

namespace host {
namespace {

// The instance behind a handle; null for a descriptor or no handle.
Effect *effect_of(void *handle) {
  auto *base = reinterpret_cast<OFX::Host::ImageEffect::Base *>(handle);
  return base ? dynamic_cast<Effect *>(base) : nullptr;
}

OfxStatus post(Effect *effect, bool persistent, const char *type,
               const char *id, const char *format, va_list args) {
  if (in_action(kOfxActionDescribe) || in_action(kOfxActionLoad) ||
      in_action(kOfxImageEffectActionDescribeInContext))
    note_message_in_describe();
  if (effect)
    return persistent ? effect->setPersistentMessage(type, id, format, args)
                      : effect->vmessage(type, id, format, args);
  return OFX::Host::ImageEffect::gImageEffectHost->vmessage(type, id, format,
                                                            args);
}

OfxStatus message(void *handle, const char *type, const char *id,
                  const char *format, ...) {
  Call call("message", type);
  va_list args;
  va_start(args, format);
  OfxStatus status = post(effect_of(handle), false, type, id, format, args);
  va_end(args);
  return call.done(status);
}

OfxStatus set_persistent(void *handle, const char *type, const char *id,
                         const char *format, ...) {
  Call call("setPersistentMessage", type);
  va_list args;
  va_start(args, format);
  OfxStatus status = post(effect_of(handle), true, type, id, format, args);
  va_end(args);
  return call.done(status);
}

OfxStatus clear_persistent(void *handle) {
  Call call("clearPersistentMessage");
  Effect *effect = effect_of(handle);
  return call.done(effect ? effect->clearPersistentMessage()
                          : kOfxStatErrBadHandle);
}

OfxStatus progress_start1(void *handle, const char *label) {
  Call call("progressStart", label);
  Effect *effect = effect_of(handle);
  if (!effect)
    return call.done(kOfxStatErrBadHandle);
  effect->progressStart(label, "");
  return call.done(kOfxStatOK);
}

OfxStatus progress_start2(void *handle, const char *text, const char *) {
  return progress_start1(handle, text);
}

OfxStatus progress_update(void *handle, double fraction) {
  Call call("progressUpdate");
  Effect *effect = effect_of(handle);
  if (!effect)
    return call.done(kOfxStatErrBadHandle);
  return call.done(effect->progressUpdate(fraction) ? kOfxStatOK
                                                    : kOfxStatReplyNo);
}

OfxStatus progress_end(void *handle) {
  Call call("progressEnd");
  Effect *effect = effect_of(handle);
  if (!effect)
    return call.done(kOfxStatErrBadHandle);
  effect->progressEnd();
  return call.done(kOfxStatOK);
}

OfxStatus get_time(void *handle, double *time) {
  Call call("timeLineGetTime");
  Effect *effect = effect_of(handle);
  if (!effect)
    return call.done(kOfxStatErrBadHandle);
  *time = effect->timeLineGetTime();
  return call.done(kOfxStatOK);
}

OfxStatus goto_time(void *, double) {
  Call call("timeLineGotoTime");
  return call.done(kOfxStatOK);
}

OfxStatus get_time_bounds(void *handle, double *first, double *last) {
  Call call("timeLineGetBounds");
  Effect *effect = effect_of(handle);
  if (!effect)
    return call.done(kOfxStatErrBadHandle);
  effect->timeLineGetBounds(*first, *last);
  return call.done(kOfxStatOK);
}

// A function that fails, of any signature.
template <class... Args> OfxStatus fails(Args...) { return kOfxStatFailed; }
OfxStatus fails_message(void *, const char *, const char *, const char *, ...) {
  return kOfxStatFailed;
}
int fails_is_spawned() { return 0; }

const OfxMessageSuiteV1 message1 = {message};
const OfxMessageSuiteV2 message2 = {message, set_persistent, clear_persistent};
const OfxProgressSuiteV1 progress1 = {progress_start1, progress_update,
                                      progress_end};
const OfxProgressSuiteV2 progress2 = {progress_start2, progress_update,
                                      progress_end};
const OfxTimeLineSuiteV1 timeline = {get_time, goto_time, get_time_bounds};

const OfxMessageSuiteV1 bad_message1 = {fails_message};
const OfxMessageSuiteV2 bad_message2 = {fails_message, fails_message, fails};
const OfxProgressSuiteV1 bad_progress1 = {fails, fails, fails};
const OfxProgressSuiteV2 bad_progress2 = {fails, fails, fails};
const OfxTimeLineSuiteV1 bad_timeline = {fails, fails, fails};
const OfxMemorySuiteV1 bad_memory = {fails, fails};
const OfxMultiThreadSuiteV1 bad_threads = {
    fails, fails, fails, fails_is_spawned, fails, fails, fails, fails, fails};

} // namespace

const void *small_suite(const std::string &name, int version, bool bad,
                        const void *library) {
  if (name == "message" && version == 1)
    return bad ? &bad_message1 : &message1;
  if (name == "message" && version == 2)
    return bad ? &bad_message2 : &message2;
  if (name == "progress" && version == 1)
    return bad ? static_cast<const void *>(&bad_progress1) : &progress1;
  if (name == "progress" && version == 2)
    return bad ? static_cast<const void *>(&bad_progress2) : &progress2;
  if (name == "timeline")
    return bad ? &bad_timeline : &timeline;
  if (name == "memory" && bad)
    return &bad_memory;
  if (name == "multithread" && bad)
    return &bad_threads;
  return library;
}

} // namespace host
