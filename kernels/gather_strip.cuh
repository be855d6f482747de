// Four pixels of a column at once, where nothing but one cut matters: most of
// the pixels of a frame. What is the same for all that lie in one interval of
// the grid is read once, and their reads are under way together.

#pragma once

#include "gather_cuts.cuh"
#include "gather_ease.cuh"
#include "gather_sample.cuh"

// Rows that a thread makes.
#define ROWS_OF_THREAD 4
#define ALL_ROWS ((1u << ROWS_OF_THREAD) - 1u)

// Where a strip lies: its column, its first row, and how far down in its
// intervals its rows lie.
struct Strip {
  int x, y;
  int kx, ky;
  float px, py[ROWS_OF_THREAD];
};

// How far each row is drawn to the other side of a cut; 0 where it is not.
struct Drawn {
  float share[ROWS_OF_THREAD];
  u32 after; // a bit for each row that is past the cut
};

// Of a pixel of this age.
static __device__ __forceinline__ float share_at(const GatherCut &cut,
                                                 float age) {
  if (age <= -5.0f || age >= 5.0f)
    return 0.0f;
  const float share = progress(cut, age);
  return age >= 0.0f ? 1.0f - share : share;
}

static __device__ __forceinline__ Drawn draw(const Gather &a,
                                             const GatherCut &cut,
                                             const Corners &at,
                                             const Strip &s) {
  const float *ages = a.tables + cut.age;
  const float lu = ages[at.lu], ld = ages[at.ld], ru = ages[at.ru],
              rd = ages[at.rd];
  Drawn d;
  d.after = 0;
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i) {
    const float age = between(lu, ld, ru, rd, s.px, s.py[i]);
    d.after |= age >= 0.0f ? 1u << i : 0u;
    d.share[i] = share_at(cut, age);
  }
  return d;
}

// Where a pixel is read that is drawn a share of the way.
static __device__ __forceinline__ float2 displaced(float share, float2 way) {
  return float2{0.0f - share * way.x, 0.0f - share * way.y};
}

template <int C, bool DISPLAY>
static __device__ __forceinline__ void
ease_all(const Gather &a, const Band &band, const Strip &s, Pixel<C> *p) {
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i)
    ease<C, DISPLAY>(a, band, s.px, s.py[i], p[i]);
}

// The largest of four sizes; no number counts as more than any.
static __device__ __forceinline__ float largest(float a, float b, float c,
                                                float d) {
  const u32 sign = 0x7fffffffu;
  return __uint_as_float(
      max(max(__float_as_uint(a) & sign, __float_as_uint(b) & sign),
          max(__float_as_uint(c) & sign, __float_as_uint(d) & sign)));
}

// Whether no pixel among these cells can move, however far it is drawn; with
// room for rounding.
static __device__ __forceinline__ bool still(const Gather &a,
                                             const FlowAround &f) {
  const float x = largest(f.lu.x, f.ld.x, f.ru.x, f.rd.x) * a.scale_x;
  const float y = largest(f.lu.y, f.ld.y, f.ru.y, f.rd.y) * a.scale_y;
  return x + y < 0.0199f;
}

// Those of `rows` that are read elsewhere than in their own place, by the flow
// that begins at `flow`.
static __device__ __forceinline__ u32 moved(const Gather &a, const Strip &s,
                                            const Corners &at, u32 rows,
                                            const Drawn &drawn, u32 flow) {
  u32 found = 0;
  const FlowAround f = flow_around(a, flow, at);
  if (still(a, f))
    return 0;
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i) {
    const float2 d = displaced(drawn.share[i], along(a, f, s.px, s.py[i]));
    found |= drawn.share[i] > 0.0f && moves(d) ? 1u << i : 0u;
  }
  return found & rows;
}

// Reads `rows` of a strip. All of them, as there mostly are, without a question
// for each, which would cost as much as the address.
template <int C>
static __device__ __forceinline__ void read_rows(Pixel<C> *p, const float *from,
                                                 u32 stride, u32 rows) {
  if (rows == ALL_ROWS) {
#pragma unroll
    for (int i = 0; i < ROWS_OF_THREAD; ++i)
      p[i] = read<C>(from + i * stride, true);
  } else {
#pragma unroll
    for (int i = 0; i < ROWS_OF_THREAD; ++i)
      p[i] = rows >> i & 1 ? read<C>(from + i * stride, true) : Pixel<C>{};
  }
}

// Writes them.
template <int C>
static __device__ __forceinline__ void write_rows(float *to, u32 pitch,
                                                  const Pixel<C> *p, u32 rows) {
  if (rows == ALL_ROWS) {
#pragma unroll
    for (int i = 0; i < ROWS_OF_THREAD; ++i)
      write<C>(to + i * pitch, true, p[i]);
  } else {
#pragma unroll
    for (int i = 0; i < ROWS_OF_THREAD; ++i)
      if (rows >> i & 1)
        write<C>(to + i * pitch, true, p[i]);
  }
}

// Row `i` of a strip, which is read elsewhere than in its own place. What was
// known of it is found again: sampling needs all registers.
template <int C>
static __device__ __forceinline__ Pixel<C>
displaced_pixel(const Gather &a, const Strip &s, int i,
                const GatherPlace &place, u32 next, bool after) {
  const u32 source = after ? next : place.base;
  const u32 other = after ? place.base : next;
  const float py = a.tables[a.down_part + s.y + i];
  const Corners at = corners_of(a, s.kx, s.ky);
  const GatherCut cut = cut_of(a, place, 0);
  const float *ages = a.tables + cut.age;
  const float age =
      between(ages[at.lu], ages[at.ld], ages[at.ru], ages[at.rd], s.px, py);
  const u32 flow =
      ((const u32 *)(a.tables + a.flows))[source * a.sources + other];
  const float2 way = along(a, flow_around(a, flow, at), s.px, py);
  const float2 d = displaced(share_at(cut, age), way);
  Pixel<C> p = sample<C, true>(a, a.pictures[source], s.x, s.y + i, d, 0);
  if (place.eased >> source & 1) {
    const u32 begin = ((const u32 *)(a.tables + a.bands))[source];
    if (begin) {
      const Band band = band_of(a, begin, at);
      if (a.display)
        ease<C, true>(a, band, s.px, py, p);
      else
        ease<C, false>(a, band, s.px, py, p);
    }
  }
  return p;
}

// Makes `rows` of the strip, which all lie in the interval `s.ky`, if at most
// one cut matters there: first those that stay in their place, together, then
// the others one by one, for whose sampling all registers are needed.
template <int C>
static __device__ __forceinline__ bool simple(const Gather &a, const Strip &s,
                                              u32 rows, float *to, u32 pitch) {
  const GatherPlace place = place_of(a, s.kx, s.ky);
  if (place.count > 1 || !a.pictures[place.base])
    return false;
  const Corners at = corners_of(a, s.kx, s.ky);
  const u32 stride = (u32)a.width * C;
  Drawn drawn = {{0.0f, 0.0f, 0.0f, 0.0f}, 0};
  u32 next = place.base;
  if (place.count) {
    const GatherCut cut = cut_of(a, place, 0);
    next = cut.to;
    if (cut.taken || next == place.base || !a.pictures[next])
      return false;
    drawn = draw(a, cut, at, s);
  }
  u32 elsewhere = 0;
  // The sides of the cut that occur, mostly one.
#pragma unroll 1
  while (rows) {
    const bool after = drawn.after & rows & (~rows + 1u);
    u32 these = rows & (after ? drawn.after : ~drawn.after);
    rows &= ~these;
    const u32 source = after ? next : place.base;
    const u32 other = after ? place.base : next;
    const float *from = a.pictures[source] + (u64)s.y * stride + (u32)s.x * C;
    Pixel<C> p[ROWS_OF_THREAD];
    read_rows<C>(p, from, stride, these);
    u32 flow = 0, far = 0, band = 0;
    if (a.warps && other != source) {
      flow = ((const u32 *)(a.tables + a.flows))[source * a.sources + other];
      if (flow) {
        far = moved(a, s, at, these, drawn, flow);
        these &= ~far;
      }
    }
    if (place.eased >> source & 1)
      band = ((const u32 *)(a.tables + a.bands))[source];
    if (band && these) {
      const Band b = band_of(a, band, at);
      if (a.display)
        ease_all<C, true>(a, b, s, p);
      else
        ease_all<C, false>(a, b, s, p);
    }
    write_rows<C>(to, pitch, p, these);
    elsewhere |= far;
  }
#pragma unroll 1
  for (int i = 0; elsewhere >> i; ++i)
    if (elsewhere >> i & 1)
      write<C>(to + i * pitch, true,
               displaced_pixel<C>(a, s, i, place, next, drawn.after >> i & 1));
  return true;
}
