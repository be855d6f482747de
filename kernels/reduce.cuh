// Sums over the threads of a block or of a few lanes, in an order that does not
// change.

#pragma once

#include "device.cuh"

// The sum over `lanes` neighbouring threads of a warp (a power of two, at most
// 32), given to each of them. All threads of the warp take part.
template <class T>
static __device__ __forceinline__ T lane_sum(T v, unsigned lanes) {
  for (unsigned by = lanes / 2; by; by /= 2)
    v += __shfl_xor_sync(0xffffffffu, v, by);
  return v;
}

// The sum over the block, given to every thread. `shared` has room for a value
// a warp; blocks are whole warps, at most 32.
template <class T> static __device__ T block_sum(T v, T *shared) {
  for (int by = 16; by; by /= 2)
    v += __shfl_xor_sync(0xffffffffu, v, by);
  const unsigned warp = threadIdx.x / 32, warps = blockDim.x / 32;
  // Nobody still reads the sums of the call before.
  __syncthreads();
  if (threadIdx.x % 32 == 0)
    shared[warp] = v;
  __syncthreads();
  T sum = shared[0];
  for (unsigned w = 1; w < warps; ++w)
    sum += shared[w];
  return sum;
}

// The largest over the block, likewise.
static __device__ float block_max(float v, float *shared) {
  for (int by = 16; by; by /= 2)
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, by));
  const unsigned warp = threadIdx.x / 32, warps = blockDim.x / 32;
  __syncthreads();
  if (threadIdx.x % 32 == 0)
    shared[warp] = v;
  __syncthreads();
  float most = shared[0];
  for (unsigned w = 1; w < warps; ++w)
    most = fmaxf(most, shared[w]);
  return most;
}
