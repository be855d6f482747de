// How a host behaves: what it says of itself and its quirks. Each quirk was
// seen in a real host.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cuda.h"

namespace host {

enum class Threads { none, dummy, real };
enum class ImageScale { right, one, inverted, missing };

struct Profile {
  std::string name = "plain";
  std::string label = "Longtake test host";
  int api[2] = {1, 4};
  std::vector<std::string> contexts; // the first that a plug-in has is taken
  std::vector<std::string> depths;
  std::vector<std::string> components;
  std::string depth = "float"; // of the clips, unless asked otherwise
  bool tiles = true;
  bool multi_resolution = true;
  bool temporal = true;
  bool multiple_depths = false;

  // Suites.
  bool message = true, message2 = true;
  bool progress = true, progress2 = true;
  bool timeline = true;
  Threads threads = Threads::real;
  bool die_on_version_2 = false;

  // Properties that are not there, on anything.
  std::set<std::string> missing;
  bool throw_on_unknown = false;

  // Messages.
  bool garble_format = false;
  bool message_fails_describe = false;
  bool message_blocks_render = false;

  // Life of an instance.
  bool destroy_twice = false;
  bool exact_ok = false;
  bool needs_mandatory_clips = false;
  bool edit_block_in_create_kills = false;
  bool reload_every_frame = false;
  bool clamp_params_without_range = false;
  bool secret_stays = false;

  // Clips and images.
  bool roi_images = true; // images hold the region of interest, not all
  bool identity_within_get_image = false;
  bool hold_frames = false;
  bool loop_frames = false;
  bool ignore_time = false;
  bool mask_says_connected = false;
  bool unconnected_says_connected = false;
  bool optional_without_data = false;
  bool unit_range = false;
  bool negative_rows = false;
  ImageScale image_scale = ImageScale::right;
  bool image_field = true;

  // Rendering.
  Cuda cuda = Cuda::off;   // how images of CUDA are handed over
  bool cuda_stream = true; // with a stream
  bool cuda_retry = false; // on the CPU, where that failed
  bool ask_identity = true;
  bool ask_frames_needed = true;
  bool frames_needed_must_succeed = false;
  bool ask_time_domain = true;
  bool ask_preferences = true;
  bool ask_regions = true;
  bool sequence_actions = true;
  bool one_thread_an_instance = true; // where the plug-in is instance-safe
  bool ignore_status = false;
  bool abort = true;
  int times = 1;      // how often each frame is rendered
  int last_times = 1; // how often the last frame is rendered
};

// The profile called `name`; false where there is none.
bool find_profile(const std::string &name, Profile &profile);
std::vector<std::string> profile_names();

// The one in use.
extern Profile profile;

} // namespace host
