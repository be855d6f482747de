// What joins two parts of a transformer block: the branch added to the trunk
// through its gate, then the trunk's layer norm, scaled and shifted by the
// block's modulation.
//   trunk' = x + branch * gate;  out = (trunk' - mean) / sqrt(variance + eps) *
//   scale + shift
//
// Reads x and the branch and writes the trunk and what the next part reads:
// each once from memory, 8 bytes a number in bf16 and 16 in f32; by parts, five
// passes would move 20 and 40. Bound by memory. Sums are of f32 in another
// order than the twin's: within 1e-5 of it in f32. Its check alone:
// longtake-kernels-check modulate

#include "number.cuh"
#include "reduce.cuh"

struct Modulate {
  const void *x;              // [rows, channels]
  const void *branch;         // null for none
  const float *gate;          // [channels]
  const float *scale, *shift; // [channels], or [rows, channels] where `by_row`
  void *trunk;                // null where there is no branch
  void *out;
  u32 channels, by_row;
  float eps;
};

template <class T>
static __device__ __forceinline__ void run(const Modulate &a) {
  __shared__ float sums[32];
  const u64 row = blockIdx.x, first = row * a.channels;
  const T *x = (const T *)a.x + first;
  const T *branch = (const T *)a.branch + first;
  T *trunk = (T *)a.trunk + first, *out = (T *)a.out + first;
  // The joined trunk, as it is stored.
  float sum = 0.0f;
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x) {
    float v = widen(x[c]);
    if (a.branch) {
      T stored;
      narrow(&stored, v + widen(branch[c]) * a.gate[c]);
      trunk[c] = stored;
      v = widen(stored);
    }
    sum += v;
  }
  const float mean = block_sum(sum, sums) / (float)a.channels;
  // Each thread reads again what it wrote itself.
  const T *joined = a.branch ? trunk : x;
  float squares = 0.0f;
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x) {
    const float v = widen(joined[c]) - mean;
    squares += v * v;
  }
  const float variance = block_sum(squares, sums) / (float)a.channels;
  const float by = 1.0f / sqrtf(variance + a.eps);
  const float *scale = a.scale + (a.by_row ? first : 0),
              *shift = a.shift + (a.by_row ? first : 0);
  for (u32 c = threadIdx.x; c < a.channels; c += blockDim.x)
    narrow(out + c, (widen(joined[c]) - mean) * by * scale[c] + shift[c]);
}

KERNEL void modulate_f32(Modulate a) { run<float>(a); }
KERNEL void modulate_f16(Modulate a) { run<Half>(a); }
KERNEL void modulate_bf16(Modulate a) { run<Brain>(a); }
