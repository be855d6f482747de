//! Dense optical flow between two small pictures: fast inverse search over a
//! pyramid (Kroeger, Timofte, Dai, Van Gool: "Fast optical flow using dense
//! inverse search", ECCV 2016), each level refined by a robust variational step
//! (Brox, Bruhn, Papenberg, Weickert, ECCV 2004).
//!
//! One thread, a fixed order of sums and no fused operations: the same field on
//! every machine.

/// Width and height of a patch.
const PATCH: usize = 8;
/// Distance between patches.
const STRIDE: usize = 3;
/// Steps of the inverse search on each patch.
const SEARCH: usize = 10;
/// Outer steps of the refinement, and sweeps in each.
const REFINE: (usize, usize) = (3, 5);
/// Over-relaxation of the sweeps.
const RELAX: f32 = 1.6;
/// Weight of smoothness in the refinement.
const SMOOTH: f32 = 1.0;

/// One channel on a grid.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) cols: usize,
    pub(super) rows: usize,
    pub(super) data: Vec<f32>,
}

impl Plane {
    /// Bilinear value, borders repeated.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let x = x.clamp(0.0, (self.cols - 1) as f32);
        let y = y.clamp(0.0, (self.rows - 1) as f32);
        let (i, j) = (x as usize, y as usize);
        let (a, b) = (x - i as f32, y - j as f32);
        let (i1, j1) = ((i + 1).min(self.cols - 1), (j + 1).min(self.rows - 1));
        let (up, down) = (&self.data[j * self.cols..], &self.data[j1 * self.cols..]);
        (1.0 - b) * ((1.0 - a) * up[i] + a * up[i1]) + b * ((1.0 - a) * down[i] + a * down[i1])
    }

    fn half(&self) -> Self {
        let (cols, rows) = (self.cols / 2, self.rows / 2);
        let mut data = Vec::with_capacity(cols * rows);
        for y in 0..rows {
            for x in 0..cols {
                let i = 2 * y * self.cols + 2 * x;
                let d = &self.data;
                data.push(0.25 * (d[i] + d[i + 1] + d[i + self.cols] + d[i + self.cols + 1]));
            }
        }
        Self { cols, rows, data }
    }

    /// Central differences across and down.
    fn gradients(&self) -> (Vec<f32>, Vec<f32>) {
        let (w, h) = (self.cols, self.rows);
        let mut gx = vec![0.0; w * h];
        let mut gy = vec![0.0; w * h];
        for y in 0..h {
            let (up, down) = (y.saturating_sub(1) * w, (y + 1).min(h - 1) * w);
            for x in 0..w {
                let (l, r) = (x.saturating_sub(1), (x + 1).min(w - 1));
                gx[y * w + x] = 0.5 * (self.data[y * w + r] - self.data[y * w + l]);
                gy[y * w + x] = 0.5 * (self.data[down + x] - self.data[up + x]);
            }
        }
        (gx, gy)
    }
}

/// A displacement for every cell: what is at `x` in the one picture is at
/// `x + d(x)` in the other.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Across, in cells.
    pub(super) u: Plane,
    /// Down, in cells.
    pub(super) v: Plane,
}

impl Field {
    fn still(cols: usize, rows: usize) -> Self {
        let zero = Plane {
            cols,
            rows,
            data: vec![0.0; cols * rows],
        };
        Self {
            u: zero.clone(),
            v: zero,
        }
    }

    fn doubled(&self, cols: usize, rows: usize) -> Self {
        let (sx, sy) = (
            self.u.cols as f32 / cols as f32,
            self.u.rows as f32 / rows as f32,
        );
        let mut out = Self::still(cols, rows);
        for y in 0..rows {
            for x in 0..cols {
                let (px, py) = ((x as f32 + 0.5) * sx - 0.5, (y as f32 + 0.5) * sy - 0.5);
                out.u.data[y * cols + x] = self.u.at(px, py) / sx;
                out.v.data[y * cols + x] = self.v.at(px, py) / sy;
            }
        }
        out
    }
}

/// Flow from `a` to `b`, of one size, with values of any scale. Still where the
/// pictures are smaller than a patch.
pub(super) fn flow(a: &Plane, b: &Plane) -> Field {
    if a.cols < PATCH || a.rows < PATCH {
        return Field::still(a.cols, a.rows);
    }
    let scale = 1.0 / spread(a, b).max(1e-4);
    let scaled = |p: &Plane| Plane {
        data: p.data.iter().map(|v| v * scale).collect(),
        ..*p
    };
    let mut levels = vec![(scaled(a), scaled(b))];
    while let Some((a, b)) = levels
        .last()
        .filter(|(a, _)| a.cols.min(a.rows) / 2 >= PATCH + 2)
    {
        levels.push((a.half(), b.half()));
    }
    let mut field: Option<Field> = None;
    for (a, b) in levels.iter().rev() {
        let start = field.map_or_else(
            || Field::still(a.cols, a.rows),
            |f| f.doubled(a.cols, a.rows),
        );
        let found = search(a, b, &start);
        field = Some(refine(a, b, found));
    }
    field.unwrap_or_else(|| Field::still(a.cols, a.rows))
}

/// Mean distance of both pictures' values from their common mean.
fn spread(a: &Plane, b: &Plane) -> f32 {
    let all = || a.data.iter().chain(&b.data);
    let n = (a.data.len() + b.data.len()) as f32;
    let mean = all().sum::<f32>() / n;
    all().map(|v| (v - mean).abs()).sum::<f32>() / n
}

/// A picture with its borders repeated far enough for any patch to lie in it.
struct Padded {
    plane: Plane,
}

/// Cells added on every side.
const PAD: usize = PATCH + 2;

impl Padded {
    fn new(p: &Plane) -> Self {
        let (cols, rows) = (p.cols + 2 * PAD, p.rows + 2 * PAD);
        let mut data = Vec::with_capacity(cols * rows);
        for y in 0..rows {
            let y = y.saturating_sub(PAD).min(p.rows - 1);
            let row = &p.data[y * p.cols..(y + 1) * p.cols];
            data.extend((0..cols).map(|x| row[x.saturating_sub(PAD).min(p.cols - 1)]));
        }
        Self {
            plane: Plane { cols, rows, data },
        }
    }

    /// Squared difference between the patch of `a` at (`x`, `y`) and this
    /// picture displaced by `d`, less the difference of their means.
    fn residual(
        &self,
        a: &Plane,
        (x, y): (usize, usize),
        d: [f32; 2],
        out: &mut [[f32; PATCH]; PATCH],
    ) -> f32 {
        let b = &self.plane;
        // Beyond the padding all is the border's value: stop there.
        let place = |at: usize, d: f32, n: usize| {
            let p = ((at + PAD) as f32 + d).clamp(0.0, (n - PATCH - 2) as f32);
            (p as usize, p - p.floor())
        };
        let ((i, s), (j, t)) = (place(x, d[0], b.cols), place(y, d[1], b.rows));
        let (w00, w10) = ((1.0 - s) * (1.0 - t), s * (1.0 - t));
        let (w01, w11) = ((1.0 - s) * t, s * t);
        let mut sums = [0.0f32; PATCH];
        for (row, out) in out.iter_mut().enumerate() {
            let up = &b.data[(j + row) * b.cols + i..][..=PATCH];
            let down = &b.data[(j + row + 1) * b.cols + i..][..=PATCH];
            let own = &a.data[(y + row) * a.cols + x..][..PATCH];
            for k in 0..PATCH {
                out[k] = w00 * up[k] + w10 * up[k + 1] + w01 * down[k] + w11 * down[k + 1] - own[k];
            }
            for k in 0..PATCH {
                sums[k] += out[k];
            }
        }
        let mean = sums.iter().sum::<f32>() / (PATCH * PATCH) as f32;
        let mut squares = [0.0f32; PATCH];
        for out in out {
            for k in 0..PATCH {
                out[k] -= mean;
                squares[k] += out[k] * out[k];
            }
        }
        squares.iter().sum()
    }
}

/// Inverse search on overlapping patches, each begun at the best of the coarser
/// level's and its neighbours' displacements, made dense by how well each patch
/// explains a pixel.
fn search(a: &Plane, b: &Plane, start: &Field) -> Field {
    let (w, h) = (a.cols, a.rows);
    let places = |n: usize| -> Vec<usize> {
        let mut p: Vec<usize> = (0..=n - PATCH).step_by(STRIDE).collect();
        if p.last() != Some(&(n - PATCH)) {
            p.push(n - PATCH);
        }
        p
    };
    let (xs, ys) = (places(w), places(h));
    let (gx, gy) = a.gradients();
    let n = (PATCH * PATCH) as f32;
    let mut found = vec![[0.0f32; 2]; xs.len() * ys.len()];
    let b = Padded::new(b);
    let mut r = [[0.0f32; PATCH]; PATCH];
    for (row, &y) in ys.iter().enumerate() {
        for (col, &x) in xs.iter().enumerate() {
            let centre = (y + PATCH / 2) * w + x + PATCH / 2;
            let mut best = [start.u.data[centre], start.v.data[centre]];
            let mut cost = b.residual(a, (x, y), best, &mut r);
            let left = (col > 0).then(|| found[row * xs.len() + col - 1]);
            let above = (row > 0).then(|| found[(row - 1) * xs.len() + col]);
            for d in [left, above].into_iter().flatten() {
                let c = b.residual(a, (x, y), d, &mut r);
                if c < cost {
                    (best, cost) = (d, c);
                }
            }
            let slopes = |g: &[f32]| -> [[f32; PATCH]; PATCH] {
                std::array::from_fn(|j| std::array::from_fn(|i| g[(y + j) * w + x + i]))
            };
            let (px, py) = (slopes(&gx), slopes(&gy));
            let (mut xx, mut xy, mut yy) = (0.0f32, 0.0f32, 0.0f32);
            let (mut sx, mut sy) = (0.0f32, 0.0f32);
            for (gx, gy) in px.iter().zip(&py) {
                xx += dot(gx, gx);
                xy += dot(gx, gy);
                yy += dot(gy, gy);
                sx += dot(gx, &[1.0; PATCH]);
                sy += dot(gy, &[1.0; PATCH]);
            }
            xx -= sx * sx / n;
            xy -= sx * sy / n;
            yy -= sy * sy / n;
            // Flat patches stay where they began.
            let steady = 1e-3 * n;
            let det = (xx + steady) * (yy + steady) - xy * xy;
            let (begun, mut d) = (best, best);
            for _ in 0..SEARCH {
                let c = b.residual(a, (x, y), d, &mut r);
                if c < cost {
                    (best, cost) = (d, c);
                }
                let (mut bx, mut by) = (0.0f32, 0.0f32);
                for ((r, gx), gy) in r.iter().zip(&px).zip(&py) {
                    bx += dot(gx, r);
                    by += dot(gy, r);
                }
                let step = [
                    ((yy + steady) * bx - xy * by) / det,
                    ((xx + steady) * by - xy * bx) / det,
                ];
                d = [d[0] - step[0], d[1] - step[1]];
                let far = (d[0] - begun[0]).abs().max((d[1] - begun[1]).abs());
                if step[0].abs().max(step[1].abs()) < 0.01 || far > PATCH as f32 {
                    break;
                }
            }
            found[row * xs.len() + col] = best;
        }
    }
    let mut out = Field::still(w, h);
    let mut weight = vec![0.0f32; w * h];
    for (row, &y) in ys.iter().enumerate() {
        for (col, &x) in xs.iter().enumerate() {
            let d = found[row * xs.len() + col];
            b.residual(a, (x, y), d, &mut r);
            for j in 0..PATCH {
                for i in 0..PATCH {
                    let p = (y + j) * w + x + i;
                    let k = 1.0 / r[j][i].abs().max(0.05);
                    out.u.data[p] += k * d[0];
                    out.v.data[p] += k * d[1];
                    weight[p] += k;
                }
            }
        }
    }
    for (p, k) in weight.into_iter().enumerate() {
        out.u.data[p] /= k;
        out.v.data[p] /= k;
    }
    out
}

/// Scalar product, in an order that several are multiplied at once in.
fn dot(a: &[f32; PATCH], b: &[f32; PATCH]) -> f32 {
    let p: [f32; PATCH] = std::array::from_fn(|i| a[i] * b[i]);
    let q: [f32; 4] = std::array::from_fn(|i| p[i] + p[i + 4]);
    (q[0] + q[2]) + (q[1] + q[3])
}

/// The equations of one cell in [`refine`].
struct Cell {
    /// Smoothness toward the left, right, upper and lower neighbour.
    near: [f32; 4],
    /// Inverse diagonals.
    across: f32,
    down: f32,
    /// What ties the two displacements together.
    both: f32,
    /// The data's share of the right hand side.
    pull: [f32; 2],
}

/// Robust data and smoothness terms, linearised about `field` and solved by
/// over-relaxed sweeps.
fn refine(a: &Plane, b: &Plane, mut field: Field) -> Field {
    let (w, h) = (a.cols, a.rows);
    let (ax, ay) = a.gradients();
    let mut warped = a.clone();
    for _ in 0..REFINE.0 {
        for y in 0..h {
            for x in 0..w {
                let p = y * w + x;
                warped.data[p] = b.at(x as f32 + field.u.data[p], y as f32 + field.v.data[p]);
            }
        }
        let (bx, by) = warped.gradients();
        let ix: Vec<f32> = ax.iter().zip(&bx).map(|(a, b)| 0.5 * (a + b)).collect();
        let iy: Vec<f32> = ay.iter().zip(&by).map(|(a, b)| 0.5 * (a + b)).collect();
        // Weights of the robust terms, kept through the sweeps.
        let data: Vec<f32> = (0..w * h)
            .map(|p| {
                let z = warped.data[p] - a.data[p];
                let norm = ix[p] * ix[p] + iy[p] * iy[p] + 0.01;
                1.0 / (norm * (z * z / norm + 1e-3).sqrt())
            })
            .collect();
        let (ux, uy) = field.u.gradients();
        let (vx, vy) = field.v.gradients();
        let even: Vec<f32> = (0..w * h)
            .map(|p| {
                let g = ux[p] * ux[p] + uy[p] * uy[p] + vx[p] * vx[p] + vy[p] * vy[p];
                SMOOTH / (g + 1e-3).sqrt()
            })
            .collect();
        // Weights between a cell and its right and lower neighbours, 0 past the
        // borders; and of the cell itself.
        let edge = |p: usize, q: usize, inside: bool| {
            if inside {
                0.5 * (even[p] + even[q])
            } else {
                0.0
            }
        };
        let mut cells: Vec<Cell> = Vec::with_capacity(w * h);
        for y in 0..h {
            for x in 0..w {
                let p = y * w + x;
                let near = [
                    edge(p, p.saturating_sub(1), x > 0),
                    edge(p, (p + 1).min(w * h - 1), x + 1 < w),
                    edge(p, p.saturating_sub(w), y > 0),
                    edge(p, (p + w).min(w * h - 1), y + 1 < h),
                ];
                let k = (near[0] + near[1]) + (near[2] + near[3]);
                let z = warped.data[p] - a.data[p];
                let c = z - ix[p] * field.u.data[p] - iy[p] * field.v.data[p];
                let m = data[p];
                cells.push(Cell {
                    near,
                    across: 1.0 / (k + m * ix[p] * ix[p]),
                    down: 1.0 / (k + m * iy[p] * iy[p]),
                    both: m * ix[p] * iy[p],
                    pull: [m * ix[p] * c, m * iy[p] * c],
                });
            }
        }
        let (u, v) = (&mut field.u.data, &mut field.v.data);
        for _ in 0..REFINE.1 {
            // Every other cell, then those between (red and black): none waits
            // for the one before it.
            for parity in 0..2 {
                for y in 0..h {
                    for x in ((y + parity) % 2..w).step_by(2) {
                        let p = y * w + x;
                        let cell = &cells[p];
                        let at = [
                            p.saturating_sub(1),
                            (p + 1).min(w * h - 1),
                            p.saturating_sub(w),
                            (p + w).min(w * h - 1),
                        ];
                        let e = cell.near;
                        let mean = |d: &[f32]| {
                            (e[0] * d[at[0]] + e[1] * d[at[1]])
                                + (e[2] * d[at[2]] + e[3] * d[at[3]])
                        };
                        let nu = (mean(u) - cell.pull[0] - cell.both * v[p]) * cell.across;
                        u[p] += RELAX * (nu - u[p]);
                        let nv = (mean(v) - cell.pull[1] - cell.both * u[p]) * cell.down;
                        v[p] += RELAX * (nv - v[p]);
                    }
                }
            }
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Philox;

    /// Smooth noise of several sizes, moved by (`dx`, `dy`).
    fn noise(cols: usize, rows: usize, dx: f32, dy: f32) -> Plane {
        let knot = |size: u32, i: i32, j: i32| {
            Philox::new(1, [size, i as u32, j as u32]).uniform() as f32 - 0.5
        };
        let value = |x: f32, y: f32, size: u32| {
            let (x, y) = (x / size as f32, y / size as f32);
            let (i, j) = (x.floor(), y.floor());
            let ease = |t: f32| t * t * (3.0 - 2.0 * t);
            let (a, b) = (ease(x - i), ease(y - j));
            let k = |p: i32, q: i32| knot(size, i as i32 + p, j as i32 + q);
            let up = k(0, 0) + (k(1, 0) - k(0, 0)) * a;
            up + (k(0, 1) + (k(1, 1) - k(0, 1)) * a - up) * b
        };
        let mut data = Vec::new();
        for y in 0..rows {
            for x in 0..cols {
                let (x, y) = (x as f32 - dx, y as f32 - dy);
                data.push(value(x, y, 20) + 0.6 * value(x, y, 9) + 0.3 * value(x, y, 4));
            }
        }
        Plane { cols, rows, data }
    }

    #[test]
    fn finds_a_translation() {
        for (dx, dy) in [(0.0, 0.0), (0.4, -0.7), (3.3, 1.2), (-5.0, 4.0)] {
            let f = flow(&noise(80, 60, 0.0, 0.0), &noise(80, 60, dx, dy));
            let mut worst = 0.0f32;
            for y in 10..50 {
                for x in 10..70 {
                    let p = y * 80 + x;
                    worst = worst.max((f.u.data[p] - dx).abs().max((f.v.data[p] - dy).abs()));
                }
            }
            assert!(worst < 0.25, "({dx}, {dy}): off by {worst} cells");
        }
    }

    #[test]
    fn scale_and_level_do_not_matter_and_flat_or_tiny_pictures_are_still() {
        let (a, mut b) = (noise(40, 30, 0.0, 0.0), noise(40, 30, 1.0, 0.5));
        let f = flow(&a, &b);
        b.data.iter_mut().for_each(|v| *v *= 0.01);
        let mut dim = a.clone();
        dim.data.iter_mut().for_each(|v| *v *= 0.01);
        let g = flow(&dim, &b);
        for (u, v) in f.u.data.iter().zip(&g.u.data) {
            assert!((u - v).abs() < 0.05, "{u} {v}");
        }
        for (cols, rows) in [(1, 1), (7, 40), (40, 30)] {
            let flat = Plane {
                cols,
                rows,
                data: vec![0.3; cols * rows],
            };
            assert!(flow(&flat, &flat).u.data.iter().all(|&v| v == 0.0));
        }
    }
}
