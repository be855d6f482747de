// Blocks run one after the other. The threads of a block are fibers: each runs
// until it waits at a barrier, then the next has its turn, in an order that
// changes from block to block, so that a kernel that lacks a barrier gives
// wrong numbers here too.

// Jumps go from stack to stack here, which the checked ones forbid.
#undef _FORTIFY_SOURCE

#include "grid.h"

#include <csetjmp>
#include <memory>
#include <type_traits>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif

// The bounds of all shared memory. Weak: there may be none.
extern "C" char __start_longtake_shared[] __attribute__((weak));
extern "C" char __stop_longtake_shared[] __attribute__((weak));

namespace emulation {

uint3 thread, block, block_size, grid_size;

namespace {

constexpr std::size_t stack_bytes = 64 << 10;

enum class State { ready, at_block, at_warp, done };

// Where a fiber, or the scheduler, goes on: `context` at first, `jump` once it
// has begun. To swap contexts asks the system for its signals at every turn,
// which takes most of the time.
struct Place {
  ucontext_t context;
  jmp_buf jump;
  bool begun;
};

struct Fiber {
  Place goes_on;
  std::unique_ptr<char[]> stack;
  State state;
  uint3 place;
};

std::vector<Fiber> fibers;
unsigned current;
std::vector<std::uint64_t> slots;
Place scheduler;
const Kernel *running;
void **given;
#if defined(__SANITIZE_ADDRESS__)
// The stack of the scheduler.
const void *home;
std::size_t home_bytes;
#endif

// A memory checker that runs this is told of a stack, else it takes a change of
// stacks for one stack that grows and shrinks.
void register_stack(const char *stack) {
#if __has_include(<valgrind/valgrind.h>)
  VALGRIND_STACK_REGISTER(stack, stack + stack_bytes);
#else
  (void)stack;
#endif
}

void swap_to(Place &from, Place &to, bool ends, const char *stack) {
#if defined(__SANITIZE_ADDRESS__)
  void *fake = nullptr;
  if (stack)
    __sanitizer_start_switch_fiber(&fake, stack, stack_bytes);
  else
    __sanitizer_start_switch_fiber(ends ? nullptr : &fake, home, home_bytes);
  if (ends)
    setcontext(&to.context);
  swapcontext(&from.context, &to.context);
  if (stack)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
  else
    __sanitizer_finish_switch_fiber(fake, &home, &home_bytes);
#else
  (void)stack;
  if (!ends) {
    from.begun = true;
    if (_setjmp(from.jump))
      return;
  }
  if (to.begun)
    _longjmp(to.jump, 1);
  setcontext(&to.context);
#endif
}

void wait(State at) {
  if (!running->waits)
    return;
  Fiber &own = fibers[current];
  own.state = at;
  swap_to(own.goes_on, scheduler, false, nullptr);
}

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  // The first entry ends the switch that `swap_to` of the scheduler began.
  __sanitizer_finish_switch_fiber(nullptr, &home, &home_bytes);
#endif
  running->call(given);
  Fiber &own = fibers[current];
  own.state = State::done;
  swap_to(own.goes_on, scheduler, true, nullptr);
}

// Lets those go on for whom all that are left of `first..end` wait at `at`.
bool release(unsigned first, unsigned end, State at) {
  bool any = false;
  for (unsigned i = first; i < end; ++i) {
    if (fibers[i].state == at)
      any = true;
    else if (fibers[i].state != State::done)
      return false;
  }
  for (unsigned i = first; any && i < end; ++i)
    if (fibers[i].state == at)
      fibers[i].state = State::ready;
  return any;
}

void turn(unsigned i) {
  current = i;
  thread = fibers[i].place;
  swap_to(scheduler, fibers[i].goes_on, false, fibers[i].stack.get());
}

uint3 place(unsigned i) {
  return uint3{i % block_size.x, i / block_size.x % block_size.y,
               i / (block_size.x * block_size.y)};
}

bool run_waiting(unsigned count, unsigned seed) {
  if (fibers.size() < count)
    fibers.resize(count);
  slots.assign(count + 32, 0);
  for (unsigned i = 0; i < count; ++i) {
    Fiber &f = fibers[i];
    if (!f.stack) {
      f.stack.reset(new char[stack_bytes]);
      register_stack(f.stack.get());
    }
    ucontext_t &context = f.goes_on.context;
    getcontext(&context);
    context.uc_stack.ss_sp = f.stack.get();
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    f.goes_on.begun = false;
    f.state = State::ready;
    f.place = place(i);
  }
  const unsigned warps = (count + 31) / 32;
  const bool ahead = seed & 2;
  for (;;) {
    bool moved = false, left = false;
    for (unsigned j = 0; j < warps; ++j) {
      // Forth or back, from somewhere between.
      const unsigned k = (j + seed * 5) % warps;
      const unsigned first = 32 * (seed & 1 ? warps - 1 - k : k);
      const unsigned end = min(first + 32, count);
      do
        for (unsigned l = first; l < end; ++l) {
          const unsigned i = seed & 4 ? first + end - 1 - l : l;
          if (fibers[i].state == State::ready) {
            turn(i);
            moved = true;
          }
        }
      while (release(first, end, State::at_warp) && ahead);
      for (unsigned i = first; i < end; ++i)
        left = left || fibers[i].state != State::done;
    }
    if (!left)
      return true;
    moved = release(0, count, State::at_block) || moved;
    if (!moved)
      return false;
  }
}

} // namespace

void block_barrier() { wait(State::at_block); }
void warp_barrier() { wait(State::at_warp); }
unsigned lane() { return current & 31; }
void *slot(unsigned lane) { return &slots[(current & ~31u) + lane]; }

bool run(const Kernel &kernel, uint3 grid, uint3 size, void **arguments) {
  running = &kernel;
  given = arguments;
  grid_size = grid;
  block_size = size;
  const unsigned count = size.x * size.y * size.z;
  static unsigned number;
  for (block.z = 0; block.z < grid.z; ++block.z)
    for (block.y = 0; block.y < grid.y; ++block.y)
      for (block.x = 0; block.x < grid.x; ++block.x, ++number) {
        if (__start_longtake_shared)
          std::memset(
              __start_longtake_shared, 0xff,
              (std::size_t)(__stop_longtake_shared - __start_longtake_shared));
        if (kernel.waits) {
          if (!run_waiting(count, number))
            return false;
          continue;
        }
        for (unsigned i = 0; i < count; ++i) {
          thread = place(i);
          kernel.call(arguments);
        }
      }
  return true;
}

} // namespace emulation
