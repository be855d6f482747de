#include "render.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "names.h"
#include "profile.h"
#include "report.h"

namespace host {
namespace {

// One frame on its way through the host.
struct FrameWork {
  double frame;
  Effect *effect;
  int instance;

  std::once_flag once;
  std::string stop; // why it is not rendered
  OfxRectI window;
  OFX::Host::ImageEffect::RangeMap needed;
  bool identity = false;
  std::string identity_clip;
  double identity_time = 0;
  std::vector<OfxRectI> tiles;
  std::string depth, components;

  std::mutex mutex;
  std::vector<unsigned char> pixels; // of the window, from below
  int left = 1;
  OfxStatus status = kOfxStatOK;
  double ms = 0, abort_ms = -1;
  std::vector<double> fetched;
  int unannounced = 0, refused = 0;
  bool cuda = false;
  long waits = 0;
};

std::mutex unsafe_mutex;
std::mutex instance_map_mutex;
std::map<Effect *, std::unique_ptr<std::mutex>> instance_mutexes;

// The lock that the plug-in's thread safety asks for.
std::mutex *lock_for(Effect *effect) {
  const std::string &safety = effect->getRenderThreadSafety();
  if (safety == kOfxImageEffectRenderFullySafe)
    return nullptr;
  if (safety == kOfxImageEffectRenderUnsafe)
    return &unsafe_mutex;
  if (!profile.one_thread_an_instance)
    return nullptr;
  std::lock_guard<std::mutex> lock(instance_map_mutex);
  auto &mutex = instance_mutexes[effect];
  if (!mutex)
    mutex.reset(new std::mutex);
  return mutex.get();
}

Clip *clip_of(Effect *effect, const std::string &name) {
  return dynamic_cast<Clip *>(effect->getClip(name));
}

// A clip that has to be connected and is not, or nothing.
std::string lacks(Effect *effect) {
  for (auto *d : effect->getDescriptor().getClipsByOrder()) {
    Clip *clip = d->isOutput() || d->isOptional()
                     ? nullptr
                     : clip_of(effect, d->getName());
    if (clip && !clip->getConnected())
      return d->getName();
  }
  return "";
}

OfxRectD project_region() {
  OfxRectD region = {0, 0, setup.project_width * setup.pixel_aspect,
                     double(setup.project_height)};
  return region;
}

void cut_tiles(FrameWork &work, const RenderOptions &options) {
  bool tiled =
      options.tile_width > 0 && profile.tiles && work.effect->supportsTiles();
  if (!tiled) {
    work.tiles.push_back(work.window);
    return;
  }
  for (int y = work.window.y1; y < work.window.y2; y += options.tile_height) {
    for (int x = work.window.x1; x < work.window.x2; x += options.tile_width) {
      OfxRectI tile = {x, y, x + options.tile_width, y + options.tile_height};
      work.tiles.push_back(intersect(tile, work.window));
    }
  }
}

// All that is asked before a frame is rendered.
void prepare(FrameWork &work, const RenderOptions &options) {
  Effect *effect = work.effect;
  if (profile.message_blocks_render && effect->persistent_message()) {
    work.stop = "a persistent message stands";
    return;
  }
  std::string lacking = profile.needs_mandatory_clips ? lacks(effect) : "";
  if (!lacking.empty()) {
    work.stop = "the clip " + lacking + " is not connected";
    return;
  }
  OfxRectD region = project_region();
  OfxStatus status =
      effect->getRegionOfDefinitionAction(work.frame, options.scale, region);
  if (status != kOfxStatOK && status != kOfxStatReplyDefault) {
    work.stop = "getRegionOfDefinition answered " + status_name(status);
    return;
  }
  OfxRectD project = project_region();
  bool endless = std::max(-region.x1, region.x2) >= kOfxFlagInfiniteMax ||
                 std::max(-region.y1, region.y2) >= kOfxFlagInfiniteMax;
  if (endless || !profile.multi_resolution)
    region = project;
  work.window = options.has_window
                    ? options.window
                    : to_pixels(region, options.scale, setup.pixel_aspect);
  if (is_empty(work.window)) {
    work.stop = "the region of definition is empty";
    return;
  }
  if (profile.ask_frames_needed) {
    status = effect->getFrameNeededAction(work.frame, work.needed);
    if (profile.frames_needed_must_succeed && status != kOfxStatOK &&
        status != kOfxStatReplyDefault) {
      work.stop = "getFramesNeeded answered " + status_name(status);
      return;
    }
  }
  if (profile.ask_identity) {
    OfxTime time = work.frame;
    std::string name;
    status = effect->isIdentityAction(time, setup.field, work.window,
                                      options.scale, name);
    if (status == kOfxStatOK) {
      work.identity = true;
      work.identity_clip = name;
      work.identity_time = time;
    }
  }
  Clip *output = clip_of(effect, kOfxImageEffectOutputClipName);
  work.depth = output->getPixelDepth();
  work.components = output->getComponents();
  size_t count = size_t(work.window.x2 - work.window.x1) *
                 (work.window.y2 - work.window.y1);
  work.pixels.resize(count * depth_bytes(work.depth) *
                     component_count(work.components));
  if (work.identity)
    work.tiles.push_back(work.window);
  else
    cut_tiles(work, options);
}

// Copies what `image` has of `region` into the frame.
void take_pixels(FrameWork &work, HostImage &image, const OfxRectI &region) {
  int sample = depth_bytes(work.depth);
  int bytes = sample * component_count(work.components);
  int width = work.window.x2 - work.window.x1;
  OfxRectI part = intersect(region, intersect(image.bounds(), work.window));
  bool same =
      image.depth() == work.depth && image.components() == work.components;
  for (int y = part.y1; y < part.y2; ++y) {
    for (int x = part.x1; x < part.x2; ++x) {
      unsigned char *to = &work.pixels[(size_t(y - work.window.y1) * width + x -
                                        work.window.x1) *
                                       bytes];
      const unsigned char *from = image.pixel(x, y);
      if (same) {
        memcpy(to, from, bytes);
        continue;
      }
      int given = component_count(image.components());
      for (int c = 0; c < component_count(work.components); ++c) {
        float v = c < given ? decode(image.depth(),
                                     from + c * depth_bytes(image.depth()))
                            : 1.f;
        encode(work.depth, v, to + c * sample);
      }
    }
  }
}

OfxStatus pass_through(FrameWork &work, const RenderOptions &options) {
  Clip *clip = clip_of(work.effect, work.identity_clip);
  HostImage *image =
      clip ? clip->image_at(work.identity_time, options.scale, &work.window)
           : nullptr;
  if (!image)
    return kOfxStatFailed;
  take_pixels(work, *image, work.window);
  image->releaseReference();
  return kOfxStatOK;
}

// Whether a plug-in failed with images on the GPU: it gets no more of them.
std::atomic<bool> cuda_given_up(false);

// Whether host and plug-in agree on CUDA images.
bool wants_cuda(Effect *effect) {
  if (cuda_given_up)
    return false;
  bool has = profile.cuda == Cuda::primary || profile.cuda == Cuda::own;
  return has && effect->getDescriptor().getProps().getStringProperty(
                    kOfxImageEffectPropCudaRenderSupported) == "true";
}

void take_answer(FrameWork &work, const OfxRectI &tile, RenderContext &context,
                 OfxStatus status) {
  if (!context.output->untouched_outside(tile))
    fault("a render wrote outside its window");
  bool must_fill = status == kOfxStatOK || profile.ignore_status;
  int blank = must_fill ? context.output->untouched_inside(tile) : 0;
  if (blank > 0)
    fault(std::to_string(blank) + " pixels of a window were not written, " +
          status_name(status));
  take_pixels(work, *context.output, tile);
}

OfxStatus render_once(FrameWork &work, const OfxRectI &tile,
                      const RenderOptions &options, bool on_gpu) {
  Effect *effect = work.effect;
  RenderContext context;
  context.effect = effect;
  context.time = work.frame;
  context.window = tile;
  context.scale = options.scale;
  context.needed = work.needed;
  if (profile.ask_regions) {
    OfxRectD wanted = {tile.x1 / options.scale.x * setup.pixel_aspect,
                       tile.y1 / options.scale.y,
                       tile.x2 / options.scale.x * setup.pixel_aspect,
                       tile.y2 / options.scale.y};
    effect->getRegionOfInterestAction(work.frame, options.scale, wanted,
                                      context.regions);
  }
  std::unique_ptr<CudaRender> cuda(on_gpu ? new CudaRender : nullptr);
  CudaRender *outer_cuda = cuda_render;
  cuda_render = cuda.get();
  int m = options.margin;
  OfxRectI bounds = {tile.x1 - m, tile.y1 - (m ? m + 1 : 0),
                     tile.x2 + (m ? m + 2 : 0), tile.y2 + (m ? m + 3 : 0)};
  Clip *output = clip_of(effect, kOfxImageEffectOutputClipName);
  context.output = new HostImage(*output, bounds, work.window, options.scale,
                                 setup.order, "output");
  context.output->upload();

  std::mutex *mutex = lock_for(effect);
  std::unique_lock<std::mutex> lock;
  if (mutex)
    lock = std::unique_lock<std::mutex>(*mutex);
  RenderContext *outer = render_context;
  render_context = &context;
  effect->arm_abort();
  double start = now_ms();
  OfxStatus status =
      effect->renderAction(work.frame, setup.field, tile, options.scale, false,
                           false, options.scale.x < 1);
  double end = now_ms();
  render_context = outer;
  if (lock.owns_lock())
    lock.unlock();

  bool arrived = true;
  if (cuda) {
    cuda->later(context.output->pixels()->device, [] {});
    arrived = cuda->settle();
    if (!arrived && status == kOfxStatOK)
      status = kOfxStatFailed;
  }
  std::lock_guard<std::mutex> guard(work.mutex);
  if (arrived)
    take_answer(work, tile, context, status);
  work.ms += end - start;
  if (end >= effect->abort_time())
    work.abort_ms =
        std::max(work.abort_ms, end - std::max(effect->abort_time(), start));
  work.fetched.insert(work.fetched.end(), context.fetched.begin(),
                      context.fetched.end());
  work.unannounced += context.unannounced;
  work.refused += context.refused;
  if (cuda) {
    work.cuda = true;
    work.waits += cuda->waits();
    context.output->pixels()->end();
  }
  context.output->releaseReference();
  cuda_render = outer_cuda;
  return status;
}

void render_tile(FrameWork &work, const OfxRectI &tile,
                 const RenderOptions &options) {
  OfxStatus status = render_once(work, tile, options, wants_cuda(work.effect));
  bool gpu_failed =
      status == kOfxStatGPUOutOfMemory || status == kOfxStatGPURenderFailed;
  if (gpu_failed && profile.cuda_retry) {
    cuda_given_up = true;
    emit(Json("retry")
             .add("frame", work.frame)
             .add("status", status_name(status)));
    status = render_once(work, tile, options, false);
  }
  std::lock_guard<std::mutex> guard(work.mutex);
  if (work.status == kOfxStatOK)
    work.status = status;
}

void write_out(const FrameWork &work, const std::string &pattern) {
  int width = work.window.x2 - work.window.x1;
  int height = work.window.y2 - work.window.y1;
  int count = component_count(work.components);
  int sample = depth_bytes(work.depth);
  Picture picture(width, height);
  for (int y = 0; y < height; ++y) {
    const unsigned char *row =
        &work.pixels[size_t(height - 1 - y) * width * count * sample];
    float *to = &picture.rgba[size_t(y) * width * 4];
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < count; ++c)
        to[4 * x + (count == 1 ? 3 : c)] =
            decode(work.depth, row + (x * count + c) * sample);
    }
  }
  write_exr(frame_path(pattern, int(floor(work.frame + .5))), picture,
            count == 4   ? "RGBA"
            : count == 3 ? "RGB"
                         : "A");
}

std::string hash_text(const FrameWork &work) {
  char text[32];
  snprintf(text, sizeof text, "%016llx",
           (unsigned long long)fnv(work.pixels.data(), work.pixels.size()));
  return text;
}

void tell(FrameWork &work, const std::string &hash) {
  Json line("frame");
  line.add("frame", work.frame).add("instance", work.instance);
  if (!work.stop.empty()) {
    line.add("status", "Stopped").add("why", work.stop);
    emit(line);
    return;
  }
  line.add("status", status_name(work.status)).add("ms", work.ms);
  line.add("window",
           std::vector<double>{double(work.window.x1), double(work.window.y1),
                               double(work.window.x2), double(work.window.y2)});
  line.add("depth", work.depth).add("components", work.components);
  line.add("hash", hash).add("tiles", int(work.tiles.size()));
  if (work.identity)
    line.raw("identity", Json()
                             .add("clip", work.identity_clip)
                             .add("time", work.identity_time)
                             .text());
  Json needed;
  for (auto &entry : work.needed) {
    std::vector<double> ends;
    for (const OfxRangeD &range : entry.second) {
      ends.push_back(range.min);
      ends.push_back(range.max);
    }
    needed.add(entry.first->getName(), ends);
  }
  line.raw("needed", needed.text());
  std::sort(work.fetched.begin(), work.fetched.end());
  line.add("fetched", work.fetched).add("unannounced", work.unannounced);
  line.add("refused", work.refused);
  if (work.cuda)
    line.add("cuda_waits", int(work.waits));
  if (work.abort_ms >= 0)
    line.add("abort_ms", work.abort_ms);
  emit(line);
}

} // namespace

void render(const std::vector<Effect *> &effects,
            const RenderOptions &options) {
  std::vector<std::unique_ptr<FrameWork>> works;
  for (size_t i = 0; i < options.frames.size(); ++i) {
    bool last = i + 1 == options.frames.size();
    int times =
        last ? std::max(profile.times, profile.last_times) : profile.times;
    for (int n = 0; n < times; ++n) {
      works.emplace_back(new FrameWork);
      works.back()->frame = options.frames[i];
      works.back()->instance = int(works.size() - 1) % int(effects.size());
      works.back()->effect = effects[works.back()->instance];
    }
  }
  if (works.empty())
    return;
  auto range =
      std::minmax_element(options.frames.begin(), options.frames.end());
  double first = *range.first, last = *range.second;
  if (profile.sequence_actions) {
    for (Effect *effect : effects)
      effect->beginRenderAction(first, last, 1, false, options.scale, false,
                                false);
  }

  // Each worker takes the next tile of the frame at hand, or the next frame.
  std::mutex queue_mutex;
  size_t next_frame = 0, next_tile = 0;
  // Instances that have clips of their own make frames of their own.
  std::map<std::pair<double, int>, std::string> hashes;
  auto worker = [&] {
    for (;;) {
      FrameWork *work;
      {
        std::lock_guard<std::mutex> lock(queue_mutex);
        if (next_frame >= works.size())
          return;
        work = works[next_frame].get();
      }
      std::call_once(work->once, [&] {
        prepare(*work, options);
        work->left = std::max<int>(1, int(work->tiles.size()));
      });
      size_t tile;
      {
        std::lock_guard<std::mutex> lock(queue_mutex);
        if (next_frame >= works.size() || works[next_frame].get() != work)
          continue;
        tile = next_tile++;
        if (next_tile >= std::max<size_t>(1, work->tiles.size())) {
          next_tile = 0;
          ++next_frame;
        }
      }
      if (work->stop.empty()) {
        if (work->identity) {
          OfxStatus status = pass_through(*work, options);
          std::lock_guard<std::mutex> lock(work->mutex);
          work->status = status;
        } else {
          render_tile(*work, work->tiles[tile], options);
        }
      }
      bool finished;
      {
        std::lock_guard<std::mutex> lock(work->mutex);
        finished = --work->left == 0;
      }
      if (!finished)
        continue;
      std::string hash = hash_text(*work);
      {
        std::lock_guard<std::mutex> lock(queue_mutex);
        if (work->stop.empty() && work->status == kOfxStatOK) {
          int own = work->effect->has_own_input() ? work->instance : -1;
          auto old = hashes.insert({{work->frame, own}, hash});
          if (old.first->second != hash)
            fault("frame " + std::to_string(int(work->frame)) +
                  " differs when it is asked for again");
        }
      }
      if (!options.out.empty() && !work->pixels.empty() &&
          (work->status == kOfxStatOK || profile.ignore_status))
        write_out(*work, options.out);
      tell(*work, hash);
      std::vector<unsigned char>().swap(work->pixels);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < options.threads; ++i)
    threads.emplace_back(worker);
  worker();
  for (std::thread &thread : threads)
    thread.join();

  if (profile.sequence_actions) {
    for (Effect *effect : effects)
      effect->endRenderAction(first, last, 1, false, options.scale, false,
                              false);
  }
  if (HostImage::alive() != 0)
    fault(std::to_string(HostImage::alive()) + " images were not released");
}

std::vector<double> parse_frames(const std::string &text) {
  std::vector<double> frames;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find(',', at);
    end = end == std::string::npos ? text.size() : end;
    std::string part = text.substr(at, end - at);
    size_t dash = part.find('-', 1);
    if (dash == std::string::npos) {
      frames.push_back(std::stod(part));
    } else {
      int a = std::stoi(part.substr(0, dash)),
          b = std::stoi(part.substr(dash + 1));
      for (int f = a; a <= b ? f <= b : f >= b; f += a <= b ? 1 : -1)
        frames.push_back(f);
    }
    at = end + 1;
  }
  return frames;
}

} // namespace host
