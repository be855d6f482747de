// What a host is told before there is any instance. Nothing is posted, nothing
// is computed, no thread and no device is touched.

#include "actions.h"

#include <cstdlib>
#include <string>

#include "names.h"
#include "props.h"

namespace longtake {
namespace {

std::string text(const rust::String &s) { return std::string(s); }

/// Groups and parameters share one space of names.
std::string group_name(const rust::String &s) { return "group_" + text(s); }

/// Whether pictures are taken where a host has them on an NVIDIA GPU. An artist
/// may say no.
bool takes_cuda() {
#if defined(__APPLE__)
  return false;
#else
  const char *said = std::getenv("LONGTAKE_HOST_GPU");
  return !said || std::string(said) != "0";
#endif
}

/// Some hosts forget what is set in describe alone.
void set_abilities(const Props &props) {
  props.set(kOfxImageEffectPropSupportsTiles, 1);
  props.set(kOfxImageEffectPropSupportsMultiResolution, 1);
  props.set(kOfxImageEffectPropTemporalClipAccess, 1);
  props.set(kOfxImageEffectPropSupportsMultipleClipDepths, 0);
  props.set(kOfxImageEffectPropSupportsMultipleClipPARs, 0);
  int i = 0;
  for (const rust::String &name : plugin().preferences)
    props.set(kOfxImageEffectPropClipPreferencesSlaveParam, text(name), i++);
  props.set(kOfxImageEffectPluginRenderThreadSafety,
            kOfxImageEffectRenderFullySafe);
  // We bring our own threads.
  props.set(kOfxImageEffectPluginPropHostFrameThreading, 0);
  props.set(kOfxImageEffectPluginPropFieldRenderTwiceAlways, 0);
  // Pictures on the GPU are the host's: it has the driver, which is opened at
  // the first render of one and not before.
  const char *cuda = takes_cuda() ? "true" : "false";
  props.set(kOfxImageEffectPropCudaRenderSupported, cuda);
  props.set(kOfxImageEffectPropCudaStreamSupported, cuda);
  props.set(kOfxImageEffectPropMetalRenderSupported, "false");
  props.set(kOfxImageEffectPropOpenCLRenderSupported, "false");
  // The whole of a frame decides what a part of it plays.
  props.set(kOfxImageEffectPropNoSpatialAwareness, "false");
  props.set(kOfxImageEffectPropColourManagementStyle,
            kOfxImageEffectPropColourManagementNone);
}

void define_clip(OfxImageEffectHandle effect, const char *name,
                 const ClipSpec *spec, bool optional) {
  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->clipDefine(effect, name, &handle) != kOfxStatOK)
    return;
  Props props(handle);
  bool mask = spec && spec->mask;
  int i = 0;
  if (!mask) {
    props.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentRGBA,
              i++);
    props.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentRGB,
              i++);
  }
  props.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentAlpha,
            i++);
  props.set(kOfxImageEffectPropTemporalClipAccess, 1);
  props.set(kOfxImageEffectPropSupportsTiles, 1);
  props.set(kOfxImageClipPropFieldExtraction, kOfxImageFieldBoth);
  if (spec) {
    props.set(kOfxPropLabel, text(spec->label));
    props.set(kOfxImageClipPropOptional, optional ? 1 : 0);
    props.set(kOfxImageClipPropIsMask, mask ? 1 : 0);
  }
}

const char *type_of(Kind kind) {
  switch (kind) {
  case Kind::Choice:
    return kOfxParamTypeChoice;
  case Kind::Int:
    return kOfxParamTypeInteger;
  case Kind::Double:
    return kOfxParamTypeDouble;
  case Kind::Bool:
    return kOfxParamTypeBoolean;
  case Kind::Range:
    return kOfxParamTypeInteger2D;
  case Kind::Button:
    return kOfxParamTypePushButton;
  default:
    return kOfxParamTypeString;
  }
}

/// The part of a description that depends on the kind of value. Every number
/// gets a hard range and a range to show: Resolve clamps those that lack one.
void describe_value(const Props &props, const ParamSpec &spec) {
  auto ints = [&](const char *name, double value, int index) {
    props.set(name, static_cast<int>(value), index);
  };
  switch (spec.kind) {
  case Kind::Choice: {
    int i = 0;
    for (const rust::String &label : spec.labels)
      props.set(kOfxParamPropChoiceOption, text(label), i++);
    ints(kOfxParamPropDefault, spec.default_number, 0);
    break;
  }
  case Kind::Int:
  case Kind::Range:
    for (int i = 0; i < (spec.kind == Kind::Range ? 2 : 1); ++i) {
      ints(kOfxParamPropDefault,
           i == 0 ? spec.default_number : spec.default_second, i);
      ints(kOfxParamPropMin, spec.min, i);
      ints(kOfxParamPropMax, spec.max, i);
      ints(kOfxParamPropDisplayMin, spec.display_min, i);
      ints(kOfxParamPropDisplayMax, spec.display_max, i);
    }
    if (spec.kind == Kind::Range) {
      props.set(kOfxParamPropDimensionLabel, "first", 0);
      props.set(kOfxParamPropDimensionLabel, "last", 1);
    }
    break;
  case Kind::Double:
    props.set(kOfxParamPropDefault, spec.default_number);
    props.set(kOfxParamPropMin, spec.min);
    props.set(kOfxParamPropMax, spec.max);
    props.set(kOfxParamPropDisplayMin, spec.display_min);
    props.set(kOfxParamPropDisplayMax, spec.display_max);
    props.set(kOfxParamPropDoubleType, kOfxParamDoubleTypePlain);
    props.set(kOfxParamPropDigits, 2);
    break;
  case Kind::Bool:
    ints(kOfxParamPropDefault, spec.default_number, 0);
    break;
  case Kind::File:
  case Kind::Folder:
    props.set(kOfxParamPropStringMode, spec.kind == Kind::File
                                           ? kOfxParamStringIsFilePath
                                           : kOfxParamStringIsDirectoryPath);
    // The path may be one that is yet to be written, or a pattern.
    props.set(kOfxParamPropStringFilePathExists, 0);
    props.set(kOfxParamPropDefault, text(spec.default_text));
    break;
  case Kind::String:
    props.set(kOfxParamPropStringMode, kOfxParamStringIsSingleLine);
    props.set(kOfxParamPropDefault, text(spec.default_text));
    break;
  case Kind::Status:
    props.set(kOfxParamPropStringMode, kOfxParamStringIsSingleLine);
    props.set(kOfxParamPropDefault, "");
    props.set(kOfxParamPropEnabled, 0);
    // It says what is; a change of it changes no pixel.
    props.set(kOfxParamPropEvaluateOnChange, 0);
    props.set(kOfxParamPropPersistant, 0);
    props.set(kOfxParamPropCanUndo, 0);
    break;
  default:
    break;
  }
}

void define_param(OfxParamSetHandle set, const ParamSpec &spec) {
  OfxPropertySetHandle handle = nullptr;
  std::string name = text(spec.name);
  if (suites().param->paramDefine(set, type_of(spec.kind), name.c_str(),
                                  &handle) != kOfxStatOK)
    return;
  Props props(handle);
  props.set(kOfxPropLabel, text(spec.label));
  props.set(kOfxParamPropHint, text(spec.hint));
  props.set(kOfxParamPropScriptName, name);
  props.set(kOfxParamPropParent, group_name(spec.group));
  if (spec.kind != Kind::Button)
    props.set(kOfxParamPropAnimates, 0);
  describe_value(props, spec);
}

} // namespace

OfxStatus describe(OfxImageEffectHandle effect) {
  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->getPropertySet(effect, &handle) != kOfxStatOK)
    return kOfxStatErrBadHandle;
  Props props(handle);
  const PluginSpec &spec = plugin();
  props.set(kOfxPropLabel, text(spec.label));
  props.set(kOfxPropShortLabel, text(spec.label));
  props.set(kOfxPropLongLabel, text(spec.label));
  props.set(kOfxImageEffectPluginPropGrouping, text(spec.grouping));
  props.set(kOfxPropPluginDescription, text(spec.description));
  props.set(kOfxPropVersion, static_cast<int>(spec.major), 0);
  props.set(kOfxPropVersion, static_cast<int>(spec.minor), 1);

  props.set(kOfxPropIcon, text(spec.identifier) + ".svg", 0);
  props.set(kOfxPropIcon, text(spec.identifier) + ".png", 1);

  props.set(kOfxImageEffectPropSupportedContexts, kOfxImageEffectContextFilter,
            0);
  props.set(kOfxImageEffectPropSupportedContexts, kOfxImageEffectContextGeneral,
            1);
  props.set(kOfxImageEffectPropSupportedContexts,
            kOfxImageEffectContextGenerator, 2);

  props.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthFloat, 0);
  props.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthShort, 1);
  props.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthByte, 2);
  // Only where the host offers it: some take an unknown depth amiss.
  Props host(host_properties());
  for (int i = 0; i < 16; ++i) {
    std::string depth = host.string(kOfxImageEffectPropSupportedPixelDepths, i);
    if (depth.empty())
      break;
    if (depth == kOfxBitDepthHalf)
      props.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthHalf, 3);
  }
  props.set(kOfxImageEffectPluginPropSingleInstance, 0);
  set_abilities(props);
  return kOfxStatOK;
}

OfxStatus describe_in_context(OfxImageEffectHandle effect,
                              OfxPropertySetHandle in) {
  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->getPropertySet(effect, &handle) == kOfxStatOK)
    set_abilities(Props(handle));
  std::string context = Props(in).string(kOfxImageEffectPropContext);
  const PluginSpec &spec = plugin();

  bool filter = context == kOfxImageEffectContextFilter;
  bool general = context == kOfxImageEffectContextGeneral;
  for (const ClipSpec &clip : spec.clips) {
    if ((filter && clip.in_filter) || (general && clip.in_general))
      define_clip(effect, text(clip.name).c_str(), &clip,
                  filter ? clip.optional_in_filter : clip.optional_in_general);
  }
  define_clip(effect, kOfxImageEffectOutputClipName, nullptr, false);

  OfxParamSetHandle set = nullptr;
  if (suites().effect->getParamSet(effect, &set) != kOfxStatOK || !set)
    return kOfxStatErrBadHandle;
  for (const GroupSpec &group : spec.groups) {
    OfxPropertySetHandle group_handle = nullptr;
    if (suites().param->paramDefine(set, kOfxParamTypeGroup,
                                    group_name(group.name).c_str(),
                                    &group_handle) != kOfxStatOK)
      continue;
    Props props(group_handle);
    props.set(kOfxPropLabel, text(group.label));
    props.set(kOfxParamPropGroupOpen, group.open ? 1 : 0);
  }
  for (const ParamSpec &param : spec.params)
    define_param(set, param);

  OfxPropertySetHandle page_handle = nullptr;
  if (suites().param->paramDefine(set, kOfxParamTypePage, "page",
                                  &page_handle) == kOfxStatOK) {
    Props page(page_handle);
    page.set(kOfxPropLabel, text(spec.label));
    int i = 0;
    for (const ParamSpec &param : spec.params)
      page.set(kOfxParamPropPageChild, text(param.name), i++);
  }
  return kOfxStatOK;
}

} // namespace longtake
