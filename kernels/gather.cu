// A window of a frame of the plate engine: each pixel is a plate pixel of one
// of a few frames, chosen by the cuts that have passed it; near a cut it is
// read where the flow between both sides leads, around it the lowest
// frequencies are shared, and a matte lays the result over the plate. The bits
// of src/engine/plate/gather.
//
// Reads a pixel and writes one, 32 bytes with four channels of f32; what
// decides lies in small tables that stay in the cache. Three launches, each for
// places of one kind, so that the simple ones need few registers and many are
// under way. Still ones, most of a frame: a thread makes four pixels of a
// column (gather_strip.cuh), with about 70 instructions a pixel as sm_90
// executes them where it is copied; bound by memory, and should reach 80% of
// the measured copy bandwidth there. Near ones, in tiles that have any: a
// displaced pixel reads 16, most of them in the cache, with about 700
// instructions, none of them fused, as the bits are those of the CPU: bound by
// these. The rest likewise, with all that may be asked of a pixel: more cuts,
// cuts that part of the cells take part in, a matte. Its check alone:
// longtake-kernels-check gather

#include "gather_cuts.cuh"
#include "gather_strip.cuh"

// What is made laid over the plate.
static __device__ __forceinline__ float over(float made, float plate,
                                             float matte) {
  if (matte >= 1.0f || __float_as_uint(made) == __float_as_uint(plate))
    return made;
  return matte > 0.0f ? made * matte + plate * (1.0f - matte) : plate;
}

// Channels `c` to `c + N` of one pixel, read, displaced or not.
template <int N, bool ALL>
static __device__ __forceinline__ Pixel<N>
drawn(const Gather &a, const float *picture, int x, int y, const Decided &by,
      int c) {
  if (by.moved)
    return sample<N, ALL>(a, picture, x, y, by.d, c);
  return read<N>(row(a, picture, y, c) + (u32)x * a.channels, ALL);
}

// A pixel of `C` channels, which stay in registers until all is done.
template <int C>
static __device__ __forceinline__ void one(const Gather &a, int x, int y,
                                           float *to) {
  const float *beneath = row(a, a.beneath, y, 0) + (u32)x * C;
  float matte = 1.0f;
  if (a.matte) {
    matte = a.matte[((u64)y * a.width + x) * a.matte_channels];
    if (!(matte > 0.0f))
      return write<C>(to, true, read<C>(beneath, true));
  }
  const Place here = place_at(a, x, y);
  const Decided by = decide(a, here);
  const float *picture = a.pictures[by.source];
  if (!picture)
    return write<C>(to, true, Pixel<C>{});
  Pixel<C> p = drawn<C, true>(a, picture, x, y, by, 0);
  float step[3];
  if (by.eased && step_at(a, by.source, here, step)) {
    const float alpha = a.alpha < 0 ? 1.0f : at<C>(p, a.alpha);
    if (alpha > 0.0f)
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        const float v = stepped(a, at<C>(p, a.colour[i]), step[i], alpha);
#pragma unroll
        for (int c = 0; c < C; ++c)
          p.v[c] = a.colour[i] == c ? v : p.v[c];
      }
  }
  if (matte < 1.0f) {
    const Pixel<C> plate = read<C>(beneath, true);
#pragma unroll
    for (int c = 0; c < C; ++c)
      p.v[c] = over(p.v[c], plate.v[c], matte);
  }
  write<C>(to, true, p);
}

// The same of any number of channels, in memory.
static __device__ __forceinline__ void one_of_any(const Gather &a, int x, int y,
                                                  float *to) {
  const float *beneath = row(a, a.beneath, y, 0) + (u64)x * a.channels;
  float matte = 1.0f;
  if (a.matte) {
    matte = a.matte[((u64)y * a.width + x) * a.matte_channels];
    if (!(matte > 0.0f)) {
      for (int c = 0; c < a.channels; ++c)
        to[c] = beneath[c];
      return;
    }
  }
  const Place here = place_at(a, x, y);
  const Decided by = decide(a, here);
  const float *picture = a.pictures[by.source];
  if (!picture) {
    for (int c = 0; c < a.channels; ++c)
      to[c] = 0.0f;
    return;
  }
  int c = 0;
  for (; c + 4 <= a.channels; c += 4)
    write<4>(to + c, false, drawn<4, false>(a, picture, x, y, by, c));
  for (; c < a.channels; ++c)
    write<1>(to + c, false, drawn<1, false>(a, picture, x, y, by, c));
  float step[3];
  if (by.eased && step_at(a, by.source, here, step)) {
    const float alpha = a.alpha < 0 ? 1.0f : to[a.alpha];
    if (alpha > 0.0f)
      for (int i = 0; i < 3; ++i)
        if (a.colour[i] >= 0)
          to[a.colour[i]] = stepped(a, to[a.colour[i]], step[i], alpha);
  }
  if (matte < 1.0f)
    for (int c = 0; c < a.channels; ++c)
      to[c] = over(to[c], beneath[c], matte);
}

// A pixel where one cut in which all cells take part matters.
template <int C>
static __device__ __forceinline__ Pixel<C>
near_cut(const Gather &a, const GatherPlace &place, const Place &here, int x,
         int y) {
  const GatherCut cut = cut_of(a, place, 0);
  const Corners around = corners_of(a, here.kx, here.ky);
  const float *ages = a.tables + cut.age;
  const float age = between(ages[around.lu], ages[around.ld], ages[around.ru],
                            ages[around.rd], here.px, here.py);
  const bool after = age >= 0.0f;
  const u32 source = after ? cut.to : place.base;
  const u32 other = after ? place.base : cut.to;
  const float *picture = a.pictures[source];
  if (!picture)
    return Pixel<C>{};
  float2 d = {0.0f, 0.0f};
  if (a.warps && age > -5.0f && age < 5.0f) {
    const float toward = progress(cut, age);
    const float share = after ? 1.0f - toward : toward;
    const u32 flow =
        ((const u32 *)(a.tables + a.flows))[source * a.sources + other];
    if (flow && share > 0.0f) {
      const float2 way =
          along(a, flow_around(a, flow, around), here.px, here.py);
      d = float2{0.0f - share * way.x, 0.0f - share * way.y};
    }
  }
  Pixel<C> p;
  if (moves(d))
    p = sample<C, true>(a, picture, x, y, d, 0);
  else
    p = read<C>(row(a, picture, y, 0) + (u32)x * C, true);
  u32 begin = 0;
  if (place.eased >> source & 1)
    begin = ((const u32 *)(a.tables + a.bands))[source];
  if (begin) {
    const Band band = band_of(a, begin, around);
    if (a.display)
      ease<C, true>(a, band, here.px, here.py, p);
    else
      ease<C, false>(a, band, here.px, here.py, p);
  }
  return p;
}

// Strips of the still parts of the window.
template <int C>
static __device__ __forceinline__ void run_still(const Gather &a) {
  const int x = a.left + (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int first =
      a.top + (int)(blockIdx.y * blockDim.y + threadIdx.y) * ROWS_OF_THREAD;
  if (x >= a.right || first >= a.bottom)
    return;
  const int count = min(a.bottom - first, ROWS_OF_THREAD);
  const u32 pitch = (u32)(a.right - a.left) * C;
  float *to = a.out + (u64)(first - a.top) * pitch + (u32)(x - a.left) * C;
  const int *down = (const int *)(a.tables + a.down_interval) + first;
  Strip s;
  s.x = x;
  s.y = first;
  s.kx = ((const int *)(a.tables + a.across_interval))[x];
  s.px = a.tables[a.across_part + x];
  int intervals[ROWS_OF_THREAD];
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i) {
    const int y = min(i, count - 1);
    intervals[i] = down[y];
    s.py[i] = a.tables[a.down_part + first + y];
  }
  u32 left = (1u << count) - 1u, rows = 0;
  s.ky = intervals[0];
#pragma unroll
  for (int i = 0; i < ROWS_OF_THREAD; ++i)
    rows |= intervals[i] == s.ky ? 1u << i : 0u;
  rows &= left;
  // By interval, nearly always one.
#pragma unroll 1
  while (true) {
    still<C>(a, s, rows, to, pitch);
    left &= ~rows;
    if (!left)
      break;
    int i = 0;
    while (!(left >> i & 1))
      ++i;
    s.ky = down[i];
    for (rows = 0; i < count; ++i)
      rows |= down[i] == s.ky ? 1u << i : 0u;
  }
}

// The pixels of the tiles listed from `tiles` on, or of all, in intervals that
// have the mark `which`.
template <int C, u32 WHICH>
static __device__ __forceinline__ void run_tile(const Gather &a, u32 tiles) {
  const u32 tile =
      tiles ? ((const u32 *)(a.tables + tiles))[blockIdx.x] : blockIdx.x;
  const u32 columns = ((u32)a.width + TILE - 1) / TILE;
  const int x = (int)(tile % columns * TILE + threadIdx.x);
  const int first = (int)(tile / columns * TILE + threadIdx.y);
  if (x < a.left || x >= a.right)
    return;
  const u32 pitch = (u32)(a.right - a.left) * C;
#pragma unroll 1
  for (int i = 0; i < TILE; i += (int)blockDim.y) {
    const int y = first + i;
    if (y < a.top || y >= a.bottom)
      continue;
    const Place here = place_at(a, x, y);
    const GatherPlace place = place_of(a, here.kx, here.ky);
    if (tiles && !(place.eased & WHICH))
      continue;
    float *to = a.out + (u64)(y - a.top) * pitch + (u32)(x - a.left) * C;
    if (WHICH == NEAR)
      write<C>(to, true, near_cut<C>(a, place, here, x, y));
    else
      one<C>(a, x, y, to);
  }
}

// Blocks are of 32 by 8 threads; as many in a multiprocessor as leave each
// kernel the registers that it needs.
KERNEL void __launch_bounds__(256, 4) gather_still_3(Gather a) {
  run_still<3>(a);
}
KERNEL void __launch_bounds__(256, 4) gather_still_4(Gather a) {
  run_still<4>(a);
}
KERNEL void __launch_bounds__(256, 3) gather_near_3(Gather a) {
  run_tile<3, NEAR>(a, a.near);
}
KERNEL void __launch_bounds__(256, 3) gather_near_4(Gather a) {
  run_tile<4, NEAR>(a, a.near);
}
KERNEL void __launch_bounds__(256, 2) gather_rest_3(Gather a) {
  run_tile<3, REST>(a, a.rest);
}
KERNEL void __launch_bounds__(256, 2) gather_rest_4(Gather a) {
  run_tile<4, REST>(a, a.rest);
}
KERNEL void __launch_bounds__(256) gather_any(Gather a) {
  const int x = a.left + (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = a.top + (int)(blockIdx.y * blockDim.y + threadIdx.y);
  if (x < a.right && y < a.bottom) {
    const u64 at = (u64)(y - a.top) * (a.right - a.left) + (x - a.left);
    one_of_any(a, x, y, a.out + at * a.channels);
  }
}
