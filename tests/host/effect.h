// An instance of a plug-in, its clips and what a render is told.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "openfx.h"

#include "image.h"
#include "picture.h"

namespace host {

// What the user of the host chose.
struct Setup {
  // By the clip, or by `CLIP.N` for the one of instance N, counted from 0.
  std::map<std::string, std::shared_ptr<Sequence>> inputs;
  std::string depth, components = kOfxImageComponentRGBA;
  std::string premultiplication = kOfxImagePreMultiplied;
  std::string field = kOfxImageFieldNone; // to render
  double pixel_aspect = 1, fps = 24;
  int offset_x = 0, offset_y = 0; // of the pictures, in pixels
  int project_width = 0, project_height = 0;
  double timeline_first = 1, timeline_last = 1;
  RowOrder order;
  bool crop_to_roi = true;
  double abort_ms = -1;      // after the render began
  int abort_progress = -1;   // at this call of progressUpdate
  bool abort_by_call = true; // whether abort() tells
  bool show_progress = false;
};
extern Setup setup;

class Effect;

// A render on this thread.
struct RenderContext {
  Effect *effect = nullptr;
  double time = 0;
  OfxRectI window = {0, 0, 0, 0};
  OfxPointD scale = {1, 1};
  HostImage *output = nullptr;
  std::map<OFX::Host::ImageEffect::ClipInstance *, OfxRectD> regions;
  OFX::Host::ImageEffect::RangeMap needed;
  std::vector<double> fetched;
  int unannounced = 0, refused = 0;
};
extern thread_local RenderContext *render_context;

// `region`, in canonical coordinates, as the pixels that it touches.
OfxRectI to_pixels(const OfxRectD &region, OfxPointD scale, double aspect);
OfxRectI intersect(const OfxRectI &a, const OfxRectI &b);
bool is_empty(const OfxRectI &r);

class Clip : public OFX::Host::ImageEffect::ClipInstance {
public:
  Clip(Effect *effect, OFX::Host::ImageEffect::ClipDescriptor &descriptor);

  const std::string &getUnmappedBitDepth() const override;
  const std::string &getUnmappedComponents() const override;
  const std::string &getPremult() const override;
  double getAspectRatio() const override { return setup.pixel_aspect; }
  double getFrameRate() const override { return setup.fps; }
  void getFrameRange(double &first, double &last) const override;
  const std::string &getFieldOrder() const override;
  bool getConnected() const override;
  double getUnmappedFrameRate() const override { return setup.fps; }
  void getUnmappedFrameRange(double &first, double &last) const override {
    getFrameRange(first, last);
  }
  bool getContinuousSamples() const override { return false; }
  OfxRectD getRegionOfDefinition(OfxTime time) const override;
  OFX::Host::ImageEffect::Image *getImage(OfxTime time,
                                          const OfxRectD *bounds) override;

  bool has_input() const { return input() != nullptr; }
  // The image over `bounds` of the frame that the host has for `time`, or
  // null. What renders get, and what stands in for an identity.
  HostImage *image_at(double time, OfxPointD scale, const OfxRectI *bounds);

private:
  std::shared_ptr<Sequence> input() const;
  // The picture that the host has for `time`, or null.
  std::shared_ptr<const Picture> picture_at(double time) const;
  // Where `picture` lies, in canonical coordinates.
  OfxRectD region_of(const Picture &picture) const;
  Effect *effect_;
};

class Effect : public OFX::Host::ImageEffect::Instance {
public:
  Effect(OFX::Host::ImageEffect::ImageEffectPlugin *plugin,
         OFX::Host::ImageEffect::Descriptor &descriptor,
         const std::string &context);

  // Which of the instances it is, counted from 0.
  int number = 0;
  // Whether a clip is fed that is of this instance alone.
  bool has_own_input() const;

  // Starts the clock of `Setup::abort_ms`.
  void arm_abort();
  // When abort began to be asked for, or infinity.
  double abort_time() const { return abort_at_; }
  int progress_calls() const { return progress_calls_; }
  bool persistent_message() const { return persistent_; }

  OFX::Host::ImageEffect::ClipInstance *
  newClipInstance(OFX::Host::ImageEffect::Instance *,
                  OFX::Host::ImageEffect::ClipDescriptor *descriptor,
                  int) override {
    return new Clip(this, *descriptor);
  }
  OFX::Host::Param::Instance *
  newParam(const std::string &name,
           OFX::Host::Param::Descriptor &descriptor) override;
  OfxStatus editBegin(const std::string &name) override;
  OfxStatus editEnd() override { return kOfxStatOK; }
  void paramChangedByPlugin(OFX::Host::Param::Instance *param) override;

  int abort() override;
  OfxStatus vmessage(const char *type, const char *id, const char *format,
                     va_list args) override;
  OfxStatus setPersistentMessage(const char *type, const char *id,
                                 const char *format, va_list args) override;
  OfxStatus clearPersistentMessage() override;
  void progressStart(const std::string &text, const std::string &id) override;
  void progressEnd() override;
  bool progressUpdate(double fraction) override;
  double timeLineGetTime() override;
  void timeLineGotoTime(double) override {}
  void timeLineGetBounds(double &first, double &last) override;

  const std::string &getDefaultOutputFielding() const override;
  void getProjectSize(double &x, double &y) const override;
  void getProjectOffset(double &x, double &y) const override { x = y = 0; }
  void getProjectExtent(double &x, double &y) const override;
  double getProjectPixelAspectRatio() const override {
    return setup.pixel_aspect;
  }
  double getEffectDuration() const override {
    return setup.timeline_last - setup.timeline_first + 1;
  }
  double getFrameRate() const override { return setup.fps; }
  double getFrameRecursive() const override { return setup.timeline_first; }
  void getRenderScaleRecursive(double &x, double &y) const override {
    x = y = 1;
  }

private:
  std::atomic<double> abort_at_;
  std::atomic<int> progress_calls_, progress_open_;
  std::atomic<bool> persistent_, refused_progress_;
};

// Whether a parameter's properties were hidden while it was described.
bool hidden_in_describe(const OFX::Host::Property::Set *properties);

} // namespace host
