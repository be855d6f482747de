// What the gather is told: a frame's tables and pictures, and where a pixel
// lies among the cells of the grid.

#pragma once

#include "device.cuh"

// Read as two times sixteen bytes.
struct alignas(16) GatherCut {
  u32 age;   // where its table lies: frames since each cell switched
  u32 taken; // how far each cell takes part; 0 where all do
  u32 to;    // the source that begins
  float lead;
  float trail;
  u32 unused[3];
};

// Set where pixels may be read elsewhere than in their own place, by one cut in
// which all cells take part; and where more than that matters.
#define NEAR 0x80000000u
#define REST 0x40000000u
// Sides of a tile of the picture.
#define TILE 32

// What interval of the grid a pixel lies in decides which cuts matter there.
struct GatherPlace {
  u32 base; // the source beneath the cuts
  u32 first,
      count; // in the list; where there is one cut, `first` is its number
  u32 eased; // a bit for each source whose low band differs here; NEAR, REST
};

struct Gather {
  float *out;                // the window
  const float *tables;       // what the offsets below lead into
  const float *matte;        // of the whole picture; null for none
  const float *beneath;      // the plate that stands outside the matte
  const float *pictures[16]; // source by source; null where not shown
  u32 places, cuts, list, flows, bands, power;
  u32 across_interval, across_part, down_interval, down_part;
  u32 near, rest; // tiles that have such pixels; 0 for all of the picture
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

static __device__ __forceinline__ bool finite(float v) {
  return fabsf(v) <= 3.402823466e38f;
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

// Where a pixel lies on the grid.
struct Place {
  int kx, ky;
  float px, py;
};

static __device__ __forceinline__ GatherPlace place_of(const Gather &a, int kx,
                                                       int ky) {
  const uint4 v =
      ((const uint4 *)(a.tables + a.places))[ky * (a.cols + 1) + kx];
  return GatherPlace{v.x, v.y, v.z, v.w};
}

// Cut `i` of a place.
static __device__ __forceinline__ GatherCut cut_of(const Gather &a,
                                                   const GatherPlace &place,
                                                   u32 i) {
  const u32 index = place.count == 1
                        ? place.first
                        : ((const u32 *)(a.tables + a.list))[place.first + i];
  return ((const GatherCut *)(a.tables + a.cuts))[index];
}

// The cells around an interval: above and below on the left, so on the right.
struct Corners {
  u32 lu, ld, ru, rd;
};

static __device__ __forceinline__ Corners corners_of(const Gather &a, int kx,
                                                     int ky) {
  const u32 left = kx ? kx - 1 : 0, right = min(kx, a.cols - 1);
  const u32 up = (ky ? ky - 1 : 0) * a.cols,
            down = min(ky, a.rows - 1) * a.cols;
  return Corners{up + left, down + left, up + right, down + right};
}

// Between those: first down, then across.
static __device__ __forceinline__ float between(float lu, float ld, float ru,
                                                float rd, float px, float py) {
  return lerp(lerp(lu, ld, py), lerp(ru, rd, py), px);
}

static __device__ __forceinline__ Place place_at(const Gather &a, int x,
                                                 int y) {
  const float *t = a.tables;
  return Place{((const int *)(t + a.across_interval))[x],
               ((const int *)(t + a.down_interval))[y], t[a.across_part + x],
               t[a.down_part + y]};
}
