#include "queue.h"

#include <set>

namespace emulation {

std::recursive_mutex lock;
thread_local Context *bound;

namespace {
std::set<const Context *> contexts;
std::set<Stream *> streams;
unsigned long long last_id;
} // namespace

// Contexts and streams are never freed: a handle that is used too late is told
// from one that was given anew.
Context *new_context(int device) {
  auto *context = new Context{++last_id, device, nullptr};
  contexts.insert(context);
  context->own = new_stream(context);
  return context;
}

bool is_context(const Context *context) { return contexts.count(context) > 0; }

void end_context(Context *context) {
  finish_all(context);
  const auto all = streams;
  for (Stream *stream : all)
    if (stream->context == context)
      streams.erase(stream);
  contexts.erase(context);
}

Stream *new_stream(Context *context) {
  auto *stream = new Stream{context, {}, 0};
  streams.insert(stream);
  return stream;
}

void end_stream(Stream *stream) {
  finish(stream);
  streams.erase(stream);
}

Stream *stream_of(void *handle) {
  if (!is_context(bound))
    return nullptr;
  if (!handle)
    return bound->own;
  auto *stream = static_cast<Stream *>(handle);
  return streams.count(stream) && stream->context == bound ? stream : nullptr;
}

void finish(Stream *stream, const bool *done) {
  while (!stream->work.empty() && !(done && *done)) {
    Work next = std::move(stream->work.front());
    stream->work.pop_front();
    next.run();
  }
}

void finish_all(Context *context) {
  const auto all = streams;
  for (Stream *stream : all)
    if (stream->context == context)
      finish(stream);
}

bool is_awaited(std::uintptr_t host, std::size_t bytes) {
  for (const Stream *stream : streams)
    for (const Work &work : stream->work)
      if (work.bytes && work.host < host + bytes &&
          host < work.host + work.bytes)
        return true;
  return false;
}

} // namespace emulation
