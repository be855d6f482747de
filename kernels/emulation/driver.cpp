// The calls of the CUDA driver that Longtake makes, answered on the CPU. Memory
// is the CPU's, streams do at once what they are given, and faults are made on
// demand, by environment variables:
//
//   LONGTAKE_EMULATION_VERSION=12040   the version that the driver tells
//   LONGTAKE_EMULATION_DEVICES=0       the number of devices
//   LONGTAKE_EMULATION_MEMORY=1000000  bytes of device memory
//   LONGTAKE_EMULATION_TAKEN=1         another process has the device to itself
//   LONGTAKE_EMULATION_LOST_AFTER=3    launches before the device is lost
//
// Device memory begins as not-a-number and has guards on both sides, which are
// looked at when it is freed: a write beside it aborts.

#include "grid.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

namespace {

using Result = int;
constexpr Result success = 0, invalid_value = 1, out_of_memory = 2,
                 no_device = 100, unavailable = 46, not_found = 500,
                 launch_failed = 719, invalid_handle = 400;

std::recursive_mutex lock;
std::map<std::uintptr_t, std::size_t> blocks;
std::size_t in_use;
long launches;
bool lost;

constexpr std::size_t guard = 256;

long setting(const char *name, long otherwise) {
  const char *text = std::getenv(name);
  return text && *text ? std::atol(text) : otherwise;
}

std::size_t total() {
  return (std::size_t)setting("LONGTAKE_EMULATION_MEMORY", 4L << 30);
}

Result here() { return lost ? launch_failed : success; }

void check_guard(const unsigned char *at, const char *side) {
  for (std::size_t i = 0; i < guard; ++i)
    if (at[i] != 0xA5) {
      std::fprintf(stderr, "emulation: a kernel wrote %s of its memory\n",
                   side);
      std::abort();
    }
}

Result allocate(std::uintptr_t *out, std::size_t bytes) {
  std::lock_guard<std::recursive_mutex> held(lock);
  if (lost)
    return launch_failed;
  if (bytes == 0)
    return invalid_value;
  if (in_use + bytes > total())
    return out_of_memory;
  const std::size_t rounded = (bytes + 255) / 256 * 256;
  auto *memory = (unsigned char *)std::aligned_alloc(256, rounded + 2 * guard);
  if (!memory)
    return out_of_memory;
  std::memset(memory, 0xA5, rounded + 2 * guard);
  std::memset(memory + guard, 0xff, bytes);
  *out = (std::uintptr_t)(memory + guard);
  blocks[*out] = bytes;
  in_use += bytes;
  return success;
}

Result release(std::uintptr_t address) {
  std::lock_guard<std::recursive_mutex> held(lock);
  const auto found = blocks.find(address);
  if (found == blocks.end())
    return invalid_value;
  auto *memory = (unsigned char *)address;
  check_guard(memory - guard, "in front");
  check_guard(memory + found->second, "behind the end");
  in_use -= found->second;
  blocks.erase(found);
  std::free(memory - guard);
  return success;
}

// Whether `bytes` from `address` lie in device memory.
bool inside(std::uintptr_t address, std::size_t bytes) {
  auto next = blocks.upper_bound(address);
  if (next == blocks.begin())
    return false;
  --next;
  return address + bytes <= next->first + next->second;
}

Result copy(void *to, const void *from, std::size_t bytes, std::uintptr_t first,
            std::uintptr_t second) {
  std::lock_guard<std::recursive_mutex> held(lock);
  if (lost)
    return launch_failed;
  if ((first && !inside(first, bytes)) || (second && !inside(second, bytes)))
    return invalid_value;
  std::memcpy(to, from, bytes);
  return success;
}

int stream_memory, event_memory, context_memory, module_memory;
void *bound;

} // namespace

#define DRIVER extern "C" __attribute__((visibility("default"))) Result

// Tells our driver layer that this is no GPU.
extern "C" {
__attribute__((visibility("default"))) int longtake_emulation = 1;
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
  *value = attribute == 75 ? 9 : attribute == 115 ? 1 : attribute == 16 ? 4 : 0;
  return success;
}
DRIVER cuDeviceTotalMem_v2(std::size_t *bytes, int) {
  *bytes = total();
  return success;
}
DRIVER cuDevicePrimaryCtxRetain(void **context, int) {
  if (setting("LONGTAKE_EMULATION_TAKEN", 0))
    return unavailable;
  *context = &context_memory;
  return success;
}
DRIVER cuDevicePrimaryCtxRelease_v2(int) { return success; }
DRIVER cuCtxSetCurrent(void *context) {
  bound = context;
  return success;
}
DRIVER cuCtxGetCurrent(void **context) {
  *context = bound;
  return success;
}
DRIVER cuMemGetInfo_v2(std::size_t *left, std::size_t *all) {
  std::lock_guard<std::recursive_mutex> held(lock);
  *all = total();
  *left = in_use < *all ? *all - in_use : 0;
  return here();
}
DRIVER cuStreamCreate(void **stream, unsigned) {
  *stream = &stream_memory;
  return here();
}
DRIVER cuStreamDestroy_v2(void *) { return success; }
DRIVER cuStreamSynchronize(void *) { return here(); }
DRIVER cuStreamWaitEvent(void *, void *, unsigned) { return here(); }
DRIVER cuMemAllocAsync(std::uintptr_t *out, std::size_t bytes, void *) {
  return allocate(out, bytes);
}
DRIVER cuMemFreeAsync(std::uintptr_t address, void *) {
  return release(address);
}
DRIVER cuMemAlloc_v2(std::uintptr_t *out, std::size_t bytes) {
  return allocate(out, bytes);
}
DRIVER cuMemFree_v2(std::uintptr_t address) { return release(address); }
DRIVER cuMemAllocHost_v2(void **out, std::size_t bytes) {
  *out = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  return *out ? success : out_of_memory;
}
DRIVER cuMemFreeHost(void *memory) {
  std::free(memory);
  return success;
}
DRIVER cuMemcpyHtoDAsync_v2(std::uintptr_t to, const void *from,
                            std::size_t bytes, void *) {
  return copy((void *)to, from, bytes, to, 0);
}
DRIVER cuMemcpyDtoHAsync_v2(void *to, std::uintptr_t from, std::size_t bytes,
                            void *) {
  return copy(to, (const void *)from, bytes, from, 0);
}
DRIVER cuMemcpyDtoDAsync_v2(std::uintptr_t to, std::uintptr_t from,
                            std::size_t bytes, void *) {
  return copy((void *)to, (const void *)from, bytes, to, from);
}
DRIVER cuMemsetD8Async(std::uintptr_t to, unsigned char value,
                       std::size_t bytes, void *) {
  std::lock_guard<std::recursive_mutex> held(lock);
  if (!inside(to, bytes))
    return invalid_value;
  std::memset((void *)to, value, bytes);
  return here();
}
DRIVER cuModuleLoadData(void **module, const void *) {
  *module = &module_memory;
  return here();
}
DRIVER cuModuleUnload(void *) { return success; }
DRIVER cuModuleGetFunction(void **function, void *, const char *name) {
  for (unsigned i = 0; i < emulation::kernel_count; ++i)
    if (!std::strcmp(emulation::kernels[i].name, name)) {
      *function = (void *)&emulation::kernels[i];
      return here();
    }
  return not_found;
}
DRIVER cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz,
                      unsigned bx, unsigned by, unsigned bz, unsigned, void *,
                      void **arguments, void **) {
  std::lock_guard<std::recursive_mutex> held(lock);
  if (lost)
    return launch_failed;
  if (!function)
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
  const auto &kernel = *static_cast<const emulation::Kernel *>(function);
  if (!emulation::run(kernel, uint3{gx, gy, gz}, uint3{bx, by, bz},
                      arguments)) {
    std::fprintf(stderr, "emulation: threads of %s wait for others in vain\n",
                 kernel.name);
    lost = true;
  }
  return success;
}
DRIVER cuEventCreate(void **event, unsigned) {
  *event = &event_memory;
  return here();
}
DRIVER cuEventRecord(void *, void *) { return here(); }
DRIVER cuEventSynchronize(void *) { return here(); }
DRIVER cuEventElapsedTime_v2(float *ms, void *, void *) {
  *ms = 0;
  return here();
}
DRIVER cuEventDestroy_v2(void *) { return success; }
DRIVER cuGetErrorName(Result code, const char **name) {
  *name = code == success         ? "CUDA_SUCCESS"
          : code == out_of_memory ? "CUDA_ERROR_OUT_OF_MEMORY"
          : code == no_device     ? "CUDA_ERROR_NO_DEVICE"
          : code == unavailable   ? "CUDA_ERROR_DEVICE_UNAVAILABLE"
          : code == launch_failed ? "CUDA_ERROR_LAUNCH_FAILED"
          : code == not_found     ? "CUDA_ERROR_NOT_FOUND"
                                  : "CUDA_ERROR_INVALID_VALUE";
  return success;
}
