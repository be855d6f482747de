// CUDA images, as hosts such as Resolve hand them over: memory of the device,
// a stream, and no waiting for what a plug-in queued on it but at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "openfx.h"

namespace host {

enum class Cuda {
  off,
  primary, // in the context that all in a process share
  own,     // in a context of the host's own
  lie,     // says so, and hands over ordinary memory
};

// Host memory that copies go through, and as much memory of the device.
class DeviceMemory {
public:
  explicit DeviceMemory(size_t count);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory &) = delete;
  unsigned char *bytes() const { return bytes_; }
  uint64_t address() const { return address_; }

private:
  friend class CudaRender;
  unsigned char *bytes_ = nullptr;
  uint64_t address_ = 0;
  size_t count_;
};

// One render with images on the device, for the time of the action.
class CudaRender {
public:
  CudaRender();
  ~CudaRender();
  CudaRender(const CudaRender &) = delete;

  // Queues a copy to the device; the plug-in meets it on the stream.
  void upload(const std::shared_ptr<DeviceMemory> &memory);
  // When the work on the stream is over, `check` sees what the device holds.
  void later(const std::shared_ptr<DeviceMemory> &memory,
             std::function<void()> check);
  // The action is over: tells what a plug-in may not do, waits for the stream,
  // and has all looked at. False where the device is lost.
  bool settle();
  // What the arguments of the action say.
  void add_to(OFX::Host::Property::Set &arguments) const;
  // How often the plug-in waited for the stream.
  long waits() const { return waits_; }

private:
  struct Later {
    std::shared_ptr<DeviceMemory> memory;
    std::function<void()> check;
  };
  void *stream_ = nullptr;
  std::vector<Later> later_;
  std::vector<std::shared_ptr<DeviceMemory>> held_;
  long waits_ = 0, before_ = 0, device_before_ = 0;
  bool settled_ = false;
};

// Of the action that runs on this thread; null where images are ordinary.
extern thread_local CudaRender *cuda_render;

} // namespace host
