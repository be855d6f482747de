// What every kernel is written with. The same text is compiled by nvcc for a
// GPU and, through `emulation/thread.h`, by a C++ compiler for the CPU, where
// the checks run it without a GPU. Compiled with --fmad=false and with IEEE
// division and square root: a product and a sum are rounded one by one, as the
// CPU twins round them.

#pragma once

#ifdef LONGTAKE_EMULATION
#include "emulation/thread.h"
#endif

#define KERNEL extern "C" __global__

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// The number of this thread along x, wide enough for any buffer.
static __device__ __forceinline__ u64 thread_index() {
  return (u64)blockIdx.x * blockDim.x + threadIdx.x;
}
