// The three precisions that tensors come in, read to and written from f32.
// Rounding is to the nearest, ties to even, as the crate `half` rounds.

#pragma once

#include "device.cuh"

#ifndef LONGTAKE_EMULATION
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

struct Half {
  u16 bits;
};
struct Brain {
  u16 bits;
};

static __device__ __forceinline__ float widen(float v) { return v; }

#ifdef LONGTAKE_EMULATION

static inline float widen(Half v) {
  const u32 sign = (u32)(v.bits & 0x8000) << 16;
  const u32 exponent = (v.bits >> 10) & 31, fraction = v.bits & 0x3ff;
  if (exponent == 31)
    return __uint_as_float(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) {
    const float small = (float)fraction * 5.9604644775390625e-8f;
    return sign ? -small : small;
  }
  return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}
static inline float widen(Brain v) {
  return __uint_as_float((u32)v.bits << 16);
}
static inline void narrow(Half *to, float v) {
  const u32 bits = __float_as_uint(v), sign = bits >> 16 & 0x8000;
  const u32 size = bits & 0x7fffffff;
  if (size > 0x7f800000) {
    to->bits = (u16)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
  } else if (size >= 0x477ff000) {
    to->bits = (u16)(sign | 0x7c00);
  } else if (size < 0x38800000) {
    // A multiple of 2^-24: the addition rounds.
    const float sum = __uint_as_float(size) + 0.5f;
    to->bits = (u16)(sign | (__float_as_uint(sum) - 0x3f000000));
  } else {
    const u32 odd = size >> 13 & 1;
    to->bits = (u16)(sign | (size - 0x38000000 + 0xfff + odd) >> 13);
  }
}
static inline void narrow(Brain *to, float v) {
  const u32 bits = __float_as_uint(v);
  if ((bits & 0x7fffffff) > 0x7f800000)
    to->bits = (u16)(bits >> 16 | 0x40);
  else
    to->bits = (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#else

static __device__ __forceinline__ float widen(Half v) {
  return __half2float(__ushort_as_half(v.bits));
}
static __device__ __forceinline__ float widen(Brain v) {
  return __uint_as_float((u32)v.bits << 16);
}
static __device__ __forceinline__ void narrow(Half *to, float v) {
  to->bits = __half_as_ushort(__float2half_rn(v));
}
static __device__ __forceinline__ void narrow(Brain *to, float v) {
  to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(v));
}

#endif

static __device__ __forceinline__ void narrow(float *to, float v) { *to = v; }

// Four numbers that lie side by side at an address that is a multiple of their
// size.
template <class T> struct alignas(4 * sizeof(T)) Four { T v[4]; };

// Eight numbers that lie side by side, in as few loads of 16 bytes as they
// take.
template <class T> struct alignas(16) Eight { T v[8]; };

// The eight at `from`, as f32.
template <class T>
static __device__ __forceinline__ void read_eight(float (&to)[8],
                                                  const T *from) {
  const Eight<T> all = *(const Eight<T> *)from;
#pragma unroll
  for (int i = 0; i < 8; ++i)
    to[i] = widen(all.v[i]);
}

template <class T>
static __device__ __forceinline__ void write_eight(T *to,
                                                   const float (&from)[8]) {
  Eight<T> all;
#pragma unroll
  for (int i = 0; i < 8; ++i)
    narrow(&all.v[i], from[i]);
  *(Eight<T> *)to = all;
}
