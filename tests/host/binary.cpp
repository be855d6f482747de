// Stands in for the Support library's ofxhBinary.cpp, which opens shared
// objects. Here each plug-in found in one is wrapped, as openfx-misc's
// DebugProxy does, so that every action is seen, logged and judged.
#include "binary.h"

#include <dlfcn.h>
#include <exception>
#include <map>
#include <sstream>
#include <vector>

#include "openfx.h"

#include "cuda.h"
#include "profile.h"
#include "report.h"

namespace host {
namespace {

struct Frame {
  std::string action;
  bool user_edit;
};
thread_local std::vector<Frame> stack;
thread_local bool message_in_describe = false;
bool no_unload = false;

std::string arguments(const char *action, OfxPropertySetHandle in) {
  if (!in)
    return "";
  auto *set = reinterpret_cast<OFX::Host::Property::Set *>(in);
  std::ostringstream text;
  const std::string name = action;
  if (name == kOfxActionInstanceChanged) {
    text << set->getStringProperty(kOfxPropName) << ", "
         << set->getStringProperty(kOfxPropChangeReason);
  } else if (name == kOfxImageEffectActionDescribeInContext) {
    text << set->getStringProperty(kOfxImageEffectPropContext);
  } else if (set->getDimension(kOfxPropTime) == 1) {
    text << "time " << set->getDoubleProperty(kOfxPropTime);
    if (set->getDimension(kOfxImageEffectPropRenderWindow) == 4) {
      int w[4];
      set->getIntPropertyN(kOfxImageEffectPropRenderWindow, w, 4);
      text << ", window " << w[0] << ' ' << w[1] << ' ' << w[2] << ' ' << w[3];
    }
    if (set->getDimension(kOfxImageEffectPropRenderScale) == 2)
      text << ", scale "
           << set->getDoubleProperty(kOfxImageEffectPropRenderScale);
  }
  return text.str();
}

// What the library does not say: where the images of a render lie.
void add_cuda(OFX::Host::Property::Set &arguments) {
  if (cuda_render) {
    cuda_render->add_to(arguments);
  } else if (profile.cuda == Cuda::lie) {
    OFX::Host::Property::PropSpec spec = {kOfxImageEffectPropCudaEnabled,
                                          OFX::Host::Property::eInt, 1, true,
                                          "1"};
    arguments.createProperty(spec);
  }
}

OfxStatus call(OfxPlugin *plugin, const char *action, const void *handle,
               OfxPropertySetHandle in, OfxPropertySetHandle out) {
  const std::string name = action;
  if (name == kOfxActionUnload && no_unload)
    return kOfxStatOK;
  Frame frame = {name, false};
  if (name == kOfxActionInstanceChanged && in)
    frame.user_edit =
        reinterpret_cast<OFX::Host::Property::Set *>(in)->getStringProperty(
            kOfxPropChangeReason) == kOfxChangeUserEdited;
  stack.push_back(frame);
  if (logging()) {
    log(name + "(" + arguments(action, in) + ")");
    log_depth(1);
  }
  message_in_describe = false;
  if (name == kOfxImageEffectActionRender && in)
    add_cuda(*reinterpret_cast<OFX::Host::Property::Set *>(in));
  OfxStatus status = kOfxStatFailed;
  try {
    status = plugin->mainEntry(action, handle, in, out);
    if (name == kOfxActionDestroyInstance && profile.destroy_twice) {
      log("again");
      plugin->mainEntry(action, handle, in, out);
    }
  } catch (const std::exception &error) {
    fault(std::string("an exception left the plug-in: ") + error.what());
  } catch (...) {
    fault("an exception left the plug-in");
  }
  stack.pop_back();
  if (logging()) {
    log_depth(-1);
    log("= " + status_name(status) + " " + name);
  }
  bool describing = name == kOfxActionLoad || name == kOfxActionDescribe ||
                    name == kOfxImageEffectActionDescribeInContext;
  if (describing && profile.exact_ok && status != kOfxStatOK) {
    fault(name + " answered " + status_name(status) + ", not exactly OK");
    return kOfxStatFailed;
  }
  if (describing && profile.message_fails_describe && message_in_describe) {
    fault("a message was posted in " + name);
    return kOfxStatFailed;
  }
  return status;
}

const int slot_count = 64;
struct Slot {
  std::string path;
  int index;
  OfxPlugin *real;
  OfxPlugin proxy;
};
Slot slots[slot_count];
int slots_used = 0;

template <int N>
OfxStatus entry(const char *action, const void *handle, OfxPropertySetHandle in,
                OfxPropertySetHandle out) {
  return call(slots[N].real, action, handle, in, out);
}

template <int N> void set_host(OfxHost *host) {
  log("setHost");
  slots[N].real->setHost(host);
}

// Fills the tables of the first N slots' functions.
template <int N> struct Tables {
  static void fill(OfxPluginEntryPoint **entries, void (**hosts)(OfxHost *)) {
    entries[N - 1] = entry<N - 1>;
    hosts[N - 1] = set_host<N - 1>;
    Tables<N - 1>::fill(entries, hosts);
  }
};
template <> struct Tables<0> {
  static void fill(OfxPluginEntryPoint **, void (**)(OfxHost *)) {}
};

OfxPlugin *wrap(const std::string &path, int index, OfxPlugin *real) {
  static OfxPluginEntryPoint *entries[slot_count];
  static void (*hosts[slot_count])(OfxHost *);
  if (!entries[0])
    Tables<slot_count>::fill(entries, hosts);
  int n = 0;
  while (n < slots_used && (slots[n].path != path || slots[n].index != index))
    ++n;
  if (n == slot_count)
    return nullptr;
  if (n == slots_used)
    ++slots_used;
  slots[n].path = path;
  slots[n].index = index;
  slots[n].real = real;
  slots[n].proxy = *real;
  slots[n].proxy.mainEntry = entries[n];
  slots[n].proxy.setHost = hosts[n];
  return &slots[n].proxy;
}

// The library asks a binary for OfxGetPlugin and calls what it gets at once.
typedef OfxPlugin *(*GetPlugin)(int);
GetPlugin asked_function = nullptr;
std::string asked_path;

OfxPlugin *get_plugin(int index) {
  OfxPlugin *plugin = asked_function(index);
  return plugin ? wrap(asked_path, index, plugin) : nullptr;
}

} // namespace

const char *current_action() {
  return stack.empty() ? "" : stack.back().action.c_str();
}

bool in_action(const char *action) {
  for (const Frame &frame : stack) {
    if (frame.action == action)
      return true;
  }
  return false;
}

bool may_fetch_images() {
  for (const Frame &frame : stack) {
    if (frame.action == kOfxImageEffectActionRender || frame.user_edit)
      return true;
  }
  return false;
}

void skip_unload(bool skip) { no_unload = skip; }

void note_message_in_describe() { message_in_describe = true; }

} // namespace host

using namespace OFX;

Binary::Binary(const std::string &path)
    : _binaryPath(path), _invalid(false), _dlHandle(nullptr), _time(0),
      _size(0), _users(0) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    _invalid = true;
  } else {
    _time = info.st_mtime;
    _size = info.st_size;
  }
}

void Binary::load() {
  if (_invalid)
    return;
  host::log("dlopen " + _binaryPath);
  _dlHandle = dlopen(_binaryPath.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!_dlHandle) {
    host::fault(std::string("dlopen: ") + dlerror());
    _invalid = true;
  }
}

void Binary::unload() {
  if (!_dlHandle)
    return;
  host::log("dlclose " + _binaryPath);
  dlclose(_dlHandle);
  _dlHandle = nullptr;
}

void *Binary::findSymbol(const std::string &symbol) {
  if (!_dlHandle)
    return nullptr;
  void *found = dlsym(_dlHandle, symbol.c_str());
  if (found && symbol == "OfxGetPlugin") {
    host::asked_function = reinterpret_cast<host::GetPlugin>(found);
    host::asked_path = _binaryPath;
    return reinterpret_cast<void *>(host::get_plugin);
  }
  return found;
}

void Binary::ref() {
  if (_users == 0)
    load();
  ++_users;
}

void Binary::unref() {
  --_users;
  if (_users == 0)
    unload();
  if (_users < 0)
    _users = 0;
}
