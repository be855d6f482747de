// Runs a kernel: every block of a grid, every thread of a block.

#pragma once

#include "thread.h"

#include <utility>

namespace emulation {

// A kernel as the list of kernels has it.
struct Kernel {
  const char *name;
  // Calls it with arguments as the driver takes them, an address for each.
  void (*call)(void **arguments);
  // Whether its threads ever wait for each other.
  bool waits;
  // Bytes of its one argument.
  unsigned long size;
};

// The kernels, `count` of them; written when the emulation is built.
extern const Kernel kernels[];
extern const unsigned kernel_count;

// Runs `kernel`. False where some threads wait for others that never come.
bool run(const Kernel &kernel, uint3 grid, uint3 block, void **arguments);

template <class... A, std::size_t... I>
void call_with(void (*f)(A...), void **arguments, std::index_sequence<I...>) {
  f(*static_cast<std::remove_reference_t<A> *>(arguments[I])...);
}
template <auto F> struct Call;
template <class... A, void (*F)(A...)> struct Call<F> {
  static void with(void **arguments) {
    call_with(F, arguments, std::index_sequence_for<A...>{});
  }
  static constexpr unsigned long size = (sizeof(A) + ...);
};

} // namespace emulation
