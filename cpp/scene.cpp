// What the host says when an action begins: parameters, inputs, project.

#include "instance.h"

#include <string>

#include "props.h"

namespace longtake {
namespace {

ParamValue value_of(const ParamSpec &spec, OfxParamHandle handle) {
  ParamValue value{};
  if (!handle)
    return value;
  auto get = suites().param->paramGetValue;
  switch (spec.kind) {
  case Kind::Choice:
  case Kind::Int:
  case Kind::Bool: {
    int number = 0;
    value.known = get(handle, &number) == kOfxStatOK;
    value.number = number;
    break;
  }
  case Kind::Range: {
    int first = 0, last = 0;
    value.known = get(handle, &first, &last) == kOfxStatOK;
    value.number = first;
    value.second = last;
    break;
  }
  case Kind::Double:
    value.known = get(handle, &value.number) == kOfxStatOK;
    break;
  case Kind::String:
  case Kind::File:
  case Kind::Folder: {
    char *text = nullptr;
    value.known = get(handle, &text) == kOfxStatOK && text;
    // Copied at once: the host owns it no longer than to the next call.
    if (value.known)
      value.text = rust::String::lossy(std::string(text));
    break;
  }
  default:
    break;
  }
  return value;
}

ClipFacts facts_of(OfxImageClipHandle clip) {
  ClipFacts facts{};
  facts.depth = Depth::Unknown;
  facts.components = Components::Unknown;
  OfxPropertySetHandle handle = nullptr;
  if (!clip || suites().effect->clipGetPropertySet(clip, &handle) != kOfxStatOK)
    return facts;
  Props props(handle);
  // A host that does not say has the clip connected, as far as it goes.
  int connected = 1;
  props.get(kOfxImageClipPropConnected, connected);
  facts.connected = connected != 0;
  facts.depth = depth_named(props.string(kOfxImageEffectPropPixelDepth));
  facts.components =
      components_named(props.string(kOfxImageEffectPropComponents));
  facts.premultiplied = props.string(kOfxImageEffectPropPreMultiplication) !=
                        kOfxImageUnPreMultiplied;
  facts.has_range = props.get(kOfxImageEffectPropFrameRange, facts.first, 0) &&
                    props.get(kOfxImageEffectPropFrameRange, facts.last, 1);
  props.get(kOfxImageEffectPropFrameRate, facts.fps);
  props.get(kOfxImagePropPixelAspectRatio, facts.pixel_aspect);
  return facts;
}

} // namespace

Scene scene_of(const Instance &instance) {
  Scene scene{};
  scene.generator = instance.generator;
  const PluginSpec &spec = plugin();
  for (std::size_t i = 0; i < spec.params.size(); ++i)
    scene.params.push_back(value_of(spec.params[i], instance.params[i]));
  scene.source = facts_of(instance.source);
  scene.matte = facts_of(instance.matte);
  scene.guide = facts_of(instance.guide);
  scene.subject1 = facts_of(instance.subject1);
  scene.subject2 = facts_of(instance.subject2);
  scene.subject3 = facts_of(instance.subject3);
  scene.pixel_aspect = facts_of(instance.output).pixel_aspect;

  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->getPropertySet(instance.effect, &handle) == kOfxStatOK) {
    Props props(handle);
    props.get(kOfxImageEffectPropFrameRate, scene.fps);
    if (scene.pixel_aspect <= 0)
      props.get(kOfxImageEffectPropProjectPixelAspectRatio, scene.pixel_aspect);
    double x = 0, y = 0, w = 0, h = 0;
    props.get(kOfxImageEffectPropProjectOffset, x, 0);
    props.get(kOfxImageEffectPropProjectOffset, y, 1);
    scene.has_project = props.get(kOfxImageEffectPropProjectSize, w, 0) &&
                        props.get(kOfxImageEffectPropProjectSize, h, 1) &&
                        w > 0 && h > 0;
    scene.project = {x, y, x + w, y + h};
  }
  if (!scene.source.has_range && instance.source) {
    if (auto suite = timeline_suite())
      scene.source.has_range =
          suite->getTimeBounds(instance.effect, &scene.source.first,
                               &scene.source.last) == kOfxStatOK;
  }
  // Said by the host itself; where it says nothing the pictures will tell.
  int temporal = 1;
  Props(host_properties()).get(kOfxImageEffectPropTemporalClipAccess, temporal);
  scene.temporal_access = temporal != 0;
  return scene;
}

} // namespace longtake
