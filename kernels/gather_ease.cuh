// The step of the low band that both sides of a cut share.

#pragma once

#include "gather_sample.cuh"

// The last part of the power table, which ends at 1.
#define POWERS ((0x3f800000u - 0x3b000000u) >> 15)

// Light in one step of the perceptual encoding at `value`, in display-referred
// values or scene-linear ones. Without branches, so that many may be under way.
template <bool DISPLAY>
static __device__ __forceinline__ float slope(const Gather &a, float value) {
  const float v = fabsf(value);
  if (DISPLAY)
    return v > 1.0f ? v : 1.0f;
  const u32 bits = __float_as_uint(v) - 0x3b000000u;
  const float2 power =
      ((const float2 *)(a.tables + a.power))[min(bits >> 15, POWERS - 1u)];
  const float part = (float)(bits & 0x7fff) * (1.0f / 32768.0f);
  const float curved = power.x + power.y * part;
  return v <= 0.0031308f ? 1.0f / 12.92f
         : v < 1.0f      ? curved
                         : 2.4f / 1.055f * v;
}

// A low band at the cells around an interval: red, green, blue, nothing.
struct Band {
  float4 lu, ld, ru, rd;
};

static __device__ __forceinline__ Band band_of(const Gather &a, u32 begin,
                                               const Corners &at) {
  const float4 *band = (const float4 *)(a.tables + begin);
  return Band{band[at.lu], band[at.ld], band[at.ru], band[at.rd]};
}

// The perceptual step of the shared low band at a pixel; false where it is 0.
static __device__ __forceinline__ bool step_of(const Band &b, float px,
                                               float py, float *step) {
  step[0] = between(b.lu.x, b.ld.x, b.ru.x, b.rd.x, px, py);
  step[1] = between(b.lu.y, b.ld.y, b.ru.y, b.rd.y, px, py);
  step[2] = between(b.lu.z, b.ld.z, b.ru.z, b.rd.z, px, py);
  return step[0] != 0.0f || step[1] != 0.0f || step[2] != 0.0f;
}

// A value of a pixel of `alpha` after a perceptual step.
template <bool DISPLAY>
static __device__ __forceinline__ float stepped(const Gather &a, float v,
                                                float step, float alpha) {
  const float of = alpha < 1.0f ? v / alpha : v;
  const float by = alpha < 1.0f ? alpha * step : step;
  const float changed = v + by * slope<DISPLAY>(a, of);
  // Not past 0; what is not finite stays as it was.
  const float away = v >= 0.0f ? changed : -changed;
  const float held = away > 0.0f ? changed : 0.0f;
  return finite(changed) ? held : v;
}

static __device__ __forceinline__ float stepped(const Gather &a, float v,
                                                float step, float alpha) {
  return a.display ? stepped<true>(a, v, step, alpha)
                   : stepped<false>(a, v, step, alpha);
}

// The step of a pixel of `source`, if there is any.
static __device__ __forceinline__ bool step_at(const Gather &a, u32 source,
                                               const Place &at, float *step) {
  const u32 begin = ((const u32 *)(a.tables + a.bands))[source];
  if (!begin)
    return false;
  const Band band = band_of(a, begin, corners_of(a, at.kx, at.ky));
  return step_of(band, at.px, at.py, step);
}

// A pixel of channels in their usual order, red, green, blue and alpha, after
// the step of the band.
template <int C, bool DISPLAY>
static __device__ __forceinline__ void ease(const Gather &a, const Band &band,
                                            float px, float py, Pixel<C> &p) {
  float step[3];
  const bool any = step_of(band, px, py, step);
  const float alpha = C == 4 && a.alpha >= 0 ? p.v[C - 1] : 1.0f;
  const bool eased = any && alpha > 0.0f;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const float v = stepped<DISPLAY>(a, p.v[i], step[i], alpha);
    p.v[i] = eased ? v : p.v[i];
  }
}
