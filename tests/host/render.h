// Rendering of frames as a host does it: what is asked before, on how many
// threads, in which tiles, and what is made of the answer.
#pragma once

#include <string>
#include <vector>

#include "effect.h"

namespace host {

struct RenderOptions {
  std::vector<double> frames;
  OfxPointD scale = {1, 1};
  bool has_window = false;
  OfxRectI window = {0, 0, 0, 0};
  int tile_width = 0, tile_height = 0; // 0 is all
  int margin = 0; // pixels of output image beside the window
  int threads = 1;
  std::string out; // pattern of EXR files, or empty
  bool backwards_tiles = false;
};

// Renders the frames on `effects`, frame n on effect n modulo their number,
// and emits one line a frame.
void render(const std::vector<Effect *> &effects, const RenderOptions &options);

// A list of frames: "1-5,9,8-6".
std::vector<double> parse_frames(const std::string &text);

} // namespace host
