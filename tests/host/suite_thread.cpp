// The multi-thread suite: real threads, or the dummy that Resolve has, which
// runs all on the caller and whose mutexes are none.
#include "suites.h"

#include <mutex>
#include <thread>
#include <vector>

#include "openfx.h"

namespace host {
namespace {

thread_local bool spawned = false;
thread_local unsigned spawned_index = 0;

OfxStatus multi_thread(OfxThreadFunctionV1 function, unsigned count,
                       void *argument) {
  if (!function || spawned)
    return kOfxStatErrExists;
  if (count == 0)
    count = std::thread::hardware_concurrency();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([=] {
      spawned = true;
      spawned_index = i;
      function(i, count, argument);
    });
  }
  for (std::thread &thread : threads)
    thread.join();
  return kOfxStatOK;
}

OfxStatus cpu_count(unsigned *count) {
  *count = std::thread::hardware_concurrency();
  return kOfxStatOK;
}

OfxStatus index(unsigned *i) {
  *i = spawned_index;
  return kOfxStatOK;
}

int is_spawned() { return spawned; }

OfxStatus create(OfxMutexHandle *handle, int locks) {
  auto *mutex = new std::recursive_mutex;
  for (int i = 0; i < locks; ++i)
    mutex->lock();
  *handle = reinterpret_cast<OfxMutexHandle>(mutex);
  return kOfxStatOK;
}

std::recursive_mutex *mutex_of(OfxMutexHandle handle) {
  return reinterpret_cast<std::recursive_mutex *>(handle);
}

OfxStatus destroy(const OfxMutexHandle handle) {
  delete mutex_of(handle);
  return kOfxStatOK;
}

OfxStatus lock(const OfxMutexHandle handle) {
  mutex_of(handle)->lock();
  return kOfxStatOK;
}

OfxStatus unlock(const OfxMutexHandle handle) {
  mutex_of(handle)->unlock();
  return kOfxStatOK;
}

OfxStatus try_lock(const OfxMutexHandle handle) {
  return mutex_of(handle)->try_lock() ? kOfxStatOK : kOfxStatFailed;
}

OfxStatus dummy_thread(OfxThreadFunctionV1 function, unsigned, void *argument) {
  function(0, 1, argument);
  return kOfxStatOK;
}

OfxStatus dummy_count(unsigned *count) {
  *count = 1;
  return kOfxStatOK;
}

OfxStatus dummy_index(unsigned *i) {
  *i = 0;
  return kOfxStatOK;
}

int dummy_spawned() { return 0; }

OfxStatus dummy_create(OfxMutexHandle *handle, int) {
  *handle = nullptr;
  return kOfxStatOK;
}

OfxStatus dummy_mutex(const OfxMutexHandle) { return kOfxStatOK; }

const OfxMultiThreadSuiteV1 real_threads = {multi_thread, cpu_count, index,
                                            is_spawned,   create,    destroy,
                                            lock,         unlock,    try_lock};
const OfxMultiThreadSuiteV1 dummy_threads = {
    dummy_thread, dummy_count, dummy_index, dummy_spawned, dummy_create,
    dummy_mutex,  dummy_mutex, dummy_mutex, dummy_mutex};

} // namespace

const void *thread_suite(bool dummy) {
  return dummy ? &dummy_threads : &real_threads;
}

} // namespace host
