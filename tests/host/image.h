// Images as a host hands them over: any depth, components, row order, padding
// and bounds, with guards around them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "openfx.h"

#include "cuda.h"
#include "picture.h"

namespace host {

int depth_bytes(const std::string &depth);
int component_count(const std::string &components);

// The sample of `value` in `depth`, written at `to`, and back.
void encode(const std::string &depth, float value, unsigned char *to);
float decode(const std::string &depth, const unsigned char *from);

struct RowOrder {
  bool negative = false; // the top row lies first in memory
  int padding = 0;       // components between rows
};

// The memory of an image, with guards around its rows.
struct Pixels {
  std::string clip;
  OfxRectI bounds;
  int pixel_bytes = 0, stride = 0;
  bool negative = false, sealed = false;
  uint64_t sealed_hash = 0;
  size_t count = 0;
  std::vector<unsigned char> own;
  // In place of `own`, where the image is on a GPU.
  std::shared_ptr<DeviceMemory> device;

  unsigned char *bytes() { return device ? device->bytes() : own.data(); }
  size_t offset(int x, int y) const;
  uint64_t hash();
  // Tells of damage, and scribbles over the pixels so that a plug-in that still
  // reads them is seen to.
  void end();
};

class HostImage : public OFX::Host::ImageEffect::Image {
public:
  // An image over `bounds`, filled with a pattern. `scale` is what the image
  // says of itself. Within a render with CUDA images it is one.
  HostImage(OFX::Host::ImageEffect::ClipInstance &clip, const OfxRectI &bounds,
            const OfxRectI &rod, OfxPointD scale, const RowOrder &order,
            const std::string &id);
  // Looks for damage.
  ~HostImage() override;

  // Fills the image from `picture`, whose lower left pixel lies at (x, y) at
  // full size.
  void fill(const Picture &picture, int x, int y, OfxPointD scale);
  // From here on the image is not to be written.
  void seal();
  // Puts what was filled in on the GPU, where the image is there.
  void upload();

  unsigned char *pixel(int x, int y);
  const OfxRectI &bounds() const { return pixels_->bounds; }
  int pixel_bytes() const { return components_ * sample_; }
  const std::shared_ptr<Pixels> &pixels() const { return pixels_; }
  const std::string &depth() const { return depth_; }
  const std::string &components() const { return components_name_; }

  // Whether each sample outside `window` still holds the pattern, and how many
  // pixels inside do (where the depth can tell).
  bool untouched_outside(const OfxRectI &window);
  int untouched_inside(const OfxRectI &window);

  // Images that are alive now.
  static int alive();

private:
  std::string depth_, components_name_;
  int sample_, components_;
  std::shared_ptr<Pixels> pixels_;
};

uint64_t fnv(const unsigned char *bytes, size_t count,
             uint64_t hash = 1469598103934665603ull);

} // namespace host
