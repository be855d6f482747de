// What lies between two convolutions of a VAE, in one pass: what a branch came
// to and a bias are added to what is handed on, and the sum is divided by its
// length over the channels of its position, scaled, and put through SiLU:
//
//   v = x + branch + bias;  trunk = v;  out = silu(v / |v| * gain)
//
// What is handed on may come straight from a convolution that doubled height
// and width or made two frames of one: its numbers are found in their places.
//
// Reads and writes each number once: in bf16 4 bytes for what is only
// normalised, 8 where a branch joins the trunk. Bound by memory. The lengths
// are sums in another order than the twin's: within 4e-6 of it in f32. Its
// check alone: longtake-kernels-check normalise

#include "number.cuh"
#include "reduce.cuh"

struct Normalise {
  const void *x, *branch; // [positions, channels]; branch may be null
  const float *bias;      // [channels], of two frames [2, channels]; or null
  const float *gain;      // [channels]; null: nothing is normalised
  void *trunk, *out;      // [positions, channels]; trunk may be null
  u32 positions, channels, silu, lanes;
  // How x lies: 0 as trunk; 1 doubled; 2 two frames of one. Of what comes out.
  u32 walk, height, width;
  // Positions of a row of out where one more lies before it and one behind,
  // which are not written; 0 where rows lie side by side.
  u32 fenced;
};

// Numbers that are read and written at once.
template <class T, int N> struct alignas(N * sizeof(T)) Run { T v[N]; };

// In which place of x the channels of position p lie.
static __device__ __forceinline__ u64 place(const Normalise &a, u32 p) {
  if (a.walk == 0)
    return p;
  const u32 column = p % a.width, rest = p / a.width;
  const u32 row = rest % a.height, frame = rest / a.height;
  if (a.walk == 2)
    // [frames / 2, height, width, 2]
    return ((u64)(frame / 2 * a.height + row) * a.width + column) * 2 +
           frame % 2;
  // [frames, height / 2 + 1, width / 2 + 1, 2, 2]: a position's four children
  // were made of it and its neighbour to either side.
  const u32 down = row & 1, across = column & 1;
  const u64 line = (u64)frame * (a.height / 2 + 1) + row / 2 + down;
  return (line * (a.width / 2 + 1) + column / 2 + across) * 4 + 2 * down +
         across;
}

static __device__ __forceinline__ float silu(float v) {
#ifdef LONGTAKE_EMULATION
  return v / (1.0f + expf(-v));
#else
  return __fdividef(v, 1.0f + __expf(-v));
#endif
}

// `WIDE` numbers at once, at most `RUNS` times a lane.
template <class T, int WIDE>
static __device__ __forceinline__ void run(const Normalise &a) {
  constexpr int RUNS = 5;
  typedef Run<T, WIDE> Numbers;
  const u64 thread = thread_index();
  const u32 lane = threadIdx.x % a.lanes;
  // All lanes of a warp take part in the sums.
  const bool there = thread / a.lanes < a.positions;
  const u32 p = there ? (u32)(thread / a.lanes) : 0;
  const u32 runs = a.channels / WIDE;
  const u64 from = place(a, p);
  const float *bias = a.bias + (a.walk == 2 ? from % 2 * a.channels : 0);
  const Numbers *x = (const Numbers *)a.x + from * runs;
  const Numbers *branch = (const Numbers *)a.branch + (u64)p * runs;
  Numbers *trunk = (Numbers *)a.trunk + (u64)p * runs;
  const u64 to = a.fenced ? p + 2 * (u64)(p / a.fenced) + 1 : p;
  Numbers *out = (Numbers *)a.out + to * runs;
  float v[RUNS][WIDE], sum = 0.0f;
#pragma unroll
  for (int i = 0; i < RUNS; ++i) {
    const u32 at = lane + i * a.lanes;
    if (at >= runs)
      continue;
    const Numbers read = x[at];
#pragma unroll
    for (int k = 0; k < WIDE; ++k)
      v[i][k] = widen(read.v[k]);
    if (a.branch) {
      const Numbers more = branch[at];
#pragma unroll
      for (int k = 0; k < WIDE; ++k)
        v[i][k] += widen(more.v[k]);
    }
    if (a.bias)
#pragma unroll
      for (int k = 0; k < WIDE; ++k)
        v[i][k] += bias[at * WIDE + k];
    if (a.trunk && there) {
      Numbers made;
#pragma unroll
      for (int k = 0; k < WIDE; ++k)
        narrow(&made.v[k], v[i][k]);
      trunk[at] = made;
    }
#pragma unroll
    for (int k = 0; k < WIDE; ++k)
      sum += v[i][k] * v[i][k];
  }
  if (!a.gain)
    return;
  sum = lane_sum(sum, a.lanes);
  const float by = 1.0f / fmaxf(sqrtf(sum), 1e-12f);
#pragma unroll
  for (int i = 0; i < RUNS; ++i) {
    const u32 at = lane + i * a.lanes;
    if (at >= runs || !there)
      continue;
    Numbers made;
#pragma unroll
    for (int k = 0; k < WIDE; ++k) {
      const float n = v[i][k] * by * a.gain[at * WIDE + k];
      narrow(&made.v[k], a.silu ? silu(n) : n);
    }
    out[at] = made;
  }
}

KERNEL void normalise_f32(Normalise a) { run<float, 4>(a); }
KERNEL void normalise_f16(Normalise a) { run<Half, 8>(a); }
KERNEL void normalise_bf16(Normalise a) { run<Brain, 8>(a); }
// Of channels that are no whole runs.
KERNEL void normalise_f32_odd(Normalise a) { run<float, 1>(a); }
KERNEL void normalise_f16_odd(Normalise a) { run<Half, 1>(a); }
KERNEL void normalise_bf16_odd(Normalise a) { run<Brain, 1>(a); }
