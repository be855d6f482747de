// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) and normal numbers from
// it, the bits of `Philox::normal` in src/sampler: the logarithm and the cosine
// are those of musl and FreeBSD's msun (the Rust crate libm), operation by
// operation.

#pragma once

#include "device.cuh"

struct Words {
  u32 w[4];
};

static __device__ __forceinline__ Words philox(Words c, u32 k0, u32 k1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const u64 p0 = (u64)0xD2511F53u * c.w[0], p1 = (u64)0xCD9E8D57u * c.w[2];
    c = Words{{(u32)(p1 >> 32) ^ c.w[1] ^ k0, (u32)p1,
               (u32)(p0 >> 32) ^ c.w[3] ^ k1, (u32)p0}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// The natural logarithm of `x`, a normal number above 0 and at most 1.
static __device__ double portable_log(double x) {
  const u64 bits = __double_as_longlong(x);
  u32 high = (u32)(bits >> 32);
  if (high == 0x3ff00000 && (u32)bits == 0)
    return 0;
  high += 0x3ff00000 - 0x3fe6a09e;
  const int k = (int)(high >> 20) - 0x3ff;
  high = (high & 0x000fffff) + 0x3fe6a09e;
  x = __longlong_as_double((u64)high << 32 | (bits & 0xffffffff));
  const double f = x - 1.0;
  const double hfsq = 0.5 * f * f;
  const double s = f / (2.0 + f);
  const double z = s * s, w = z * z;
  const double t1 =
      w * (3.999999999940941908e-01 +
           w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double t2 =
      z * (6.666666666666735130e-01 +
           w * (2.857142874366239149e-01 +
                w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  const double r = t2 + t1, dk = k;
  return s * (hfsq + r) + dk * 1.90821492927058770002e-10 - hfsq + f +
         dk * 6.93147180369123816490e-01;
}

static __device__ double cosine_part(double x, double y) {
  const double z = x * x, w = z * z;
  const double r =
      z * (4.16666666666666019037e-02 +
           z * (-1.38888888888741095749e-03 + z * 2.48015872894767294178e-05)) +
      w * w *
          (-2.75573143513906633035e-07 +
           z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11));
  const double hz = 0.5 * z, v = 1.0 - hz;
  return v + (((1.0 - v) - hz) + (z * r - x * y));
}

static __device__ double sine_part(double x, double y) {
  const double z = x * x, w = z * z;
  const double r =
      8.33333333332248946124e-03 +
      z * (-1.98412698298579493134e-04 + z * 2.75573137070700676789e-06) +
      z * w * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10);
  const double v = z * x;
  return x - ((z * (0.5 * y - v * r) - y) - v * -1.66666666666666324348e-01);
}

// The cosine of `x`, 0 to 2 pi.
static __device__ double portable_cos(double x) {
  const double part = 1.57079632673412561417e+00; // the first 33 bits of pi / 2
  const double tail = 6.07710050650619224932e-11;
  const u32 high = (u32)((u64)__double_as_longlong(x) >> 32);
  if (high <= 0x3fe921fb)
    return high < 0x3e46a09e ? 1.0 : cosine_part(x, 0.0);
  int n;
  double y0, y1;
  const bool near_quarter = high <= 0x400f6a7a
                                ? (high & 0xfffff) == 0x921fb
                                : high == 0x4012d97c || high == 0x401921fb;
  if (near_quarter || high > 0x401c463b) {
    const double rounded =
        (x * 6.36619772367581382433e-01 + 6755399441055744.0) -
        6755399441055744.0;
    n = (int)rounded;
    double r = x - rounded * part, w = rounded * tail;
    y0 = r - w;
    const int exponent = (int)(high >> 20);
    int found = (int)((u64)__double_as_longlong(y0) >> 52 & 0x7ff);
    if (exponent - found > 16) {
      double t = r;
      w = rounded * 6.07710050630396597660e-11;
      r = t - w;
      w = rounded * 2.02226624879595063154e-21 - ((t - r) - w);
      y0 = r - w;
      found = (int)((u64)__double_as_longlong(y0) >> 52 & 0x7ff);
      if (exponent - found > 49) {
        t = r;
        w = rounded * 2.02226624871116645580e-21;
        r = t - w;
        w = rounded * 8.47842766036889956997e-32 - ((t - r) - w);
        y0 = r - w;
      }
    }
    y1 = (r - y0) - w;
  } else {
    n = high <= 0x4002d97c   ? 1
        : high <= 0x400f6a7a ? 2
        : high <= 0x4015fdbc ? 3
                             : 4;
    const double z = x - n * part;
    y0 = z - n * tail;
    y1 = (z - y0) - n * tail;
  }
  switch (n & 3) {
  case 0:
    return cosine_part(y0, y1);
  case 1:
    return -sine_part(y0, y1);
  case 2:
    return -cosine_part(y0, y1);
  default:
    return sine_part(y0, y1);
  }
}

// A normal number of mean 0 and deviation 1 (Box and Muller).
static __device__ double normal(u32 first, u32 second) {
  const double u = 1.0 - first / 4294967296.0, v = second / 4294967296.0;
  return sqrt(-2.0 * portable_log(u)) * portable_cos(6.283185307179586 * v);
}

// The noise at one place of a sequence of latents; see src/sampler/noise.rs.
static __device__ float noise_at(u64 seed, u32 frame, u32 row, u32 column,
                                 u32 channel) {
  const Words c = {{channel / 2, frame, row, column}};
  const Words block = philox(c, (u32)seed, (u32)(seed >> 32));
  const bool odd = channel & 1;
  return (float)normal(block.w[odd ? 2 : 0], block.w[odd ? 3 : 1]);
}
