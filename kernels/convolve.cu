// A convolution over frames, height and width of numbers that have the channels
// of a position side by side: the sum over a kernel's places and the channels.
// For a GPU whose libraries lack one, and for the emulation: it takes no tensor
// cores, so it is slower than what does.
//
// 2 * places * channels * outputs operations a position, in tiles of 64
// positions by 64 outputs; bound by arithmetic in f32. Sums are of f32 in
// another order than the twin's: within 1e-5 of it in f32. Its check alone:
// longtake-kernels-check convolve

#include "number.cuh"

struct Convolve {
  const void *x;      // [frames, height, width, channels]
  const void *weight; // [outputs, kernel frames, rows, columns, channels]
  void *y;            // [frames, height, width, outputs]
  u32 channels, outputs;
  u32 size[3], kernel[3], made[3], step[3];
  // Rows and columns of zeros in front; none of frames.
  u32 before[2];
};

#define TILE 64
#define DEEP 16

template <class T, class O>
static __device__ __forceinline__ void run(const Convolve &a) {
  __shared__ float xs[DEEP][TILE + 4], ws[DEEP][TILE + 4];
  const u32 thread = threadIdx.x; // 128
  const u32 positions = a.made[0] * a.made[1] * a.made[2];
  const u32 first = blockIdx.x * TILE, out = blockIdx.y * TILE;
  // Reads eight channels of a position and of an output.
  const u32 own = thread / 2, deep = thread % 2 * 8;
  const u32 p = first + own;
  const u32 column = p % a.made[2], row = p / a.made[2] % a.made[1],
            frame = p / (a.made[2] * a.made[1]);
  const u32 places = a.kernel[0] * a.kernel[1] * a.kernel[2];
  // Sums four positions by eight outputs.
  const u32 down = thread / 8 * 4, across = thread % 8 * 8;
  float sum[4][8];
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 8; ++j)
      sum[i][j] = 0.0f;
  for (u32 place = 0; place < places; ++place) {
    const u32 t = place / (a.kernel[1] * a.kernel[2]);
    const u32 r = place / a.kernel[2] % a.kernel[1], s = place % a.kernel[2];
    // Below 0 is far beyond the end.
    const u32 f = frame * a.step[0] + t;
    const u32 y = row * a.step[1] + r - a.before[0];
    const u32 z = column * a.step[2] + s - a.before[1];
    const bool there =
        p < positions && f < a.size[0] && y < a.size[1] && z < a.size[2];
    const T *x =
        (const T *)a.x +
        (there ? (((u64)f * a.size[1] + y) * a.size[2] + z) * a.channels : 0);
    const bool is = out + own < a.outputs;
    const T *w = (const T *)a.weight +
                 (is ? ((u64)(out + own) * places + place) * a.channels : 0);
    for (u32 c = 0; c < a.channels; c += DEEP) {
      for (u32 k = 0; k < 8; ++k) {
        const u32 at = c + deep + k;
        const bool within = at < a.channels;
        xs[deep + k][own] = there && within ? widen(x[at]) : 0.0f;
        ws[deep + k][own] = is && within ? widen(w[at]) : 0.0f;
      }
      __syncthreads();
      for (u32 k = 0; k < DEEP; ++k) {
        float v[4], u[8];
#pragma unroll
        for (int i = 0; i < 4; ++i)
          v[i] = xs[k][down + i];
#pragma unroll
        for (int j = 0; j < 8; ++j)
          u[j] = ws[k][across + j];
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 8; ++j)
            sum[i][j] = fmaf(v[i], u[j], sum[i][j]);
      }
      __syncthreads();
    }
  }
  O *made = (O *)a.y;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 8; ++j) {
      const u32 at = first + down + i, o = out + across + j;
      if (at < positions && o < a.outputs)
        narrow(made + (u64)at * a.outputs + o, sum[i][j]);
    }
}

KERNEL void convolve_f32(Convolve a) { run<float, float>(a); }
KERNEL void convolve_f16(Convolve a) { run<Half, Half>(a); }
KERNEL void convolve_bf16(Convolve a) { run<Brain, Brain>(a); }
// Sums as they are.
KERNEL void convolve_f16_wide(Convolve a) { run<Half, float>(a); }
KERNEL void convolve_bf16_wide(Convolve a) { run<Brain, float>(a); }
