#include "picture.h"

#include <cstdio>
#include <mutex>
#include <stdexcept>

#include <png.h>

#include <ImfChannelList.h>
#include <ImfFrameBuffer.h>
#include <ImfHeader.h>
#include <ImfInputFile.h>
#include <ImfOutputFile.h>

#include "report.h"

namespace host {
namespace {

Picture read_exr(const std::string &path) {
  Imf::InputFile file(path.c_str());
  Imath::Box2i box = file.header().dataWindow();
  int width = box.max.x - box.min.x + 1, height = box.max.y - box.min.y + 1;
  Picture picture(width, height);
  Imath::Box2i format = file.header().displayWindow();
  picture.x = box.min.x - format.min.x;
  picture.y = format.max.y - box.max.y;
  picture.format_width = format.max.x - format.min.x + 1;
  picture.format_height = format.max.y - format.min.y + 1;
  const Imf::ChannelList &channels = file.header().channels();
  bool grey = !channels.findChannel("R") && channels.findChannel("Y");
  char *base = reinterpret_cast<char *>(picture.rgba.data()) -
               (ptrdiff_t(box.min.y) * width + box.min.x) * 16;
  Imf::FrameBuffer buffer;
  const char *names[] = {"R", "G", "B", "A"};
  for (int c = 0; c < 4; ++c) {
    if (grey && (c == 1 || c == 2))
      continue;
    const char *name = grey && c == 0 ? "Y" : names[c];
    buffer.insert(name,
                  Imf::Slice(Imf::FLOAT, base + c * 4, 16, size_t(width) * 16,
                             1, 1, c == 3 ? 1.0 : 0.0));
  }
  file.setFrameBuffer(buffer);
  file.readPixels(box.min.y, box.max.y);
  if (grey) {
    for (size_t i = 0; i < picture.rgba.size(); i += 4)
      picture.rgba[i + 1] = picture.rgba[i + 2] = picture.rgba[i];
  }
  return picture;
}

Picture read_png(const std::string &path) {
  FILE *file = fopen(path.c_str(), "rb");
  if (!file)
    throw std::runtime_error(path + ": cannot be opened");
  png_structp png =
      png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::vector<unsigned char> bytes;
  std::vector<png_bytep> rows;
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, nullptr);
    fclose(file);
    throw std::runtime_error(path + ": is no PNG that can be read");
  }
  png_init_io(png, file);
  png_read_info(png, info);
  png_set_palette_to_rgb(png);
  png_set_gray_to_rgb(png);
  png_set_expand(png);
  png_set_add_alpha(png, 0xffff, PNG_FILLER_AFTER);
  png_read_update_info(png, info);
  int width = png_get_image_width(png, info);
  int height = png_get_image_height(png, info);
  int depth = png_get_bit_depth(png, info);
  size_t stride = png_get_rowbytes(png, info);
  bytes.resize(stride * height);
  for (int y = 0; y < height; ++y)
    rows.push_back(&bytes[y * stride]);
  png_read_image(png, rows.data());
  png_destroy_read_struct(&png, &info, nullptr);
  fclose(file);
  Picture picture(width, height);
  for (size_t i = 0; i < picture.rgba.size(); ++i) {
    picture.rgba[i] = depth == 16
                          ? (bytes[2 * i] * 256 + bytes[2 * i + 1]) / 65535.f
                          : bytes[i] / 255.f;
  }
  return picture;
}

} // namespace

Picture read_picture(const std::string &path) {
  size_t dot = path.rfind('.');
  std::string extension = dot == std::string::npos ? "" : path.substr(dot);
  return extension == ".png" ? read_png(path) : read_exr(path);
}

void write_exr(const std::string &path, const Picture &picture,
               const std::string &channels) {
  Imf::Header header(picture.width, picture.height);
  header.compression() = Imf::NO_COMPRESSION;
  Imf::FrameBuffer buffer;
  const std::string all = "RGBA";
  char *base =
      const_cast<char *>(reinterpret_cast<const char *>(picture.rgba.data()));
  for (char c : channels) {
    std::string name(1, c);
    header.channels().insert(name, Imf::Channel(Imf::FLOAT));
    buffer.insert(name, Imf::Slice(Imf::FLOAT, base + all.find(c) * 4, 16,
                                   size_t(picture.width) * 16));
  }
  Imf::OutputFile file(path.c_str(), header);
  file.setFrameBuffer(buffer);
  file.writePixels(picture.height);
}

std::string frame_path(const std::string &pattern, int frame) {
  size_t hash = pattern.find('#');
  if (hash != std::string::npos) {
    size_t end = pattern.find_first_not_of('#', hash);
    end = end == std::string::npos ? pattern.size() : end;
    char number[32];
    snprintf(number, sizeof number, "%0*d", int(end - hash), frame);
    return pattern.substr(0, hash) + number + pattern.substr(end);
  }
  if (pattern.find('%') != std::string::npos) {
    std::vector<char> path(pattern.size() + 32);
    snprintf(path.data(), path.size(), pattern.c_str(), frame);
    return path.data();
  }
  return pattern;
}

Sequence::Sequence(const std::string &pattern, int first, int last)
    : pattern_(pattern), first_(first), last_(last), kept_(last - first + 1),
      tried_(last - first + 1) {}

std::shared_ptr<const Picture> Sequence::frame(int number) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (number < first_ || number > last_)
    return nullptr;
  size_t i = number - first_;
  if (!tried_[i]) {
    tried_[i] = 1;
    try {
      kept_[i] =
          std::make_shared<Picture>(read_picture(frame_path(pattern_, number)));
    } catch (const std::exception &error) {
      emit(Json("unreadable").add("frame", number).add("why", error.what()));
    }
  }
  return kept_[i];
}

} // namespace host
