// The shortcuts around the levels of Wan 2.2's VAE, and no learned numbers in
// them. Upwards channels become cells of pixels and pairs of frames, each
// channel several of them where there are too few; downwards cells become
// channels, and neighbouring channels their mean.
//
// Reads each number of the larger side once or from the cache, and writes each
// number once. Bound by memory. The same bits as the twins. Its check alone:
// longtake-kernels-check shortcut

#include "number.cuh"

struct Shortcut {
  const void *x; // [frames, height, width, from]
  void *out;     // [frames, height, width, to]
  u64 numbers;   // of out
  u32 from, to;
  // Rows and columns of what is read; how many pixels of a side, and frames,
  // belong to one; how many frames of the first group are not there.
  u32 height, width, side, pair, missing;
};

template <class T>
static __device__ __forceinline__ void up(const Shortcut &a) {
  const u64 n = thread_index();
  if (n >= a.numbers)
    return;
  const u32 tall = a.height * a.side, wide = a.width * a.side;
  const u32 o = (u32)(n % a.to), p = (u32)(n / a.to);
  const u32 column = p % wide, row = p / wide % tall;
  const u32 frame = p / wide / tall + a.missing;
  const u32 cell =
      (frame % a.pair * a.side + row % a.side) * a.side + column % a.side;
  const u32 cells = a.pair * a.side * a.side;
  const u32 repeats = a.to * cells / a.from;
  const u64 place =
      ((u64)(frame / a.pair) * a.height + row / a.side) * a.width +
      column / a.side;
  ((T *)a.out)[n] =
      ((const T *)a.x)[place * a.from + (o * cells + cell) / repeats];
}

template <class T>
static __device__ __forceinline__ void down(const Shortcut &a) {
  const u64 n = thread_index();
  if (n >= a.numbers)
    return;
  const u32 tall = a.height / a.side, wide = a.width / a.side;
  const u32 o = (u32)(n % a.to), p = (u32)(n / a.to);
  const u32 column = p % wide, row = p / wide % tall, frame = p / wide / tall;
  const u32 cells = a.pair * a.side * a.side;
  const u32 group = a.from * cells / a.to;
  float sum = 0.0f;
  for (u32 i = o * group; i < (o + 1) * group; ++i) {
    const u32 c = i / cells, cell = i % cells;
    const u32 f = frame * a.pair + cell / (a.side * a.side);
    if (f < a.missing)
      continue;
    const u32 y = row * a.side + cell / a.side % a.side;
    const u64 place = ((u64)(f - a.missing) * a.height + y) * a.width +
                      column * a.side + cell % a.side;
    sum += widen(((const T *)a.x)[place * a.from + c]);
  }
  narrow((T *)a.out + n, sum / (float)group);
}

KERNEL void shortcut_up_f32(Shortcut a) { up<float>(a); }
KERNEL void shortcut_up_f16(Shortcut a) { up<Half>(a); }
KERNEL void shortcut_up_bf16(Shortcut a) { up<Brain>(a); }
KERNEL void shortcut_down_f32(Shortcut a) { down<float>(a); }
KERNEL void shortcut_down_f16(Shortcut a) { down<Half>(a); }
KERNEL void shortcut_down_bf16(Shortcut a) { down<Brain>(a); }
