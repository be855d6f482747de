// Which source a pixel of the gather shows, and where in it, by the cuts that
// have passed it.

#pragma once

#include "gather_tables.cuh"

struct Pulls {
  u32 source[3];
  float share[3];
  int count;
};

static __device__ __forceinline__ float progress(const GatherCut &cut,
                                                 float age) {
  const float room = age < 0.0f ? cut.lead - age : cut.trail + age;
  const float reach = room < 5.0f ? room : 5.0f;
  float w = (age + reach) / (2.0f * reach);
  w = w > 0.0f ? w : 0.0f;
  w = w < 1.0f ? w : 1.0f;
  const float eased = w * w * (3.0f - 2.0f * w);
  return reach > 0.0f ? eased : age < 0.0f ? 0.0f : 1.0f;
}

static __device__ __forceinline__ void pull(Pulls &pulls, u32 source,
                                            float share) {
  if (!(share > 0.0f))
    return;
#pragma unroll
  for (int i = 0; i < 3; ++i)
    if (i == pulls.count) {
      pulls.source[i] = source;
      pulls.share[i] = share;
    }
  if (pulls.count < 3)
    ++pulls.count;
}

// The source of a pixel and what it is drawn toward.
static __device__ u32 choose(const Gather &a, const GatherPlace &place, int kx,
                             int ky, float px, float py, Pulls &pulls) {
  const float *t = a.tables;
  const Corners at = corners_of(a, kx, ky);
  u32 source = place.base;
  for (u32 i = 0; i < place.count; ++i) {
    const GatherCut cut = cut_of(a, place, i);
    const float *ages = t + cut.age;
    const float age =
        between(ages[at.lu], ages[at.ld], ages[at.ru], ages[at.rd], px, py);
    if (age <= -5.0f)
      continue;
    if (cut.taken) {
      const float *taken = t + cut.taken;
      const Cubic wx = cubic(px), wy = cubic(py);
      float sum = 0.0f;
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        float column = 0.0f;
#pragma unroll
        for (int r = 0; r < 4; ++r)
          column = column + wy.w[r] * taken[cell(ky, r, a.rows - 1) * a.cols +
                                            cell(kx, c, a.cols - 1)];
        sum = c ? sum + wx.w[c] * column : wx.w[c] * column;
      }
      if (!(sum > 0.5f))
        continue;
    }
    if (age >= 5.0f) {
      source = cut.to;
      pulls.count = 0;
    } else if (cut.to != source) {
      const float share = progress(cut, age);
      if (age >= 0.0f) {
        const u32 old = source;
        source = cut.to;
        pulls.count = 0;
        pull(pulls, old, 1.0f - share);
      } else {
        pull(pulls, cut.to, share);
      }
    }
  }
  return source;
}

// A flow at the cells around an interval, in cells.
struct FlowAround {
  float2 lu, ld, ru, rd;
};

static __device__ __forceinline__ FlowAround flow_around(const Gather &a,
                                                         u32 begin,
                                                         const Corners &at) {
  const float2 *flow = (const float2 *)(a.tables + begin);
  return FlowAround{flow[at.lu], flow[at.ld], flow[at.ru], flow[at.rd]};
}

// Between those, in pixels.
static __device__ __forceinline__ float2 along(const Gather &a,
                                               const FlowAround &f, float px,
                                               float py) {
  return float2{lerp(lerp(f.lu.x, f.ld.x, py) * a.scale_x,
                     lerp(f.ru.x, f.rd.x, py) * a.scale_x, px),
                lerp(lerp(f.lu.y, f.ld.y, py) * a.scale_y,
                     lerp(f.ru.y, f.rd.y, py) * a.scale_y, px)};
}

// Whether a pixel is read elsewhere than in its own place.
static __device__ __forceinline__ bool moves(float2 d) {
  return !(fabsf(d.x) + fabsf(d.y) < 0.02f);
}

// Where a pixel of `source` is read from, relative to its own place.
static __device__ float2 displacement(const Gather &a, u32 source, int kx,
                                      int ky, float px, float py,
                                      const Pulls &pulls) {
  const Corners around = corners_of(a, kx, ky);
  float2 d = {0.0f, 0.0f};
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    if (i >= pulls.count)
      break;
    const u32 at = ((
        const u32 *)(a.tables + a.flows))[source * a.sources + pulls.source[i]];
    if (!at)
      continue;
    const float2 way = along(a, flow_around(a, at, around), px, py);
    d.x = d.x - pulls.share[i] * way.x;
    d.y = d.y - pulls.share[i] * way.y;
  }
  return d;
}

// What is decided for a pixel.
struct Decided {
  u32 source;
  float2 d;
  bool moved, eased;
};

static __device__ __forceinline__ Decided decide(const Gather &a,
                                                 const Place &at) {
  const GatherPlace place = place_of(a, at.kx, at.ky);
  Decided out = {place.base, {0.0f, 0.0f}, false, false};
  if (place.count) {
    Pulls pulls;
    pulls.count = 0;
    out.source = choose(a, place, at.kx, at.ky, at.px, at.py, pulls);
    if (a.warps && pulls.count) {
      out.d = displacement(a, out.source, at.kx, at.ky, at.px, at.py, pulls);
      out.moved = moves(out.d);
    }
  }
  out.eased = place.eased >> out.source & 1;
  return out;
}
