// A plug-in that misbehaves as its parameter "deed" says, to show that the host
// finds it out.
#include <cstring>
#include <stdexcept>
#include <string>

#include "ofxCore.h"
#include "ofxImageEffect.h"
#include "ofxMessage.h"
#include "ofxParam.h"
#include "ofxProgress.h"

namespace {

OfxHost *host;
const OfxPropertySuiteV1 *props;
const OfxImageEffectSuiteV1 *effects;
const OfxParameterSuiteV1 *params;
const OfxMessageSuiteV1 *messages;
const OfxProgressSuiteV1 *progress;

template <class T> void fetch(const T *&suite, const char *name) {
  suite = static_cast<const T *>(host->fetchSuite(host->host, name, 1));
}

OfxStatus load() {
  fetch(props, kOfxPropertySuite);
  fetch(effects, kOfxImageEffectSuite);
  fetch(params, kOfxParameterSuite);
  fetch(messages, kOfxMessageSuite);
  fetch(progress, kOfxProgressSuite);
  return kOfxStatOK;
}

OfxStatus describe(OfxImageEffectHandle effect) {
  OfxPropertySetHandle set;
  effects->getPropertySet(effect, &set);
  props->propSetString(set, kOfxPropLabel, 0, "Rude");
  props->propSetString(set, kOfxImageEffectPropSupportedContexts, 0,
                       kOfxImageEffectContextFilter);
  props->propSetString(set, kOfxImageEffectPropSupportedPixelDepths, 0,
                       kOfxBitDepthFloat);
  return kOfxStatOK;
}

OfxStatus describe_in_context(OfxImageEffectHandle effect) {
  OfxPropertySetHandle set;
  for (const char *name :
       {kOfxImageEffectSimpleSourceClipName, kOfxImageEffectOutputClipName}) {
    effects->clipDefine(effect, name, &set);
    props->propSetString(set, kOfxImageEffectPropSupportedComponents, 0,
                         kOfxImageComponentRGBA);
  }
  OfxParamSetHandle list;
  effects->getParamSet(effect, &list);
  params->paramDefine(list, kOfxParamTypeString, "deed", &set);
  params->paramDefine(list, kOfxParamTypeInteger, "bare", &set);
  return kOfxStatOK;
}

std::string deed_of(OfxImageEffectHandle effect, OfxParamHandle *handle,
                    char **raw) {
  OfxParamSetHandle list;
  effects->getParamSet(effect, &list);
  params->paramGetHandle(list, "deed", handle, nullptr);
  params->paramGetValue(*handle, raw);
  return *raw;
}

OfxPropertySetHandle image_of(OfxImageEffectHandle effect, const char *name,
                              double time) {
  OfxImageClipHandle clip;
  OfxPropertySetHandle image = nullptr;
  effects->clipGetHandle(effect, name, &clip, nullptr);
  effects->clipGetImage(clip, time, nullptr, &image);
  return image;
}

float *pixel_of(OfxPropertySetHandle image, int x, int y) {
  void *data;
  int bounds[4], row;
  props->propGetPointer(image, kOfxImagePropData, 0, &data);
  props->propGetIntN(image, kOfxImagePropBounds, 4, bounds);
  props->propGetInt(image, kOfxImagePropRowBytes, 0, &row);
  return reinterpret_cast<float *>(static_cast<char *>(data) +
                                   ptrdiff_t(y - bounds[1]) * row) +
         4 * (x - bounds[0]);
}

OfxStatus render(OfxImageEffectHandle effect, OfxPropertySetHandle in) {
  static int calls = 0;
  ++calls;
  double time;
  int w[4];
  props->propGetDouble(in, kOfxPropTime, 0, &time);
  props->propGetIntN(in, kOfxImageEffectPropRenderWindow, 4, w);
  OfxParamHandle param;
  char *raw;
  std::string deed = deed_of(effect, &param, &raw);
  OfxPropertySetHandle out =
      image_of(effect, kOfxImageEffectOutputClipName, time);
  OfxPropertySetHandle source =
      image_of(effect, kOfxImageEffectSimpleSourceClipName,
               deed == "unannounced" ? time + 1 : time);
  for (int y = w[1]; deed != "blank" && y < w[3]; ++y) {
    for (int x = w[0]; x < w[2]; ++x) {
      float *p = pixel_of(out, x, y);
      p[0] = p[1] = p[2] = p[3] = deed == "differ" ? float(calls) : 1.f;
    }
  }
  if (deed == "outside")
    pixel_of(out, w[0], w[1])[-1] = 1;
  if (deed == "beyond")
    pixel_of(out, w[2], w[1])[0] = 1;
  if (deed == "input")
    pixel_of(source, w[0], w[1])[0] = 7;
  if (deed == "set")
    params->paramSetValue(param, "set");
  if (deed == "progress")
    progress->progressUpdate(effect, .5);
  if (deed == "keep")
    messages->message(effect, kOfxMessageLog, "", "%s", raw);
  if (deed != "leak")
    effects->clipReleaseImage(source);
  if (deed == "twice")
    effects->clipReleaseImage(source);
  effects->clipReleaseImage(out);
  if (deed == "throw")
    throw std::runtime_error("rude");
  return kOfxStatOK;
}

OfxStatus main_entry(const char *action, const void *handle,
                     OfxPropertySetHandle in, OfxPropertySetHandle) {
  OfxImageEffectHandle effect =
      static_cast<OfxImageEffectHandle>(const_cast<void *>(handle));
  const std::string name = action;
  if (name == kOfxActionLoad)
    return load();
  if (name == kOfxActionDescribe)
    return describe(effect);
  if (name == kOfxImageEffectActionDescribeInContext)
    return describe_in_context(effect);
  if (name == kOfxImageEffectActionRender)
    return render(effect, in);
  if (name == kOfxActionCreateInstance) {
    OfxParamHandle param;
    char *raw;
    std::string deed = deed_of(effect, &param, &raw);
    if (deed == "early")
      image_of(effect, kOfxImageEffectSimpleSourceClipName, 1);
    if (deed == "edit") {
      OfxParamSetHandle list;
      effects->getParamSet(effect, &list);
      params->paramEditBegin(list, "edit");
      params->paramEditEnd(list);
    }
    return kOfxStatOK;
  }
  return kOfxStatReplyDefault;
}

void set_host(OfxHost *given) { host = given; }

OfxPlugin plugin = {kOfxImageEffectPluginApi,
                    1,
                    "org.longtake.test.Rude",
                    1,
                    0,
                    set_host,
                    main_entry};

} // namespace

extern "C" __attribute__((visibility("default"))) int OfxGetNumberOfPlugins() {
  return 1;
}

extern "C" __attribute__((visibility("default"))) OfxPlugin *OfxGetPlugin(int) {
  return &plugin;
}
