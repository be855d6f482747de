//! Whether the whole picture moves.

use crate::engine::plate::features::Features;

/// Shift of the whole picture from frame to frame, of its height, where it is
/// liveliest: the shift that explains the change of each block best (Lucas and Kanade, 1981),
/// the median over blocks, so that a locked-off camera before moving water has
/// none.
pub(super) fn camera(f: &Features) -> f64 {
    let cells = f.cells();
    if f.frames < 2 || f.cols < 8 || f.rows < 8 {
        return 0.0;
    }
    let at = |t: usize, x: usize, y: usize| f64::from(f.luma[t * cells + y * f.cols + x]);
    // Several frames apart, so that slow moves are told from noise.
    let apart = (f.frames / 8).clamp(1, 4);
    let mut shifts = Vec::new();
    let mut t = 0;
    while t + apart < f.frames {
        let (mut us, mut vs) = (Vec::new(), Vec::new());
        for by in (1..f.rows - 5).step_by(4) {
            for bx in (1..f.cols - 5).step_by(4) {
                let (mut xx, mut xy, mut yy, mut xt, mut yt) = (0.0, 0.0, 0.0, 0.0, 0.0);
                for y in by..by + 5 {
                    for x in bx..bx + 5 {
                        if x + 1 >= f.cols || y + 1 >= f.rows {
                            continue;
                        }
                        let both = |x: usize, y: usize| at(t, x, y) + at(t + apart, x, y);
                        let gx = (both(x + 1, y) - both(x - 1, y)) / 4.0;
                        let gy = (both(x, y + 1) - both(x, y - 1)) / 4.0;
                        let d = at(t + apart, x, y) - at(t, x, y);
                        xx += gx * gx;
                        xy += gx * gy;
                        yy += gy * gy;
                        xt += gx * d;
                        yt += gy * d;
                    }
                }
                // Blocks without corners say nothing of the camera.
                let det = xx * yy - xy * xy;
                let trace = xx + yy;
                if det > 0.02 * trace * trace && trace > 25.0 * 60.0 * 60.0 {
                    us.push(-(yy * xt - xy * yt) / det);
                    vs.push(-(xx * yt - xy * xt) / det);
                }
            }
        }
        if us.len() >= 6 {
            let middle = |v: &mut Vec<f64>| {
                v.sort_by(f64::total_cmp);
                v[v.len() / 2]
            };
            let pairs: Vec<(f64, f64)> = us.iter().copied().zip(vs.iter().copied()).collect();
            let (u, v) = (middle(&mut us), middle(&mut vs));
            let shift = libm::sqrt(u * u + v * v);
            // A camera moves all blocks alike; a flame does not.
            let with = |p: &&(f64, f64)| {
                let (a, b) = (p.0 - u, p.1 - v);
                libm::sqrt(a * a + b * b) < 0.4 * shift
            };
            let alike = pairs.iter().filter(with).count() * 5 >= pairs.len() * 3;
            shifts.push(if alike { shift / apart as f64 } else { 0.0 });
        }
        t += apart;
    }
    // The liveliest fifth: a camera may move for a moment only.
    shifts.sort_by(|a, b| b.total_cmp(a));
    shifts.truncate(shifts.len().div_ceil(5));
    let mean = shifts.iter().sum::<f64>() / shifts.len().max(1) as f64;
    mean / f.rows as f64
}
