//! Which source each pixel of a row shows. The choice is hard, never a blend:
//! the last cut that has passed a pixel decides. It is made interval by
//! interval of the grid wherever nothing changes inside one, so that most of a
//! frame comes down to a few long copies.

use std::collections::BTreeSet;

use super::grid::{Axis, cubic, lerp};
use super::low_band::LowBand;
use super::moment::{Cut, Moment, REACH};

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
    fn of(source: usize) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

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
    /// Room for the labels of an interval.
    labels: Vec<u32>,
}

impl<'a> CutRow<'a> {
    pub(super) fn new(moment: &'a Moment<'a>, across: &'a Axis) -> Self {
        let n = moment.cuts.len() * moment.cols;
        Self {
            moment,
            across,
            age: vec![0.0; n],
            taken: vec![1.0; n],
            labels: Vec::new(),
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

    /// What matters to interval `k`: put into `mix`, and told at once where all
    /// of it shows one source and no cut is near.
    pub(super) fn mix(&self, k: usize, mix: &mut Mix<'a>) -> Option<usize> {
        const FAR: f32 = REACH as f32;
        let cols = self.moment.cols;
        let (l, r) = self.across.ends(k);
        mix.base = 0;
        mix.cuts.clear();
        for (i, cut) in self.moment.cuts.iter().enumerate() {
            let age = &self.age[i * cols..(i + 1) * cols];
            let (low, high) = (age[l].min(age[r]), age[l].max(age[r]));
            if high <= -FAR || (mix.cuts.is_empty() && mix.base == cut.to) {
                continue;
            }
            let mut all = low >= FAR;
            let mut around = None;
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
                if lo - stray <= 0.5 {
                    all = false;
                    around = Some(v);
                }
            }
            if all {
                mix.base = cut.to;
                mix.cuts.clear();
            } else {
                mix.cuts.push(Near {
                    cut,
                    age: (age[l], age[r]),
                    taken: around,
                });
            }
        }
        mix.cuts.is_empty().then_some(mix.base)
    }

    /// The runs of the row from column `from` to `to`; the pairs of sources
    /// whose flow they may need are added to `pairs`.
    pub(super) fn runs(
        &mut self,
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
        let mut labels = std::mem::take(&mut self.labels);
        let mut mix = Mix::default();
        let mut eased = vec![false; self.moment.sources.len()];
        for k in 0..=self.across.cells {
            let x0 = (self.across.start[k] as usize).max(from);
            let x1 = (self.across.start[k + 1] as usize).min(to);
            if x0 >= x1 {
                continue;
            }
            if let Some(band) = band {
                let ends = self.across.ends(k);
                for (source, eased) in eased.iter_mut().enumerate() {
                    *eased = band.differs(source, ends, down);
                }
            }
            if let Some(source) = self.mix(k, &mut mix) {
                push(Run {
                    from: x0 as u32,
                    to: x1 as u32,
                    source: source as u16,
                    warped: false,
                    eased: eased[source],
                });
                continue;
            }
            if warp {
                mix.pairs(self.moment, pairs);
            }
            labels.resize(x1 - x0, 0);
            mix.label(&self.across.part[x0..x1], &mut labels);
            let mut x = x0;
            for same in labels.chunk_by(|a, b| a == b) {
                let source = (same[0] & !NEAR) as usize;
                push(Run {
                    from: x as u32,
                    to: (x + same.len()) as u32,
                    source: source as u16,
                    warped: warp && same[0] & NEAR != 0,
                    eased: eased[source],
                });
                x += same.len();
            }
        }
        self.labels = labels;
        runs
    }
}

/// Flag of a label whose pixel a cut is near to.
const NEAR: u32 = 1 << 16;

/// What plays in one interval of a row: a source, and the cuts over it that are
/// near or do not take all of it.
#[derive(Default)]
pub(super) struct Mix<'a> {
    base: usize,
    cuts: Vec<Near<'a>>,
}

struct Near<'a> {
    cut: &'a Cut<'a>,
    /// Frames since the switch at either end.
    age: (f32, f32),
    /// How far the four cells around take part; `None` where all do.
    taken: Option<[f32; 4]>,
}

impl Near<'_> {
    #[inline(always)]
    fn age(&self, part: f32) -> f32 {
        lerp(self.age.0, self.age.1, part)
    }
}

/// Whether a pixel takes part that lies `part` of the way between the middle
/// two of cells that do so by `v`.
#[inline(always)]
fn takes(v: &[f32; 4], part: f32) -> bool {
    let w = cubic(part);
    w[0] * v[0] + w[1] * v[1] + w[2] * v[2] + w[3] * v[3] > 0.5
}

impl Mix<'_> {
    /// The source of each pixel, with [`NEAR`] where [`Self::choose`] may find
    /// it drawn elsewhere. Cut by cut without branches, so that several pixels
    /// are done at once.
    fn label(&self, parts: &[f32], labels: &mut [u32]) {
        const FAR: f32 = REACH as f32;
        labels.fill(self.base as u32);
        for near in &self.cuts {
            let to = near.cut.to as u32;
            let lay = |label: u32, age: f32, takes: bool| {
                let other = label & !NEAR != to;
                let late = if age >= FAR {
                    to
                } else if other {
                    to | NEAR
                } else {
                    label
                };
                let early = if other { label | NEAR } else { label };
                let laid = if age >= 0.0 { late } else { early };
                if takes && age > -FAR { laid } else { label }
            };
            match &near.taken {
                None => {
                    for (label, &part) in labels.iter_mut().zip(parts) {
                        *label = lay(*label, near.age(part), true);
                    }
                }
                Some(v) => {
                    for (label, &part) in labels.iter_mut().zip(parts) {
                        *label = lay(*label, near.age(part), takes(v, part));
                    }
                }
            }
        }
    }

    /// Adds all pairs (shown and other) that a pixel of the interval may be
    /// drawn between.
    fn pairs(&self, moment: &Moment<'_>, pairs: &mut BTreeSet<(usize, usize)>) {
        let live = |s: usize| moment.sources[s].live;
        for (i, near) in self.cuts.iter().enumerate() {
            if near.age.0.min(near.age.1) >= REACH as f32 || !live(near.cut.to) {
                continue;
            }
            let before = self.cuts[..i].iter().map(|n| n.cut.to);
            for old in before.chain([self.base]) {
                if old != near.cut.to && live(old) {
                    pairs.insert((old, near.cut.to));
                    pairs.insert((near.cut.to, old));
                }
            }
        }
    }

    /// Where there is but one cut: what pixels that show `source` and are near
    /// it are drawn toward, and the share of the way at each of `parts`.
    #[inline(always)]
    pub(super) fn toward(&self, source: usize, parts: &[f32], shares: &mut [f32]) -> Option<usize> {
        let [near] = self.cuts.as_slice() else {
            return None;
        };
        if source == near.cut.to {
            for (share, &part) in shares.iter_mut().zip(parts) {
                *share = 1.0 - near.cut.progress(near.age(part));
            }
            Some(self.base)
        } else {
            for (share, &part) in shares.iter_mut().zip(parts) {
                *share = near.cut.progress(near.age(part));
            }
            Some(near.cut.to)
        }
    }

    /// The source of the pixel at `part` of the interval and what it is drawn
    /// toward.
    #[inline]
    pub(super) fn choose(&self, part: f32) -> Choice {
        let mut choice = Choice::of(self.base);
        for near in &self.cuts {
            let age = near.age(part);
            if age <= -(REACH as f32) || near.taken.is_some_and(|v| !takes(&v, part)) {
                continue;
            }
            let to = near.cut.to;
            if age >= REACH as f32 {
                choice = Choice::of(to);
            } else if to != choice.source {
                if age >= 0.0 {
                    let old = choice.source;
                    choice = Choice::of(to);
                    choice.pull(old, 1.0 - near.cut.progress(age));
                } else {
                    choice.pull(to, near.cut.progress(age));
                }
            }
        }
        choice
    }
}
