// Kernels with a fault each, and what the emulation makes of them; `faults.rs`
// reads what is printed.

#include "device.cuh"
#include "emulation/grid.h"

#include <cstdio>

// Each thread hands its number to its neighbour in the next warp.
static void hand_on(u32 *out, bool barrier) {
  __shared__ u32 numbers[64];
  numbers[threadIdx.x] = threadIdx.x + 1;
  if (barrier)
    __syncthreads();
  out[threadIdx.x] = numbers[(threadIdx.x + 32) % 64];
}

KERNEL void sound(u32 *out) { hand_on(out, true); }
KERNEL void racing(u32 *out) { hand_on(out, false); }

// One thread goes another way and waits at another kind of barrier.
KERNEL void stuck(u32 *out) {
  if (threadIdx.x == 0)
    __syncwarp();
  else
    __syncthreads();
  out[threadIdx.x] = 0;
}

// Reads shared memory that nobody wrote.
KERNEL void unwritten(u32 *out) {
  __shared__ u32 numbers[64];
  out[threadIdx.x] = numbers[threadIdx.x];
  numbers[threadIdx.x] = threadIdx.x;
}

namespace emulation {
const Kernel kernels[] = {
    {"sound", Call<&sound>::with, true, sizeof(u32 *)},
    {"racing", Call<&racing>::with, true, sizeof(u32 *)},
    {"stuck", Call<&stuck>::with, true, sizeof(u32 *)},
    {"unwritten", Call<&unwritten>::with, true, sizeof(u32 *)}};
const unsigned kernel_count = 4;
} // namespace emulation

int main() {
  u32 out[64];
  u32 *address = out;
  void *arguments[] = {&address};
  for (const auto &kernel : emulation::kernels) {
    unsigned right = 0, ended = 0, spoilt = 0;
    for (int i = 0; i < 8; ++i) {
      ended +=
          emulation::run(kernel, uint3{1, 1, 1}, uint3{64, 1, 1}, arguments);
      bool all = true;
      for (u32 t = 0; t < 64; ++t)
        all = all && out[t] == (t + 32) % 64 + 1;
      right += all;
      spoilt += out[5] == 0xffffffffu;
    }
    std::printf("%s %u %u %u\n", kernel.name, ended, right, spoilt);
  }
}
