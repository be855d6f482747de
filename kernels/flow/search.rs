//! Fast inverse search on overlapping patches of one level of the pyramid.

use super::{Field, PATCH, Plane};

/// Distance between patches.
const STRIDE: usize = 3;
/// Steps of the inverse search on each patch.
const SEARCH: usize = 10;

/// Where patches begin on an axis of `n` cells, at least [`PATCH`]: the last ends with it.
fn places(n: usize) -> Vec<usize> {
    let last = n - PATCH;
    (0..count(n)).map(|i| (i * STRIDE).min(last)).collect()
}

/// How many those are.
pub(super) fn count(n: usize) -> usize {
    (n - PATCH).div_ceil(STRIDE) + 1
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
        let mean = total(&sums) / (PATCH * PATCH) as f32;
        let mut squares = [0.0f32; PATCH];
        for out in out {
            for k in 0..PATCH {
                out[k] -= mean;
                squares[k] += out[k] * out[k];
            }
        }
        total(&squares)
    }
}

/// Inverse search on overlapping patches, each begun at the best of the coarser
/// level's and its neighbours' displacements, made dense by how well each patch
/// explains a pixel.
pub(super) fn search(a: &Plane, b: &Plane, start: &Field) -> Field {
    let (w, h) = (a.cols, a.rows);
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
            for (j, row) in r.iter().enumerate() {
                for (i, left) in row.iter().enumerate() {
                    let p = (y + j) * w + x + i;
                    let k = 1.0 / left.abs().max(0.05);
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

/// The sum, from the first on.
fn total(v: &[f32; PATCH]) -> f32 {
    v[1..].iter().fold(v[0], |sum, v| sum + v)
}

/// Scalar product, in an order that several are multiplied at once in.
fn dot(a: &[f32; PATCH], b: &[f32; PATCH]) -> f32 {
    let p: [f32; PATCH] = std::array::from_fn(|i| a[i] * b[i]);
    let q: [f32; 4] = std::array::from_fn(|i| p[i] + p[i + 4]);
    (q[0] + q[2]) + (q[1] + q[3])
}
