//! How well every plate frame could follow every other: a jump is a window of
//! frames, not a frame, since each place takes it at its own best moment
//! (after Schödl, Szeliski, Salesin and Essa, "Video textures", 2000).

use rayon::prelude::*;

use super::costs::distances;
use super::features::{Features, NATURAL};
use crate::device::gpu::Choice;
use crate::device::{self, Cancelled, Task};

/// Largest squared jump that is told apart, in natural steps.
const CAP: i32 = 40 * NATURAL;
/// Landings kept for each frame.
const KEPT: usize = 96;
/// Natural steps beyond which a jump is as bad as any.
const WORST: f64 = 30.0;
/// Most pairs of frames of a plate that are compared on the whole grid.
const PAIRS: usize = 1 << 19;

/// The same of a plate of `n` frames, where there are many to choose from.
fn kept(n: usize) -> usize {
    KEPT.max(n / 8).min(400)
}

/// Bytes that the comparison of `n` frames takes at most, and what is kept of it.
pub(super) fn bytes(n: usize) -> u64 {
    let pairs = n * n / 2 * size_of::<u32>();
    let each = kept(n) * size_of::<Landing>();
    (pairs + n * each) as u64
}

/// A jump from some plate frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landing {
    /// Plate index landed on.
    pub(super) to: u32,
    /// Cost, [`NATURAL`] for a natural step.
    pub(super) cost: i32,
}

/// Jumps between the frames of a plate.
pub(super) struct Jumps {
    /// Number of plate frames.
    pub(super) frames: usize,
    /// Frames that a jump takes at most.
    pub(super) window: usize,
    /// See [`run`](Self::run).
    run: Vec<usize>,
    /// For each frame that a jump may start from, the cheapest landings in order.
    pub(super) from: Vec<Vec<Landing>>,
    /// Median over frames of the best jump: what is natural for this plate.
    pub(super) natural: f64,
    /// Median over all jumps.
    pub(super) median: f64,
}

impl Jumps {
    /// Compares windows of `window` frames. `fps` tells how close in time two
    /// frames must be to be called the same moment. Frames `left_out` (none where
    /// empty) are never shown, so no jump comes near them. Only the cells `within`,
    /// where those are given, are looked at. `choice` is where that is done.
    pub(super) fn new(
        features: &Features,
        window: usize,
        fps: f64,
        left_out: &[bool],
        within: Option<&[bool]>,
        choice: Choice,
        task: Task<'_>,
    ) -> Result<Self, Cancelled> {
        let n = features.frames;
        let last = n.saturating_sub(window + 1);
        // A long plate is compared on fewer cells.
        let stride = ((n * n / 2).div_ceil(PAIRS)).clamp(1, 16);
        let mut cells: Vec<usize> = (0..features.cells())
            .filter(|c| (c % features.cols + c / features.cols * 3).is_multiple_of(stride))
            .collect();
        if let Some(within) = within {
            let inside = (0..features.cells()).filter(|c| within[*c]);
            cells = inside.step_by(stride).collect();
        }
        // Time runs along the inner loop: colour by colour, cell by cell.
        let mut along = vec![0i16; cells.len() * 6 * n];
        for (q, &c) in cells.iter().enumerate() {
            for t in 0..n {
                let m = &features.motion[t * features.cells() + c];
                for k in 0..6 {
                    along[(q * 6 + k) * n + t] = m[k];
                }
            }
        }
        task.check()?;
        let rows = distances(choice, &along, n, (window, last), CAP, task)?;
        // rows[d - 1][i]: the jump between i and i + d, both ways alike.
        let bare = |i: usize, j: usize| -> Option<u32> {
            let (a, b) = (i.min(j), i.max(j));
            if a == b {
                return None;
            }
            rows.get(b - a - 1)?.get(a).copied()
        };
        let median = middle_of(&rows);
        let near = |a: usize, b: usize, seconds: f64| {
            let d = (a as f64 - b as f64).abs();
            (1.0 - d / (seconds * fps)).clamp(0.0, 1.0)
        };
        // Near frames are a stutter rather than a change.
        let full = f64::from(median);
        let dear = |i: usize, j: usize| -> Option<f64> {
            let b = f64::from(bare(i, j)?);
            Some(b + full * (2.0 * near(i, j, 0.3) + 0.5 * near(i, j, 1.0)))
        };
        let mut best: Vec<u32> = (0..last)
            .filter_map(|i| {
                let all = (0..last).filter_map(|j| dear(i, j));
                all.min_by(f64::total_cmp).map(|b| libm::rint(b) as u32)
            })
            .collect();
        let natural = f64::from(middle(&mut best)).max(1.0);
        let median = full.max(natural);
        let mut run = vec![0; n];
        for i in (0..n).rev() {
            if left_out.get(i) != Some(&true) {
                run[i] = 1 + run.get(i + 1).copied().unwrap_or(0);
            }
        }
        let landings = |i: usize| {
            let mut landings: Vec<Landing> = (0..n)
                .filter(|j| run[i] > window && run[*j] > window)
                .filter_map(|j| {
                    let b = dear(i, j)?;
                    let q = (b / natural).min(WORST);
                    Some(Landing {
                        to: j as u32,
                        cost: libm::rint(natural * q * q) as i32,
                    })
                })
                .collect();
            landings.sort_by_key(|l| (l.cost, l.to));
            landings.truncate(kept(n));
            // Else the room of all of them would be held.
            landings.shrink_to_fit();
            landings
        };
        let from = device::install(|| (0..n).into_par_iter().map(landings).collect());
        Ok(Self {
            frames: n,
            window,
            run,
            from,
            natural,
            median,
        })
    }

    /// How many frames may be shown in a row from frame `i` on, up to one that is
    /// left out or to the end.
    pub(super) fn run(&self, i: usize) -> usize {
        self.run.get(i).copied().unwrap_or(0)
    }

    /// For each frame, in order, what [`run`](Self::run) tells.
    pub(super) fn runs(&self) -> &[usize] {
        &self.run
    }

    /// The spread between a good jump and an ordinary one.
    pub(super) fn scale(&self) -> f64 {
        (self.median - self.natural).max(0.2 * self.natural)
    }

    /// The cost of the jump from `i` to `j`, if it is among those kept.
    pub(super) fn cost(&self, i: usize, j: usize) -> Option<i32> {
        let landings = self.from.get(i)?;
        landings.iter().find(|l| l.to as usize == j).map(|l| l.cost)
    }
}

/// The middle of all values of `rows`, 0 of none, without a copy of them, which are as
/// many as a plate has pairs of frames: first its upper half, by how often each comes, then
/// the lower among those.
fn middle_of(rows: &[Vec<u32>]) -> u32 {
    let count = rows.iter().map(Vec::len).sum::<usize>();
    if count == 0 {
        return 0;
    }
    let mut left = count / 2;
    let mut find = |half: &dyn Fn(u32) -> Option<u16>| {
        let mut often = vec![0usize; 1 << 16];
        for half in rows.iter().flatten().filter_map(|v| half(*v)) {
            often[usize::from(half)] += 1;
        }
        let within = |n: &usize| {
            let found = left < *n;
            left -= if found { 0 } else { *n };
            found
        };
        often.iter().position(within).unwrap_or(0) as u16
    };
    let upper = find(&|v| Some((v >> 16) as u16));
    let lower = find(&|v| ((v >> 16) as u16 == upper).then_some(v as u16));
    u32::from(upper) << 16 | u32::from(lower)
}

/// The middle value; 0 of none.
fn middle(values: &mut [u32]) -> u32 {
    if values.is_empty() {
        return 0;
    }
    let k = values.len() / 2;
    *values.select_nth_unstable(k).1
}

#[cfg(test)]
mod tests {
    use super::{middle, middle_of};

    #[test]
    fn the_middle_of_rows_is_that_of_their_values() {
        let values = |n: u32| (0..n).map(|i| i.wrapping_mul(2_654_435_761) >> (i % 20));
        for n in [0, 1, 2, 3, 10, 1001, 4000] {
            let mut all: Vec<u32> = values(n).collect();
            let rows: Vec<Vec<u32>> = all.chunks(7).map(<[u32]>::to_vec).collect();
            assert_eq!(middle_of(&rows), middle(&mut all), "{n}");
        }
        assert_eq!(
            middle_of(&[vec![], vec![u32::MAX; 5], vec![0; 4]]),
            u32::MAX
        );
    }
}
