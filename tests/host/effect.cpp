#include "effect.h"

#include <limits>
#include <map>
#include <mutex>

#include "binary.h"
#include "params.h"
#include "profile.h"
#include "report.h"
#include "suites.h"

namespace host {
namespace {

std::mutex hidden_mutex;
std::map<const OFX::Host::Property::Set *, bool> hidden;

} // namespace

bool hidden_in_describe(const OFX::Host::Property::Set *properties) {
  std::lock_guard<std::mutex> lock(hidden_mutex);
  auto found = hidden.find(properties);
  return found != hidden.end() && found->second;
}

Effect::Effect(OFX::Host::ImageEffect::ImageEffectPlugin *plugin,
               OFX::Host::ImageEffect::Descriptor &descriptor,
               const std::string &context)
    : Instance(plugin, descriptor, context, false),
      abort_at_(std::numeric_limits<double>::infinity()), progress_calls_(0),
      progress_open_(0), persistent_(false), refused_progress_(false) {}

bool Effect::has_own_input() const {
  std::string end = "." + std::to_string(number);
  for (auto &entry : setup.inputs) {
    size_t at = entry.first.find('.');
    if (at != std::string::npos && entry.first.substr(at) == end)
      return true;
  }
  return false;
}

void Effect::arm_abort() {
  abort_at_ = setup.abort_ms >= 0 ? now_ms() + setup.abort_ms
                                  : std::numeric_limits<double>::infinity();
  progress_calls_ = 0;
  refused_progress_ = false;
}

OFX::Host::Param::Instance *Effect::newParam(const std::string &,
                                             OFX::Host::Param::Descriptor &d) {
  OFX::Host::Param::Instance *param = make_param(d, this);
  if (param) {
    std::lock_guard<std::mutex> lock(hidden_mutex);
    hidden[&param->getProperties()] = param->getSecret();
  }
  return param;
}

OfxStatus Effect::editBegin(const std::string &) {
  if (profile.edit_block_in_create_kills && in_action(kOfxActionCreateInstance))
    fault("an edit block began while the instance was made");
  return kOfxStatOK;
}

void Effect::paramChangedByPlugin(OFX::Host::Param::Instance *param) {
  emit(Json("param_set_by_plugin")
           .add("name", param->getName())
           .add("value", value_text(*param)));
  Instance::paramChangedByPlugin(param);
}

int Effect::abort() {
  return profile.abort && setup.abort_by_call && now_ms() >= abort_at_;
}

OfxStatus Effect::vmessage(const char *type, const char *, const char *format,
                           va_list args) {
  emit(Json("message")
           .add("kind", type)
           .add("persistent", false)
           .add("text", format_message(format, args)));
  return std::string(type) == kOfxMessageQuestion ? kOfxStatReplyYes
                                                  : kOfxStatOK;
}

OfxStatus Effect::setPersistentMessage(const char *type, const char *,
                                       const char *format, va_list args) {
  persistent_ = true;
  emit(Json("message")
           .add("kind", type)
           .add("persistent", true)
           .add("text", format_message(format, args)));
  return kOfxStatOK;
}

OfxStatus Effect::clearPersistentMessage() {
  if (persistent_.exchange(false))
    emit(Json("message_cleared"));
  return kOfxStatOK;
}

void Effect::progressStart(const std::string &text, const std::string &) {
  ++progress_open_;
  emit(Json("progress_start").add("text", text));
}

void Effect::progressEnd() {
  if (--progress_open_ < 0)
    fault("progress ended that had not begun");
  emit(Json("progress_end").add("calls", int(progress_calls_)));
}

bool Effect::progressUpdate(double fraction) {
  int call = ++progress_calls_;
  if (progress_open_ <= 0)
    fault("progress was updated before it began");
  if (!(fraction >= 0 && fraction <= 1))
    fault("progress is not within 0 and 1");
  if (setup.show_progress)
    emit(Json("progress").add("fraction", fraction));
  if (setup.abort_progress >= 0 && call >= setup.abort_progress) {
    if (!refused_progress_.exchange(true))
      abort_at_ = now_ms();
    return false;
  }
  return !(profile.abort && now_ms() >= abort_at_);
}

double Effect::timeLineGetTime() {
  return render_context ? render_context->time : setup.timeline_first;
}

void Effect::timeLineGetBounds(double &first, double &last) {
  first = setup.timeline_first, last = setup.timeline_last;
}

const std::string &Effect::getDefaultOutputFielding() const {
  static const std::string none = kOfxImageFieldNone;
  return none;
}

void Effect::getProjectSize(double &x, double &y) const {
  getProjectExtent(x, y);
}

void Effect::getProjectExtent(double &x, double &y) const {
  x = setup.project_width * setup.pixel_aspect;
  y = setup.project_height;
}

} // namespace host
