// Frames as files hold them, and sequences of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace host {

// RGBA in float, the first row at the top. It is a window of its format, whose
// lower left corner is (x, y).
struct Picture {
  int width = 0, height = 0;
  int x = 0, y = 0;
  int format_width = 0, format_height = 0;
  std::vector<float> rgba;
  Picture() {}
  Picture(int w, int h)
      : width(w), height(h), format_width(w), format_height(h),
        rgba(size_t(w) * h * 4) {}
};

// Reads an EXR or a PNG. Throws std::runtime_error. An EXR keeps its values; a
// PNG is divided by its largest number.
Picture read_picture(const std::string &path);

// Writes a float EXR with the named channels of "RGBA".
void write_exr(const std::string &path, const Picture &picture,
               const std::string &channels);

// `pattern` with `#` or `%0nd` replaced by the frame number.
std::string frame_path(const std::string &pattern, int frame);

// A frame sequence on disk, read when needed and kept.
class Sequence {
public:
  Sequence(const std::string &pattern, int first, int last);
  int first() const { return first_; }
  int last() const { return last_; }
  // The frame, or null where there is none that can be read.
  std::shared_ptr<const Picture> frame(int number);

private:
  std::string pattern_;
  int first_, last_;
  std::vector<std::shared_ptr<const Picture>> kept_;
  std::vector<char> tried_;
};

} // namespace host
