#include "instance.h"

#include <string>

#include "names.h"
#include "props.h"

namespace longtake {
namespace {

OfxPropertySetHandle properties_of(OfxImageEffectHandle effect) {
  OfxPropertySetHandle handle = nullptr;
  if (!effect || suites().effect->getPropertySet(effect, &handle) != kOfxStatOK)
    return nullptr;
  return handle;
}

OfxImageClipHandle clip_of(OfxImageEffectHandle effect, const char *name) {
  OfxImageClipHandle clip = nullptr;
  OfxPropertySetHandle unused = nullptr;
  if (suites().effect->clipGetHandle(effect, name, &clip, &unused) !=
      kOfxStatOK)
    return nullptr;
  return clip;
}

/// Finished text: hosts read it as a format, and one hands its arguments on
/// wrongly.
std::string escaped(const rust::String &message) {
  std::string text;
  for (char c : message) {
    text += c;
    if (c == '%')
      text += '%';
  }
  return text;
}

void post(Instance &instance, const Report &report, bool lasting) {
  std::string text = escaped(report.message);
  const char *type = report.warning ? kOfxMessageWarning : kOfxMessageError;
  // A warning that stays would keep some hosts from rendering.
  if (lasting && !report.warning) {
    if (auto suite = persistent_message_suite()) {
      if (suite->setPersistentMessage(instance.effect, type, "longtake",
                                      text.c_str()) == kOfxStatOK) {
        instance.message_up = true;
        return;
      }
    }
  }
  // It stands in the artist's way, so once is enough.
  if (report.told)
    return;
  if (auto suite = message_suite())
    suite->message(instance.effect, type, "longtake", text.c_str());
}

} // namespace

Instance *instance_of(OfxImageEffectHandle effect) {
  void *data = nullptr;
  Props(properties_of(effect)).get(kOfxPropInstanceData, data);
  return static_cast<Instance *>(data);
}

// No parameter is set and no edit block begun here: one host crashes on it.
OfxStatus create_instance(OfxImageEffectHandle effect) {
  OfxPropertySetHandle handle = properties_of(effect);
  if (!handle)
    return kOfxStatErrBadHandle;
  Props props(handle);
  std::unique_ptr<Instance> instance(new Instance{effect, node_new(), {}});
  OfxParamSetHandle set = nullptr;
  if (suites().effect->getParamSet(effect, &set) != kOfxStatOK)
    set = nullptr;
  for (const ParamSpec &spec : plugin().params) {
    OfxParamHandle param = nullptr;
    OfxPropertySetHandle unused = nullptr;
    if (!set ||
        suites().param->paramGetHandle(set, std::string(spec.name).c_str(),
                                       &param, &unused) != kOfxStatOK)
      param = nullptr;
    instance->params.push_back(param);
  }
  std::string context = props.string(kOfxImageEffectPropContext);
  instance->generator = context == kOfxImageEffectContextGenerator;
  if (!instance->generator)
    instance->source = clip_of(effect, kOfxImageEffectSimpleSourceClipName);
  if (context == kOfxImageEffectContextGeneral) {
    instance->matte = clip_of(effect, "Matte");
    instance->guide = clip_of(effect, "Guide");
    instance->subject1 = clip_of(effect, "Subject1");
    instance->subject2 = clip_of(effect, "Subject2");
    instance->subject3 = clip_of(effect, "Subject3");
  }
  offer_threads(offered_threads());
  instance->output = clip_of(effect, kOfxImageEffectOutputClipName);
  // A second creation on one handle replaces the first.
  delete instance_of(effect);
  if (!props.set(kOfxPropInstanceData, static_cast<void *>(instance.get())))
    return kOfxStatFailed;
  instance.release();
  return kOfxStatOK;
}

// Some hosts destroy twice; the second time finds nothing.
OfxStatus destroy_instance(OfxImageEffectHandle effect) {
  Instance *instance = instance_of(effect);
  Props(properties_of(effect))
      .set(kOfxPropInstanceData, static_cast<void *>(nullptr));
  delete instance;
  return kOfxStatOK;
}

OfxStatus finish(Instance &instance, const Report &report, bool lasting) {
  // A host may try again on the CPU, which one that shows a lasting error does
  // not.
  bool again = report.status == Status::GpuOutOfMemory ||
               report.status == Status::GpuFailed;
  if (!report.message.empty())
    post(instance, report, lasting && !again);
  switch (report.status) {
  case Status::Done:
    return kOfxStatOK;
  case Status::Default:
    return kOfxStatReplyDefault;
  case Status::Format:
    return kOfxStatErrImageFormat;
  case Status::GpuOutOfMemory:
    return kOfxStatGPUOutOfMemory;
  case Status::GpuFailed:
    return kOfxStatGPURenderFailed;
  default:
    return kOfxStatFailed;
  }
}

void clear_message(Instance &instance) {
  if (!instance.message_up.exchange(false))
    return;
  if (auto suite = persistent_message_suite())
    suite->clearPersistentMessage(instance.effect);
}

Depth depth_named(const std::string &name) {
  if (name == kOfxBitDepthByte)
    return Depth::Byte;
  if (name == kOfxBitDepthShort)
    return Depth::Short;
  if (name == kOfxBitDepthHalf)
    return Depth::Half;
  if (name == kOfxBitDepthFloat)
    return Depth::Float;
  return Depth::Unknown;
}

Components components_named(const std::string &name) {
  if (name == kOfxImageComponentRGBA)
    return Components::Rgba;
  if (name == kOfxImageComponentRGB)
    return Components::Rgb;
  if (name == kOfxImageComponentAlpha)
    return Components::Alpha;
  return Components::Unknown;
}

} // namespace longtake
