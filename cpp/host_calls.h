// What Rust may ask of the host while an action runs.
#pragma once

#include <cstdint>
#include <string>

#include "rust/cxx.h"
#include "suites.h"

namespace longtake {

struct Image;
struct Instance;
struct Region;
enum class Input : std::uint8_t;

class HostCalls {
public:
  explicit HostCalls(const Instance &instance) : instance_(instance) {}
  ~HostCalls();
  HostCalls(const HostCalls &) = delete;
  HostCalls &operator=(const HostCalls &) = delete;

  Image image(Input input, double time) noexcept;
  void release(const Image &image) noexcept;
  Region region(Input input, double time) noexcept;
  bool aborted() noexcept;
  bool progress(rust::Str stage, double fraction) noexcept;
  void enable(rust::Str name, bool on) noexcept;
  void show(rust::Str name, rust::Str text) noexcept;

private:
  const Instance &instance_;
  Progress suite_;
  std::string stage_;
  bool open_ = false;

  OfxParamHandle param(rust::Str name) const;
  void close();
};

/// Fetches a picture of any clip.
Image fetch_image(OfxImageClipHandle clip, double time);
void release_image(const Image &image);

} // namespace longtake
