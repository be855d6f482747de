// RMS norm over the channels of each token, and rotary positions in the same
// pass: x / sqrt(mean(x^2) + eps) * weight, then neighbouring channels (a, b)
// of every head turned to (a cos - b sin, a sin + b cos) by the token's own
// angles.
//
// Reads and writes each number once from memory (it is read again from the
// cache): 4 bytes a number in bf16, 8 in f32, and the angles once for all
// heads. Bound by memory. Sums are of f32 in another order than the twin's:
// within 2e-6 of it in f32. Its check alone: longtake-kernels-check rms_norm

#include "number.cuh"
#include "reduce.cuh"

struct RmsNorm {
  const void *x; // [rows, channels]
  void *out;
  const float *weight;    // [channels]
  const float *cos, *sin; // [tokens, half]; null for none
  u32 channels, half, tokens;
  float eps;
};

template <class T>
static __device__ __forceinline__ void run(const RmsNorm &a) {
  __shared__ float sums[32];
  const u64 row = blockIdx.x;
  const T *x = (const T *)a.x + row * a.channels;
  T *out = (T *)a.out + row * a.channels;
  float sum = 0.0f;
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x) {
    const float v = widen(x[c]);
    sum += v * v;
  }
  sum = block_sum(sum, sums);
  const float by = 1.0f / sqrtf(sum / (float)a.channels + a.eps);
  if (!a.cos) {
    for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x)
      narrow(out + c, widen(x[c]) * by * a.weight[c]);
    return;
  }
  const u64 token = row % a.tokens;
  for (u32 p = threadIdx.x; p < a.channels / 2; p += blockDim.x) {
    const float c = a.cos[token * a.half + p % a.half],
                s = a.sin[token * a.half + p % a.half];
    const float v = widen(x[2 * p]) * by * a.weight[2 * p];
    const float w = widen(x[2 * p + 1]) * by * a.weight[2 * p + 1];
    narrow(out + 2 * p, v * c - w * s);
    narrow(out + 2 * p + 1, v * s + w * c);
  }
}

KERNEL void rms_norm_f32(RmsNorm a) { run<float>(a); }
KERNEL void rms_norm_f16(RmsNorm a) { run<Half>(a); }
KERNEL void rms_norm_bf16(RmsNorm a) { run<Brain>(a); }
