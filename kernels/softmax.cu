// The softmax of each row of scores, as weights in the precision of what they
// weigh: exp(x - max) / sum, over the first `valid` numbers of a row; zeros
// behind them.
//
// Reads each score three times, twice of them from the cache, and writes a
// weight once: 6 bytes a score in bf16. Bound by memory. Sums are of f32 in
// another order than the twin's: within 4e-6 of it in f32. Its check alone:
// longtake-kernels-check softmax

#include "number.cuh"
#include "reduce.cuh"

struct Softmax {
  const float *x; // [rows, width]
  void *out;
  u32 width, valid;
};

static __device__ __forceinline__ float power(float v) {
#ifdef LONGTAKE_EMULATION
  return expf(v);
#else
  return __expf(v);
#endif
}

template <class T>
static __device__ __forceinline__ void run(const Softmax &a) {
  __shared__ float shared[32];
  const float *x = a.x + (u64)blockIdx.x * a.width;
  T *out = (T *)a.out + (u64)blockIdx.x * a.width;
  float most = -3.0e38f;
  for (u32 i = threadIdx.x; i < a.valid; i += blockDim.x)
    most = fmaxf(most, x[i]);
  most = block_max(most, shared);
  float sum = 0.0f;
  for (u32 i = threadIdx.x; i < a.valid; i += blockDim.x)
    sum += power(x[i] - most);
  sum = block_sum(sum, shared);
  const float by = 1.0f / sum;
  for (u32 i = threadIdx.x; i < a.width; i += blockDim.x)
    narrow(out + i, i < a.valid ? power(x[i] - most) * by : 0.0f);
}

KERNEL void softmax_f32(Softmax a) { run<float>(a); }
KERNEL void softmax_f16(Softmax a) { run<Half>(a); }
KERNEL void softmax_bf16(Softmax a) { run<Brain>(a); }
