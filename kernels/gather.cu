// A window of a frame of the plate engine: each pixel is a plate pixel of one
// of a few frames, chosen by the cuts that have passed it; near a cut it is
// read where the flow between both sides leads, around it the lowest
// frequencies are shared, and a matte lays the result over the plate. The bits
// of src/engine/plate/gather.
//
// Reads a pixel and writes one, 32 bytes with four channels of f32; what
// decides lies in small tables that stay in the cache. Near a cut, 16 pixels
// are read of which most are in the cache, with about 500 operations. Far from
// cuts it is bound by memory and should reach 80% of the measured copy
// bandwidth; where all of a frame is near one it is bound by operations, since
// none of them are fused. Its check alone: longtake-kernels-check gather

#include "device.cuh"

struct GatherCut {
  u32 age;   // where its table lies: frames since each cell switched
  u32 taken; // how far each cell takes part; 0 where all do
  u32 to;    // the source that begins
  float lead, trail;
};

// What interval of the grid a pixel lies in decides which cuts matter there.
struct GatherPlace {
  u32 base; // the source beneath the cuts
  u32 first, count;
  u32 eased; // a bit for each source whose low band differs here
};

struct Gather {
  float *out;                // the window
  const float *tables;       // what the offsets below lead into
  const float *matte;        // of the whole picture; null for none
  const float *beneath;      // the plate that stands outside the matte
  const float *pictures[16]; // source by source; null where not shown
  u32 places, cuts, list, flows, bands, power;
  u32 across_interval, across_part, down_interval, down_part;
  int width, height, channels, matte_channels;
  int left, top, right, bottom; // the window
  int cols, rows, sources;
  int colour[3], alpha; // channels; -1 where there is none
  int warps, display;
  float scale_x, scale_y; // pixels a cell
};

static __device__ __forceinline__ float lerp(float a, float b, float part) {
  return a + (b - a) * part;
}

struct Cubic {
  float w[4];
};

// Catmull-Rom (Keys 1981, a = -1/2).
static __device__ __forceinline__ Cubic cubic(float t) {
  return Cubic{{((2.0f - t) * t - 1.0f) * t * 0.5f,
                ((3.0f * t - 5.0f) * t * t + 2.0f) * 0.5f,
                ((4.0f - 3.0f * t) * t + 1.0f) * t * 0.5f,
                (t - 1.0f) * t * t * 0.5f}};
}

static __device__ __forceinline__ int clamped(int i, int low, int high) {
  return i < low ? low : i > high ? high : i;
}

// Of the four cells around an interval.
static __device__ __forceinline__ int cell(int interval, int i, int last) {
  return clamped(interval - 2 + i, 0, last);
}

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
  const int left = kx ? kx - 1 : 0, right = min(kx, a.cols - 1);
  const int up = (ky ? ky - 1 : 0) * a.cols,
            down = min(ky, a.rows - 1) * a.cols;
  u32 source = place.base;
  for (u32 i = 0; i < place.count; ++i) {
    const u32 index = ((const u32 *)(t + a.list))[place.first + i];
    const GatherCut cut = ((const GatherCut *)(t + a.cuts))[index];
    const float *ages = t + cut.age;
    const float age = lerp(lerp(ages[up + left], ages[down + left], py),
                           lerp(ages[up + right], ages[down + right], py), px);
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

// Where a pixel of `source` is read from, relative to its own place.
static __device__ float2 displacement(const Gather &a, u32 source, int kx,
                                      int ky, float px, float py,
                                      const Pulls &pulls) {
  const int left = kx ? kx - 1 : 0, right = min(kx, a.cols - 1);
  const int up = (ky ? ky - 1 : 0) * a.cols,
            down = min(ky, a.rows - 1) * a.cols;
  float2 d = {0.0f, 0.0f};
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    if (i >= pulls.count)
      break;
    const u32 at = ((
        const u32 *)(a.tables + a.flows))[source * a.sources + pulls.source[i]];
    if (!at)
      continue;
    const float2 *flow = (const float2 *)(a.tables + at);
    const float2 lu = flow[up + left], ld = flow[down + left];
    const float2 ru = flow[up + right], rd = flow[down + right];
    const float x = lerp(lerp(lu.x, ld.x, py) * a.scale_x,
                         lerp(ru.x, rd.x, py) * a.scale_x, px);
    const float y = lerp(lerp(lu.y, ld.y, py) * a.scale_y,
                         lerp(ru.y, rd.y, py) * a.scale_y, px);
    d.x = d.x - pulls.share[i] * x;
    d.y = d.y - pulls.share[i] * y;
  }
  return d;
}

// A position split into a pixel and how far behind it, the pixel kept near the
// picture.
static __device__ __forceinline__ int split(int x, float d, int n,
                                            float *part) {
  int whole = (int)d;
  whole -= d < (float)whole;
  *part = d - (float)whole;
  const long long at = (long long)x + whole;
  return at < -2 ? -2 : at > n + 1 ? n + 1 : (int)at;
}

static __device__ __forceinline__ bool finite(float v) { return v - v == 0.0f; }

// `N` channels of a pixel.
template <int N> struct Pixel { float v[N]; };

// `N` channels from `from` on; `all` where a pixel has no others.
template <int N>
static __device__ __forceinline__ Pixel<N> read(const float *from, bool all) {
  Pixel<N> p;
  if (N == 4 && all) {
    const float4 v = *(const float4 *)from;
    p.v[0] = v.x;
    p.v[1 % N] = v.y;
    p.v[2 % N] = v.z;
    p.v[3 % N] = v.w;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      p.v[i] = from[i];
  }
  return p;
}

template <int N>
static __device__ __forceinline__ void write(float *to, bool all,
                                             const Pixel<N> &p) {
  if (N == 4 && all) {
    *(float4 *)to = float4{p.v[0], p.v[1 % N], p.v[2 % N], p.v[3 % N]};
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      to[i] = p.v[i];
  }
}

// Channel `c` and on of row `y`.
static __device__ __forceinline__ const float *
row(const Gather &a, const float *picture, int y, int c) {
  return picture + (u64)y * a.width * a.channels + c;
}

// The sixteen pixels around a position.
struct Around {
  const float *picture;
  int x, y; // of the second of each four
};

// The rows from and on that `around` lies in, `j` of 0 to 3; so the columns.
static __device__ __forceinline__ const float *
row_of(const Gather &a, const Around &around, int j, int c) {
  return row(a, around.picture, clamped(around.y - 1 + j, 0, a.height - 1), c);
}
static __device__ __forceinline__ u32 column_of(const Gather &a,
                                                const Around &around, int k) {
  return (u32)clamped(around.x - 1 + k, 0, a.width - 1) * a.channels;
}

// The first zero of the sixteen: its sign is the one that counts.
static __device__ __noinline__ float first_zero(const Gather &a, Around around,
                                                int c) {
  for (int j = 0; j < 4; ++j)
    for (int k = 0; k < 4; ++k) {
      const float v = row_of(a, around, j, c)[column_of(a, around, k)];
      if (v == 0.0f)
        return v;
    }
  return 0.0f;
}

// A picture between its pixels, kept within the sixteen that it is made from.
template <int N>
static __device__ __forceinline__ Pixel<N>
sample(const Gather &a, const float *picture, int x, int y, float2 d, int c) {
  const bool all = a.channels == N;
  float px, py;
  const int ix = split(x, d.x, a.width, &px), iy = split(y, d.y, a.height, &py);
  const Cubic wx = cubic(px), wy = cubic(py);
  const Around around = {picture, ix, iy};
  const float *rows[4];
  u32 columns[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    rows[k] = row_of(a, around, k, c);
    columns[k] = column_of(a, around, k);
  }
  Pixel<N> sum, low, high;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    sum.v[i] = 0.0f;
    low.v[i] = 3.402823466e38f;
    high.v[i] = -3.402823466e38f;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    Pixel<N> line;
#pragma unroll
    for (int i = 0; i < N; ++i)
      line.v[i] = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Pixel<N> v = read<N>(rows[j] + columns[k], all);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        line.v[i] = line.v[i] + wx.w[k] * v.v[i];
        // One instruction each; what is no number is passed over, too.
        low.v[i] = fminf(low.v[i], v.v[i]);
        high.v[i] = fmaxf(high.v[i], v.v[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i)
      sum.v[i] = sum.v[i] + wy.w[j] * line.v[i];
  }
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float v = sum.v[i];
    if (!finite(v)) {
      const int right = clamped(ix + (px >= 0.5f), 0, a.width - 1),
                down = clamped(iy + (py >= 0.5f), 0, a.height - 1);
      sum.v[i] = row(a, picture, down, c)[(u32)right * a.channels + i];
    } else {
      const float held = v < low.v[i]    ? low.v[i]
                         : v > high.v[i] ? high.v[i]
                                         : v;
      sum.v[i] =
          held == 0.0f && v != 0.0f ? first_zero(a, around, c + i) : held;
    }
  }
  return sum;
}

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

// Value `c` of a few, which lie in registers.
template <int N>
static __device__ __forceinline__ float at(const Pixel<N> &p, int c) {
  float v = 0.0f;
#pragma unroll
  for (int i = 0; i < N; ++i)
    v = i == c ? p.v[i] : v;
  return v;
}

// Where a pixel lies on the grid.
struct Place {
  int kx, ky;
  float px, py;
};

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

// What is made laid over the plate.
static __device__ __forceinline__ float over(float made, float plate,
                                             float matte) {
  if (matte >= 1.0f || __float_as_uint(made) == __float_as_uint(plate))
    return made;
  return matte > 0.0f ? made * matte + plate * (1.0f - matte) : plate;
}

// What is decided for a pixel.
struct Decided {
  u32 source;
  float2 d;
  bool moved, eased;
};

static __device__ __forceinline__ GatherPlace place_of(const Gather &a, int kx,
                                                       int ky) {
  const uint4 v =
      ((const uint4 *)(a.tables + a.places))[ky * (a.cols + 1) + kx];
  return GatherPlace{v.x, v.y, v.z, v.w};
}

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
      out.moved = !(fabsf(out.d.x) + fabsf(out.d.y) < 0.02f);
    }
  }
  out.eased = place.eased >> out.source & 1;
  return out;
}

static __device__ __forceinline__ Place place_at(const Gather &a, int x,
                                                 int y) {
  const float *t = a.tables;
  return Place{((const int *)(t + a.across_interval))[x],
               ((const int *)(t + a.down_interval))[y], t[a.across_part + x],
               t[a.down_part + y]};
}

// Channels `c` to `c + N` of one pixel, read, displaced or not.
template <int N>
static __device__ __forceinline__ Pixel<N>
drawn(const Gather &a, const float *picture, int x, int y, const Decided &by,
      int c) {
  if (by.moved)
    return sample<N>(a, picture, x, y, by.d, c);
  return read<N>(row(a, picture, y, c) + (u32)x * a.channels, a.channels == N);
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
  Pixel<C> p = drawn<C>(a, picture, x, y, by, 0);
  float step[3];
  if (by.eased && step_of(a, by.source, here, step)) {
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
    write<4>(to + c, false, drawn<4>(a, picture, x, y, by, c));
  for (; c < a.channels; ++c)
    write<1>(to + c, false, drawn<1>(a, picture, x, y, by, c));
  float step[3];
  if (by.eased && step_of(a, by.source, here, step)) {
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

// Rows that a thread makes, a block's height apart: as many reads are under way
// at once where pixels are only copied.
#define ROWS_OF_THREAD 4

template <int C> static __device__ __forceinline__ void run(const Gather &a) {
  const int x = a.left + (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int first =
      a.top + (int)(blockIdx.y * blockDim.y * ROWS_OF_THREAD + threadIdx.y);
  if (x >= a.right || first >= a.bottom)
    return;
  const int last = a.bottom - 1, by = (int)blockDim.y;
  const u64 pitch = (u64)(a.right - a.left) * a.channels;
  float *to = a.out + (first - a.top) * pitch + (u64)(x - a.left) * a.channels;
  if (C && !a.matte) {
    const float *from[ROWS_OF_THREAD];
    const int kx = ((const int *)(a.tables + a.across_interval))[x];
    bool copies = true;
#pragma unroll
    for (int i = 0; i < ROWS_OF_THREAD; ++i) {
      const int y = min(first + i * by, last);
      const int ky = ((const int *)(a.tables + a.down_interval))[y];
      const GatherPlace place = place_of(a, kx, ky);
      const float *picture = a.pictures[place.base];
      copies =
          copies && picture && !place.count && !(place.eased >> place.base & 1);
      from[i] = row(a, picture, y, 0) + (u32)x * C;
    }
    if (copies) {
      Pixel<C ? C : 1> p[ROWS_OF_THREAD];
#pragma unroll
      for (int i = 0; i < ROWS_OF_THREAD; ++i)
        p[i] = read < C ? C : 1 > (from[i], true);
#pragma unroll
      for (int i = 0; i < ROWS_OF_THREAD; ++i)
        if (first + i * by <= last)
          write<C ? C : 1>(to + i * by * pitch, true, p[i]);
      return;
    }
  }
#pragma unroll 1
  for (int y = first; y <= last && y < first + ROWS_OF_THREAD * by; y += by) {
    if (C)
      one<C ? C : 1>(a, x, y, to);
    else
      one_of_any(a, x, y, to);
    to += by * pitch;
  }
}

// Blocks are of 32 by 8 threads, and four of them in a multiprocessor are worth
// a few spilled registers: on an H100 8% where all is near a cut.
KERNEL void __launch_bounds__(256) gather_any(Gather a) { run<0>(a); }
KERNEL void __launch_bounds__(256, 4) gather_3(Gather a) { run<3>(a); }
KERNEL void __launch_bounds__(256, 4) gather_4(Gather a) { run<4>(a); }
