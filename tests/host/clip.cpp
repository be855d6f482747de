#include "effect.h"

#include <algorithm>
#include <cmath>

#include "binary.h"
#include "profile.h"
#include "report.h"

namespace host {

Setup setup;
thread_local RenderContext *render_context = nullptr;

OfxRectI to_pixels(const OfxRectD &r, OfxPointD scale, double aspect) {
  // A region that ends on a pixel does so in spite of rounding.
  const double e = 1e-6;
  auto low = [&](double v) {
    return int(floor(std::min(std::max(v, -1e6), 1e6) + e));
  };
  auto high = [&](double v) {
    return int(ceil(std::min(std::max(v, -1e6), 1e6) - e));
  };
  OfxRectI pixels = {low(r.x1 / aspect * scale.x), low(r.y1 * scale.y),
                     high(r.x2 / aspect * scale.x), high(r.y2 * scale.y)};
  return pixels;
}

OfxRectI intersect(const OfxRectI &a, const OfxRectI &b) {
  OfxRectI r = {std::max(a.x1, b.x1), std::max(a.y1, b.y1),
                std::min(a.x2, b.x2), std::min(a.y2, b.y2)};
  return r;
}

bool is_empty(const OfxRectI &r) { return r.x1 >= r.x2 || r.y1 >= r.y2; }

Clip::Clip(Effect *effect, OFX::Host::ImageEffect::ClipDescriptor &descriptor)
    : ClipInstance(effect, descriptor), effect_(effect) {}

std::shared_ptr<Sequence> Clip::input() const {
  auto own =
      setup.inputs.find(getName() + "." + std::to_string(effect_->number));
  if (own != setup.inputs.end())
    return own->second;
  auto found = setup.inputs.find(getName());
  return found == setup.inputs.end() ? nullptr : found->second;
}

const std::string &Clip::getUnmappedBitDepth() const { return setup.depth; }

const std::string &Clip::getUnmappedComponents() const {
  static const std::string none = kOfxImageComponentNone,
                           alpha = kOfxImageComponentAlpha;
  if (!isOutput() && !input() && !profile.unconnected_says_connected)
    return none;
  return isMask() && isSupportedComponent(alpha) ? alpha : setup.components;
}

const std::string &Clip::getPremult() const { return setup.premultiplication; }

void Clip::getFrameRange(double &first, double &last) const {
  auto sequence = input();
  if (profile.unit_range) {
    first = 0, last = 1;
  } else if (sequence) {
    first = sequence->first(), last = sequence->last();
  } else {
    first = setup.timeline_first, last = setup.timeline_last;
  }
}

const std::string &Clip::getFieldOrder() const {
  static const std::string none = kOfxImageFieldNone;
  return none;
}

bool Clip::getConnected() const {
  return isOutput() || input() || profile.unconnected_says_connected ||
         (isMask() && profile.mask_says_connected);
}

OfxRectD Clip::region_of(const Picture &picture) const {
  double x = setup.offset_x + picture.x, y = setup.offset_y + picture.y;
  return {x * setup.pixel_aspect, y, (x + picture.width) * setup.pixel_aspect,
          y + picture.height};
}

OfxRectD Clip::getRegionOfDefinition(OfxTime time) const {
  OfxRectD region = {0, 0, 0, 0};
  auto sequence = input();
  if (auto picture = picture_at(time))
    return region_of(*picture);
  if (sequence) {
    for (int f = sequence->first(); f <= sequence->last(); ++f) {
      if (auto picture = sequence->frame(f))
        return region_of(*picture);
    }
  }
  if (isOutput() || getConnected())
    effect_->getProjectExtent(region.x2, region.y2);
  return region;
}

std::shared_ptr<const Picture> Clip::picture_at(double time) const {
  auto sequence = input();
  if (!sequence)
    return nullptr;
  if (profile.ignore_time && render_context)
    time = render_context->time;
  int frame = int(floor(time + 0.5));
  int count = sequence->last() - sequence->first() + 1;
  if (profile.loop_frames || profile.unit_range)
    frame = sequence->first() +
            ((frame - sequence->first()) % count + count) % count;
  if (profile.hold_frames || profile.ignore_time)
    frame = std::min(std::max(frame, sequence->first()), sequence->last());
  return sequence->frame(frame);
}

HostImage *Clip::image_at(double time, OfxPointD scale,
                          const OfxRectI *wanted) {
  auto picture = picture_at(time);
  if (!picture)
    return nullptr;
  OfxRectI whole = to_pixels(region_of(*picture), scale, setup.pixel_aspect);
  OfxRectI bounds = wanted ? intersect(*wanted, whole) : whole;
  if (is_empty(bounds))
    return nullptr;
  HostImage *image = new HostImage(*this, bounds, whole, scale, setup.order,
                                   getName() + "@" + std::to_string(time));
  image->fill(*picture, setup.offset_x + picture->x,
              setup.offset_y + picture->y, scale);
  image->seal();
  return image;
}

OFX::Host::ImageEffect::Image *Clip::getImage(OfxTime time,
                                              const OfxRectD *bounds) {
  RenderContext *context = render_context;
  if (!may_fetch_images()) {
    fault("an image of " + getName() + " was fetched " +
          (*current_action() ? std::string("in ") + current_action()
                             : std::string("outside any action")));
    return nullptr;
  }
  if (isOutput()) {
    if (!context || !context->output)
      return nullptr;
    context->output->addReference();
    return context->output;
  }
  OfxPointD scale = {1, 1};
  if (context) {
    scale = context->scale;
    context->fetched.push_back(time);
    if (profile.ask_frames_needed && profile.temporal) {
      bool announced = false;
      for (const OfxRangeD &range : context->needed[this])
        announced = announced || (time >= range.min && time <= range.max);
      context->unannounced += !announced;
    }
    if (profile.identity_within_get_image) {
      std::string name;
      OfxTime identity_time = context->time;
      effect_->isIdentityAction(identity_time, setup.field, context->window,
                                scale, name);
    }
  }
  if (!input()) {
    if (isOptional() && profile.optional_without_data) {
      OfxRectI none = {0, 0, 0, 0};
      HostImage *image =
          new HostImage(*this, none, none, scale, setup.order, "none");
      image->setPointerProperty(kOfxImagePropData, nullptr);
      return image;
    }
    return nullptr;
  }
  OfxRectI wanted;
  const OfxRectI *crop = nullptr;
  if (bounds) {
    wanted = to_pixels(*bounds, scale, setup.pixel_aspect);
    crop = &wanted;
  } else if (context && profile.roi_images && profile.tiles &&
             setup.crop_to_roi && context->regions.count(this)) {
    wanted = to_pixels(context->regions[this], scale, setup.pixel_aspect);
    crop = &wanted;
  }
  HostImage *image = image_at(time, scale, crop);
  if (!image && context)
    ++context->refused;
  return image;
}

} // namespace host
