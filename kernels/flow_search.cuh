// Fast inverse search on overlapping patches of one level of the pyramid
// (`flow/search.rs`). A patch begins with the results of its left and its upper
// neighbour, so the patches of a diagonal are searched side by side, diagonal
// after diagonal. Eight threads have a patch: a thread sums a column, or makes
// the products of a row, and what they have is joined in the twin's order.

#pragma once

#include "flow_plane.cuh"

// Distance between patches.
#define FLOW_STRIDE 3
// Steps on each patch.
#define FLOW_STEPS 10
// Cells by which the other picture's borders are repeated.
#define FLOW_PAD 10
// Patches that are searched at once.
#define FLOW_SLOTS 32

// What the threads of a patch hand one another. Rows of 12 and 152 values in
// all lie in different banks for the threads of a warp.
struct alignas(16) FlowPatch {
  float left[FLOW_PATCH][12]; // what the displacement leaves, row by row
  float sums[FLOW_PATCH], squares[FLOW_PATCH]; // of each column
  float dots[5][FLOW_PATCH];                   // of each row
};

// How many patches an axis of `n` cells has.
static __device__ __forceinline__ int flow_count(int n) {
  return (n - FLOW_PATCH + FLOW_STRIDE - 1) / FLOW_STRIDE + 1;
}

// Where patch `i` of an axis of `n` cells begins: the last ends with it.
static __device__ __forceinline__ int flow_place(int i, int n) {
  return min(i * FLOW_STRIDE, n - FLOW_PATCH);
}

// Eight values of shared memory added to `sum`, one after the other.
static __device__ __forceinline__ float flow_total(float sum, const float *v) {
  const float4 a = *(const float4 *)v, b = *(const float4 *)(v + 4);
  sum = sum + a.x + a.y + a.z + a.w;
  return sum + b.x + b.y + b.z + b.w;
}

typedef float FlowLine[FLOW_PATCH];

static __device__ __forceinline__ float flow_dot(const FlowLine &a,
                                                 const FlowLine &b) {
  FlowLine p;
#pragma unroll
  for (int i = 0; i < FLOW_PATCH; ++i)
    p[i] = a[i] * b[i];
  const float q0 = p[0] + p[4], q1 = p[1] + p[5];
  const float q2 = p[2] + p[6], q3 = p[3] + p[7];
  return (q0 + q2) + (q1 + q3);
}

// The squared difference between the patch at (`x`, `y`), of which `own` is
// column `k`, and picture `b` displaced by `d`, less the difference of their
// means. `left` is what is left of the column; the whole lies in `shared`.
static __device__ __forceinline__ float
flow_residual(FlowPlane b, const FlowLine &own, int x, int y, float2 d, int k,
              FlowPatch &shared, FlowLine &left) {
  // Beyond the padding all is the border's value: stop there.
  const float px =
      flow_within((float)(x + FLOW_PAD) + d.x, (float)(b.cols + FLOW_PAD));
  const float py =
      flow_within((float)(y + FLOW_PAD) + d.y, (float)(b.rows + FLOW_PAD));
  const int i = flow_whole(px) - FLOW_PAD + k, j = flow_whole(py) - FLOW_PAD;
  const float s = px - floorf(px), t = py - floorf(py);
  const float w00 = (1.0f - s) * (1.0f - t), w10 = s * (1.0f - t);
  const float w01 = (1.0f - s) * t, w11 = s * t;
  const float *first = b.data + flow_within(i, b.cols - 1);
  const float *second = b.data + flow_within(i + 1, b.cols - 1);
  int row = flow_within(j, b.rows - 1) * b.cols;
  float up0 = first[row], up1 = second[row];
  float sum = 0.0f;
#pragma unroll
  for (int r = 0; r < FLOW_PATCH; ++r) {
    row = flow_within(j + r + 1, b.rows - 1) * b.cols;
    const float down0 = first[row], down1 = second[row];
    left[r] = w00 * up0 + w10 * up1 + w01 * down0 + w11 * down1 - own[r];
    sum += left[r];
    up0 = down0;
    up1 = down1;
  }
  shared.sums[k] = sum;
  __syncwarp();
  const float mean =
      flow_total(-0.0f, shared.sums) / (float)(FLOW_PATCH * FLOW_PATCH);
  float squares = 0.0f;
#pragma unroll
  for (int r = 0; r < FLOW_PATCH; ++r) {
    left[r] -= mean;
    squares += left[r] * left[r];
    shared.left[r][k] = left[r];
  }
  // Nobody still reads those of the call before: all have met since.
  shared.squares[k] = squares;
  __syncwarp();
  return flow_total(-0.0f, shared.squares);
}

// Searches the patch in column `col` and row `line` of patches. `writes` where
// it is not done by others already. All threads of a warp take part.
static __device__ __forceinline__ void
flow_patch(FlowPlane a, FlowPlane b, FlowField start, int col, int line,
           bool writes, FlowPatch &shared, float *found, float *weights) {
  const int k = (int)threadIdx.x % FLOW_PATCH;
  const int across = flow_count(a.cols), patch = line * across + col;
  const int x = flow_place(col, a.cols), y = flow_place(line, a.rows);
  FlowLine own, left, gx, gy, ones;
#pragma unroll
  for (int r = 0; r < FLOW_PATCH; ++r)
    own[r] = a.data[(y + r) * a.cols + x + k];
  const int centre = (y + FLOW_PATCH / 2) * a.cols + x + FLOW_PATCH / 2;
  float2 best = {start.u[centre], start.v[centre]};
  float cost = flow_residual(b, own, x, y, best, k, shared, left);
  for (int side = 0; side < 2; ++side) {
    // Without a neighbour it is tried again itself, and is no better.
    const int by = side ? across : 1;
    const bool is = side ? line > 0 : col > 0;
    float2 d = best;
    if (is)
      d = float2{found[2 * (patch - by)], found[2 * (patch - by) + 1]};
    const float c = flow_residual(b, own, x, y, d, k, shared, left);
    if (c < cost) {
      best = d;
      cost = c;
    }
  }
  // From here on a thread has row `k` of the slopes.
#pragma unroll
  for (int i = 0; i < FLOW_PATCH; ++i) {
    gx[i] = flow_across(a, x + i, y + k);
    gy[i] = flow_down(a, x + i, y + k);
    ones[i] = 1.0f;
  }
  shared.dots[0][k] = flow_dot(gx, gx);
  shared.dots[1][k] = flow_dot(gx, gy);
  shared.dots[2][k] = flow_dot(gy, gy);
  shared.dots[3][k] = flow_dot(gx, ones);
  shared.dots[4][k] = flow_dot(gy, ones);
  __syncwarp();
  const float n = (float)(FLOW_PATCH * FLOW_PATCH);
  float xx = flow_total(0.0f, shared.dots[0]);
  float xy = flow_total(0.0f, shared.dots[1]);
  float yy = flow_total(0.0f, shared.dots[2]);
  const float sum_x = flow_total(0.0f, shared.dots[3]);
  const float sum_y = flow_total(0.0f, shared.dots[4]);
  xx -= sum_x * sum_x / n;
  xy -= sum_x * sum_y / n;
  yy -= sum_y * sum_y / n;
  // Flat patches stay where they began.
  const float steady = 1e-3f * n;
  const float det = (xx + steady) * (yy + steady) - xy * xy;
  const float2 begun = best;
  float2 d = best;
  bool goes_on = true;
  for (int step = 0; step < FLOW_STEPS; ++step) {
    // Those that are done keep the others of their warp company.
    if (!__any_sync(0xffffffffu, goes_on))
      break;
    const float c = flow_residual(b, own, x, y, d, k, shared, left);
    if (goes_on && c < cost) {
      best = d;
      cost = c;
    }
    const float4 l = *(const float4 *)shared.left[k];
    const float4 h = *(const float4 *)(shared.left[k] + 4);
    const FlowLine own_row = {l.x, l.y, l.z, l.w, h.x, h.y, h.z, h.w};
    shared.dots[0][k] = flow_dot(gx, own_row);
    shared.dots[1][k] = flow_dot(gy, own_row);
    __syncwarp();
    const float bx = flow_total(0.0f, shared.dots[0]);
    const float by = flow_total(0.0f, shared.dots[1]);
    const float step_x = ((yy + steady) * bx - xy * by) / det;
    const float step_y = ((xx + steady) * by - xy * bx) / det;
    d = float2{d.x - step_x, d.y - step_y};
    const float far = fmaxf(fabsf(d.x - begun.x), fabsf(d.y - begun.y));
    if (fmaxf(fabsf(step_x), fabsf(step_y)) < 0.01f || far > (float)FLOW_PATCH)
      goes_on = false;
  }
  flow_residual(b, own, x, y, best, k, shared, left);
  if (!writes)
    return;
  if (k == 0) {
    found[2 * patch] = best.x;
    found[2 * patch + 1] = best.y;
  }
#pragma unroll
  for (int r = 0; r < FLOW_PATCH; ++r)
    weights[(patch * FLOW_PATCH + r) * FLOW_PATCH + k] =
        1.0f / fmaxf(fabsf(left[r]), 0.05f);
}

// The displacement of every patch into `found`, and how much each of its cells
// counts into `weights`.
static __device__ __forceinline__ void
flow_search(FlowPlane a, FlowPlane b, FlowField start, FlowPatch *shared,
            float *found, float *weights) {
  const int across = flow_count(a.cols), down = flow_count(a.rows);
  const int slot = (int)threadIdx.x / FLOW_PATCH;
  for (int diagonal = 0; diagonal < across + down - 1; ++diagonal) {
    const int first = max(diagonal - across + 1, 0);
    const int count = min(diagonal, down - 1) - first + 1;
    // A warp has four slots, and goes as one.
    for (int next = 0; slot < FLOW_SLOTS && next + slot / 4 * 4 < count;
         next += FLOW_SLOTS) {
      const int line = first + min(next + slot, count - 1);
      flow_patch(a, b, start, diagonal - line, line, next + slot < count,
                 shared[slot], found, weights);
    }
    __syncthreads();
  }
}

// Every cell's displacement: the mean of those of the patches over it, patch by
// patch in their order.
static __device__ __forceinline__ void flow_dense(FlowPlane a,
                                                  const float *found,
                                                  const float *weights,
                                                  FlowField out) {
  const int across = flow_count(a.cols), down = flow_count(a.rows);
  FLOW_EACH_CELL(x, y, a.cols, a.rows) {
    const int top = max(y - FLOW_PATCH + FLOW_STRIDE, 0) / FLOW_STRIDE;
    const int side = max(x - FLOW_PATCH + FLOW_STRIDE, 0) / FLOW_STRIDE;
    float u = 0.0f, v = 0.0f, weight = 0.0f;
    for (int line = top; line < down; ++line) {
      const int r = y - flow_place(line, a.rows);
      if (r < 0)
        break;
      for (int col = side; col < across; ++col) {
        const int i = x - flow_place(col, a.cols);
        if (i < 0)
          break;
        const int patch = line * across + col;
        const float k = weights[(patch * FLOW_PATCH + r) * FLOW_PATCH + i];
        u += k * found[2 * patch];
        v += k * found[2 * patch + 1];
        weight += k;
      }
    }
    out.u[y * a.cols + x] = u / weight;
    out.v[y * a.cols + x] = v / weight;
  }
}
