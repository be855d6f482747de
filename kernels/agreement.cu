// Position-locked attention over a plate's times: for each frame that a region
// could play from, how badly it agrees with what plays there, place by place;
// src/engine/plate/asides.rs. Whole numbers.
//
// Reads 16 bytes of features for each cell, moment and landing, twice: of l
// landings, c cells and m moments 32 l c m bytes, mostly from the cache, and 24
// operations each. Its check alone: longtake-kernels-check agreement

#include "reduce.cuh"

struct Agreement {
  const short *motion; // [frames, cells, 8]
  const u32 *sources;  // [moments, cells]: the frame that plays there
  const u32 *weight;   // [cells]
  long long *out;      // [landings]
  u32 frames, cells, moments, cap;
  long long total; // of the weights, at least 1
};

struct alignas(16) Features {
  short v[8];
};

KERNEL void agreement(Agreement a) {
  __shared__ long long sums[32];
  const u32 landing = blockIdx.x;
  const Features *motion = (const Features *)a.motion;
  long long sum = 0;
  for (u32 c = threadIdx.x; c < a.cells; c += blockDim.x) {
    const u32 weight = a.weight[c];
    if (!weight)
      continue;
    int least = 0x7fffffff;
    long long all = 0;
    for (u32 i = 0; i < a.moments; ++i) {
      const u32 frame = min(landing + 2 * i, a.frames - 1);
      const Features own =
          motion[(u64)a.sources[i * a.cells + c] * a.cells + c];
      const Features other = motion[(u64)frame * a.cells + c];
      int e = 0;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const int d = (int)own.v[k] - (int)other.v[k];
        e += d * d;
      }
      e = min(e, (int)a.cap);
      least = min(least, e);
      all += e;
    }
    const long long mean = all / (long long)(a.moments ? a.moments : 1);
    sum += (long long)weight * (least + 4 * mean) / 5;
  }
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0)
    a.out[landing] = sum / a.total;
}
