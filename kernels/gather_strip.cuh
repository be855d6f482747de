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
    d.share[i] = 0.0f;
    if (age >= 0.0f)
      d.after |= 1u << i;
    if (!(age <= -5.0f) && !(age >= 5.0f)) {
      const float share = progress(cut, age);
      d.share[i] = age >= 0.0f ? 1.0f - share : share;
    }
  }
  return d;
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
    const float2 way = along(a, f, s.px, s.py[i]);
    const float2 d = {0.0f - drawn.share[i] * way.x,
                      0.0f - drawn.share[i] * way.y};
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

// Makes those of `rows` of the strip, which all lie in the interval `s.ky`,
// that are of the simple kind: copied in their place, if with the step of the
// low band. Gives the others.
template <int C>
static __device__ __forceinline__ u32 simple(const Gather &a, const Strip &s,
                                             u32 rows, float *to, u32 pitch) {
  const GatherPlace place = place_of(a, s.kx, s.ky);
  if (place.count > 1 || !a.pictures[place.base])
    return rows;
  const Corners at = corners_of(a, s.kx, s.ky);
  const u32 stride = (u32)a.width * C;
  Drawn drawn = {{0.0f, 0.0f, 0.0f, 0.0f}, 0};
  u32 next = place.base;
  if (place.count) {
    const GatherCut cut = cut_of(a, place, 0);
    next = cut.to;
    if (cut.taken || next == place.base || !a.pictures[next])
      return rows;
    drawn = draw(a, cut, at, s);
  }
  u32 others = 0;
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
    if (a.warps && other != source) {
      const u32 flow =
          ((const u32 *)(a.tables + a.flows))[source * a.sources + other];
      if (flow) {
        const u32 far = moved(a, s, at, these, drawn, flow);
        these &= ~far;
        others |= far;
      }
    }
    if (place.eased >> source & 1) {
      const u32 band = ((const u32 *)(a.tables + a.bands))[source];
      if (band && these) {
        const Band b = band_of(a, band, at);
        if (a.display)
          ease_all<C, true>(a, b, s, p);
        else
          ease_all<C, false>(a, b, s, p);
      }
    }
    write_rows<C>(to, pitch, p, these);
  }
  return others;
}
