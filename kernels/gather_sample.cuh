// Pixels of the gather, read whole or between their places.

#pragma once

#include "gather_tables.cuh"

// A position split into a pixel and how far behind it, the pixel kept near the
// picture.
static __device__ __forceinline__ int split(int x, float d, int n,
                                            float *part) {
  int whole = (int)d;
  whole -= d < (float)whole;
  *part = d - (float)whole;
  const long long at = (long long)x + whole;
  return at < -2 ? -2 : at > n + 1 ? n + 1 : (int)at;
}

// `N` channels of a pixel.
template <int N> struct Pixel { float v[N]; };

// `N` channels from `from` on; `all` where a pixel has no others.
template <int N>
static __device__ __forceinline__ Pixel<N> read(const float *from, bool all) {
  Pixel<N> p;
  if (N == 4 && all) {
    const float4 v = *(const float4 *)from;
    p.v[0] = v.x;
    p.v[1 % N] = v.y;
    p.v[2 % N] = v.z;
    p.v[3 % N] = v.w;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      p.v[i] = from[i];
  }
  return p;
}

template <int N>
static __device__ __forceinline__ void write(float *to, bool all,
                                             const Pixel<N> &p) {
  if (N == 4 && all) {
    *(float4 *)to = float4{p.v[0], p.v[1 % N], p.v[2 % N], p.v[3 % N]};
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      to[i] = p.v[i];
  }
}

// Channel `c` and on of row `y`.
static __device__ __forceinline__ const float *
row(const Gather &a, const float *picture, int y, int c) {
  return picture + (u64)y * a.width * a.channels + c;
}

// The sixteen pixels around a position.
struct Around {
  const float *picture;
  int x, y; // of the second of each four
};

// The rows from and on that `around` lies in, `j` of 0 to 3; so the columns.
static __device__ __forceinline__ const float *
row_of(const Gather &a, const Around &around, int j, int c) {
  return row(a, around.picture, clamped(around.y - 1 + j, 0, a.height - 1), c);
}
static __device__ __forceinline__ u32 column_of(const Gather &a,
                                                const Around &around, int k) {
  return (u32)clamped(around.x - 1 + k, 0, a.width - 1) * a.channels;
}

// The first zero of the sixteen: its sign is the one that counts.
static __device__ __noinline__ float first_zero(const Gather &a, Around around,
                                                int c) {
  for (int j = 0; j < 4; ++j)
    for (int k = 0; k < 4; ++k) {
      const float v = row_of(a, around, j, c)[column_of(a, around, k)];
      if (v == 0.0f)
        return v;
    }
  return 0.0f;
}

// What sixteen pixels come to.
template <int N> struct Taps { Pixel<N> sum, low, high; };

// Of the rows and columns that they lie in; `INSIDE` where the columns lie side
// by side, so that one address serves a row.
template <int N, bool ALL, bool INSIDE>
static __device__ __forceinline__ Taps<N>
taps(const float *const *rows, const u32 *columns, const Cubic &wx,
     const Cubic &wy) {
  Taps<N> t;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    t.sum.v[i] = 0.0f;
    t.low.v[i] = 3.402823466e38f;
    t.high.v[i] = -3.402823466e38f;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    Pixel<N> line;
#pragma unroll
    for (int i = 0; i < N; ++i)
      line.v[i] = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Pixel<N> v = read<N>(
          INSIDE ? rows[j] + columns[0] + k * N : rows[j] + columns[k], ALL);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        line.v[i] = line.v[i] + wx.w[k] * v.v[i];
        // One instruction each; what is no number is passed over, too.
        t.low.v[i] = fminf(t.low.v[i], v.v[i]);
        t.high.v[i] = fmaxf(t.high.v[i], v.v[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i)
      t.sum.v[i] = t.sum.v[i] + wy.w[j] * line.v[i];
  }
  return t;
}

// A picture between its pixels, kept within the sixteen that it is made from.
template <int N, bool ALL>
static __device__ __forceinline__ Pixel<N>
sample(const Gather &a, const float *picture, int x, int y, float2 d, int c) {
  float px, py;
  const int ix = split(x, d.x, a.width, &px), iy = split(y, d.y, a.height, &py);
  const Cubic wx = cubic(px), wy = cubic(py);
  const Around around = {picture, ix, iy};
  const float *rows[4];
  u32 columns[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    rows[k] = row_of(a, around, k, c);
    columns[k] = column_of(a, around, k);
  }
  const bool inside = ix >= 1 && ix + 2 < a.width;
  const Taps<N> t = ALL && inside ? taps<N, ALL, ALL>(rows, columns, wx, wy)
                                  : taps<N, ALL, false>(rows, columns, wx, wy);
  Pixel<N> sum = t.sum;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float v = sum.v[i];
    if (!finite(v)) {
      const int right = clamped(ix + (px >= 0.5f), 0, a.width - 1),
                down = clamped(iy + (py >= 0.5f), 0, a.height - 1);
      sum.v[i] = row(a, picture, down, c)[(u32)right * a.channels + i];
    } else {
      const float held = v < t.low.v[i]    ? t.low.v[i]
                         : v > t.high.v[i] ? t.high.v[i]
                                           : v;
      sum.v[i] =
          held == 0.0f && v != 0.0f ? first_zero(a, around, c + i) : held;
    }
  }
  return sum;
}

// Value `c` of a few, which lie in registers.
template <int N>
static __device__ __forceinline__ float at(const Pixel<N> &p, int c) {
  float v = 0.0f;
#pragma unroll
  for (int i = 0; i < N; ++i)
    v = i == c ? p.v[i] : v;
  return v;
}
