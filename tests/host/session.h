// A run of the host: steps in the order in which they were asked for.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "openfx.h"

#include "effect.h"
#include "render.h"
#include "suites.h"

namespace host {

class Session {
public:
  Session();
  ~Session();
  // Takes one step, such as {"render", "1-5"}. Throws std::runtime_error
  // where it makes no sense.
  void step(const std::string &name, const std::string &value);

private:
  typedef OFX::Host::ImageEffect::ImageEffectPlugin Plugin;

  bool choose(const std::string &name, const std::string &value);
  bool choose_pixels(const std::string &name, const std::string &value);
  bool act(const std::string &name, const std::string &value);
  void start();
  void list();
  void scan(int times);
  Plugin *plugin();
  std::string context_for(Plugin *plugin) const;
  Effect *create(Plugin *plugin, int number);
  void create_all();
  void destroy_all();
  void change(const std::string &param, const std::string &why);
  void set_param(const std::string &name, const std::string &value);
  void render_frames(const std::string &frames);
  void render_reloading();
  void describe();

  std::string path_, plugin_id_, context_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<OFX::Host::ImageEffect::PluginCache> cache_;
  std::vector<std::pair<std::string, std::string>> values_;
  std::vector<Effect *> effects_;
  int instances_ = 1;
  RenderOptions options_;
};

} // namespace host
