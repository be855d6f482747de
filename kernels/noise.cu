// Normal noise for a block of latents, [channels, frames, rows, columns], made
// in place: the bits of `sampler::noise` on the CPU.
//
// Writes 4 bytes a number and reads none. About 130 double-precision operations
// a number: on cards that do those slowly it is bound by them (a 4090 does 1
// for every 64 in single precision), on an H100 by memory. Once a generation.
// Its check alone: longtake-kernels-check noise

#include "philox.cuh"

struct Noise {
  float *out;
  u64 seed;
  int frame, row, column; // where the block begins in its sequence
  u32 channels, frames, rows, columns;
};

KERNEL void noise(Noise a) {
  const u64 plane = (u64)a.frames * a.rows * a.columns;
  const u64 place = thread_index();
  if (place >= plane)
    return;
  const u32 x = (u32)(place % a.columns), line = (u32)(place / a.columns);
  const u32 y = line % a.rows, t = line / a.rows;
  // One block of random words makes the numbers of two channels.
  const u32 pair = blockIdx.y;
  const Words counter = {
      {pair, (u32)a.frame + t, (u32)a.row + y, (u32)a.column + x}};
  const Words words = philox(counter, (u32)a.seed, (u32)(a.seed >> 32));
  float *out = a.out + 2 * pair * plane + place;
  out[0] = (float)normal(words.w[0], words.w[1]);
  if (2 * pair + 1 < a.channels)
    out[plane] = (float)normal(words.w[2], words.w[3]);
}
