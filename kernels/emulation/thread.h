// CUDA C++ as a C++ compiler for the CPU reads it: enough of it for the kernels
// of this folder. A block's threads are fibers that take turns on one thread of
// the CPU; see `grid.cpp`. This checks a kernel's arithmetic, indices, edges
// and barriers. It is no GPU: it knows neither warps that run at once nor weak
// memory.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __launch_bounds__(...)
// All shared memory lies together, so that it can be spoilt before each block.
#define __shared__ static __attribute__((section("longtake_shared")))

struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) short4 {
  short x, y, z, w;
};

namespace emulation {
// Of the thread whose turn it is.
extern uint3 thread, block, block_size, grid_size;
void block_barrier();
void warp_barrier();
// This thread's place in its warp.
unsigned lane();
// What `lane` of this warp has laid down; 8 bytes each.
void *slot(unsigned lane);

template <class T> T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= 8, "wider than a slot");
  std::memcpy(slot(lane()), &value, sizeof(T));
  warp_barrier();
  T found;
  std::memcpy(&found, slot(from), sizeof(T));
  warp_barrier();
  return found;
}

// Whether `own` is true of any lane; all of a warp take part.
inline bool any(bool own) {
  std::memcpy(slot(lane()), &own, sizeof own);
  warp_barrier();
  bool found = false;
  for (unsigned i = 0; i < 32; ++i)
    found = found || *static_cast<unsigned char *>(slot(i));
  warp_barrier();
  return found;
}
} // namespace emulation

#define threadIdx emulation::thread
#define blockIdx emulation::block
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

static inline void __syncthreads() { emulation::block_barrier(); }
static inline void __syncwarp(unsigned = 0xffffffffu) {
  emulation::warp_barrier();
}

template <class T> static inline T __shfl_xor_sync(unsigned, T v, int by) {
  return emulation::exchange(v, emulation::lane() ^ (unsigned)by);
}
template <class T>
static inline T __shfl_down_sync(unsigned, T v, unsigned by) {
  const unsigned lane = emulation::lane();
  return emulation::exchange(v, lane + by < 32 ? lane + by : lane);
}
template <class T> static inline T __shfl_sync(unsigned, T v, int from) {
  return emulation::exchange(v, (unsigned)from & 31);
}

static inline bool __any_sync(unsigned, bool own) {
  return emulation::any(own);
}

static inline unsigned __float_as_uint(float v) {
  unsigned bits;
  std::memcpy(&bits, &v, 4);
  return bits;
}
static inline float __uint_as_float(unsigned bits) {
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}
static inline long long __double_as_longlong(double v) {
  long long bits;
  std::memcpy(&bits, &v, 8);
  return bits;
}
static inline double __longlong_as_double(long long bits) {
  double v;
  std::memcpy(&v, &bits, 8);
  return v;
}

template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
template <class T> static inline T max(T a, T b) { return a < b ? b : a; }
static inline float rsqrt_exact(float v) { return 1.0f / std::sqrt(v); }
using std::sqrt;
