// Attention without the scores in memory: softmax(q k^T / sqrt(d)) v for each
// head, the softmax kept up to date while keys pass (Milakov and Gimelshein,
// Online normalizer calculation for softmax, 2018; Dao, FlashAttention-2,
// 2023). Products of 16 bits by the tensor cores, sums and softmax in f32;
// weights are rounded to 16 bits before they meet the values.
//
// A block has 128 queries of one head, a warp 32 of them; 32 keys and their
// values are in shared memory, the next keys on their way while the values are
// multiplied. 4 · n · m · d operations a head; n · d read and written once,
// m · d read n / 128 times, mostly from the second cache. Bound by the tensor
// cores, as far as mma.sync reaches them: on Hopper that is not all that they
// can. Its check alone: longtake-kernels-check attention

#include "matrix.cuh"

struct Attention {
  const u16 *q, *k, *v; // [batch, tokens, heads, d]
  u16 *out;             // [batch, queries, heads, d]
  // From one batch, and one token, to the next.
  u64 q_batch, q_token, k_batch, k_token, v_batch, v_token, out_batch,
      out_token;
  u32 queries, keys;
  float scale; // log2(e) / sqrt(d)
};

// Queries of a block, of which a warp has 32, and keys that it has at once.
enum { QUERIES = 128, KEYS = 32, THREADS = 128 };

// Where chunk `c` of row `r` lies: neighbouring rows begin in other banks.
template <int D> static __device__ __forceinline__ int at(int r, int c) {
  return r * (D / 8) + (c ^ (r & 7));
}

// Asks for `COUNT` rows of [rows, d] from `first` on; those behind `rows` are
// zeros.
template <int D, int COUNT>
static __device__ __forceinline__ void fetch(Chunk *to, const u16 *from,
                                             u64 stride, u32 first, u32 rows) {
#pragma unroll
  for (int i = 0; i < COUNT * (D / 8) / THREADS; ++i) {
    const int n = threadIdx.x + i * THREADS, r = n / (D / 8), c = n % (D / 8);
    const bool there = first + r < rows;
    const u16 *row = from + (there ? first + r : 0) * stride;
    copy_chunk(to + at<D>(r, c), row + c * 8, there);
  }
}

// The softmax of a thread's part of two rows, `score` [row half][keys], kept up
// to date: weights in place of scores, and what was found before is scaled.
template <int D>
static __device__ __forceinline__ void
weigh(float (&score)[KEYS / 8][4], float (&out)[D / 8][4], float (&most)[2],
      float (&sum)[2], float scale) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float top = most[r];
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
      top = fmaxf(top, fmaxf(score[n][2 * r], score[n][2 * r + 1]));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
    const float by = power_of_two((most[r] - top) * scale);
    const float base = top * scale;
    most[r] = top;
    float part = 0.0f;
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
      for (int i = 2 * r; i < 2 * r + 2; ++i) {
        score[n][i] = power_of_two(fmaf(score[n][i], scale, -base));
        part += score[n][i];
      }
    sum[r] = sum[r] * by + part;
#pragma unroll
    for (int d = 0; d < D / 8; ++d) {
      out[d][2 * r] *= by;
      out[d][2 * r + 1] *= by;
    }
  }
}

template <class T, int D>
static __device__ __forceinline__ void run(const Attention &a) {
  __shared__ Chunk queries[QUERIES * (D / 8)];
  __shared__ Chunk keys[KEYS * (D / 8)];
  __shared__ Chunk values[KEYS * (D / 8)];
  const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 32;
  const u32 first = blockIdx.x * QUERIES;
  const u64 head = (u64)blockIdx.y * D;
  const u16 *k = a.k + blockIdx.z * a.k_batch + head;
  const u16 *v = a.v + blockIdx.z * a.v_batch + head;
  fetch<D, QUERIES>(queries, a.q + blockIdx.z * a.q_batch + head, a.q_token,
                    first, a.queries);
  fetch<D, KEYS>(keys, k, a.k_token, 0, a.keys);
  end_of_copies();

  // Of rows lane / 4 and that + 8, for each half of the warp's queries.
  float out[2][D / 8][4], most[2][2], sum[2][2];
#pragma unroll
  for (int m = 0; m < 2; ++m) {
    most[m][0] = most[m][1] = -INFINITY;
    sum[m][0] = sum[m][1] = 0.0f;
#pragma unroll
    for (int d = 0; d < D / 8; ++d)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[m][d][i] = 0.0f;
  }

  for (u32 key = 0; key < a.keys; key += KEYS) {
    fetch<D, KEYS>(values, v, a.v_token, key, a.keys);
    end_of_copies();
    // The keys are there; the values may still be on their way.
    wait_for_copies<1>();
    __syncthreads();
    float score[2][KEYS / 8][4];
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          score[m][n][i] = 0.0f;
#pragma unroll
    for (int d = 0; d < D / 16; ++d) {
      u32 q[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m)
        load_four(q[m],
                  queries + at<D>(own + m * 16 + lane % 16, 2 * d + lane / 16));
#pragma unroll
      for (int n = 0; n < KEYS / 16; ++n) {
        u32 b[4];
        load_four(b, keys + at<D>(n * 16 + lane % 8 + lane / 16 * 8,
                                  2 * d + lane / 8 % 2));
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          multiply_add<T>(score[m][2 * n], q[m], b[0], b[1]);
          multiply_add<T>(score[m][2 * n + 1], q[m], b[2], b[3]);
        }
      }
    }
    // All have read the keys: the next may come.
    __syncthreads();
    if (key + KEYS < a.keys)
      fetch<D, KEYS>(keys, k, a.k_token, key + KEYS, a.keys);
    end_of_copies();

    if (a.keys - key < KEYS) {
#pragma unroll
      for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (key + n * 8 + lane % 4 * 2 + i % 2 >= a.keys)
            score[0][n][i] = score[1][n][i] = -INFINITY;
    }
#pragma unroll
    for (int m = 0; m < 2; ++m)
      weigh<D>(score[m], out[m], most[m], sum[m], a.scale);
    // The values are there; the keys may still be on their way.
    wait_for_copies<1>();
    __syncthreads();
#pragma unroll
    for (int n = 0; n < KEYS / 16; ++n) {
      u32 weights[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&of)[4] = score[m][2 * n + i / 2];
          weights[m][i] = pair_of<T>(of[i % 2 * 2], of[i % 2 * 2 + 1]);
        }
#pragma unroll
      for (int d = 0; d < D / 16; ++d) {
        u32 b[4];
        const int row = n * 16 + lane % 16;
        load_four_turned(b, values + at<D>(row, 2 * d + lane / 16));
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          multiply_add<T>(out[m][2 * d], weights[m], b[0], b[1]);
          multiply_add<T>(out[m][2 * d + 1], weights[m], b[2], b[3]);
        }
      }
    }
    // All have read the values.
    __syncthreads();
  }

  u16 *to = a.out + blockIdx.z * a.out_batch + head;
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float all = sum[m][r];
      all += __shfl_xor_sync(0xffffffffu, all, 1);
      all += __shfl_xor_sync(0xffffffffu, all, 2);
      const float by = 1.0f / all;
      const u32 row = first + own + m * 16 + lane / 4 + 8 * r;
      if (row >= a.queries)
        continue;
      u16 *line = to + row * a.out_token + lane % 4 * 2;
#pragma unroll
      for (int d = 0; d < D / 8; ++d)
        *(u32 *)(line + d * 8) =
            pair_of<T>(out[m][d][2 * r] * by, out[m][d][2 * r + 1] * by);
    }
}

KERNEL void __launch_bounds__(THREADS) attention_64_f16(Attention a) {
  run<Half, 64>(a);
}
KERNEL void __launch_bounds__(THREADS) attention_64_bf16(Attention a) {
  run<Brain, 64>(a);
}
KERNEL void __launch_bounds__(THREADS) attention_128_f16(Attention a) {
  run<Half, 128>(a);
}
KERNEL void __launch_bounds__(THREADS) attention_128_bf16(Attention a) {
  run<Brain, 128>(a);
}
