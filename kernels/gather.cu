// A window of a frame of the plate engine: each pixel is a plate pixel of one
// of a few frames, chosen by the cuts that have passed it; near a cut it is
// read where the flow between both sides leads, around it the lowest
// frequencies are shared, and a matte lays the result over the plate. The bits
// of src/engine/plate/gather.
//
// Reads a pixel and writes one, 32 bytes with four channels of f32; what
// decides lies in small tables that stay in the cache. Near a cut, 16 pixels
// are read of which most are in the cache, with about 200 operations. It is
// bound by memory and should reach 80% of the measured copy bandwidth on whole
// frames. Its check alone: longtake-kernels-check gather

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
      if (age >= 0.0f) {
        const u32 old = source;
        source = cut.to;
        pulls.count = 0;
        pull(pulls, old, 1.0f - progress(cut, age));
      } else {
        pull(pulls, cut.to, progress(cut, age));
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

// `N` channels of a picture.
template <int N> struct Pixel { float v[N]; };

template <int N>
static __device__ __forceinline__ Pixel<N>
pixel(const Gather &a, const float *picture, int x, int y, int c) {
  const float *from = picture + ((u64)y * a.width + x) * a.channels + c;
  Pixel<N> p;
  if (N == 4 && a.channels == 4) {
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

// A picture between its pixels, kept within the sixteen that it is made from.
template <int N>
static __device__ Pixel<N> sample(const Gather &a, const float *picture, int x,
                                  int y, float2 d, int c) {
  float px, py;
  const int ix = split(x, d.x, a.width, &px), iy = split(y, d.y, a.height, &py);
  const Cubic wx = cubic(px), wy = cubic(py);
  Pixel<N> sum, low, high;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    sum.v[i] = 0.0f;
    low.v[i] = 3.402823466e38f;
    high.v[i] = -3.402823466e38f;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int row = clamped(iy - 1 + j, 0, a.height - 1);
    Pixel<N> line;
#pragma unroll
    for (int i = 0; i < N; ++i)
      line.v[i] = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Pixel<N> v =
          pixel<N>(a, picture, clamped(ix - 1 + k, 0, a.width - 1), row, c);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        line.v[i] = line.v[i] + wx.w[k] * v.v[i];
        low.v[i] = v.v[i] < low.v[i] ? v.v[i] : low.v[i];
        high.v[i] = v.v[i] > high.v[i] ? v.v[i] : high.v[i];
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i)
      sum.v[i] = sum.v[i] + wy.w[j] * line.v[i];
  }
  bool whole = true;
#pragma unroll
  for (int i = 0; i < N; ++i)
    whole = whole && finite(sum.v[i]);
  Pixel<N> nearest = sum;
  if (!whole)
    nearest = pixel<N>(a, picture, clamped(ix + (px >= 0.5f), 0, a.width - 1),
                       clamped(iy + (py >= 0.5f), 0, a.height - 1), c);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float v = sum.v[i];
    sum.v[i] = !finite(v)      ? nearest.v[i]
               : v < low.v[i]  ? low.v[i]
               : v > high.v[i] ? high.v[i]
                               : v;
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

// Adds the perceptual step of the shared low band to a pixel in `out`.
static __device__ void ease(const Gather &a, u32 source, int kx, int ky,
                            float px, float py, float *out) {
  const u32 at = ((const u32 *)(a.tables + a.bands))[source];
  if (!at)
    return;
  const float *band = a.tables + at;
  const int left = kx ? kx - 1 : 0, right = min(kx, a.cols - 1);
  const int up = (ky ? ky - 1 : 0) * a.cols,
            down = min(ky, a.rows - 1) * a.cols;
  float step[3];
#pragma unroll
  for (int i = 0; i < 3; ++i)
    step[i] = lerp(
        lerp(band[(up + left) * 3 + i], band[(down + left) * 3 + i], py),
        lerp(band[(up + right) * 3 + i], band[(down + right) * 3 + i], py), px);
  if (step[0] == 0.0f && step[1] == 0.0f && step[2] == 0.0f)
    return;
  const float alpha = a.alpha < 0 ? 1.0f : out[a.alpha];
  if (!(alpha > 0.0f))
    return;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    if (a.colour[i] < 0)
      continue;
    float &v = out[a.colour[i]];
    const float changed = alpha < 1.0f
                              ? v + alpha * step[i] * slope(a, v / alpha)
                              : v + step[i] * slope(a, v);
    if (finite(changed)) {
      if (v >= 0.0f)
        v = changed > 0.0f ? changed : 0.0f;
      else
        v = changed < 0.0f ? changed : 0.0f;
    }
  }
}

// What is made laid over the plate.
static __device__ __forceinline__ float over(float made, float plate,
                                             float matte) {
  if (matte >= 1.0f || __float_as_uint(made) == __float_as_uint(plate))
    return made;
  return matte > 0.0f ? made * matte + plate * (1.0f - matte) : plate;
}

template <int N>
static __device__ __forceinline__ void put(const Gather &a, float *to,
                                           const Pixel<N> &p) {
  if (N == 4 && a.channels == 4) {
    *(float4 *)to = float4{p.v[0], p.v[1 % N], p.v[2 % N], p.v[3 % N]};
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      to[i] = p.v[i];
  }
}

// Channels `c` to `c + N` of one pixel, read, displaced or not.
template <int N>
static __device__ __forceinline__ void
draw(const Gather &a, const float *picture, int x, int y, float2 d, bool moved,
     int c, float *to) {
  put<N>(a, to + c,
         moved ? sample<N>(a, picture, x, y, d, c)
               : pixel<N>(a, picture, x, y, c));
}

template <int C> static __device__ __forceinline__ void run(const Gather &a) {
  const int x = a.left + (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = a.top + (int)(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= a.right || y >= a.bottom)
    return;
  float *to = a.out + ((u64)(y - a.top) * (a.right - a.left) + (x - a.left)) *
                          a.channels;
  const u64 here = (u64)y * a.width + x;
  float matte = 1.0f;
  if (a.matte) {
    matte = a.matte[here * a.matte_channels];
    if (!(matte > 0.0f)) {
      for (int c = 0; c < a.channels; ++c)
        to[c] = a.beneath[here * a.channels + c];
      return;
    }
  }
  const float *t = a.tables;
  const int kx = ((const int *)(t + a.across_interval))[x];
  const int ky = ((const int *)(t + a.down_interval))[y];
  const float px = t[a.across_part + x], py = t[a.down_part + y];
  const GatherPlace place =
      ((const GatherPlace *)(t + a.places))[ky * (a.cols + 1) + kx];
  u32 source = place.base;
  float2 d = {0.0f, 0.0f};
  bool moved = false;
  if (place.count) {
    Pulls pulls;
    pulls.count = 0;
    source = choose(a, place, kx, ky, px, py, pulls);
    if (a.warps && pulls.count) {
      d = displacement(a, source, kx, ky, px, py, pulls);
      moved = !(fabsf(d.x) + fabsf(d.y) < 0.02f);
    }
  }
  const float *picture = a.pictures[source];
  if (!picture) {
    for (int c = 0; c < a.channels; ++c)
      to[c] = 0.0f;
    return;
  }
  if (C) {
    draw<C ? C : 1>(a, picture, x, y, d, moved, 0, to);
  } else {
    for (int c = 0; c < a.channels; c += 4) {
      switch (a.channels - c) {
      case 1:
        draw<1>(a, picture, x, y, d, moved, c, to);
        break;
      case 2:
        draw<2>(a, picture, x, y, d, moved, c, to);
        break;
      case 3:
        draw<3>(a, picture, x, y, d, moved, c, to);
        break;
      default:
        draw<4>(a, picture, x, y, d, moved, c, to);
      }
    }
  }
  if (place.eased >> source & 1)
    ease(a, source, kx, ky, px, py, to);
  if (matte < 1.0f)
    for (int c = 0; c < a.channels; ++c)
      to[c] = over(to[c], a.beneath[here * a.channels + c], matte);
}

KERNEL void gather_any(Gather a) { run<0>(a); }
KERNEL void gather_3(Gather a) { run<3>(a); }
KERNEL void gather_4(Gather a) { run<4>(a); }
