// Four pixels of a column at once, where they are shown in their own place:
// most of the pixels of a frame. What is the same for all that lie in one
// interval of the grid is read once, and their reads are under way together.

#pragma once

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

// A bit for each row that a cut has passed.
static __device__ __forceinline__ u32 passed(const Gather &a,
                                             const GatherCut &cut,
                                             const Corners &at,
                                             const Strip &s) {
  const float *ages = a.tables + cut.age;
  const float lu = ages[at.lu], ld = ages[at.ld], ru = ages[at.ru],
              rd = ages[at.rd];
  u32 rows = 0;
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i)
    rows |= between(lu, ld, ru, rd, s.px, s.py[i]) >= 0.0f ? 1u << i : 0u;
  return rows;
}

template <int C, bool DISPLAY>
static __device__ __forceinline__ void
ease_all(const Gather &a, const Band &band, const Strip &s, Pixel<C> *p) {
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i)
    ease<C, DISPLAY>(a, band, s.px, s.py[i], p[i]);
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

// Makes `rows` of a strip that all lie in the interval `s.ky`, if that is
// still.
template <int C>
static __device__ __forceinline__ void still(const Gather &a, const Strip &s,
                                             u32 rows, float *to, u32 pitch) {
  const GatherPlace place = place_of(a, s.kx, s.ky);
  if (place.eased & (NEAR | REST))
    return;
  u32 sources[2] = {place.base, place.base}, after = 0;
  Corners at = {};
  if (place.count || place.eased)
    at = corners_of(a, s.kx, s.ky);
  if (place.count) {
    const GatherCut cut = cut_of(a, place, 0);
    sources[1] = cut.to;
    after = passed(a, cut, at, s);
  }
  // The sides of the cut that occur, mostly one.
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    const u32 these = rows & (side ? after : ~after);
    if (!these)
      continue;
    const float *picture = a.pictures[sources[side]];
    Pixel<C> p[ROWS_OF_THREAD] = {};
    if (picture) {
      const u32 stride = (u32)a.width * C;
      read_rows<C>(p, picture + (u64)s.y * stride + (u32)s.x * C, stride,
                   these);
      u32 begin = 0;
      if (place.eased >> sources[side] & 1)
        begin = ((const u32 *)(a.tables + a.bands))[sources[side]];
      if (begin) {
        const Band band = band_of(a, begin, at);
        if (a.display)
          ease_all<C, true>(a, band, s, p);
        else
          ease_all<C, false>(a, band, s, p);
      }
    }
    write_rows<C>(to, pitch, p, these);
  }
}
