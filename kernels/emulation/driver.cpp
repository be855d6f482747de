// The calls of the CUDA driver that Longtake makes, answered on the CPU. Work
// is done late, when it is waited for (queue.h). Faults are made on demand, by
// environment variables:
//
//   LONGTAKE_EMULATION_VERSION=12040   the version that the driver tells
//   LONGTAKE_EMULATION_DEVICES=0       the number of devices
//   LONGTAKE_EMULATION_MEMORY=1000000  bytes of device memory
//   LONGTAKE_EMULATION_TAKEN=1         another process has the device to itself
//   LONGTAKE_EMULATION_PAGEABLE=1      it reads ordinary host memory by itself
//   LONGTAKE_EMULATION_LOST_AFTER=3    launches before the device is lost
//   LONGTAKE_EMULATION_COPIES=3        copies before the device is lost
//
// LONGTAKE_EMULATION_LOG names a file that gets a line with the name of each
// kernel that is launched.

#include "grid.h"
#include "memory.h"

#include <cstdio>
#include <cstdlib>
#include <map>

using namespace emulation;

namespace {

using Held = std::lock_guard<std::recursive_mutex>;
using Address = std::uintptr_t;

constexpr Result no_device = 100, unavailable = 46, not_found = 500;

long launches, copies, device_waits;
bool lost;

Result here() { return lost ? launch_failed : success; }

// A kernel as it was loaded into a context.
struct Function {
  const Kernel *kernel;
  Context *context;
};
struct Module {
  Context *context;
};

Context *primary(int device) {
  static std::map<int, Context *> all;
  Context *&context = all[device];
  if (!context)
    context = new_context(device);
  return context;
}

// Rows of a copy, either side in host or in device memory.
struct Rows {
  Address to, from;
  bool to_device, from_device;
  std::size_t to_pitch, from_pitch, bytes, rows;
};

Result queue_copy(void *handle, const Rows &r) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (lost)
    return launch_failed;
  if (!stream)
    return is_context(bound) ? invalid_handle : invalid_context;
  if (r.bytes == 0 || r.rows == 0)
    return success;
  if (r.rows > 1 && (r.to_pitch < r.bytes || r.from_pitch < r.bytes))
    return invalid_value;
  if ((r.to_device && !inside(r.to, r.bytes, r.rows, r.to_pitch)) ||
      (r.from_device && !inside(r.from, r.bytes, r.rows, r.from_pitch)))
    return invalid_value;
  const long limit = setting("LONGTAKE_EMULATION_COPIES", -1);
  if (limit >= 0 && copies++ >= limit) {
    lost = true;
    return success;
  }
  const Address host = r.to_device ? r.from_device ? 0 : r.from : r.to;
  const std::size_t pitch = r.to_device ? r.from_pitch : r.to_pitch;
  const std::size_t all = (r.rows - 1) * pitch + r.bytes;
  Context *context = bound;
  auto run = [r, context] {
    Context *before = bound;
    bound = context;
    if ((r.to_device && !inside(r.to, r.bytes, r.rows, r.to_pitch)) ||
        (r.from_device && !inside(r.from, r.bytes, r.rows, r.from_pitch))) {
      std::fprintf(stderr, "emulation: memory of a copy was freed too soon\n");
      std::abort();
    }
    bound = before;
    for (std::size_t y = 0; y < r.rows; ++y)
      std::memcpy((void *)(r.to + y * r.to_pitch),
                  (const void *)(r.from + y * r.from_pitch), r.bytes);
  };
  stream->work.push_back(Work{run, host, host ? all : 0});
  // Ordinary host memory: the driver waits for what comes before, and the
  // memory may be used as soon as it returns, unless the device itself reads
  // it, as late as it likes.
  const bool itself = r.to_device && setting("LONGTAKE_EMULATION_PAGEABLE", 0);
  if (host && !is_pinned(host, all) && !itself) {
    ++stream->waits;
    finish(stream);
  }
  return here();
}

Result queue_fill(void *handle, Address to, std::size_t pitch, int value,
                  std::size_t bytes, std::size_t rows) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (!stream || !inside(to, bytes, rows, pitch))
    return stream ? invalid_value : invalid_handle;
  stream->work.push_back(Work{[=] {
    for (std::size_t y = 0; y < rows; ++y)
      std::memset((void *)(to + y * pitch), value, bytes);
  }});
  return here();
}

// A copy of rows as `CUDA_MEMCPY2D` describes it.
struct Copy2D {
  std::size_t from_x, from_y;
  int from_kind;
  const void *from_host;
  Address from_device;
  void *from_array;
  std::size_t from_pitch;
  std::size_t to_x, to_y;
  int to_kind;
  void *to_host;
  Address to_device;
  void *to_array;
  std::size_t to_pitch;
  std::size_t bytes, rows;
};

} // namespace

#define DRIVER extern "C" __attribute__((visibility("default"))) Result

// Tells our driver layer that this is no GPU, and hosts of tests what was
// waited for.
extern "C" {
__attribute__((visibility("default"))) int longtake_emulation = 1;
__attribute__((visibility("default"))) long
longtake_emulation_waits(void *stream) {
  Held held(lock);
  return stream ? static_cast<Stream *>(stream)->waits : device_waits;
}
}

DRIVER cuInit(unsigned) {
  return setting("LONGTAKE_EMULATION_DEVICES", 1) > 0 ? success : no_device;
}
DRIVER cuDriverGetVersion(int *version) {
  *version = (int)setting("LONGTAKE_EMULATION_VERSION", 13000);
  return success;
}
DRIVER cuDeviceGetCount(int *count) {
  *count = (int)setting("LONGTAKE_EMULATION_DEVICES", 1);
  return success;
}
DRIVER cuDeviceGet(int *device, int ordinal) {
  if (ordinal < 0 || ordinal >= setting("LONGTAKE_EMULATION_DEVICES", 1))
    return 101;
  *device = ordinal;
  return success;
}
DRIVER cuDeviceGetName(char *name, int bytes, int) {
  std::snprintf(name, (std::size_t)bytes, "CUDA emulation on the CPU");
  return success;
}
DRIVER cuDeviceGetAttribute(int *value, int attribute, int) {
  // Compute capability 9.0; memory pools.
  *value = attribute == 75    ? 9
           : attribute == 115 ? 1
           : attribute == 16  ? 4
           : attribute == 88  ? (int)setting("LONGTAKE_EMULATION_PAGEABLE", 0)
                              : 0;
  return success;
}
DRIVER cuDeviceTotalMem_v2(std::size_t *bytes, int) {
  *bytes = memory_total();
  return success;
}

DRIVER cuDevicePrimaryCtxRetain(void **context, int device) {
  Held held(lock);
  if (setting("LONGTAKE_EMULATION_TAKEN", 0))
    return unavailable;
  *context = primary(device);
  return success;
}
DRIVER cuDevicePrimaryCtxRelease_v2(int) { return success; }
DRIVER cuCtxCreate_v2(void **context, unsigned, int device) {
  Held held(lock);
  *context = bound = new_context(device);
  return success;
}
DRIVER cuCtxDestroy_v2(void *context) {
  Held held(lock);
  if (!is_context(static_cast<Context *>(context)))
    return invalid_context;
  end_context(static_cast<Context *>(context));
  return success;
}
DRIVER cuCtxSetCurrent(void *context) {
  Held held(lock);
  if (context && !is_context(static_cast<Context *>(context)))
    return invalid_context;
  bound = static_cast<Context *>(context);
  return success;
}
DRIVER cuCtxGetCurrent(void **context) {
  *context = bound;
  return success;
}
DRIVER cuCtxGetDevice(int *device) {
  if (!bound)
    return invalid_context;
  *device = bound->device;
  return success;
}
DRIVER cuCtxGetId(void *context, unsigned long long *id) {
  Held held(lock);
  auto *asked = context ? static_cast<Context *>(context) : bound;
  if (!is_context(asked))
    return invalid_context;
  *id = asked->id;
  return success;
}
DRIVER cuCtxSynchronize() {
  Held held(lock);
  if (!bound)
    return invalid_context;
  ++device_waits;
  finish_all(bound);
  return here();
}

DRIVER cuMemGetInfo_v2(std::size_t *left, std::size_t *all) {
  Held held(lock);
  if (!bound)
    return invalid_context;
  *all = memory_total();
  *left = memory_used() < *all ? *all - memory_used() : 0;
  return here();
}
DRIVER cuMemAlloc_v2(Address *out, std::size_t bytes) {
  Held held(lock);
  if (!bound)
    return invalid_context;
  return lost ? launch_failed : allocate(out, bytes);
}
DRIVER cuMemFree_v2(Address address) {
  Held held(lock);
  if (!bound)
    return invalid_context;
  finish_all(bound);
  return release(address);
}
DRIVER cuMemAllocAsync(Address *out, std::size_t bytes, void *stream) {
  Held held(lock);
  if (!stream_of(stream))
    return invalid_handle;
  return lost ? launch_failed : allocate(out, bytes);
}
DRIVER cuMemFreeAsync(Address address, void *handle) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (!stream)
    return invalid_handle;
  if (!owner(address))
    return invalid_value;
  stream->work.push_back(Work{[=] { release(address); }});
  return success;
}
DRIVER cuMemAllocHost_v2(void **out, std::size_t bytes) {
  Held held(lock);
  return bound ? allocate_host(out, bytes) : invalid_context;
}
DRIVER cuMemFreeHost(void *memory) {
  Held held(lock);
  return release_host(memory);
}
DRIVER cuPointerGetAttribute(void *out, int attribute, Address address) {
  Held held(lock);
  Context *context = owner(address);
  if (attribute != 1 || !context)
    return invalid_value;
  *static_cast<void **>(out) = context;
  return success;
}

DRIVER cuMemcpyHtoDAsync_v2(Address to, const void *from, std::size_t bytes,
                            void *stream) {
  return queue_copy(stream,
                    Rows{to, (Address)from, true, false, 0, 0, bytes, 1});
}
DRIVER cuMemcpyDtoHAsync_v2(void *to, Address from, std::size_t bytes,
                            void *stream) {
  return queue_copy(stream,
                    Rows{(Address)to, from, false, true, 0, 0, bytes, 1});
}
DRIVER cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t bytes,
                            void *stream) {
  return queue_copy(stream, Rows{to, from, true, true, 0, 0, bytes, 1});
}
DRIVER cuMemcpy2DAsync_v2(const Copy2D *c, void *stream) {
  // 1 is host memory, 2 device memory.
  if (c->from_kind < 1 || c->from_kind > 2 || c->to_kind < 1 || c->to_kind > 2)
    return invalid_value;
  const bool from = c->from_kind == 2, to = c->to_kind == 2;
  const Address source = (from ? c->from_device : (Address)c->from_host) +
                         c->from_y * c->from_pitch + c->from_x;
  const Address target = (to ? c->to_device : (Address)c->to_host) +
                         c->to_y * c->to_pitch + c->to_x;
  return queue_copy(stream, Rows{target, source, to, from, c->to_pitch,
                                 c->from_pitch, c->bytes, c->rows});
}
DRIVER cuMemsetD8Async(Address to, unsigned char value, std::size_t bytes,
                       void *stream) {
  return queue_fill(stream, to, 0, value, bytes, 1);
}
DRIVER cuMemsetD2D8Async(Address to, std::size_t pitch, unsigned char value,
                         std::size_t bytes, std::size_t rows, void *stream) {
  return queue_fill(stream, to, pitch, value, bytes, rows);
}

DRIVER cuStreamCreate(void **stream, unsigned) {
  Held held(lock);
  if (!bound)
    return invalid_context;
  *stream = new_stream(bound);
  return here();
}
DRIVER cuStreamDestroy_v2(void *handle) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (!stream)
    return invalid_handle;
  end_stream(stream);
  return success;
}
DRIVER cuStreamGetCtx(void *handle, void **context) {
  Held held(lock);
  if (!handle && !bound)
    return invalid_context;
  *context = handle ? static_cast<Stream *>(handle)->context : bound;
  return success;
}
DRIVER cuStreamSynchronize(void *handle) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (!stream)
    return invalid_handle;
  ++stream->waits;
  finish(stream);
  return here();
}
DRIVER cuStreamWaitEvent(void *handle, void *event, unsigned) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (!stream)
    return invalid_handle;
  const auto done = static_cast<Event *>(event)->done;
  Stream *other = static_cast<Event *>(event)->stream;
  if (done && other)
    stream->work.push_back(Work{[=] { finish(other, done.get()); }});
  return here();
}

DRIVER cuLaunchHostFunc(void *handle, void (*function)(void *), void *data) {
  Held held(lock);
  Stream *stream = stream_of(handle);
  if (!stream)
    return invalid_handle;
  stream->work.push_back(Work{[=] { function(data); }});
  return here();
}

DRIVER cuEventCreate(void **event, unsigned) {
  Held held(lock);
  if (!bound)
    return invalid_context;
  *event = new Event{bound};
  return here();
}
DRIVER cuEventDestroy_v2(void *event) {
  Held held(lock);
  delete static_cast<Event *>(event);
  return success;
}
DRIVER cuEventRecord(void *handle, void *on) {
  Held held(lock);
  auto *event = static_cast<Event *>(handle);
  Stream *stream = stream_of(on);
  if (!stream || event->context != stream->context)
    return invalid_handle;
  event->stream = stream;
  event->done = std::make_shared<bool>(false);
  stream->work.push_back(Work{[done = event->done] { *done = true; }});
  return here();
}
DRIVER cuEventSynchronize(void *handle) {
  Held held(lock);
  auto *event = static_cast<Event *>(handle);
  if (event->done) {
    ++event->stream->waits;
    finish(event->stream, event->done.get());
  }
  return here();
}
DRIVER cuEventQuery(void *handle) {
  Held held(lock);
  auto *event = static_cast<Event *>(handle);
  if (lost || !event->done || *event->done)
    return here();
  // A little of the work is done meanwhile.
  if (!event->stream->work.empty()) {
    Work next = std::move(event->stream->work.front());
    event->stream->work.pop_front();
    next.run();
  }
  return *event->done ? success : not_ready;
}
DRIVER cuEventElapsedTime_v2(float *ms, void *, void *) {
  *ms = 0;
  return here();
}

DRIVER cuModuleLoadData(void **module, const void *) {
  Held held(lock);
  if (!bound)
    return invalid_context;
  *module = new Module{bound};
  return here();
}
DRIVER cuModuleUnload(void *) { return success; }
DRIVER cuModuleGetFunction(void **function, void *module, const char *name) {
  for (unsigned i = 0; i < kernel_count; ++i)
    if (!std::strcmp(kernels[i].name, name)) {
      *function =
          new Function{&kernels[i], static_cast<Module *>(module)->context};
      return here();
    }
  return not_found;
}
DRIVER cuLaunchKernel(void *handle, unsigned gx, unsigned gy, unsigned gz,
                      unsigned bx, unsigned by, unsigned bz, unsigned,
                      void *stream_handle, void **arguments, void **) {
  Held held(lock);
  if (lost)
    return launch_failed;
  Stream *stream = stream_of(stream_handle);
  if (!handle || !stream)
    return invalid_handle;
  const auto &function = *static_cast<const Function *>(handle);
  if (function.context != stream->context)
    return invalid_handle;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz == 0 ||
      bx * by * bz > 1024)
    return invalid_value;
  const long limit = setting("LONGTAKE_EMULATION_LOST_AFTER", -1);
  if (limit >= 0 && launches >= limit) {
    // As on a GPU, the call itself succeeds; the next ones tell.
    lost = true;
    return success;
  }
  ++launches;
  const Kernel &kernel = *function.kernel;
  if (const char *path = std::getenv("LONGTAKE_EMULATION_LOG"))
    if (std::FILE *file = std::fopen(path, "a")) {
      std::fprintf(file, "%s\n", kernel.name);
      std::fclose(file);
    }
  // Aligned as the argument is.
  std::vector<std::max_align_t> argument(
      kernel.size / sizeof(std::max_align_t) + 1);
  std::memcpy(argument.data(), arguments[0], kernel.size);
  stream->work.push_back(Work{[=]() mutable {
    void *given[] = {argument.data()};
    if (!run(kernel, uint3{gx, gy, gz}, uint3{bx, by, bz}, given)) {
      std::fprintf(stderr, "emulation: threads of %s wait for others in vain\n",
                   kernel.name);
      lost = true;
    }
  }});
  return success;
}

DRIVER cuGetErrorName(Result code, const char **name) {
  *name = code == success           ? "CUDA_SUCCESS"
          : code == out_of_memory   ? "CUDA_ERROR_OUT_OF_MEMORY"
          : code == no_device       ? "CUDA_ERROR_NO_DEVICE"
          : code == unavailable     ? "CUDA_ERROR_DEVICE_UNAVAILABLE"
          : code == launch_failed   ? "CUDA_ERROR_LAUNCH_FAILED"
          : code == not_found       ? "CUDA_ERROR_NOT_FOUND"
          : code == invalid_context ? "CUDA_ERROR_INVALID_CONTEXT"
          : code == invalid_handle  ? "CUDA_ERROR_INVALID_HANDLE"
                                    : "CUDA_ERROR_INVALID_VALUE";
  return success;
}
