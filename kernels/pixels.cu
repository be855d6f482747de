// What a VAE's last convolution gave as pixels: a bias is added, squares of
// pixels that are channels of a position are laid out, and each number is held
// to -1 to 1.
//
// Reads and writes each number once: 8 channels of bf16 to 3 of f32 are 28
// bytes a pixel. Bound by memory. The same bits as the twin. Its check alone:
// longtake-kernels-check pixels

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

KERNEL void pixels_f32(Pixels a) { run<float>(a); }
KERNEL void pixels_f16(Pixels a) { run<Half>(a); }
KERNEL void pixels_bf16(Pixels a) { run<Brain>(a); }
