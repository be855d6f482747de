// Pictures of one channel and displacements, as the parts of `flow.cu` read and
// write them, and how a block goes through them.

#pragma once

#include "device.cuh"

#define FLOW_THREADS 512
// Width and height of a patch.
#define FLOW_PATCH 8

// Each cell of a grid of `cols` by `rows` has a thread: a row a warp, so that
// no index is divided.
#define FLOW_EACH_CELL(x, y, cols, rows)                                       \
  for (int y = (int)threadIdx.x / 32; y < (rows); y += FLOW_THREADS / 32)      \
    for (int x = (int)threadIdx.x % 32; x < (cols); x += 32)

// One channel on a grid, row by row.
struct FlowPlane {
  float *data;
  int cols, rows;
};

// A displacement for every cell: across and down, in cells.
struct FlowField {
  float *u, *v;
};

static __device__ __forceinline__ int flow_within(int v, int last) {
  return min(max(v, 0), last);
}

// NaN stays what it is.
static __device__ __forceinline__ float flow_within(float v, float most) {
  v = v < 0.0f ? 0.0f : v;
  return v > most ? most : v;
}

// The whole part of a number that is not below 0; of NaN it is 0.
static __device__ __forceinline__ int flow_whole(float v) {
  return v > 0.0f ? (int)v : 0;
}

// Bilinear value, borders repeated.
static __device__ __forceinline__ float flow_at(const float *data, int cols,
                                                int rows, float x, float y) {
  x = flow_within(x, (float)(cols - 1));
  y = flow_within(y, (float)(rows - 1));
  const int i = flow_whole(x), j = flow_whole(y);
  const float a = x - (float)i, b = y - (float)j;
  const int i1 = min(i + 1, cols - 1), j1 = min(j + 1, rows - 1);
  const float *up = data + j * cols, *down = data + j1 * cols;
  return (1.0f - b) * ((1.0f - a) * up[i] + a * up[i1]) +
         b * ((1.0f - a) * down[i] + a * down[i1]);
}

// Central difference across.
static __device__ __forceinline__ float flow_across(FlowPlane p, int x, int y) {
  const float *row = p.data + y * p.cols;
  return 0.5f * (row[min(x + 1, p.cols - 1)] - row[max(x - 1, 0)]);
}

// Central difference down.
static __device__ __forceinline__ float flow_down(FlowPlane p, int x, int y) {
  const float *column = p.data + x;
  return 0.5f * (column[min(y + 1, p.rows - 1) * p.cols] -
                 column[max(y - 1, 0) * p.cols]);
}
