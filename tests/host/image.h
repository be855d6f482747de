// Images as a host hands them over: any depth, components, row order, padding
// and bounds, with guards around them.
#pragma once

#include <string>
#include <vector>

#include "openfx.h"

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

class HostImage : public OFX::Host::ImageEffect::Image {
public:
  // An image over `bounds`, filled with a pattern. `scale` is what the image
  // says of itself.
  HostImage(OFX::Host::ImageEffect::ClipInstance &clip, const OfxRectI &bounds,
            const OfxRectI &rod, OfxPointD scale, const RowOrder &order,
            const std::string &id);
  // Looks for damage, and scribbles over the pixels so that a plug-in that
  // still reads them is seen to.
  ~HostImage() override;

  // Fills the image from `picture`, whose lower left pixel lies at (x, y) at
  // full size.
  void fill(const Picture &picture, int x, int y, OfxPointD scale);
  // From here on the image is not to be written.
  void seal();

  unsigned char *pixel(int x, int y);
  const OfxRectI &bounds() const { return bounds_; }
  int pixel_bytes() const { return components_ * sample_; }
  const std::string &depth() const { return depth_; }
  const std::string &components() const { return components_name_; }

  // Whether each sample outside `window` still holds the pattern, and how many
  // pixels inside do (where the depth can tell).
  bool untouched_outside(const OfxRectI &window);
  int untouched_inside(const OfxRectI &window);

  // Images that are alive now.
  static int alive();

private:
  uint64_t hash() const;
  void check_guards();

  std::string clip_, depth_, components_name_;
  OfxRectI bounds_;
  int sample_, components_, stride_;
  bool negative_, sealed_ = false;
  uint64_t sealed_hash_ = 0;
  std::vector<unsigned char> store_;
};

uint64_t fnv(const unsigned char *bytes, size_t count,
             uint64_t hash = 1469598103934665603ull);

} // namespace host
