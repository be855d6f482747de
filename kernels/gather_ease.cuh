// The step of the low band that both sides of a cut share.

#pragma once

#include "gather_tables.cuh"

// Light in one step of the perceptual encoding at `value`.
static __device__ __forceinline__ float slope(const Gather &a, float value) {
  const float v = fabsf(value);
  if (a.display)
    return v > 1.0f ? v : 1.0f;
  if (v <= 0.0031308f)
    return 1.0f / 12.92f;
  if (v < 1.0f) {
    const float *power = a.tables + a.power;
    const u32 bits = __float_as_uint(v) - 0x3b000000u;
    const u32 i = bits >> 15;
    return lerp(power[i], power[i + 1], (float)(bits & 0x7fff) / 32768.0f);
  }
  return 2.4f / 1.055f * v;
}

// The perceptual step of the shared low band at a pixel; false where it is 0.
static __device__ __forceinline__ bool step_of(const Gather &a, u32 source,
                                               const Place &at, float *step) {
  const u32 begin = ((const u32 *)(a.tables + a.bands))[source];
  if (!begin)
    return false;
  const float *band = a.tables + begin;
  const int left = at.kx ? at.kx - 1 : 0, right = min(at.kx, a.cols - 1);
  const int up = (at.ky ? at.ky - 1 : 0) * a.cols,
            down = min(at.ky, a.rows - 1) * a.cols;
#pragma unroll
  for (int i = 0; i < 3; ++i)
    step[i] = lerp(
        lerp(band[(up + left) * 3 + i], band[(down + left) * 3 + i], at.py),
        lerp(band[(up + right) * 3 + i], band[(down + right) * 3 + i], at.py),
        at.px);
  return step[0] != 0.0f || step[1] != 0.0f || step[2] != 0.0f;
}

// A value of a pixel of `alpha` after a perceptual step.
static __device__ __forceinline__ float stepped(const Gather &a, float v,
                                                float step, float alpha) {
  const float changed = alpha < 1.0f ? v + alpha * step * slope(a, v / alpha)
                                     : v + step * slope(a, v);
  if (!finite(changed))
    return v;
  if (v >= 0.0f)
    return changed > 0.0f ? changed : 0.0f;
  return changed < 0.0f ? changed : 0.0f;
}
