// What an instance of the effect holds, and how it is found again.
#pragma once

#include <vector>

#include "longtake/src/bridge.rs.h"
#include "suites.h"

namespace longtake {

/// Lives in kOfxPropInstanceData of the effect and nowhere else.
struct Instance {
  OfxImageEffectHandle effect;
  rust::Box<Node> node;
  /// In the order of the manifest; null where the host has no such parameter.
  std::vector<OfxParamHandle> params;
  OfxImageClipHandle source = nullptr;
  OfxImageClipHandle matte = nullptr;
  OfxImageClipHandle guide = nullptr;
  OfxImageClipHandle subject1 = nullptr;
  OfxImageClipHandle subject2 = nullptr;
  OfxImageClipHandle subject3 = nullptr;
  OfxImageClipHandle output = nullptr;
  bool generator = false;
  /// Whether a persistent message of ours may be up.
  std::atomic<bool> message_up{false};
};

/// What a host is told of the plug-in, read once.
const PluginSpec &plugin();

/// The instance behind a handle; null where its creation failed or it is gone.
Instance *instance_of(OfxImageEffectHandle effect);

OfxStatus create_instance(OfxImageEffectHandle effect);
OfxStatus destroy_instance(OfxImageEffectHandle effect);

/// What the host says now.
Scene scene_of(const Instance &instance);

/// Posts what a report has to say, if anything, and turns it into a status.
/// `lasting` messages stay with the node until the next success.
OfxStatus finish(Instance &instance, const Report &report, bool lasting);

/// Takes a lasting message down: hosts that show one do not render.
void clear_message(Instance &instance);

Depth depth_named(const std::string &name);
Components components_named(const std::string &name);

} // namespace longtake
