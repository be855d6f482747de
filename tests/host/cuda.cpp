#include "cuda.h"

#include <dlfcn.h>
#include <stdexcept>

#include "names.h"
#include "profile.h"
#include "report.h"

namespace host {

thread_local CudaRender *cuda_render = nullptr;

namespace {

// The functions of the driver that a host calls.
struct Driver {
  int (*init)(unsigned);
  int (*primary)(void **, int);
  int (*create)(void **, unsigned, int);
  int (*set_current)(void *);
  int (*get_current)(void **);
  int (*alloc)(uint64_t *, size_t);
  int (*free)(uint64_t);
  int (*alloc_host)(void **, size_t);
  int (*free_host)(void *);
  int (*to_device)(uint64_t, const void *, size_t, void *);
  int (*to_host)(void *, uint64_t, size_t, void *);
  int (*stream)(void **, unsigned);
  int (*end_stream)(void *);
  int (*wait)(void *);
  // Of the emulation alone.
  long (*waits)(void *);
  void *context = nullptr;

  Driver() {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
      throw std::runtime_error("this host has CUDA images and no driver");
    auto find = [&](auto &function, const char *name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
          dlsym(library, name));
    };
    find(init, "cuInit");
    find(primary, "cuDevicePrimaryCtxRetain");
    find(create, "cuCtxCreate_v2");
    find(set_current, "cuCtxSetCurrent");
    find(get_current, "cuCtxGetCurrent");
    find(alloc, "cuMemAlloc_v2");
    find(free, "cuMemFree_v2");
    find(alloc_host, "cuMemAllocHost_v2");
    find(free_host, "cuMemFreeHost");
    find(to_device, "cuMemcpyHtoDAsync_v2");
    find(to_host, "cuMemcpyDtoHAsync_v2");
    find(stream, "cuStreamCreate");
    find(end_stream, "cuStreamDestroy_v2");
    find(wait, "cuStreamSynchronize");
    find(waits, "longtake_emulation_waits");
    check(init(0));
    if (profile.cuda == Cuda::own)
      check(create(&context, 0, 0));
    else
      check(primary(&context, 0));
    check(set_current(nullptr));
  }

  static void check(int code) {
    if (code != 0)
      throw std::runtime_error("the CUDA driver answered the host " +
                               std::to_string(code));
  }
};

Driver &driver() {
  static Driver the_driver;
  return the_driver;
}

void add(OFX::Host::Property::Set &set, const char *name,
         OFX::Host::Property::TypeEnum type) {
  OFX::Host::Property::PropSpec spec = {name, type, 1, true, "0"};
  set.createProperty(spec);
}

} // namespace

DeviceMemory::DeviceMemory(size_t count) : count_(count) {
  void *memory = nullptr;
  Driver::check(driver().alloc_host(&memory, count));
  bytes_ = static_cast<unsigned char *>(memory);
  if (driver().alloc(&address_, count) != 0)
    address_ = 0;
}

DeviceMemory::~DeviceMemory() {
  driver().set_current(driver().context);
  if (address_)
    driver().free(address_);
  driver().free_host(bytes_);
  driver().set_current(nullptr);
}

CudaRender::CudaRender() {
  Driver &d = driver();
  Driver::check(d.set_current(d.context));
  Driver::check(d.stream(&stream_, 1));
}

CudaRender::~CudaRender() {
  Driver &d = driver();
  settle();
  d.set_current(d.context);
  d.end_stream(stream_);
  later_.clear();
  held_.clear();
  d.set_current(nullptr);
}

void CudaRender::upload(const std::shared_ptr<DeviceMemory> &memory) {
  held_.push_back(memory);
  Driver &d = driver();
  if (held_.size() == 1 && d.waits) {
    before_ = d.waits(stream_);
    device_before_ = d.waits(nullptr);
  }
  // What a lost device refuses, it refuses the plug-in as well.
  if (memory->address_)
    d.to_device(memory->address_, memory->bytes_, memory->count_,
                profile.cuda_stream ? stream_ : nullptr);
  // A plug-in without a stream finds all done.
  if (!profile.cuda_stream)
    d.wait(nullptr);
}

void CudaRender::later(const std::shared_ptr<DeviceMemory> &memory,
                       std::function<void()> check) {
  later_.push_back(Later{memory, std::move(check)});
}

bool CudaRender::settle() {
  if (settled_)
    return true;
  settled_ = true;
  Driver &d = driver();
  void *current = nullptr;
  d.get_current(&current);
  if (current != d.context)
    fault("a render left another CUDA context on the thread");
  d.set_current(d.context);
  if (d.waits) {
    waits_ = d.waits(stream_) - before_;
    if (d.waits(nullptr) != device_before_)
      fault("a render waited for the whole device");
  }
  bool whole = true;
  for (const Later &later : later_) {
    DeviceMemory &m = *later.memory;
    whole &=
        m.address_ && d.to_host(m.bytes_, m.address_, m.count_, stream_) == 0;
  }
  whole &= d.wait(stream_) == 0;
  for (const Later &later : later_)
    if (whole)
      later.check();
  return whole;
}

void CudaRender::add_to(OFX::Host::Property::Set &arguments) const {
  add(arguments, kOfxImageEffectPropCudaEnabled, OFX::Host::Property::eInt);
  arguments.setIntProperty(kOfxImageEffectPropCudaEnabled, 1);
  if (!profile.cuda_stream)
    return;
  add(arguments, kOfxImageEffectPropCudaStream, OFX::Host::Property::ePointer);
  arguments.setPointerProperty(kOfxImageEffectPropCudaStream, stream_);
}

} // namespace host
