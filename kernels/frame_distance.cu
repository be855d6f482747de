// How well each plate frame could follow each other: for every pair of frames i
// and i + d the mean over cells of a fifth of the least and four fifths of the
// mean of the squared jumps in a window of frames; src/engine/plate/jumps.rs.
// Whole numbers.
//
// For n frames and c cells about 10 n^2 c operations on 16-bit numbers, each of
// which is read n / 2 times, mostly from the cache: bound by arithmetic. It is
// no matrix product, since the squared jump of each cell is capped before it is
// summed. Its check alone: longtake-kernels-check frame_distance

#include "device.cuh"

struct FrameDistance {
  const short *along; // [cells, 6, frames]: time runs along the inner loop
  u32 *out; // [frames - 1, frames]: by d - 1 and i; only pairs that have a
            // window
  u32 frames, cells, window;
  int cap; // of the squared jump of a cell
};

#define FRAMES_OF_BLOCK 256
#define CELLS_AT_ONCE 8

KERNEL void frame_distance(FrameDistance a) {
  __shared__ int jumps[CELLS_AT_ONCE][FRAMES_OF_BLOCK];
  __shared__ u64 totals[FRAMES_OF_BLOCK];
  const u32 d = blockIdx.y + 1, own = threadIdx.x;
  const u32 first = blockIdx.x * (FRAMES_OF_BLOCK - a.window);
  const u32 i = first + own;
  if (first + d + a.window >= a.frames)
    return; // all of the block
  const bool inside = i + d < a.frames;
  const bool starts =
      own + a.window < FRAMES_OF_BLOCK && i + d + a.window < a.frames;
  u64 least = 0, total = 0;
  for (u32 q = 0; q < a.cells; q += CELLS_AT_ONCE) {
    for (u32 b = 0; b < CELLS_AT_ONCE; ++b) {
      int sum = 0;
      if (inside && q + b < a.cells) {
        const short *line = a.along + (u64)(q + b) * 6 * a.frames + i;
#pragma unroll
        for (int k = 0; k < 6; ++k) {
          const int e = (int)line[0] - (int)line[d];
          sum += e * e;
          line += a.frames;
        }
        sum = sum < a.cap ? sum : a.cap;
        total += (u64)sum;
      }
      jumps[b][own] = sum;
    }
    __syncthreads();
    if (starts)
      for (u32 b = 0; b < CELLS_AT_ONCE && q + b < a.cells; ++b) {
        int low = jumps[b][own];
        for (u32 w = 1; w <= a.window; ++w)
          low = min(low, jumps[b][own + w]);
        least += (u64)low;
      }
    __syncthreads();
  }
  totals[own] = total;
  __syncthreads();
  if (!starts)
    return;
  u64 sum = 0;
  for (u32 w = 0; w <= a.window; ++w)
    sum += totals[own + w];
  const u64 mean = sum / (a.window + 1);
  a.out[(u64)(d - 1) * a.frames + i] =
      (u32)((least + 4 * mean) / (5 * (u64)a.cells));
}
