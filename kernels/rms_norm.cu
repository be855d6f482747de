// RMS norm over the channels of each token, and rotary positions in the same
// pass: x / sqrt(mean(x^2) + eps) * weight, then neighbouring channels (a, b)
// of every head turned to (a cos - b sin, a sin + b cos) by the token's own
// angles.
//
// A block has a row. Reads and writes each number once from memory, eight at a
// time, and keeps the row in registers between: 4 bytes a number in bf16, 8 in
// f32, and the angles once for all heads. Bound by memory. Rows of other
// lengths, of more than 8192 channels or at other addresses are read twice,
// one number at a time (`_any`). Sums are of f32 in another order than the
// twin's: within 2e-6 of it in f32. Its check alone: longtake-kernels-check
// rms_norm

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

// A thread has up to K times eight channels.
template <class T, int K>
static __device__ __forceinline__ void run(const RmsNorm &a) {
  __shared__ float sums[32];
  const u64 row = blockIdx.x, first = row * a.channels;
  const T *x = (const T *)a.x + first;
  T *out = (T *)a.out + first;
  float held[K][8];
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const u32 c = (threadIdx.x + k * blockDim.x) * 8;
    if (c < a.channels) {
      read_eight(held[k], x + c);
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sum += held[k][i] * held[k][i];
    }
  }
  sum = block_sum(sum, sums);
  const float by = 1.0f / sqrtf(sum / (float)a.channels + a.eps);
  const u64 angles = row % a.tokens * a.half;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const u32 c = (threadIdx.x + k * blockDim.x) * 8;
    if (c >= a.channels)
      continue;
    float weight[8];
    read_eight(weight, a.weight + c);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      held[k][i] = held[k][i] * by * weight[i];
    if (a.cos) {
      // Half a head is a multiple of four.
      const u64 at = angles + c / 2 % a.half;
      const Four<float> cos = *(const Four<float> *)(a.cos + at),
                        sin = *(const Four<float> *)(a.sin + at);
#pragma unroll
      for (int p = 0; p < 4; ++p) {
        const float v = held[k][2 * p], w = held[k][2 * p + 1];
        held[k][2 * p] = v * cos.v[p] - w * sin.v[p];
        held[k][2 * p + 1] = v * sin.v[p] + w * cos.v[p];
      }
    }
    write_eight(out + c, held[k]);
  }
}

template <class T>
static __device__ __forceinline__ void run_any(const RmsNorm &a) {
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

KERNEL void rms_norm_f32(RmsNorm a) { run<float, 1>(a); }
KERNEL void rms_norm_f16(RmsNorm a) { run<Half, 1>(a); }
KERNEL void rms_norm_bf16(RmsNorm a) { run<Brain, 1>(a); }
KERNEL void rms_norm_wide_f32(RmsNorm a) { run<float, 4>(a); }
KERNEL void rms_norm_wide_f16(RmsNorm a) { run<Half, 4>(a); }
KERNEL void rms_norm_wide_bf16(RmsNorm a) { run<Brain, 4>(a); }
KERNEL void rms_norm_any_f32(RmsNorm a) { run_any<float>(a); }
KERNEL void rms_norm_any_f16(RmsNorm a) { run_any<Half>(a); }
KERNEL void rms_norm_any_bf16(RmsNorm a) { run_any<Brain>(a); }
