// Dense optical flow between small pictures: inverse search on patches over a
// pyramid, each level refined by a robust variational step; `flow.rs` names the
// papers. Many flows in one launch, each a block's: all levels of one are done
// by the same threads, which meet at barriers. The bits are the twin's.
//
// For pictures of n cells it reads 8 n bytes, writes 8 n, and works in about
// 76 n bytes that stay in the caches. A patch, one to nine cells, takes up to
// 14 differences of 64 cells, 12 operations each, and up to 10 steps, 4 each:
// at most 1500 operations a cell; refinement takes 600, and the coarser levels
// a third more in all. That is little: what bounds it is latency. Patches go
// diagonal by diagonal (52 of 107 x 60 cells, 86 on all levels), each a chain
// of some thousand operations; a level's refinement has 36 barriers; and the
// spread that values are divided by is summed by one thread. So many flows side
// by side take about as long as one. Its check alone: longtake-kernels-check
// flow

#include "flow_refine.cuh"
#include "flow_search.cuh"

struct Flow {
  const float *pictures; // [pictures, rows, cols]
  const u32 *ways;       // [ways, 2]: the picture it leads from, and to
  float *scratch;        // [ways, room]
  float *out;            // [ways, 2, rows, cols]: across and down, in cells
  u64 room;
  int cols, rows;
};

// The sum of both pictures' values, or of their distances from `mean`, by one
// thread in their order.
static __device__ __forceinline__ float flow_sum(const float *a, const float *b,
                                                 int cells, bool distances,
                                                 float mean, float *shared) {
  float sum = 0.0f;
  for (int first = 0; first < 2 * cells; first += FLOW_THREADS) {
    const int i = first + (int)threadIdx.x;
    // Adds nothing, whatever the sum.
    float value = -0.0f;
    if (i < 2 * cells) {
      value = i < cells ? a[i] : b[i - cells];
      if (distances)
        value = fabsf(value - mean);
    }
    shared[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
#pragma unroll 4
      for (int k = 0; k < FLOW_THREADS; k += FLOW_PATCH)
        sum = flow_total(sum, shared + k);
    }
    __syncthreads();
  }
  if (threadIdx.x == 0)
    shared[0] = sum;
  __syncthreads();
  sum = shared[0];
  __syncthreads();
  return sum;
}

// Whether a level of the pyramid has a coarser one.
static __device__ __forceinline__ bool flow_is_halved(int cols, int rows) {
  return min(cols, rows) / 2 >= FLOW_PATCH + 2;
}

// The coarser level of a picture.
static __device__ __forceinline__ void flow_halve(FlowPlane from,
                                                  FlowPlane to) {
  FLOW_EACH_CELL(x, y, to.cols, to.rows) {
    const float *d = from.data + 2 * y * from.cols + 2 * x;
    to.data[y * to.cols + x] =
        0.25f * (d[0] + d[1] + d[from.cols] + d[from.cols + 1]);
  }
}

// A coarser level's field on a level of `cols` by `rows`.
static __device__ __forceinline__ void flow_double(FlowField from, int cols_of,
                                                   int rows_of, FlowField to,
                                                   int cols, int rows) {
  const float sx = (float)cols_of / (float)cols;
  const float sy = (float)rows_of / (float)rows;
  FLOW_EACH_CELL(x, y, cols, rows) {
    const float px = ((float)x + 0.5f) * sx - 0.5f;
    const float py = ((float)y + 0.5f) * sy - 0.5f;
    to.u[y * cols + x] = flow_at(from.u, cols_of, rows_of, px, py) / sx;
    to.v[y * cols + x] = flow_at(from.v, cols_of, rows_of, px, py) / sy;
  }
}

KERNEL void __launch_bounds__(FLOW_THREADS) flow(Flow task) {
  __shared__ FlowPatch patches[FLOW_SLOTS];
  __shared__ float4 fours[FLOW_THREADS / 4];
  float *values = (float *)fours;
  const u64 way = blockIdx.x;
  const int cols = task.cols, rows = task.rows, cells = cols * rows;
  float *out = task.out + way * 2 * (u64)cells;
  const FlowField field = {out, out + cells};
  if (min(cols, rows) < FLOW_PATCH) {
    FLOW_EACH_CELL(x, y, cols, rows)
    field.u[y * cols + x] = field.v[y * cols + x] = 0.0f;
    return;
  }
  const float *from = task.pictures + (u64)task.ways[2 * way] * (u64)cells;
  const float *to = task.pictures + (u64)task.ways[2 * way + 1] * (u64)cells;

  // Scaled, so that values' mean distance from their mean is 1.
  const float n = (float)(2 * cells);
  const float mean = flow_sum(from, to, cells, false, 0.0f, values) / n;
  const float spread = flow_sum(from, to, cells, true, mean, values) / n;
  const float scale = 1.0f / fmaxf(spread, 1e-4f);
  float *room = task.scratch + way * task.room;
  FlowPlane a = {room, cols, rows}, b = {room + cells, cols, rows};
  FLOW_EACH_CELL(x, y, cols, rows) {
    const int p = y * cols + x;
    a.data[p] = from[p] * scale;
    b.data[p] = to[p] * scale;
  }
  __syncthreads();
  // The pictures of a level lie behind those of the finer one.
  room += 2 * cells;
  int level = 0;
  while (flow_is_halved(a.cols, a.rows)) {
    const int half = (a.cols / 2) * (a.rows / 2);
    const FlowPlane a2 = {room, a.cols / 2, a.rows / 2};
    const FlowPlane b2 = {room + half, a.cols / 2, a.rows / 2};
    flow_halve(a, a2);
    flow_halve(b, b2);
    __syncthreads();
    a = a2;
    b = b2;
    room += 2 * half;
    ++level;
  }
  const FlowEquations equations = flow_equations(room, cells);
  // Where a level begins lies where its equations will.
  const FlowField start = {equations.warped, equations.even};
  float *found = room + 9 * cells;
  float *weights = found + 2 * flow_count(cols) * flow_count(rows);

  for (bool coarsest = true;; coarsest = false) {
    if (coarsest) {
      FLOW_EACH_CELL(x, y, a.cols, a.rows)
      start.u[y * a.cols + x] = start.v[y * a.cols + x] = 0.0f;
    } else {
      // The finer level.
      --level;
      const int coarse_cols = a.cols, coarse_rows = a.rows;
      a.cols = cols >> level;
      a.rows = rows >> level;
      a.data -= 2 * a.cols * a.rows;
      b = FlowPlane{a.data + a.cols * a.rows, a.cols, a.rows};
      flow_double(field, coarse_cols, coarse_rows, start, a.cols, a.rows);
    }
    __syncthreads();
    flow_search(a, b, start, patches, found, weights);
    flow_dense(a, found, weights, field);
    __syncthreads();
    flow_refine(a, b, field, equations);
    if (level == 0)
      return;
  }
}
