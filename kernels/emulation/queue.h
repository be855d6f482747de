// Contexts, streams and events of the emulated driver. Work on a stream is done
// late: not when it is queued but when somebody waits for it, as a GPU that is
// busy does it. Who reads a result too soon, or uses memory again that a copy
// still needs, gets other numbers here too.

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace emulation {

struct Stream;

struct Context {
  unsigned long long id;
  int device;
  Stream *own; // the default stream
};

struct Event {
  Context *context;
  Stream *stream = nullptr;
  std::shared_ptr<bool> done;
};

// One thing to do, and the host memory that it reads or writes.
struct Work {
  std::function<void()> run;
  std::uintptr_t host = 0;
  std::size_t bytes = 0;
};

struct Stream {
  Context *context;
  std::deque<Work> work;
  long waits = 0; // how often somebody waited for it
};

// Held by every call of the driver.
extern std::recursive_mutex lock;
// Of this thread.
extern thread_local Context *bound;

Context *new_context(int device);
// Whether the context is one and was not destroyed.
bool is_context(const Context *context);
void end_context(Context *context);

Stream *new_stream(Context *context);
void end_stream(Stream *stream);
// The stream behind a handle, null where it is none of the bound context.
Stream *stream_of(void *handle);

// Does what is queued on a stream until `done`, or all of it.
void finish(Stream *stream, const bool *done = nullptr);
// Does what is queued on all streams of a context.
void finish_all(Context *context);
// Whether work is queued that reads or writes this host memory.
bool is_awaited(std::uintptr_t host, std::size_t bytes);

} // namespace emulation
