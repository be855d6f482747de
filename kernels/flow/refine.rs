//! The robust variational step that refines one level of the pyramid.

use super::{Field, Plane};

/// Outer steps of the refinement, and sweeps in each.
const REFINE: (usize, usize) = (3, 5);
/// Over-relaxation of the sweeps.
const RELAX: f32 = 1.6;
/// Weight of smoothness.
const SMOOTH: f32 = 1.0;

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
pub(super) fn refine(a: &Plane, b: &Plane, mut field: Field) -> Field {
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
