//! Asides: a region that plays another clip for a while. They buy novelty for
//! some seam risk. The clip is chosen by how well it agrees with what is
//! playing there, place by place.

use super::features::{Features, NATURAL};
use crate::sampler::Philox;

/// A smooth random field, ranks from 0 to 255, with features of about `cell`
/// cells.
pub(super) fn field(cols: usize, rows: usize, cell: f64, rng: &mut Philox) -> Vec<u8> {
    let (w, h) = (
        (cols as f64 / cell) as usize + 3,
        (rows as f64 / cell) as usize + 3,
    );
    let knots: Vec<f64> = (0..w * h).map(|_| rng.normal()).collect();
    let (dx, dy) = (rng.uniform(), rng.uniform());
    let ease = |f: f64| f * f * (3.0 - 2.0 * f);
    let mut values: Vec<(i64, usize)> = Vec::with_capacity(cols * rows);
    for y in 0..rows {
        for x in 0..cols {
            let (u, v) = (x as f64 / cell + dx, y as f64 / cell + dy);
            let (i, j) = (u as usize, v as usize);
            let (a, b) = (ease(u - i as f64), ease(v - j as f64));
            let at = |i: usize, j: usize| knots[j.min(h - 1) * w + i.min(w - 1)];
            let top = at(i, j) * (1.0 - a) + at(i + 1, j) * a;
            let low = at(i, j + 1) * (1.0 - a) + at(i + 1, j + 1) * a;
            let value = top * (1.0 - b) + low * b;
            values.push((libm::rint(value * 1e6) as i64, y * cols + x));
        }
    }
    values.sort_unstable();
    let mut ranks = vec![0; cols * rows];
    for (rank, (_, c)) in values.iter().enumerate() {
        ranks[*c] = (rank * 256 / (cols * rows)) as u8;
    }
    ranks
}

/// For each plate frame that could play from `at` on, how badly it agrees with
/// what plays there (`sources`, frame by frame: plate indices) in the cells
/// of weight above 0: a fifth of each cell's best moment and four fifths of the
/// mean.
pub(super) fn agreement(
    look: &Features,
    sources: &[Vec<usize>],
    weight: &[u32],
    landings: usize,
) -> Vec<i64> {
    let cells: Vec<usize> = (0..look.cells()).filter(|c| weight[*c] > 0).collect();
    let total: i64 = cells.iter().map(|c| i64::from(weight[*c])).sum();
    (0..landings)
        .map(|j| {
            let mut sum = 0i64;
            for &c in &cells {
                let (mut least, mut all) = (i32::MAX, 0i64);
                for (i, source) in sources.iter().enumerate() {
                    let frame = (j + 2 * i).min(look.frames - 1);
                    let e = look.jump(c, source[c], frame).min(40 * NATURAL);
                    least = least.min(e);
                    all += i64::from(e);
                }
                let mean = all / sources.len().max(1) as i64;
                sum += i64::from(weight[c]) * (i64::from(least) + 4 * mean) / 5;
            }
            sum / total.max(1)
        })
        .collect()
}
