// A window of a frame of the plate engine: each pixel is a plate pixel of one
// of a few frames, chosen by the cuts that have passed it; near a cut it is
// read where the flow between both sides leads, around it the lowest
// frequencies are shared, and a matte lays the result over the plate. The bits
// of src/engine/plate/gather.
//
// Reads a pixel and writes one, 32 bytes with four channels of f32; what
// decides lies in small tables that stay in the cache. A thread makes four
// pixels of a column. Most lie between the same cells of the grid, near one cut
// at most: what they share is read once and their reads are under way together
// (gather_strip.cuh). A pixel then takes, as sm_90 executes it with three
// channels, about 70 instructions where it is copied and 260 near a cut, 100 of
// them for the low band; one that is displaced reads 16, most of them in the
// cache, with about 700. None are fused, as the bits are those of the CPU. Far
// from cuts it is bound by memory and should reach 80% of the measured copy
// bandwidth; near one by instructions and by the cache. All else, a matte, more
// cuts, cuts that part of the cells take part in, goes pixel by pixel. Its
// check alone: longtake-kernels-check gather

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

template <int C> static __device__ __forceinline__ void run(const Gather &a) {
  const int x = a.left + (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int first =
      a.top + (int)(blockIdx.y * blockDim.y + threadIdx.y) * ROWS_OF_THREAD;
  if (x >= a.right || first >= a.bottom)
    return;
  const int count = min(a.bottom - first, ROWS_OF_THREAD);
  const u32 pitch = (u32)(a.right - a.left) * a.channels;
  float *to =
      a.out + (u64)(first - a.top) * pitch + (u32)(x - a.left) * a.channels;
  u32 left = (1u << count) - 1u;
  if (C && !a.matte && usual_order<C>(a)) {
    Strip s;
    s.x = x;
    s.y = first;
    s.kx = ((const int *)(a.tables + a.across_interval))[x];
    s.px = a.tables[a.across_part + x];
    const int *down = (const int *)(a.tables + a.down_interval) + first;
#pragma unroll
    for (int i = 0; i < ROWS_OF_THREAD; ++i)
      s.py[i] = a.tables[a.down_part + min(first + i, a.bottom - 1)];
    // By interval, nearly always one.
    u32 others = 0; // rows where more matters
    int i = 0;
#pragma unroll 1
    while (i < count) {
      s.ky = down[i];
      u32 rows = 1u << i;
      while (++i < count && down[i] == s.ky)
        rows |= 1u << i;
      if (!simple < C ? C : 1 > (a, s, rows, to, pitch))
        others |= rows;
    }
    left = others;
  }
#pragma unroll 1
  for (int i = 0; i < count; ++i, to += pitch) {
    if (!(left >> i & 1))
      continue;
    if (C)
      one<C ? C : 1>(a, x, first + i, to);
    else
      one_of_any(a, x, first + i, to);
  }
}

// Blocks are of 32 by 8 threads. Three in a multiprocessor leave each thread 80
// registers, which four pixels at once need; with four, more than twice as many
// would be spilled.
KERNEL void __launch_bounds__(256) gather_any(Gather a) { run<0>(a); }
KERNEL void __launch_bounds__(256, 3) gather_3(Gather a) { run<3>(a); }
KERNEL void __launch_bounds__(256, 3) gather_4(Gather a) { run<4>(a); }
