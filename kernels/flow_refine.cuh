// The robust variational step that refines one level of the pyramid
// (`flow/refine.rs`): equations linearised about the field, solved by sweeps
// over every other cell and then those between, which need no order among them.

#pragma once

#include "flow_plane.cuh"

// Outer steps, and sweeps in each.
#define FLOW_OUTER 3
#define FLOW_SWEEPS 5
// Over-relaxation of the sweeps.
#define FLOW_RELAX 1.6f
// Weight of smoothness.
#define FLOW_SMOOTH 1.0f

// The equations, a plane for each of their numbers.
struct FlowEquations {
  float *warped;        // the other picture where the field leads
  float *even;          // weight of smoothness of a cell
  float *right, *below; // and between it and its neighbours, 0 past the borders
  float *across, *down; // inverse diagonals
  float *both;          // what ties the two displacements together
  float *pull_x, *pull_y; // the data's share of the right hand side
};

// The planes in `room`, of `cells` values each; as many as PLANES of `flow.rs`.
static __device__ __forceinline__ FlowEquations flow_equations(float *room,
                                                               int cells) {
  return {room,
          room + cells,
          room + 2 * cells,
          room + 3 * cells,
          room + 4 * cells,
          room + 5 * cells,
          room + 6 * cells,
          room + 7 * cells,
          room + 8 * cells};
}

// Writes the equations of all cells. All threads of the block take part.
static __device__ __forceinline__ void
flow_linearise(FlowPlane a, FlowPlane b, FlowField field, FlowEquations e) {
  const int cols = a.cols, rows = a.rows;
  const FlowPlane u = {field.u, cols, rows}, v = {field.v, cols, rows};
  const FlowPlane warped = {e.warped, cols, rows};
  FLOW_EACH_CELL(x, y, cols, rows) {
    const int p = y * cols + x;
    e.warped[p] = flow_at(b.data, cols, rows, (float)x + field.u[p],
                          (float)y + field.v[p]);
    const float ux = flow_across(u, x, y), uy = flow_down(u, x, y);
    const float vx = flow_across(v, x, y), vy = flow_down(v, x, y);
    const float g = ux * ux + uy * uy + vx * vx + vy * vy;
    e.even[p] = FLOW_SMOOTH / sqrtf(g + 1e-3f);
  }
  __syncthreads();
  FLOW_EACH_CELL(x, y, cols, rows) {
    const int p = y * cols + x;
    const float ix = 0.5f * (flow_across(a, x, y) + flow_across(warped, x, y));
    const float iy = 0.5f * (flow_down(a, x, y) + flow_down(warped, x, y));
    const float z = e.warped[p] - a.data[p];
    const float norm = ix * ix + iy * iy + 0.01f;
    const float m = 1.0f / (norm * sqrtf(z * z / norm + 1e-3f));
    const float even = e.even[p];
    const float left = x > 0 ? 0.5f * (even + e.even[p - 1]) : 0.0f;
    const float right = x + 1 < cols ? 0.5f * (even + e.even[p + 1]) : 0.0f;
    const float above = y > 0 ? 0.5f * (even + e.even[p - cols]) : 0.0f;
    const float below = y + 1 < rows ? 0.5f * (even + e.even[p + cols]) : 0.0f;
    const float k = (left + right) + (above + below);
    const float c = z - ix * field.u[p] - iy * field.v[p];
    e.right[p] = right;
    e.below[p] = below;
    e.across[p] = 1.0f / (k + m * ix * ix);
    e.down[p] = 1.0f / (k + m * iy * iy);
    e.both[p] = m * ix * iy;
    e.pull_x[p] = m * ix * c;
    e.pull_y[p] = m * iy * c;
  }
  __syncthreads();
}

// Every other cell of the rows, those whose column and row are together even
// where `parity` is 0.
static __device__ __forceinline__ void
flow_sweep(int cols, int rows, int parity, FlowField field, FlowEquations e) {
  for (int y = (int)threadIdx.x / 32; y < rows; y += FLOW_THREADS / 32)
    for (int x = ((y + parity) & 1) + 2 * ((int)threadIdx.x % 32); x < cols;
         x += 64) {
      const int p = y * cols + x;
      // Past the borders the cell itself, which then counts for nothing.
      const int left = x > 0 ? p - 1 : p, right = x + 1 < cols ? p + 1 : p;
      const int above = y > 0 ? p - cols : p;
      const int below = y + 1 < rows ? p + cols : p;
      const float to_left = x > 0 ? e.right[left] : 0.0f;
      const float to_above = y > 0 ? e.below[above] : 0.0f;
      const float to_right = e.right[p], to_below = e.below[p];
      float u = field.u[p], v = field.v[p];
      const float mean_u =
          (to_left * field.u[left] + to_right * field.u[right]) +
          (to_above * field.u[above] + to_below * field.u[below]);
      const float mean_v =
          (to_left * field.v[left] + to_right * field.v[right]) +
          (to_above * field.v[above] + to_below * field.v[below]);
      const float both = e.both[p];
      const float new_u = (mean_u - e.pull_x[p] - both * v) * e.across[p];
      u += FLOW_RELAX * (new_u - u);
      const float new_v = (mean_v - e.pull_y[p] - both * u) * e.down[p];
      v += FLOW_RELAX * (new_v - v);
      field.u[p] = u;
      field.v[p] = v;
    }
}

static __device__ __forceinline__ void
flow_refine(FlowPlane a, FlowPlane b, FlowField field, FlowEquations e) {
  for (int outer = 0; outer < FLOW_OUTER; ++outer) {
    flow_linearise(a, b, field, e);
    for (int half = 0; half < 2 * FLOW_SWEEPS; ++half) {
      flow_sweep(a.cols, a.rows, half % 2, field, e);
      __syncthreads();
    }
  }
}
