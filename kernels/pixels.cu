// What a VAE's last convolution gave as pixels: a bias is added, squares of
// pixels that are channels of a position are laid out, and each number is held
// to -1 to 1. And pixels as what its first convolution reads: the way back,
// with channels of zeros behind.
//
// Reads and writes each number once: 8 channels of bf16 to 3 of f32 are 28
// bytes a pixel, as is the way back. Bound by memory. The same bits as the
// twins. Its check alone: longtake-kernels-check pixels

#include "number.cuh"

struct Pixels {
  const void *x;     // [frames, height, width, channels]
  const float *bias; // [3 * patch * patch]
  float *out;        // [frames, height * patch, width * patch, 3]
  u32 pixels, channels;
  // Of what comes out.
  u32 height, width, patch;
};

template <class T> static __device__ __forceinline__ void run(const Pixels &a) {
  const u64 pixel = thread_index();
  if (pixel >= a.pixels)
    return;
  const u32 p = (u32)pixel;
  const u32 column = p % a.width, row = p / a.width % a.height,
            frame = p / a.width / a.height;
  const u64 line = (u64)frame * (a.height / a.patch) + row / a.patch;
  const u64 cell = line * (a.width / a.patch) + column / a.patch;
  const T *x = (const T *)a.x + cell * a.channels;
#pragma unroll
  for (u32 c = 0; c < 3; ++c) {
    const u32 at = (c * a.patch + column % a.patch) * a.patch + row % a.patch;
    const float v = widen(x[at]) + a.bias[at];
    a.out[pixel * 3 + c] = fminf(fmaxf(v, -1.0f), 1.0f);
  }
}

struct Channels {
  const float *x; // [frames, height, width, 3]
  void *out;      // [frames, height / patch, width / patch, channels]
  u32 positions, channels;
  u32 height, width, patch;
};

template <class T>
static __device__ __forceinline__ void turn(const Channels &a) {
  const u64 position = thread_index();
  if (position >= a.positions)
    return;
  const u32 p = (u32)position, wide = a.width / a.patch;
  const u32 tall = a.height / a.patch;
  const u32 column = p % wide, row = p / wide % tall, frame = p / wide / tall;
  T *out = (T *)a.out + position * a.channels;
  for (u32 i = 0; i < a.channels; ++i) {
    const u32 c = i / (a.patch * a.patch), across = i / a.patch % a.patch;
    const u64 line = (u64)frame * a.height + row * a.patch + i % a.patch;
    const u64 at = (line * a.width + column * a.patch + across) * 3 + c;
    narrow(out + i, c < 3 ? a.x[at] : 0.0f);
  }
}

KERNEL void channels_f32(Channels a) { turn<float>(a); }
KERNEL void channels_f16(Channels a) { turn<Half>(a); }
KERNEL void channels_bf16(Channels a) { turn<Brain>(a); }
KERNEL void pixels_f32(Pixels a) { run<float>(a); }
KERNEL void pixels_f16(Pixels a) { run<Half>(a); }
KERNEL void pixels_bf16(Pixels a) { run<Brain>(a); }
