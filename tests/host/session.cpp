#include "session.h"

#include <algorithm>
#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <stdexcept>

#include "binary.h"
#include "params.h"
#include "profile.h"
#include "report.h"

namespace host {
namespace {

using OFX::Host::PluginBinary;

std::string depth_name(const std::string &text) {
  if (text == "byte")
    return kOfxBitDepthByte;
  if (text == "short")
    return kOfxBitDepthShort;
  if (text == "half")
    return kOfxBitDepthHalf;
  return kOfxBitDepthFloat;
}

std::string context_name(const std::string &text) {
  return text.compare(0, 3, "Ofx") == 0
             ? text
             : "OfxImageEffectContext" +
                   std::string(1, char(toupper(text[0]))) + text.substr(1);
}

std::vector<std::string> bundles_in(const std::string &folder) {
  std::vector<std::string> found;
  if (DIR *dir = opendir(folder.c_str())) {
    while (dirent *entry = readdir(dir)) {
      std::string name = entry->d_name;
      if (name.size() > 11 &&
          name.compare(name.size() - 11, 11, ".ofx.bundle") == 0)
        found.push_back(folder + "/" + name);
    }
    closedir(dir);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string binary_in(const std::string &bundle) {
  std::string name = bundle.substr(bundle.rfind('/') + 1);
  return bundle + "/Contents/Linux-x86-64/" + name.substr(0, name.size() - 7);
}

int thread_count() {
  int count = 0;
  if (DIR *dir = opendir("/proc/self/task")) {
    while (dirent *entry = readdir(dir))
      count += entry->d_name[0] != '.';
    closedir(dir);
  }
  return count;
}

bool has_mapped(const std::string &name) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    if (line.find(name) != std::string::npos)
      return true;
  }
  return false;
}

void describe_param(OFX::Host::Param::Descriptor &param) {
  auto &set = param.getProperties();
  Json line("param");
  line.add("name", param.getName()).add("type", param.getType());
  line.add("label", param.getLabel()).add("hint", param.getHint());
  line.add("parent", param.getParentName()).add("secret", param.getSecret());
  for (const char *name :
       {kOfxParamPropMin, kOfxParamPropMax, kOfxParamPropDisplayMin,
        kOfxParamPropDisplayMax, kOfxParamPropDefault}) {
    std::vector<double> numbers;
    for (int i = 0; i < set.getDimension(name); ++i) {
      if (set.fetchIntProperty(name, true))
        numbers.push_back(set.getIntProperty(name, i));
      else if (set.fetchDoubleProperty(name, true))
        numbers.push_back(set.getDoubleProperty(name, i));
    }
    line.add(name, numbers);
  }
  std::vector<std::string> choices;
  for (int i = 0; i < set.getDimension(kOfxParamPropChoiceOption); ++i)
    choices.push_back(set.getStringProperty(kOfxParamPropChoiceOption, i));
  line.add("choices", choices);
  std::vector<std::string> children;
  for (int i = 0; i < set.getDimension(kOfxParamPropPageChild); ++i)
    children.push_back(set.getStringProperty(kOfxParamPropPageChild, i));
  line.add("children", children);
  emit(line);
}

} // namespace

Session::Session() { setup.depth = depth_name(profile.depth); }

Session::~Session() {
  destroy_all();
  if (cache_)
    OFX::Host::PluginCache::clearPluginCache();
}

void Session::step(const std::string &name, const std::string &value) {
  if (!choose(name, value) && !choose_pixels(name, value) && !act(name, value))
    throw std::runtime_error("there is no option --" + name +
                             "; see tests/host/README.md");
}

void Session::start() {
  if (host_)
    return;
  if (!path_.empty())
    setenv("OFX_PLUGIN_PATH", path_.c_str(), 1);
  host_.reset(new Host);
  cache_.reset(new OFX::Host::ImageEffect::PluginCache(*host_));
  cache_->registerInCache(*OFX::Host::PluginCache::getPluginCache());
}

void Session::list() {
  plugin();
  for (Plugin *p : cache_->getPlugins()) {
    std::vector<std::string> contexts(p->getContexts().begin(),
                                      p->getContexts().end());
    emit(Json("plugin")
             .add("id", p->getIdentifier())
             .add("label", p->getDescriptor().getLabel())
             .add("grouping", p->getDescriptor().getPluginGrouping())
             .add("major", p->getVersionMajor())
             .add("minor", p->getVersionMinor())
             .add("contexts", contexts)
             .add("bundle", p->getBinary()->getBundlePath()));
  }
}

// Measures what a host does with each plug-in when it starts.
void Session::scan(int times) {
  start();
  for (const std::string &bundle : bundles_in(path_)) {
    std::vector<double> ms;
    int count = 0;
    for (int i = 0; i < times; ++i) {
      double begin = now_ms();
      {
        PluginBinary binary(binary_in(bundle), bundle,
                            OFX::Host::PluginCache::getPluginCache());
        count = binary.getNPlugins();
        for (int j = 0; j < count; ++j) {
          auto &found = binary.getPlugin(j);
          found.getApiHandler().loadFromPlugin(&found);
        }
      }
      ms.push_back(now_ms() - begin);
    }
    emit(Json("scan")
             .add("bundle", bundle)
             .add("plugins", count)
             .add("ms", ms)
             .add("threads", thread_count())
             .add("cuda", has_mapped("libcuda"))
             .add("still_mapped", has_mapped(binary_in(bundle))));
  }
}

Session::Plugin *Session::plugin() {
  start();
  if (cache_->getPlugins().empty())
    OFX::Host::PluginCache::getPluginCache()->scanPluginFiles();
  Plugin *best = nullptr;
  for (Plugin *p : cache_->getPlugins()) {
    bool here = path_.empty() || p->getBinary()->getBundlePath().compare(
                                     0, path_.size(), path_) == 0;
    if (here && (plugin_id_.empty() || p->getIdentifier() == plugin_id_) &&
        (!best || p->trumps(best)))
      best = p;
  }
  if (!best)
    throw std::runtime_error("no plug-in " + plugin_id_ + " in " + path_);
  return best;
}

std::string Session::context_for(Plugin *plugin) const {
  const auto &known = plugin->getContexts();
  if (!context_.empty())
    return context_;
  for (const std::string &context : profile.contexts) {
    if (known.count(context))
      return context;
  }
  throw std::runtime_error("the plug-in has no context of this host's");
}

Effect *Session::create(Plugin *plugin, int number) {
  if (!plugin->getPluginHandle())
    throw std::runtime_error("the plug-in could not be loaded and described");
  std::string context = context_for(plugin);
  Effect *effect =
      static_cast<Effect *>(plugin->createInstance(context, nullptr));
  if (!effect)
    throw std::runtime_error("the context " + context + " was not described");
  effect->number = number;
  for (auto &value : values_) {
    auto *param = effect->getParam(value.first);
    if (!param || !set_from_text(*param, value.second))
      emit(Json("unset").add("name", value.first).add("value", value.second));
  }
  OfxStatus status = effect->createInstanceAction();
  if (profile.ask_preferences && !effect->getClipPreferences())
    fault("getClipPreferences failed");
  emit(Json("created")
           .add("context", context)
           .add("status", status_name(status)));
  return effect;
}

void Session::create_all() {
  if (!effects_.empty())
    return;
  // The project is as large as its first picture.
  for (auto &entry : setup.inputs) {
    if (setup.project_width)
      break;
    for (int f = entry.second->first(); f <= entry.second->last(); ++f) {
      if (auto picture = entry.second->frame(f)) {
        setup.project_width = setup.offset_x + picture->format_width;
        setup.project_height = setup.offset_y + picture->format_height;
        break;
      }
    }
  }
  if (!setup.project_width)
    setup.project_width = 64, setup.project_height = 48;
  Plugin *chosen = plugin();
  for (int i = 0; i < instances_; ++i)
    effects_.push_back(create(chosen, i));
}

void Session::destroy_all() {
  for (Effect *effect : effects_)
    delete effect;
  effects_.clear();
}

void Session::change(const std::string &param, const std::string &why) {
  OfxPointD scale = {1, 1};
  for (Effect *effect : effects_) {
    effect->beginInstanceChangedAction(why);
    OfxStatus status = effect->paramInstanceChangedAction(
        param, why, setup.timeline_first, scale);
    effect->endInstanceChangedAction(why);
    emit(Json("changed").add("name", param).add("status", status_name(status)));
    if (effect->areClipPrefsDirty() && profile.ask_preferences)
      effect->getClipPreferences();
    if (HostImage::alive() != 0)
      fault("images were not released after instanceChanged");
  }
}

void Session::set_param(const std::string &name, const std::string &value) {
  values_.emplace_back(name, value);
  if (effects_.empty())
    return;
  for (Effect *effect : effects_) {
    auto *param = effect->getParam(name);
    if (!param || !set_from_text(*param, value))
      throw std::runtime_error("the parameter " + name + " does not take " +
                               value);
  }
  change(name, kOfxChangeUserEdited);
}

void Session::render_frames(const std::string &frames) {
  options_.frames = parse_frames(frames);
  if (profile.reload_every_frame) {
    create_all(); // tells the project's size
    render_reloading();
    return;
  }
  create_all();
  render(effects_, options_);
}

// For each frame: set host, load, describe, create, render, destroy; the
// unload action and dlclose only now and then.
void Session::render_reloading() {
  destroy_all();
  Plugin *chosen = plugin();
  int index = chosen->getIndex();
  std::string file = chosen->getBinary()->getFilePath();
  std::string bundle = chosen->getBinary()->getBundlePath();
  std::vector<double> frames = options_.frames;
  const size_t life = 5;
  int times = profile.last_times;
  for (size_t begin = 0; begin < frames.size(); begin += life) {
    std::unique_ptr<PluginBinary> binary(new PluginBinary(
        file, bundle, OFX::Host::PluginCache::getPluginCache()));
    size_t end = std::min(begin + life, frames.size());
    for (size_t i = begin; i < end; ++i) {
      profile.last_times = i + 1 == frames.size() ? times : 1;
      std::unique_ptr<Plugin> fresh(
          new Plugin(*cache_, binary.get(), index, chosen->getPluginApi(),
                     chosen->getApiVersion(), chosen->getIdentifier(),
                     chosen->getRawIdentifier(), chosen->getVersionMajor(),
                     chosen->getVersionMinor()));
      std::unique_ptr<Effect> effect(create(fresh.get(), 0));
      options_.frames = {frames[i]};
      render({effect.get()}, options_);
      effect.reset();
      skip_unload(i + 1 < end);
      fresh.reset();
      skip_unload(false);
    }
  }
  profile.last_times = times;
}

void Session::describe() {
  Plugin *chosen = plugin();
  if (!chosen->getPluginHandle())
    throw std::runtime_error("the plug-in could not be loaded and described");
  std::string context = context_for(chosen);
  auto *descriptor = chosen->getContext(context);
  if (!descriptor)
    throw std::runtime_error("the context " + context + " was not described");
  emit(Json("description")
           .add("context", context)
           .add("label", descriptor->getLabel())
           .add("tiles", descriptor->supportsTiles())
           .add("multi_resolution", descriptor->supportsMultiResolution())
           .add("temporal", descriptor->temporalAccess())
           .add("thread_safety", descriptor->getRenderThreadSafety())
           .add("multiple_depths", descriptor->supportsMultipleClipDepths())
           .add("cuda", descriptor->getProps().getStringProperty(
                            kOfxImageEffectPropCudaRenderSupported))
           .add("cuda_stream", descriptor->getProps().getStringProperty(
                                   kOfxImageEffectPropCudaStreamSupported)));
  for (auto *clip : descriptor->getClipsByOrder())
    emit(Json("clip")
             .add("name", clip->getName())
             .add("optional", clip->isOptional())
             .add("mask", clip->isMask())
             .add("temporal", clip->temporalAccess())
             .add("tiles", clip->supportsTiles())
             .add("components", clip->getSupportedComponents()));
  for (auto *param : descriptor->getParamList())
    describe_param(*param);
}

// Choices that concern the run.
bool Session::choose(const std::string &name, const std::string &value) {
  if (name == "like") {
    if (!find_profile(value, profile))
      throw std::runtime_error("no host is called " + value);
    setup.depth = depth_name(profile.depth);
    if (profile.negative_rows)
      setup.order.negative = true;
  } else if (name == "path") {
    path_ = value;
  } else if (name == "plugin") {
    plugin_id_ = value;
  } else if (name == "context") {
    context_ = context_name(value);
  } else if (name == "log") {
    open_log(value);
  } else if (name == "no-suite") {
    absent_suites.insert(value);
  } else if (name == "fail-suite") {
    failing_suites.insert(value);
  } else if (name == "missing") {
    profile.missing.insert(value);
  } else if (name == "throw-unknown") {
    profile.throw_on_unknown = true;
  } else if (name == "no-identity") {
    profile.ask_identity = false;
  } else if (name == "hold") {
    profile.hold_frames = true;
  } else if (name == "no-temporal") {
    profile.temporal = false;
    profile.ignore_time = true;
  } else if (name == "no-tiles") {
    profile.tiles = false;
  } else if (name == "cuda") {
    profile.cuda = value == "primary" ? Cuda::primary
                   : value == "own"   ? Cuda::own
                   : value == "lie"   ? Cuda::lie
                                      : Cuda::off;
  } else if (name == "no-cuda-stream") {
    profile.cuda_stream = false;
  } else if (name == "cuda-retry") {
    profile.cuda_retry = true;
  } else if (name == "instances") {
    instances_ = std::stoi(value);
  } else if (name == "threads") {
    options_.threads = std::stoi(value);
  } else if (name == "times") {
    profile.times = std::stoi(value);
  } else if (name == "out") {
    options_.out = value;
  } else if (name == "abort-ms") {
    setup.abort_ms = std::stod(value);
  } else if (name == "abort-progress") {
    setup.abort_progress = std::stoi(value);
  } else if (name == "no-abort-call") {
    setup.abort_by_call = false;
  } else if (name == "show-progress") {
    setup.show_progress = true;
  } else {
    return false;
  }
  return true;
}

// Choices that concern pictures.
bool Session::choose_pixels(const std::string &name, const std::string &value) {
  int n[4] = {0, 0, 0, 0};
  double d[2] = {1, 1};
  auto ints = [&](int count) {
    const char *format = count == 2 ? "%d,%d" : "%d,%d,%d,%d";
    if (sscanf(value.c_str(), format, n, n + 1, n + 2, n + 3) != count)
      throw std::runtime_error("--" + name + " takes " + std::to_string(count) +
                               " numbers");
  };
  if (name == "clip") {
    size_t equals = value.find('='), at = value.rfind('@');
    int first = 0, last = 0;
    if (equals == std::string::npos || at == std::string::npos ||
        sscanf(value.c_str() + at, "@%d-%d", &first, &last) != 2)
      throw std::runtime_error(
          "--clip takes NAME=PATTERN@FIRST-LAST or NAME.INSTANCE=...");
    setup.inputs[value.substr(0, equals)] = std::make_shared<Sequence>(
        value.substr(equals + 1, at - equals - 1), first, last);
    if (setup.timeline_first == setup.timeline_last)
      setup.timeline_first = first, setup.timeline_last = last;
  } else if (name == "depth") {
    setup.depth = depth_name(value);
  } else if (name == "components") {
    setup.components = "OfxImageComponent" + value;
  } else if (name == "premultiplication") {
    setup.premultiplication = value == "pre"     ? kOfxImagePreMultiplied
                              : value == "unpre" ? kOfxImageUnPreMultiplied
                                                 : kOfxImageOpaque;
  } else if (name == "field") {
    setup.field = value == "lower"   ? kOfxImageFieldLower
                  : value == "upper" ? kOfxImageFieldUpper
                  : value == "both"  ? kOfxImageFieldBoth
                                     : kOfxImageFieldNone;
  } else if (name == "pixel-aspect") {
    setup.pixel_aspect = std::stod(value);
  } else if (name == "fps") {
    setup.fps = std::stod(value);
  } else if (name == "offset") {
    ints(2);
    setup.offset_x = n[0], setup.offset_y = n[1];
  } else if (name == "project") {
    ints(2);
    setup.project_width = n[0], setup.project_height = n[1];
  } else if (name == "timeline") {
    ints(2);
    setup.timeline_first = n[0], setup.timeline_last = n[1];
  } else if (name == "rows") {
    setup.order.negative = value.find("negative") != std::string::npos;
    setup.order.padding = value.find("padded") != std::string::npos ? 3 : 0;
  } else if (name == "whole-images") {
    setup.crop_to_roi = false;
  } else if (name == "scale") {
    if (sscanf(value.c_str(), "%lf,%lf", d, d + 1) == 1)
      d[1] = d[0];
    options_.scale.x = d[0], options_.scale.y = d[1];
  } else if (name == "window") {
    options_.has_window = value != "all";
    if (options_.has_window) {
      ints(4);
      options_.window = {n[0], n[1], n[2], n[3]};
    }
  } else if (name == "tiles") {
    ints(2);
    options_.tile_width = n[0], options_.tile_height = n[1];
  } else if (name == "margin") {
    options_.margin = std::stoi(value);
  } else {
    return false;
  }
  return true;
}

bool Session::act(const std::string &name, const std::string &value) {
  if (name == "list") {
    list();
  } else if (name == "scan") {
    scan(std::stoi(value));
  } else if (name == "describe") {
    describe();
  } else if (name == "set") {
    size_t equals = value.find('=');
    if (equals == std::string::npos)
      throw std::runtime_error("--set takes NAME=VALUE");
    set_param(value.substr(0, equals), value.substr(equals + 1));
  } else if (name == "press") {
    create_all();
    change(value, kOfxChangeUserEdited);
  } else if (name == "create") {
    create_all();
  } else if (name == "get") {
    create_all();
    auto *param = effects_[0]->getParam(value);
    emit(Json("value")
             .add("name", value)
             .add("value", param ? value_text(*param) : "(none)"));
  } else if (name == "render") {
    render_frames(value);
  } else if (name == "time-domain") {
    create_all();
    OfxRangeD range = {0, 0};
    OfxStatus status = effects_[0]->getTimeDomainAction(range);
    emit(Json("time_domain")
             .add("status", status_name(status))
             .add("first", range.min)
             .add("last", range.max));
  } else if (name == "preferences") {
    create_all();
    bool good = effects_[0]->getClipPreferences();
    auto *output = effects_[0]->getClip(kOfxImageEffectOutputClipName);
    emit(
        Json("preferences")
            .add("ok", good)
            .add("depth", output->getPixelDepth())
            .add("components", output->getComponents())
            .add("premultiplication", effects_[0]->getOutputPreMultiplication())
            .add("fps", effects_[0]->getOutputFrameRate())
            .add("frame_varying", effects_[0]->isFrameVarying()));
  } else if (name == "region") {
    create_all();
    OfxRectD r = {0, 0, 0, 0};
    OfxStatus status = effects_[0]->getRegionOfDefinitionAction(
        std::stod(value), options_.scale, r);
    emit(Json("region")
             .add("status", status_name(status))
             .add("region", std::vector<double>{r.x1, r.y1, r.x2, r.y2}));
  } else if (name == "clip-changed") {
    create_all();
    OfxPointD scale = {1, 1};
    for (Effect *effect : effects_) {
      effect->beginInstanceChangedAction(kOfxChangeUserEdited);
      effect->clipInstanceChangedAction(value, kOfxChangeUserEdited,
                                        setup.timeline_first, scale);
      effect->endInstanceChangedAction(kOfxChangeUserEdited);
      if (profile.ask_preferences)
        effect->getClipPreferences();
    }
  } else if (name == "purge") {
    create_all();
    for (Effect *effect : effects_)
      emit(Json("purged").add("status",
                              status_name(effect->purgeCachesAction())));
  } else if (name == "sync") {
    create_all();
    for (Effect *effect : effects_)
      emit(Json("synced").add("status",
                              status_name(effect->syncPrivateDataAction())));
  } else if (name == "destroy") {
    destroy_all();
  } else {
    return false;
  }
  return true;
}

} // namespace host
