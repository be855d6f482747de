// What joins two parts of a transformer block: the branch added to the trunk
// through its gate, then the trunk's layer norm, scaled and shifted by the
// block's modulation.
//   trunk' = x + branch * gate;  out = (trunk' - mean) / sqrt(variance + eps) *
//   (scale + plus) + shift
// The trunk is f32, branch and out are of the model's precision. Gate, scale
// and shift are the same for all rows, or each row names the one that it has.
//
// A block has a row. Reads x and the branch and writes the trunk and what the
// next part reads, each once from memory, eight numbers at a time, and keeps
// the row in registers between: 12 bytes a number with branch and out of 16
// bits, 16 of 32; by parts, five passes would move 30 and 40. Bound by memory.
// Rows of other lengths, of more than 8192 channels or at other addresses go
// one number at a time and are read again (`_any`). Sums are of f32 in another
// order than the twin's: within 1e-5 of it in f32. Its check alone:
// longtake-kernels-check modulate

#include "number.cuh"
#include "reduce.cuh"

// A vector of channels for each row, of several.
struct Vectors {
  const float *values;
  const u32 *of; // [rows], which one a row has; null where all have the first
  u64 pitch;     // from one to the next
  u32 count;
};

struct Modulate {
  const float *x;     // [rows, channels]
  const void *branch; // null for none
  Vectors gate;       // no values for a gate of 1
  Vectors scale, shift;
  float *trunk; // null where there is no branch
  void *out;    // null where nothing is normed
  u32 channels;
  float plus, eps;
};

static __device__ __forceinline__ const float *of_row(const Vectors &v,
                                                      u64 row) {
  if (!v.of)
    return v.values;
  const u32 which = v.of[row];
  return v.values + (u64)(which < v.count ? which : v.count - 1) * v.pitch;
}

// A thread has up to K times eight channels.
template <class T, int K>
static __device__ __forceinline__ void run(const Modulate &a) {
  __shared__ float sums[32];
  const u64 row = blockIdx.x, first = row * a.channels;
  float held[K][8];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const u32 c = (threadIdx.x + k * blockDim.x) * 8;
    if (c < a.channels)
      read_eight(held[k], a.x + first + c);
  }
  if (a.branch) {
    const T *branch = (const T *)a.branch + first;
    const float *gate = a.gate.values ? of_row(a.gate, row) : nullptr;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const u32 c = (threadIdx.x + k * blockDim.x) * 8;
      if (c >= a.channels)
        continue;
      float joins[8];
      read_eight(joins, branch + c);
      if (gate) {
        float by[8];
        read_eight(by, gate + c);
#pragma unroll
        for (int i = 0; i < 8; ++i)
          joins[i] = joins[i] * by[i];
      }
#pragma unroll
      for (int i = 0; i < 8; ++i)
        held[k][i] = held[k][i] + joins[i];
      write_eight(a.trunk + first + c, held[k]);
    }
  }
  if (!a.out)
    return;
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < K; ++k)
    if ((threadIdx.x + k * blockDim.x) * 8 < a.channels)
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sum += held[k][i];
  const float mean = block_sum(sum, sums) / (float)a.channels;
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < K; ++k)
    if ((threadIdx.x + k * blockDim.x) * 8 < a.channels)
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        held[k][i] -= mean;
        squares += held[k][i] * held[k][i];
      }
  const float variance = block_sum(squares, sums) / (float)a.channels;
  const float by = 1.0f / sqrtf(variance + a.eps);
  const float *scales = of_row(a.scale, row), *shifts = of_row(a.shift, row);
  T *out = (T *)a.out + first;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const u32 c = (threadIdx.x + k * blockDim.x) * 8;
    if (c >= a.channels)
      continue;
    float scale[8], shift[8];
    read_eight(scale, scales + c);
    read_eight(shift, shifts + c);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      held[k][i] = held[k][i] * by * (scale[i] + a.plus) + shift[i];
    write_eight(out + c, held[k]);
  }
}

template <class T>
static __device__ __forceinline__ void run_any(const Modulate &a) {
  __shared__ float sums[32];
  const u64 row = blockIdx.x, first = row * a.channels;
  const float *x = a.x + first;
  if (a.branch) {
    const T *branch = (const T *)a.branch + first;
    const float *gate = a.gate.values ? of_row(a.gate, row) : nullptr;
    float *trunk = a.trunk + first;
    for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x) {
      const float joins = widen(branch[c]);
      trunk[c] = x[c] + (gate ? joins * gate[c] : joins);
    }
    // Each thread reads again what it wrote itself.
    x = trunk;
  }
  if (!a.out)
    return;
  float sum = 0.0f;
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x)
    sum += x[c];
  const float mean = block_sum(sum, sums) / (float)a.channels;
  float squares = 0.0f;
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x)
    squares += (x[c] - mean) * (x[c] - mean);
  const float variance = block_sum(squares, sums) / (float)a.channels;
  const float by = 1.0f / sqrtf(variance + a.eps);
  const float *scale = of_row(a.scale, row), *shift = of_row(a.shift, row);
  T *out = (T *)a.out + first;
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x)
    narrow(out + c, (x[c] - mean) * by * (scale[c] + a.plus) + shift[c]);
}

KERNEL void modulate_f32(Modulate a) { run<float, 1>(a); }
KERNEL void modulate_f16(Modulate a) { run<Half, 1>(a); }
KERNEL void modulate_bf16(Modulate a) { run<Brain, 1>(a); }
KERNEL void modulate_wide_f32(Modulate a) { run<float, 4>(a); }
KERNEL void modulate_wide_f16(Modulate a) { run<Half, 4>(a); }
KERNEL void modulate_wide_bf16(Modulate a) { run<Brain, 4>(a); }
KERNEL void modulate_any_f32(Modulate a) { run_any<float>(a); }
KERNEL void modulate_any_f16(Modulate a) { run_any<Half>(a); }
KERNEL void modulate_any_bf16(Modulate a) { run_any<Brain>(a); }
