//! Which source each pixel of a row shows. The choice is hard, never a blend:
//! the last cut that has passed a pixel decides. It is made interval by
//! interval of the grid wherever nothing changes inside one, so that most of a
//! frame comes down to a few long copies.

use std::collections::BTreeSet;

use super::grid::{Axis, cubic, lerp};
use super::low_band::LowBand;
use super::moment::{Moment, REACH};

/// Pixels side by side that come from one source in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First column.
    pub(super) from: u32,
    /// Column past the last.
    pub(super) to: u32,
    /// Position in [`Moment::sources`].
    pub(super) source: u16,
    /// A cut is near: the pixels may be warped.
    pub(super) warped: bool,
    /// The low band differs here.
    pub(super) eased: bool,
}

impl Run {
    /// Whether the pixels are the plate's bits.
    pub(super) fn is_copy(&self) -> bool {
        !self.warped && !self.eased
    }
}

/// One pixel's source and how far it is drawn toward others: `pull[i]` is the
/// position of another source and the share of the flow toward it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    pub(super) source: usize,
    pulls: [(usize, f32); 3],
    count: usize,
}

impl Choice {
    /// The other sources near, and the share of the way to each.
    pub(super) fn pulls(&self) -> &[(usize, f32)] {
        &self.pulls[..self.count]
    }

    fn pull(&mut self, other: usize, share: f32) {
        // More than three cuts within a few frames of each other at one pixel
        // have nothing left to match.
        if share > 0.0 && self.count < self.pulls.len() {
            self.pulls[self.count] = (other, share);
            self.count += 1;
        }
    }
}

/// The cuts along one row of pixels.
pub(super) struct CutRow<'a> {
    moment: &'a Moment<'a>,
    across: &'a Axis,
    /// Cut by cut, column by column of the grid.
    age: Vec<f32>,
    taken: Vec<f32>,
}

impl<'a> CutRow<'a> {
    pub(super) fn new(moment: &'a Moment<'a>, across: &'a Axis) -> Self {
        let n = moment.cuts.len() * moment.cols;
        Self {
            moment,
            across,
            age: vec![0.0; n],
            taken: vec![1.0; n],
        }
    }

    /// Moves to pixel row `y`.
    pub(super) fn go(&mut self, down: &Axis, y: usize) {
        let (k, part) = (down.interval[y] as usize, down.part[y]);
        let cols = self.moment.cols;
        let (r0, r1) = down.ends(k);
        for (i, cut) in self.moment.cuts.iter().enumerate() {
            let age = &mut self.age[i * cols..(i + 1) * cols];
            let (upper, lower) = (&cut.age[r0 * cols..], &cut.age[r1 * cols..]);
            for ((a, &u), &l) in age.iter_mut().zip(upper).zip(lower) {
                *a = lerp(u, l, part);
            }
            if let Some(field) = &cut.taken {
                let taken = &mut self.taken[i * cols..(i + 1) * cols];
                taken.fill(0.0);
                for (row, weight) in down.four(k).into_iter().zip(cubic(part)) {
                    for (o, &v) in taken.iter_mut().zip(&field[row * cols..]) {
                        *o += weight * v;
                    }
                }
            }
        }
    }

    /// The source of all of interval `k`, or `None` where it is mixed or near a
    /// cut.
    fn settled(&self, k: usize) -> Option<usize> {
        const FAR: f32 = REACH as f32;
        let cols = self.moment.cols;
        let (l, r) = self.across.ends(k);
        let mut source = Some(0);
        for (i, cut) in self.moment.cuts.iter().enumerate() {
            let age = &self.age[i * cols..(i + 1) * cols];
            let (low, high) = (age[l].min(age[r]), age[l].max(age[r]));
            if high <= -FAR || source == Some(cut.to) {
                continue;
            }
            let mut all = low >= FAR;
            if cut.taken.is_some() {
                let taken = &self.taken[i * cols..(i + 1) * cols];
                let v = self.across.four(k).map(|c| taken[c]);
                let lo = v.iter().fold(f32::MAX, |a, &b| a.min(b));
                let hi = v.iter().fold(f32::MIN, |a, &b| a.max(b));
                // A cubic strays at most an eighth from what it joins.
                let stray = 0.13 * (hi - lo);
                if hi + stray <= 0.5 {
                    continue;
                }
                all &= lo - stray > 0.5;
            }
            source = all.then_some(cut.to);
        }
        source
    }

    /// The source of pixel `x` and what it is drawn toward.
    pub(super) fn choose(&self, x: usize) -> Choice {
        let cols = self.moment.cols;
        let (k, part) = (self.across.interval[x] as usize, self.across.part[x]);
        let (l, r) = self.across.ends(k);
        let mut choice = Choice::default();
        for (i, cut) in self.moment.cuts.iter().enumerate() {
            let row = &self.age[i * cols..(i + 1) * cols];
            let age = lerp(row[l], row[r], part);
            if age <= -(REACH as f32) {
                continue;
            }
            if cut.taken.is_some() {
                let taken = &self.taken[i * cols..(i + 1) * cols];
                let w = cubic(part);
                let c = self.across.four(k);
                let v = w[0] * taken[c[0]]
                    + w[1] * taken[c[1]]
                    + w[2] * taken[c[2]]
                    + w[3] * taken[c[3]];
                if v <= 0.5 {
                    continue;
                }
            }
            if age >= REACH as f32 {
                choice = Choice {
                    source: cut.to,
                    ..Choice::default()
                };
            } else if cut.to != choice.source {
                let old = choice.source;
                if age >= 0.0 {
                    choice = Choice {
                        source: cut.to,
                        ..Choice::default()
                    };
                    choice.pull(old, 1.0 - cut.progress(age));
                } else {
                    choice.pull(cut.to, cut.progress(age));
                }
            }
        }
        choice
    }

    /// The runs of the row from column `from` to `to`; the pairs of sources
    /// whose flow they need are added to `pairs`.
    pub(super) fn runs(
        &self,
        from: usize,
        to: usize,
        warp: bool,
        band: Option<&LowBand>,
        down: (usize, usize),
        pairs: &mut BTreeSet<(usize, usize)>,
    ) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut push = |run: Run| match runs.last_mut() {
            Some(last)
                if (last.source, last.warped, last.eased)
                    == (run.source, run.warped, run.eased) =>
            {
                last.to = run.to;
            }
            _ => runs.push(run),
        };
        for k in 0..=self.across.cells {
            let x0 = (self.across.start[k] as usize).max(from);
            let x1 = (self.across.start[k + 1] as usize).min(to);
            if x0 >= x1 {
                continue;
            }
            let ends = self.across.ends(k);
            let eased = |source| band.is_some_and(|b| b.differs(source, ends, down));
            if let Some(source) = self.settled(k) {
                push(Run {
                    from: x0 as u32,
                    to: x1 as u32,
                    source: source as u16,
                    warped: false,
                    eased: eased(source),
                });
                continue;
            }
            for x in x0..x1 {
                let choice = self.choose(x);
                let mut warped = false;
                if warp {
                    for &(other, _) in choice.pulls() {
                        let sources = &self.moment.sources;
                        if sources[choice.source].live && sources[other].live {
                            warped = true;
                            pairs.insert((choice.source, other));
                        }
                    }
                }
                push(Run {
                    from: x as u32,
                    to: x as u32 + 1,
                    source: choice.source as u16,
                    warped,
                    eased: eased(choice.source),
                });
            }
        }
        runs
    }
}
