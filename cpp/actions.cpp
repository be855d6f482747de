#include "actions.h"

#include <string>

#include "host_calls.h"
#include "props.h"

namespace longtake {
namespace {

const char *name_of(Components components) {
  switch (components) {
  case Components::Rgba:
    return kOfxImageComponentRGBA;
  case Components::Rgb:
    return kOfxImageComponentRGB;
  case Components::Alpha:
    return kOfxImageComponentAlpha;
  default:
    return nullptr;
  }
}

const char *name_of(Depth depth) {
  switch (depth) {
  case Depth::Byte:
    return kOfxBitDepthByte;
  case Depth::Short:
    return kOfxBitDepthShort;
  case Depth::Half:
    return kOfxBitDepthHalf;
  case Depth::Float:
    return kOfxBitDepthFloat;
  default:
    return nullptr;
  }
}

/// `components` where the host has them, else RGBA, which all have.
const char *offered(const char *components) {
  Props host(host_properties());
  std::string name;
  for (int i = 0; i < 16; ++i) {
    name = host.string(kOfxImageEffectPropSupportedComponents, i);
    if (name.empty() || name == components)
      break;
  }
  return name == components ? components : kOfxImageComponentRGBA;
}

void set_rect(const Props &props, const std::string &name, const Region &r) {
  for (int i = 0; i < 4; ++i)
    props.set(name.c_str(), r.rect[static_cast<std::size_t>(i)], i);
}

void set_frames(const Props &props, const std::string &name,
                const rust::Vec<double> &frames) {
  int i = 0;
  for (double frame : frames) {
    props.set(name.c_str(), frame, i++);
    props.set(name.c_str(), frame, i++);
  }
}

} // namespace

OfxStatus is_identity(Instance &instance, OfxPropertySetHandle in,
                      OfxPropertySetHandle out) {
  double time = 0;
  Props(in).get(kOfxPropTime, time);
  Times t = node_identity(*instance.node, scene_of(instance), time);
  if (!t.known)
    return kOfxStatReplyDefault;
  Props props(out);
  bool said = props.set(kOfxPropName, kOfxImageEffectSimpleSourceClipName) &&
              props.set(kOfxPropTime, t.first);
  return said ? kOfxStatOK : kOfxStatReplyDefault;
}

OfxStatus frames_needed(Instance &instance, OfxPropertySetHandle in,
                        OfxPropertySetHandle out) {
  double time = 0;
  Props(in).get(kOfxPropTime, time);
  Needs needs = node_needs(*instance.node, scene_of(instance), time);
  if (needs.source.empty() && needs.matte.empty())
    return kOfxStatReplyDefault;
  Props props(out);
  set_frames(props, "OfxImageClipPropFrameRange_Source", needs.source);
  if (instance.matte)
    set_frames(props, "OfxImageClipPropFrameRange_Matte", needs.matte);
  if (instance.guide)
    set_frames(props, "OfxImageClipPropFrameRange_Guide", needs.guide);
  if (instance.subject1)
    set_frames(props, "OfxImageClipPropFrameRange_Subject1", needs.subject1);
  if (instance.subject2)
    set_frames(props, "OfxImageClipPropFrameRange_Subject2", needs.subject2);
  if (instance.subject3)
    set_frames(props, "OfxImageClipPropFrameRange_Subject3", needs.subject3);
  return kOfxStatOK;
}

OfxStatus time_domain(Instance &instance, OfxPropertySetHandle out) {
  Times t = node_time_domain(*instance.node, scene_of(instance));
  Props props(out);
  if (!t.known || !props.set(kOfxImageEffectPropFrameRange, t.first, 0) ||
      !props.set(kOfxImageEffectPropFrameRange, t.last, 1))
    return kOfxStatReplyDefault;
  return kOfxStatOK;
}

OfxStatus region_of_definition(Instance &instance, OfxPropertySetHandle out) {
  HostCalls calls(instance);
  Region r = node_region(*instance.node, scene_of(instance), calls);
  if (!r.known)
    return kOfxStatReplyDefault;
  set_rect(Props(out), kOfxImageEffectPropRegionOfDefinition, r);
  return kOfxStatOK;
}

OfxStatus regions_of_interest(Instance &instance, OfxPropertySetHandle out) {
  HostCalls calls(instance);
  Region r = node_interest(*instance.node, scene_of(instance), calls);
  if (!r.known)
    return kOfxStatReplyDefault;
  Props props(out);
  set_rect(props, "OfxImageClipPropRoI_Source", r);
  if (instance.matte)
    set_rect(props, "OfxImageClipPropRoI_Matte", r);
  if (instance.guide)
    set_rect(props, "OfxImageClipPropRoI_Guide", r);
  if (instance.subject1)
    set_rect(props, "OfxImageClipPropRoI_Subject1", r);
  if (instance.subject2)
    set_rect(props, "OfxImageClipPropRoI_Subject2", r);
  if (instance.subject3)
    set_rect(props, "OfxImageClipPropRoI_Subject3", r);
  return kOfxStatOK;
}

OfxStatus clip_preferences(Instance &instance, OfxPropertySetHandle out) {
  Preferences p = node_preferences(*instance.node, scene_of(instance));
  Props props(out);
  props.set(kOfxImageEffectFrameVarying, p.frame_varying ? 1 : 0);
  if (const char *components = name_of(p.components))
    props.set("OfxImageClipPropComponents_Output", offered(components));
  if (const char *depth = name_of(p.depth))
    props.set("OfxImageClipPropDepth_Output", depth);
  if (p.has_premultiplied)
    props.set(kOfxImageEffectPropPreMultiplication,
              p.premultiplied ? kOfxImagePreMultiplied
                              : kOfxImageUnPreMultiplied);
  if (p.fps > 0)
    props.set(kOfxImageEffectPropFrameRate, p.fps);
  return kOfxStatOK;
}

OfxStatus instance_changed(Instance &instance, OfxPropertySetHandle in) {
  Props props(in);
  std::string reason = props.string(kOfxPropChangeReason);
  // Our own writing of the status line, and the play head.
  if (reason == kOfxChangePluginEdited || reason == kOfxChangeTime)
    return kOfxStatReplyDefault;
  // Hosts that show a lasting error do not render until it is gone, and what
  // was changed may well be its remedy.
  clear_message(instance);
  std::string type = props.string(kOfxPropType);
  std::string name = props.string(kOfxPropName);
  bool clip = type == kOfxTypeClip;
  if (!clip && type != kOfxTypeParameter)
    return kOfxStatReplyDefault;
  std::array<double, 2> scale{1, 1};
  props.get(kOfxImageEffectPropRenderScale, scale[0], 0);
  props.get(kOfxImageEffectPropRenderScale, scale[1], 1);
  Report report;
  {
    HostCalls calls(instance);
    report = node_changed(*instance.node, scene_of(instance),
                          rust::Str(rust::String::lossy(name)), clip,
                          reason == kOfxChangeUserEdited, scale, calls);
  }
  return finish(instance, report, false);
}

} // namespace longtake
