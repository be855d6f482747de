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

/// Squared difference between the patch of `a` at (`x`, `y`) and `b` displaced
/// by `d`, less the difference of their means.
fn residual(a: &Plane, b: &Plane, x: usize, y: usize, d: [f32; 2], out: &mut [f32]) -> f32 {
    let mut mean = 0.0;
    for j in 0..PATCH {
        for i in 0..PATCH {
            let r = b.at((x + i) as f32 + d[0], (y + j) as f32 + d[1])
                - a.data[(y + j) * a.cols + x + i];
            out[j * PATCH + i] = r;
            mean += r;
        }
    }
    mean /= (PATCH * PATCH) as f32;
    let mut sum = 0.0;
    for r in out.iter_mut() {
        *r -= mean;
        sum += *r * *r;
    }
    sum
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
    let mut r = [0.0f32; PATCH * PATCH];
    for (row, &y) in ys.iter().enumerate() {
        for (col, &x) in xs.iter().enumerate() {
            let centre = (y + PATCH / 2) * w + x + PATCH / 2;
            let mut best = [start.u.data[centre], start.v.data[centre]];
            let mut cost = residual(a, b, x, y, best, &mut r);
            let left = (col > 0).then(|| found[row * xs.len() + col - 1]);
            let above = (row > 0).then(|| found[(row - 1) * xs.len() + col]);
            for d in [left, above].into_iter().flatten() {
                let c = residual(a, b, x, y, d, &mut r);
                if c < cost {
                    (best, cost) = (d, c);
                }
            }
            let (mut xx, mut xy, mut yy, mut sx, mut sy) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
            for j in 0..PATCH {
                for i in 0..PATCH {
                    let p = (y + j) * w + x + i;
                    xx += gx[p] * gx[p];
                    xy += gx[p] * gy[p];
                    yy += gy[p] * gy[p];
                    sx += gx[p];
                    sy += gy[p];
                }
            }
            xx -= sx * sx / n;
            xy -= sx * sy / n;
            yy -= sy * sy / n;
            // Flat patches stay where they began.
            let steady = 1e-3 * n;
            let det = (xx + steady) * (yy + steady) - xy * xy;
            let (begun, mut d) = (best, best);
            for _ in 0..SEARCH {
                let c = residual(a, b, x, y, d, &mut r);
                if c < cost {
                    (best, cost) = (d, c);
                }
                let (mut bx, mut by) = (0.0f32, 0.0f32);
                for j in 0..PATCH {
                    for i in 0..PATCH {
                        let p = (y + j) * w + x + i;
                        bx += gx[p] * r[j * PATCH + i];
                        by += gy[p] * r[j * PATCH + i];
                    }
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
            residual(a, b, x, y, d, &mut r);
            for j in 0..PATCH {
                for i in 0..PATCH {
                    let p = (y + j) * w + x + i;
                    let k = 1.0 / r[j * PATCH + i].abs().max(0.05);
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
        let (u0, v0) = (field.u.data.clone(), field.v.data.clone());
        for _ in 0..REFINE.1 {
            for y in 0..h {
                for x in 0..w {
                    let p = y * w + x;
                    let (mut k, mut su, mut sv) = (0.0f32, 0.0f32, 0.0f32);
                    let mut near = |q: usize| {
                        let e = 0.5 * (even[p] + even[q]);
                        k += e;
                        su += e * field.u.data[q];
                        sv += e * field.v.data[q];
                    };
                    if x > 0 {
                        near(p - 1);
                    }
                    if x + 1 < w {
                        near(p + 1);
                    }
                    if y > 0 {
                        near(p - w);
                    }
                    if y + 1 < h {
                        near(p + w);
                    }
                    let z = warped.data[p] - a.data[p];
                    let c = z - ix[p] * u0[p] - iy[p] * v0[p];
                    let m = data[p];
                    let (u, v) = (field.u.data[p], field.v.data[p]);
                    let nu = (su - m * ix[p] * (c + iy[p] * v)) / (k + m * ix[p] * ix[p]);
                    let u = u + 1.6 * (nu - u);
                    let nv = (sv - m * iy[p] * (c + ix[p] * u)) / (k + m * iy[p] * iy[p]);
                    field.u.data[p] = u;
                    field.v.data[p] = v + 1.6 * (nv - v);
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
