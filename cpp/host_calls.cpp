#include "host_calls.h"

#include "instance.h"
#include "props.h"

namespace longtake {
namespace {

bool get_rect(const Props &props, const char *name,
              std::array<std::int32_t, 4> &rect) {
  for (int i = 0; i < 4; ++i) {
    int value = 0;
    if (!props.get(name, value, i))
      return false;
    rect[static_cast<std::size_t>(i)] = value;
  }
  return true;
}

OfxImageClipHandle clip_of(const Instance &instance, Input input) {
  switch (input) {
  case Input::Source:
    return instance.source;
  case Input::Matte:
    return instance.matte;
  case Input::Guide:
    return instance.guide;
  case Input::Subject1:
    return instance.subject1;
  case Input::Subject2:
    return instance.subject2;
  case Input::Subject3:
    return instance.subject3;
  default:
    return nullptr;
  }
}

} // namespace

Image fetch_image(OfxImageClipHandle clip, double time) {
  Image image{};
  image.depth = Depth::Unknown;
  image.components = Components::Unknown;
  OfxPropertySetHandle handle = nullptr;
  if (!clip ||
      suites().effect->clipGetImage(clip, time, nullptr, &handle) != kOfxStatOK)
    return image;
  if (!handle)
    return image;
  image.handle = reinterpret_cast<std::size_t>(handle);
  Props props(handle);
  void *data = nullptr;
  int row_bytes = 0;
  // Some hosts give a picture without pixels for an input that is not there.
  if (props.get(kOfxImagePropData, data) && data &&
      get_rect(props, kOfxImagePropBounds, image.bounds) &&
      props.get(kOfxImagePropRowBytes, row_bytes)) {
    image.data = reinterpret_cast<std::size_t>(data);
    image.row_bytes = row_bytes;
  }
  image.has_region =
      get_rect(props, kOfxImagePropRegionOfDefinition, image.region);
  image.depth = depth_named(props.string(kOfxImageEffectPropPixelDepth));
  image.components =
      components_named(props.string(kOfxImageEffectPropComponents));
  image.premultiplied = props.string(kOfxImageEffectPropPreMultiplication) !=
                        kOfxImageUnPreMultiplied;
  return image;
}

void release_image(const Image &image) {
  if (image.handle)
    suites().effect->clipReleaseImage(
        reinterpret_cast<OfxPropertySetHandle>(image.handle));
}

Image HostCalls::image(Input input, double time) noexcept {
  try {
    return fetch_image(clip_of(instance_, input), time);
  } catch (...) {
    return Image{};
  }
}

void HostCalls::release(const Image &image) noexcept {
  try {
    release_image(image);
  } catch (...) {
  }
}

Region HostCalls::region(Input input, double time) noexcept {
  Region region{};
  try {
    OfxImageClipHandle clip = clip_of(instance_, input);
    auto get = suites().effect->clipGetRegionOfDefinition;
    OfxRectD rect{};
    if (clip && get && get(clip, time, &rect) == kOfxStatOK) {
      region.known = true;
      region.rect = {rect.x1, rect.y1, rect.x2, rect.y2};
    }
  } catch (...) {
    region.known = false;
  }
  return region;
}

bool HostCalls::aborted() noexcept {
  try {
    auto abort = suites().effect->abort;
    return abort && abort(instance_.effect) != 0;
  } catch (...) {
    return false;
  }
}

bool HostCalls::progress(rust::Str stage, double fraction) noexcept {
  try {
    std::string text(stage);
    if (!open_ || text != stage_) {
      close();
      stage_ = text;
      suite_ = progress_suite();
      std::string label = std::string(plugin().label) + ": " + text;
      OfxStatus started =
          suite_.start_v2
              ? suite_.start_v2(instance_.effect, label.c_str(), "longtake")
          : suite_.start_v1 ? suite_.start_v1(instance_.effect, label.c_str())
                            : kOfxStatFailed;
      open_ = started == kOfxStatOK;
      if (!open_) {
        // Not asked again for this stage.
        suite_ = Progress{};
        open_ = true;
      }
    }
    if (suite_.update)
      return suite_.update(instance_.effect, fraction) != kOfxStatReplyNo;
  } catch (...) {
  }
  return true;
}

void HostCalls::close() {
  if (open_ && suite_.end && (suite_.start_v1 || suite_.start_v2))
    suite_.end(instance_.effect);
  open_ = false;
}

HostCalls::~HostCalls() {
  try {
    close();
  } catch (...) {
  }
}

OfxParamHandle HostCalls::param(rust::Str name) const {
  const PluginSpec &spec = plugin();
  for (std::size_t i = 0; i < spec.params.size(); ++i)
    if (name == rust::Str(spec.params[i].name))
      return instance_.params[i];
  return nullptr;
}

void HostCalls::enable(rust::Str name, bool on) noexcept {
  try {
    OfxPropertySetHandle handle = nullptr;
    auto get = suites().param->paramGetPropertySet;
    OfxParamHandle which = param(name);
    if (which && get && get(which, &handle) == kOfxStatOK)
      Props(handle).set(kOfxParamPropEnabled, on ? 1 : 0);
  } catch (...) {
  }
}

void HostCalls::show(rust::Str name, rust::Str text) noexcept {
  try {
    auto set = suites().param->paramSetValue;
    OfxParamHandle which = param(name);
    if (which && set)
      set(which, std::string(text).c_str());
  } catch (...) {
  }
}

} // namespace longtake
