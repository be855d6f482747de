//! How a solution would look, measured on the coarse grid: gradient that no
//! clip has (tears), steps beyond the plate's own, spread in time, novelty.

use super::features::{Features, step};

/// Cells that are looked at together.
const STRETCH: usize = 16;

/// Sum of the absolute gradient of a frame.
pub(super) fn steepness(cols: usize, rows: usize, luma: impl Fn(usize) -> i32) -> i64 {
    let mut sum = 0;
    for y in 0..rows {
        for x in 0..cols {
            let c = y * cols + x;
            if x + 1 < cols {
                sum += i64::from((luma(c + 1) - luma(c)).abs());
            }
            if y + 1 < rows {
                sum += i64::from((luma(c + cols) - luma(c)).abs());
            }
        }
    }
    sum
}

/// What the plate itself is like.
pub(super) struct Own {
    /// Mean absolute step of the luma between frames, per cell.
    pub(super) step: f64,
    /// Smallest and largest step over the mean.
    pub(super) least: f64,
    pub(super) most: f64,
    /// How much of a step beyond the plate's own is left at full size, from 0
    /// to 1: where fine detail makes up most of a step, little.
    pub(super) trust: f64,
    /// Sum of the absolute gradient of a frame, over 1000.
    gradient: f64,
    /// Mean deviation in time of a cell.
    spread: f64,
    luma: f64,
    moving: usize,
}

impl Own {
    pub(super) fn new(f: &Features) -> Self {
        let cells = f.cells();
        let frame = |t: usize| &f.luma[t * cells..(t + 1) * cells];
        let steps: Vec<f64> = (1..f.frames)
            .map(|t| step(frame(t), frame(t - 1)) as f64 / cells as f64)
            .collect();
        let mean = (steps.iter().sum::<f64>() / steps.len().max(1) as f64).max(1e-3);
        let least = steps.iter().copied().fold(f64::MAX, f64::min) / mean;
        let most = steps.iter().copied().fold(0.0, f64::max) / mean;
        let gradient: i64 = (0..f.frames)
            .map(|t| steepness(f.cols, f.rows, |c| i32::from(frame(t)[c])))
            .sum();
        let mut spread = Spread::new(cells);
        let mut luma = 0.0;
        for t in 0..f.frames {
            spread.add(frame(t).iter().map(|l| i32::from(*l)));
            luma += frame(t).iter().map(|l| f64::from(*l)).sum::<f64>();
        }
        Self {
            step: mean,
            least: if least == f64::MAX { 0.0 } else { least },
            most,
            trust: 1.0,
            gradient: (gradient as f64 / f.frames as f64 / 1000.0).max(1.0),
            spread: spread.mean().max(1e-3),
            luma: luma / (cells * f.frames) as f64,
            moving: f.moving.iter().filter(|m| **m).count().max(1),
        }
    }
}

/// Running deviation in time of each cell.
#[derive(Clone)]
struct Spread {
    frames: u32,
    sum: Vec<i64>,
    square: Vec<i64>,
}

impl Spread {
    fn new(cells: usize) -> Self {
        Self {
            frames: 0,
            sum: vec![0; cells],
            square: vec![0; cells],
        }
    }

    fn add(&mut self, values: impl Iterator<Item = i32>) {
        self.frames += 1;
        for ((s, q), v) in self.sum.iter_mut().zip(&mut self.square).zip(values) {
            *s += i64::from(v);
            *q += i64::from(v) * i64::from(v);
        }
    }

    fn mean(&self) -> f64 {
        let n = f64::from(self.frames.max(1));
        let total: f64 = self
            .sum
            .iter()
            .zip(&self.square)
            .map(|(s, q)| {
                let m = *s as f64 / n;
                libm::sqrt((*q as f64 / n - m * m).max(0.0))
            })
            .sum();
        total / self.sum.len().max(1) as f64
    }
}

/// The deviation in time of the calmest stretch of `window` frames over the mean of all
/// such: 1 where a plate is alike throughout, .9 and more for most, .75 where it is calm
/// for a while.
pub(super) fn calmest(f: &Features, window: usize) -> f64 {
    let cells = f.cells();
    let window = window.clamp(2, f.frames.max(2));
    let deviation = |first: usize| {
        let mut spread = Spread::new(cells);
        for t in first..(first + window).min(f.frames) {
            let frame = &f.luma[t * cells..(t + 1) * cells];
            spread.add(frame.iter().map(|l| i32::from(*l)));
        }
        spread.mean()
    };
    let firsts = (0..=f.frames.saturating_sub(window)).step_by((window / 4).max(1));
    let all: Vec<f64> = firsts.map(deviation).collect();
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    let least = all.iter().copied().fold(f64::MAX, f64::min);
    (least / mean.max(1e-3)).min(1.0)
}

/// What a plate frame looks like; nothing if none is given.
fn lumas(f: &Features, frame: Option<usize>) -> Vec<i16> {
    let cells = f.cells();
    frame
        .and_then(|t| f.luma.get(t * cells..(t + 1) * cells))
        .map_or_else(Vec::new, <[i16]>::to_vec)
}

/// Sum over borders of the gradient beyond what either clip has there.
fn torn(f: &Features, source: &[u32], luma: &[i16]) -> i64 {
    let cells = f.cells();
    let edge = |a: usize, b: usize| -> i64 {
        let (p, q) = (source[a] as usize, source[b] as usize);
        if p == q {
            return 0;
        }
        let (own, other) = (i32::from(luma[a]), i32::from(luma[b]));
        let here = (other - own).abs();
        let first = (i32::from(f.luma[p * cells + b]) - own).abs();
        let second = (other - i32::from(f.luma[q * cells + a])).abs();
        i64::from((here - (first + second) / 2).max(0))
    };
    // Borders of `n` cells from `a` on with those `apart` from them. Most have
    // none.
    let along = |start: usize, n: usize, apart: usize| -> i64 {
        let end = start + n;
        (start..end)
            .step_by(STRETCH)
            .map(|a| (a, (a + STRETCH).min(end)))
            .filter(|&(a, b)| source[a..b] != source[a + apart..b + apart])
            .flat_map(|(a, b)| (a..b).map(|c| edge(c, c + apart)))
            .sum()
    };
    let across: i64 = (0..f.rows).map(|y| along(y * f.cols, f.cols - 1, 1)).sum();
    across + along(0, (f.rows - 1) * f.cols, f.cols)
}

/// How some frames load the eye.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Torn gradient in per mille of a frame's, summed over frames.
    pub(super) tears: f64,
    /// Steps beyond the plate's own, long and short.
    pub(super) steps: f64,
}

impl Load {
    pub(super) fn total(&self) -> f64 {
        self.tears + self.steps
    }
}

/// How bad some frames look. `before` is the plate index that is shown before the
/// first, where that is known.
/// `offsets` sets what each cell plays in a frame.
pub(super) fn load(
    f: &Features,
    own: &Own,
    before: Option<usize>,
    frames: std::ops::Range<usize>,
    offsets: impl Fn(usize, &mut [i32]),
) -> Load {
    let cells = f.cells();
    let (mut source, mut luma) = (vec![0; cells], vec![0; cells]);
    let mut plays = vec![0; cells];
    let mut before = lumas(f, before);
    let (mut tears, mut worst, mut least) = (0i64, 0i64, i64::MAX);
    for t in frames {
        offsets(t, &mut plays);
        f.show(&plays, t as i32, &mut source, &mut luma);
        tears += torn(f, &source, &luma);
        if !before.is_empty() {
            let step = step(&luma, &before);
            worst = worst.max(step);
            least = least.min(step);
        }
        std::mem::swap(&mut before, &mut luma);
        luma.resize(cells, 0);
    }
    let over = |step: i64| step as f64 / cells as f64 / own.step;
    Load {
        tears: tears as f64 / own.gradient,
        steps: 400.0 * own.trust * (over(worst) - 0.97 * own.most).max(0.0)
            + 60.0 * (own.least - over(least)).max(0.0),
    }
}

/// The measures of a whole solution, over the plate's own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Worst and smallest step over the plate's mean step.
    pub(super) most: f64,
    pub(super) least: f64,
    /// Deviation in time over the plate's.
    pub(super) spread: f64,
    /// Torn gradient, per mille.
    pub(super) torn: f64,
    /// Share of moving cells on one offset through half a second.
    pub(super) copy: f64,
    /// Mean luma over the plate's.
    pub(super) luma: f64,
    /// Mean gradient over the plate's.
    pub(super) gradient: f64,
}

/// Gathers marks as frames are decided, in order.
#[derive(Clone)]
pub(super) struct Marker {
    source: Vec<u32>,
    luma: Vec<i16>,
    before: Vec<i16>,
    steps: Vec<f64>,
    spread: Spread,
    torn: f64,
    total: f64,
    gradient: f64,
    /// How long each cell has played its offset.
    since: Vec<u32>,
    offsets: Vec<i32>,
    half: u32,
    copies: Vec<f64>,
    frames: usize,
}

impl Marker {
    /// `before` is the plate index that is shown before the first frame, where
    /// that is known.
    pub(super) fn new(f: &Features, fps: f64, before: Option<usize>) -> Self {
        let cells = f.cells();
        Self {
            source: vec![0; cells],
            luma: vec![0; cells],
            before: lumas(f, before),
            steps: Vec::new(),
            spread: Spread::new(cells),
            torn: 0.0,
            total: 0.0,
            gradient: 0.0,
            since: vec![0; cells],
            offsets: vec![i32::MIN; cells],
            half: (libm::rint(0.5 * fps) as u32).max(2),
            copies: Vec::new(),
            frames: 0,
        }
    }

    pub(super) fn add(&mut self, f: &Features, own: &Own, t: usize, offsets: &[i32]) {
        let cells = f.cells();
        f.show(offsets, t as i32, &mut self.source, &mut self.luma);
        self.torn += torn(f, &self.source, &self.luma) as f64 / own.gradient;
        let total: i64 = self.luma.iter().map(|l| i64::from(*l)).sum();
        self.total += total as f64 / cells as f64;
        let gradient = steepness(f.cols, f.rows, |c| i32::from(self.luma[c]));
        self.gradient += gradient as f64 / own.gradient / 1000.0;
        self.spread.add(self.luma.iter().map(|l| i32::from(*l)));
        if !self.before.is_empty() {
            let step = step(&self.luma, &self.before);
            self.steps.push(step as f64 / cells as f64 / own.step);
        }
        self.before.clone_from(&self.luma);
        for c in 0..cells {
            if self.offsets[c] == offsets[c] {
                self.since[c] += 1;
            } else {
                self.since[c] = 1;
                self.offsets[c] = offsets[c];
            }
        }
        self.frames += 1;
        if self.frames as u32 >= self.half
            && (self.frames as u32 - self.half).is_multiple_of((self.half / 3).max(1))
        {
            let mut held: Vec<i32> = (0..cells)
                .filter(|&c| f.moving[c] && self.since[c] >= self.half)
                .map(|c| offsets[c])
                .collect();
            held.sort_unstable();
            let most = held.chunk_by(|a, b| a == b).map(<[i32]>::len).max();
            self.copies
                .push(most.unwrap_or(0) as f64 / own.moving as f64);
        }
    }

    /// The marks that no way on to frame `length` can better: as if all that is to
    /// come were without fault.
    pub(super) fn so_far(&self, length: usize) -> Marks {
        let windows =
            length.saturating_sub(self.half as usize) / (self.half as usize / 3).max(1) + 1;
        Marks {
            most: self.steps.iter().copied().fold(0.0, f64::max),
            least: self.steps.iter().copied().fold(f64::MAX, f64::min),
            spread: 1.0,
            torn: self.torn / length.max(1) as f64,
            copy: self.copies.iter().sum::<f64>() / windows as f64,
            luma: 1.0,
            gradient: 1.0,
        }
    }

    pub(super) fn marks(&self, own: &Own) -> Marks {
        Marks {
            most: self.steps.iter().copied().fold(0.0, f64::max),
            least: self.steps.iter().copied().fold(f64::MAX, f64::min),
            spread: self.spread.mean() / own.spread,
            torn: self.torn / self.frames.max(1) as f64,
            copy: self.copies.iter().sum::<f64>() / self.copies.len().max(1) as f64,
            luma: self.total / self.frames.max(1) as f64 / own.luma.max(1e-3),
            gradient: self.gradient / self.frames.max(1) as f64,
        }
    }
}

impl Marks {
    /// One figure to choose by; lower is better. Beyond what is noticed a
    /// fault weighs more; at a higher `novelty` (0 to 1) so does repetition.
    pub(super) fn score(&self, own: &Own, novelty: f64) -> f64 {
        let beyond = |value: f64, limit: f64| (value - limit).max(0.0);
        26.0 * own.trust * beyond(self.most, 0.97 * own.most)
            + 8.0 * beyond(own.least, self.least)
            + 20.0 * beyond(0.97, self.spread)
            + 30.0 * beyond(0.9, self.spread)
            + 0.4 * beyond((self.luma - 1.0).abs(), 0.005) / 0.001
            + 40.0 * beyond(0.995, self.gradient)
            + 0.7 * self.torn
            + 4.0 * beyond(self.torn, 0.6)
            + (0.4 + 4.0 * beyond(1.0, 2.0 * novelty)) * self.copy
            + 60.0 * novelty * beyond(self.copy, 0.78 - 0.44 * novelty)
    }
}
