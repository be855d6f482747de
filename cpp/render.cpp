#include "actions.h"

#include <string>

#include "host_calls.h"
#include "names.h"
#include "props.h"

namespace longtake {
namespace {

/// Gives the output back on every way out.
struct Output {
  Image image;
  Output(const Instance &instance, double time)
      : image(fetch_image(instance.output, time)) {}
  ~Output() { release_image(image); }
  Output(const Output &) = delete;
  Output &operator=(const Output &) = delete;
};

} // namespace

OfxStatus render(Instance &instance, OfxPropertySetHandle in) {
  Props props(in);
  RenderArgs args{};
  props.get(kOfxPropTime, args.time);
  args.scale = {1, 1};
  props.get(kOfxImageEffectPropRenderScale, args.scale[0], 0);
  props.get(kOfxImageEffectPropRenderScale, args.scale[1], 1);
  std::string field = props.string(kOfxImageEffectPropFieldToRender);
  args.fielded = field == kOfxImageFieldLower || field == kOfxImageFieldUpper;

  int cuda = 0;
  void *stream = nullptr;
  args.cuda = props.get(kOfxImageEffectPropCudaEnabled, cuda) && cuda != 0;
  if (args.cuda && props.get(kOfxImageEffectPropCudaStream, stream))
    args.stream = reinterpret_cast<std::size_t>(stream);

  Output output(instance, args.time);
  if (!output.image.data)
    return kOfxStatFailed;
  args.output = output.image;
  args.window = output.image.bounds;
  int v = 0;
  for (int i = 0; i < 4; ++i)
    if (props.get(kOfxImageEffectPropRenderWindow, v, i))
      args.window[static_cast<std::size_t>(i)] = v;

  Report report;
  {
    HostCalls calls(instance);
    report = node_render(*instance.node, scene_of(instance), args, calls);
  }
  if (report.status == Status::Done)
    clear_message(instance);
  return finish(instance, report, true);
}

} // namespace longtake
