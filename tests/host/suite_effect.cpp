// The image effect suite.
#include "suites.h"

#include <mutex>
#include <set>

#include "effect.h"
#include "report.h"

namespace host {
namespace {

const OfxImageEffectSuiteV1 *real;

std::mutex held_mutex;
std::multiset<OfxPropertySetHandle> held; // images that plug-ins hold

OfxStatus getPropertySet(OfxImageEffectHandle effect,
                         OfxPropertySetHandle *set) {
  Call call("getPropertySet");
  return call.done(real->getPropertySet(effect, set));
}

OfxStatus getParamSet(OfxImageEffectHandle effect, OfxParamSetHandle *set) {
  Call call("getParamSet");
  return call.done(real->getParamSet(effect, set));
}

OfxStatus clipDefine(OfxImageEffectHandle effect, const char *name,
                     OfxPropertySetHandle *set) {
  Call call("clipDefine", name);
  return call.done(real->clipDefine(effect, name, set));
}

OfxStatus clipGetHandle(OfxImageEffectHandle effect, const char *name,
                        OfxImageClipHandle *clip, OfxPropertySetHandle *set) {
  Call call("clipGetHandle", name);
  return call.done(real->clipGetHandle(effect, name, clip, set));
}

OfxStatus clipGetPropertySet(OfxImageClipHandle clip,
                             OfxPropertySetHandle *set) {
  Call call("clipGetPropertySet");
  return call.done(real->clipGetPropertySet(clip, set));
}

OfxStatus clipGetImage(OfxImageClipHandle clip, OfxTime time,
                       const OfxRectD *region, OfxPropertySetHandle *image) {
  std::string detail;
  if (logging() && clip)
    detail =
        reinterpret_cast<Clip *>(clip)->getName() + " " + std::to_string(time);
  Call call("clipGetImage", detail.c_str());
  OfxStatus status = real->clipGetImage(clip, time, region, image);
  if (status == kOfxStatOK) {
    std::lock_guard<std::mutex> lock(held_mutex);
    held.insert(*image);
  }
  return call.done(status);
}

OfxStatus clipReleaseImage(OfxPropertySetHandle image) {
  Call call("clipReleaseImage");
  {
    std::lock_guard<std::mutex> lock(held_mutex);
    auto found = held.find(image);
    if (found == held.end()) {
      fault("an image was released that was not held");
      return call.done(kOfxStatErrBadHandle);
    }
    held.erase(found);
  }
  return call.done(real->clipReleaseImage(image));
}

OfxStatus clipGetRegionOfDefinition(OfxImageClipHandle clip, OfxTime time,
                                    OfxRectD *bounds) {
  Call call("clipGetRegionOfDefinition");
  return call.done(real->clipGetRegionOfDefinition(clip, time, bounds));
}

int abort(OfxImageEffectHandle effect) {
  Call call("abort");
  return real->abort(effect);
}

OfxStatus imageMemoryAlloc(OfxImageEffectHandle effect, size_t count,
                           OfxImageMemoryHandle *memory) {
  Call call("imageMemoryAlloc");
  return call.done(real->imageMemoryAlloc(effect, count, memory));
}

OfxStatus imageMemoryFree(OfxImageMemoryHandle memory) {
  Call call("imageMemoryFree");
  return call.done(real->imageMemoryFree(memory));
}

OfxStatus imageMemoryLock(OfxImageMemoryHandle memory, void **data) {
  Call call("imageMemoryLock");
  return call.done(real->imageMemoryLock(memory, data));
}

OfxStatus imageMemoryUnlock(OfxImageMemoryHandle memory) {
  Call call("imageMemoryUnlock");
  return call.done(real->imageMemoryUnlock(memory));
}

const OfxImageEffectSuiteV1 suite = {getPropertySet,
                                     getParamSet,
                                     clipDefine,
                                     clipGetHandle,
                                     clipGetPropertySet,
                                     clipGetImage,
                                     clipReleaseImage,
                                     clipGetRegionOfDefinition,
                                     abort,
                                     imageMemoryAlloc,
                                     imageMemoryFree,
                                     imageMemoryLock,
                                     imageMemoryUnlock};

} // namespace

const OfxImageEffectSuiteV1 *
effect_suite(const OfxImageEffectSuiteV1 *library) {
  real = library;
  return &suite;
}

} // namespace host
