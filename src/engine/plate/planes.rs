//! How an old and a new clip differ in one frame, cell by cell, and what a border
//! between them costs there.

use super::features::{Features, NATURAL};
use super::switch::{COST, Weights};
use super::trws::{Ordered, Problem};
use crate::device::isa::vectorised;

/// Largest jump in time that is told apart, in natural steps squared.
const MOST_JUMP: i32 = 9 * COST;
/// Largest seam that is told apart, in contrasts just seen, squared.
const MOST_SEAM: i32 = 60 * COST;

/// How an old and a new clip differ in one frame.
#[derive(Default)]
pub(super) struct Planes {
    /// Jump in time per cell, in [`COST`].
    pub(super) jump: Vec<i32>,
    /// Seam in space per cell, in [`COST`].
    pub(super) seam: Vec<i32>,
    blurred: Blur,
}

impl Planes {
    pub(super) fn reset(&mut self, cells: usize) {
        for v in [&mut self.jump, &mut self.seam, &mut self.blurred.across] {
            v.clear();
            v.resize(cells, 0);
        }
    }

    vectorised! {
        /// Compares what plays at output index `t`, by the offset of each cell, with
        /// the clip at `offset`.
        pub(super) fn compare(&mut self, f: &Features, old: &[i32], t: usize, offset: i32) {
            Portable: self.compare_any(f, old, t, offset),
            Avx2 compare_avx2: self.compare_any(f, old, t, offset),
        }
    }

    #[inline(always)]
    fn compare_any(&mut self, f: &Features, old: &[i32], t: usize, offset: i32) {
        let last = f.frames as i32 - 1;
        let t = t as i32;
        let new = (t + offset).clamp(0, last) as usize;
        for (c, (jump, seam)) in self.jump.iter_mut().zip(&mut self.seam).enumerate() {
            let was = (t + old[c]).clamp(0, last) as usize;
            *jump = (f.jump(c, was, new) / (NATURAL / COST)).min(4 * MOST_JUMP);
            *seam = (f.contrast(c, was, new) / (NATURAL / COST)).min(4 * MOST_SEAM);
        }
        // Gaussians of .8 and .6 cells.
        let size = (f.cols, f.rows);
        self.blurred.apply(&mut self.jump, size, [32, 15, 1]);
        self.blurred.apply(&mut self.seam, size, [42, 11, 0]);
        for (jump, seam) in self.jump.iter_mut().zip(&mut self.seam) {
            *jump = (*jump).min(MOST_JUMP);
            *seam = (*seam).min(MOST_SEAM);
        }
    }
}

/// A symmetric filter of five taps.
#[derive(Default)]
struct Blur {
    /// The plane filtered along its rows.
    across: Vec<i32>,
    /// A row with its ends repeated twice.
    row: Vec<i32>,
}

impl Blur {
    /// Filters `plane`, values from 0 to 2^18, by taps in sixty-fourths from the
    /// middle outwards, edges repeated.
    #[inline(always)]
    fn apply(&mut self, plane: &mut [i32], (cols, rows): (usize, usize), k: [i32; 3]) {
        let Self { across, row } = self;
        for (from, to) in plane.chunks_exact(cols).zip(across.chunks_exact_mut(cols)) {
            row.clear();
            row.extend([from[0]; 2]);
            row.extend_from_slice(from);
            row.extend([from[cols - 1]; 2]);
            let (a, b, c) = (&row[..cols], &row[1..=cols], &row[2..cols + 2]);
            let (d, e) = (&row[3..cols + 3], &row[4..cols + 4]);
            for x in 0..cols {
                to[x] = k[0] * c[x] + k[1] * (b[x] + d[x]) + k[2] * (a[x] + e[x]);
            }
        }
        for (y, to) in plane.chunks_exact_mut(cols).enumerate() {
            let at = |d: isize| {
                let y = y.saturating_add_signed(d).min(rows - 1);
                &across[y * cols..(y + 1) * cols]
            };
            let (a, b, c, d, e) = (at(-2), at(-1), at(0), at(1), at(2));
            for x in 0..cols {
                to[x] = (k[0] * c[x] + k[1] * (b[x] + d[x]) + k[2] * (a[x] + e[x])) >> 12;
            }
        }
    }
}

vectorised! {
    /// Sets the prices of borders in frame `frame` from the seams of the cells, each
    /// to be seen in so many frames.
    pub(super) fn borders(
        p: &mut Problem,
        seam: &Ordered,
        frame: usize,
        w: &Weights,
        frames: usize,
    ) {
        Portable: borders_any(p, seam, frame, w, frames),
        Avx2 borders_avx2: borders_any(p, seam, frame, w, frames),
    }
}

#[inline(always)]
fn borders_any(p: &mut Problem, seam: &Ordered, frame: usize, w: &Weights, frames: usize) {
    let frames = frames as i32;
    p.set_frame(frame, seam, |a, b| {
        frames * (((a + b + 2 * w.border) * w.seam) >> 8)
    });
}
