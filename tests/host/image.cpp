#include "image.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include <half.h>

#include "profile.h"
#include "report.h"

namespace host {
namespace {

const size_t guard = 64;
const unsigned char guard_byte = 0xA5, blank_byte = 0xCB, gone_byte = 0xDD;
std::atomic<int> alive_count(0);

// The mean of `picture` over [x0, x1) × [y0, y1), rows counted from below.
void area_mean(const Picture &picture, double x0, double x1, double y0,
               double y1, float *out) {
  x0 = std::max(x0, 0.0), y0 = std::max(y0, 0.0);
  x1 = std::min(x1, double(picture.width));
  y1 = std::min(y1, double(picture.height));
  double sum[4] = {0, 0, 0, 0}, total = 0;
  for (int y = int(floor(y0)); y < int(ceil(y1)); ++y) {
    double h = std::min(y1, y + 1.0) - std::max(y0, double(y));
    const float *row =
        &picture.rgba[size_t(picture.height - 1 - y) * picture.width * 4];
    for (int x = int(floor(x0)); x < int(ceil(x1)); ++x) {
      double w = h * (std::min(x1, x + 1.0) - std::max(x0, double(x)));
      for (int c = 0; c < 4; ++c)
        sum[c] += w * row[4 * x + c];
      total += w;
    }
  }
  for (int c = 0; c < 4; ++c)
    out[c] = total > 0 ? float(sum[c] / total) : 0.f;
}

} // namespace

int depth_bytes(const std::string &depth) {
  if (depth == kOfxBitDepthByte)
    return 1;
  if (depth == kOfxBitDepthShort || depth == kOfxBitDepthHalf)
    return 2;
  return 4;
}

int component_count(const std::string &components) {
  if (components == kOfxImageComponentAlpha)
    return 1;
  return components == kOfxImageComponentRGB ? 3 : 4;
}

void encode(const std::string &depth, float value, unsigned char *to) {
  float unit = std::min(std::max(value, 0.f), 1.f);
  if (depth == kOfxBitDepthByte) {
    *to = (unsigned char)(lrintf(unit * 255.f));
  } else if (depth == kOfxBitDepthShort) {
    uint16_t v = uint16_t(lrintf(unit * 65535.f));
    memcpy(to, &v, 2);
  } else if (depth == kOfxBitDepthHalf) {
    half v(value);
    memcpy(to, &v, 2);
  } else {
    memcpy(to, &value, 4);
  }
}

float decode(const std::string &depth, const unsigned char *from) {
  if (depth == kOfxBitDepthByte)
    return *from / 255.f;
  if (depth == kOfxBitDepthShort) {
    uint16_t v;
    memcpy(&v, from, 2);
    return v / 65535.f;
  }
  if (depth == kOfxBitDepthHalf) {
    half v;
    memcpy(static_cast<void *>(&v), from, 2);
    return v;
  }
  float v;
  memcpy(&v, from, 4);
  return v;
}

uint64_t fnv(const unsigned char *bytes, size_t count, uint64_t hash) {
  for (size_t i = 0; i < count; ++i)
    hash = (hash ^ bytes[i]) * 1099511628211ull;
  return hash;
}

HostImage::HostImage(OFX::Host::ImageEffect::ClipInstance &clip,
                     const OfxRectI &bounds, const OfxRectI &rod,
                     OfxPointD scale, const RowOrder &order,
                     const std::string &id)
    : Image(clip), depth_(clip.getPixelDepth()),
      components_name_(clip.getComponents()), sample_(depth_bytes(depth_)),
      components_(component_count(components_name_)), pixels_(new Pixels) {
  ++alive_count;
  int width = bounds.x2 - bounds.x1, height = bounds.y2 - bounds.y1;
  Pixels &p = *pixels_;
  p.clip = clip.getName();
  p.bounds = bounds;
  p.pixel_bytes = pixel_bytes();
  p.negative = order.negative;
  p.stride = (width * components_ + order.padding) * sample_;
  p.count = size_t(p.stride) * height + 2 * guard;
  if (cuda_render && height > 0)
    p.device = std::make_shared<DeviceMemory>(p.count);
  else
    p.own.resize(p.count);
  std::fill(p.bytes(), p.bytes() + p.count, guard_byte);
  for (int y = bounds.y1; y < bounds.y2; ++y)
    memset(pixel(bounds.x1, y), blank_byte, size_t(width) * pixel_bytes());
  void *data = nullptr;
  if (p.device && p.device->address())
    data = reinterpret_cast<void *>(p.device->address() +
                                    p.offset(bounds.x1, bounds.y1));
  else if (!p.device && height > 0)
    data = pixel(bounds.x1, bounds.y1);
  setPointerProperty(kOfxImagePropData, data);
  setIntPropertyN(kOfxImagePropBounds, &bounds.x1, 4);
  setIntPropertyN(kOfxImagePropRegionOfDefinition, &rod.x1, 4);
  setIntProperty(kOfxImagePropRowBytes, p.negative ? -p.stride : p.stride);
  if (profile.image_scale == ImageScale::one)
    scale.x = scale.y = 1;
  if (profile.image_scale == ImageScale::inverted)
    scale.x = 1 / scale.x, scale.y = 1 / scale.y;
  setDoublePropertyN(kOfxImageEffectPropRenderScale, &scale.x, 2);
  setStringProperty(kOfxImagePropField,
                    profile.image_field ? kOfxImageFieldNone : "");
  setStringProperty(kOfxImagePropUniqueIdentifier, id);
}

HostImage::~HostImage() {
  auto pixels = pixels_;
  // Work that a plug-in queued may still read it.
  if (!pixels->device)
    pixels->end();
  else if (cuda_render && pixels->sealed)
    cuda_render->later(pixels->device, [pixels] { pixels->end(); });
  --alive_count;
}

unsigned char *HostImage::pixel(int x, int y) {
  return pixels_->bytes() + pixels_->offset(x, y);
}

void HostImage::fill(const Picture &picture, int px, int py, OfxPointD scale) {
  for (int y = bounds().y1; y < bounds().y2; ++y) {
    for (int x = bounds().x1; x < bounds().x2; ++x) {
      float v[4] = {0, 0, 0, 0};
      area_mean(picture, x / scale.x - px, (x + 1) / scale.x - px,
                y / scale.y - py, (y + 1) / scale.y - py, v);
      unsigned char *to = pixel(x, y);
      for (int c = 0; c < components_; ++c)
        encode(depth_, components_ == 1 ? v[3] : v[c], to + c * sample_);
    }
  }
}

void HostImage::seal() {
  pixels_->sealed = true;
  pixels_->sealed_hash = pixels_->hash();
  upload();
}

void HostImage::upload() {
  if (pixels_->device && cuda_render)
    cuda_render->upload(pixels_->device);
}

size_t Pixels::offset(int x, int y) const {
  int row = negative ? bounds.y2 - 1 - y : y - bounds.y1;
  return guard + size_t(row) * stride + size_t(x - bounds.x1) * pixel_bytes;
}

uint64_t Pixels::hash() { return fnv(bytes(), count); }

void Pixels::end() {
  bool whole = true;
  size_t row = size_t(bounds.x2 - bounds.x1) * pixel_bytes;
  unsigned char *all = bytes();
  for (size_t i = 0; i < guard; ++i)
    whole = whole && all[i] == guard_byte && all[count - 1 - i] == guard_byte;
  for (int y = bounds.y1; y < bounds.y2; ++y) {
    const unsigned char *end = all + offset(bounds.x1, y) + row;
    for (size_t i = 0; i < stride - row; ++i)
      whole = whole && end[i] == guard_byte;
  }
  if (!whole)
    fault("memory beside an image of " + clip + " was written");
  if (sealed && hash() != sealed_hash)
    fault("an input image of " + clip + " was written");
  std::fill(all, all + count, gone_byte);
}

bool HostImage::untouched_outside(const OfxRectI &window) {
  for (int y = bounds().y1; y < bounds().y2; ++y) {
    for (int x = bounds().x1; x < bounds().x2; ++x) {
      if (x >= window.x1 && x < window.x2 && y >= window.y1 && y < window.y2)
        continue;
      const unsigned char *p = pixel(x, y);
      for (int i = 0; i < pixel_bytes(); ++i) {
        if (p[i] != blank_byte)
          return false;
      }
    }
  }
  return true;
}

int HostImage::untouched_inside(const OfxRectI &window) {
  if (sample_ == 1)
    return 0;
  int count = 0;
  for (int y = window.y1; y < window.y2; ++y) {
    for (int x = window.x1; x < window.x2; ++x) {
      const unsigned char *p = pixel(x, y);
      bool blank = true;
      for (int i = 0; i < pixel_bytes(); ++i)
        blank = blank && p[i] == blank_byte;
      count += blank;
    }
  }
  return count;
}

int HostImage::alive() { return alive_count; }

} // namespace host
