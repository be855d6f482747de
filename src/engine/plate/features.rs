//! What the coarse frames look like in the units that decisions are made in.
//!
//! A jump in *time* is counted in the plate's own steps at that place, a seam in
//! *space* in what the eye can see there. Dividing once, here, makes every later
//! cost a plain sum of squares of integers.

use super::analysis::Analysis;
use super::cells::UNIT;
use crate::frame::FrameRange;

/// 1/32 of a natural step: the unit of the features. Squares are in 1/1024.
const STEP: f64 = 32.0;
/// A squared natural step in the units of [`Features::jump`].
pub(super) const NATURAL: i32 = 1024;
/// Largest feature, so that the sum of six squared differences fits 31 bits.
const MOST: f64 = 8191.0;
/// Share of the velocity beside the colour in a frame's features.
const VELOCITY: f64 = 0.35;
/// Smallest step that counts, of 1 for white.
const GRAIN: f64 = 0.012;
/// A seam of this contrast is just seen on flat ground, of 1 for white.
const SEEN: f64 = 0.05;
/// Share of the plate's own squared gradient that hides a seam.
const HIDES: f64 = 0.3;

/// The frames of a plate on a grid.
pub(super) struct Features {
    pub(super) cols: usize,
    pub(super) rows: usize,
    /// Number of frames.
    pub(super) frames: usize,
    /// Frame by frame, a cell: three colours and three velocities in natural
    /// steps, and two zeros.
    pub(super) motion: Vec<[i16; 8]>,
    /// Frame by frame, a cell: three colours in what is just seen, and a zero.
    pub(super) seen: Vec<[i16; 4]>,
    /// Frame by frame, a cell: the mean of the colours, 4096 for white.
    pub(super) luma: Vec<i16>,
    /// The cells that move.
    pub(super) moving: Vec<bool>,
}

/// Bytes of the features of a cell in one frame, and of what a coarser grid is made from.
pub(super) const CELL: u64 =
    (size_of::<[i16; 8]>() + size_of::<[i16; 4]>() + size_of::<i16>()) as u64;
pub(super) const COARSER: u64 = size_of::<[f32; 3]>() as u64;

impl Features {
    /// The frames `range` of an analysed plate on its grid, as they are or
    /// steadied.
    pub(super) fn new(analysis: &Analysis, range: FrameRange, steady: bool) -> Self {
        let from = (range.first - analysis.info.range.first).max(0) as usize;
        let frames = range.count();
        let width = analysis.cells() * 3;
        let colour = &analysis.colour(steady)[from * width..(from + frames) * width];
        let still = |t: usize| analysis.duplicates.contains(&((from + t) as u32));
        // Read where it lies: a copy would be the half of what is made of it.
        let at = |i: usize| f32::from(colour[i]) / UNIT;
        Self::made(&at, analysis.cols, analysis.rows, frames, &still)
    }

    /// The same on a grid of at most `rows` rows.
    pub(super) fn coarser(
        analysis: &Analysis,
        range: FrameRange,
        rows: usize,
        steady: bool,
    ) -> Self {
        let from = (range.first - analysis.info.range.first).max(0) as usize;
        let frames = range.count();
        let rows = rows.min(analysis.rows);
        let cols = coarser_cols(analysis.cols, analysis.rows, rows);
        let width = analysis.cells() * 3;
        let (across, down) = (share(analysis.cols, cols), share(analysis.rows, rows));
        let mut colour = Vec::with_capacity(frames * cols * rows * 3);
        let all = analysis.colour(steady);
        for t in from..from + frames {
            let frame = &all[t * width..(t + 1) * width];
            for &(y0, y1, ref wy) in &down {
                for &(x0, x1, ref wx) in &across {
                    let mut sum = [0.0f64; 3];
                    for y in y0..y1 {
                        for x in x0..x1 {
                            let w = wy[y - y0] * wx[x - x0];
                            let i = (y * analysis.cols + x) * 3;
                            for k in 0..3 {
                                sum[k] += w * f64::from(frame[i + k]);
                            }
                        }
                    }
                    colour.extend(sum.map(|s| s as f32 / UNIT));
                }
            }
        }
        let still = |t: usize| analysis.duplicates.contains(&((from + t) as u32));
        Self::of(&colour, cols, rows, frames, &still)
    }

    /// Of `colour`, frame by frame three values a cell, 1 for white.
    pub(super) fn of(
        colour: &[f32],
        cols: usize,
        rows: usize,
        frames: usize,
        still: &dyn Fn(usize) -> bool,
    ) -> Self {
        Self::made(&|i| colour[i], cols, rows, frames, still)
    }

    /// The same of values that are asked for one by one.
    fn made(
        colour: &impl Fn(usize) -> f32,
        cols: usize,
        rows: usize,
        frames: usize,
        still: &dyn Fn(usize) -> bool,
    ) -> Self {
        let cells = cols * rows;
        let at = |t: usize, c: usize| {
            let i = (t * cells + c) * 3;
            [i, i + 1, i + 2].map(|i| f64::from(colour(i)))
        };
        let natural = natural(&at, cols, rows, frames, still);
        let mean = natural.iter().sum::<f64>() / cells as f64;
        let gradient = gradient(&at, cols, rows, frames);
        let in_steps: Vec<f64> = natural.iter().map(|n| STEP / libm::sqrt(*n)).collect();
        let in_seen: Vec<f64> = gradient
            .iter()
            .map(|g| STEP / libm::sqrt(SEEN.powi(2) + HIDES * g))
            .collect();
        let fit = |v: f64| libm::rint(v.clamp(-MOST, MOST)) as i16;
        let mut motion = Vec::with_capacity(frames * cells);
        let mut seen = Vec::with_capacity(frames * cells);
        let mut luma = Vec::with_capacity(frames * cells);
        for t in 0..frames {
            let (before, after) = (t.saturating_sub(1), (t + 1).min(frames - 1));
            let span = if after - before == 1 { 2.0 } else { 1.0 };
            for c in 0..cells {
                let (own, a, b) = (at(t, c), at(after, c), at(before, c));
                let mut m = [0i16; 8];
                let mut s = [0i16; 4];
                for k in 0..3 {
                    m[k] = fit(own[k] * in_steps[c]);
                    m[k + 3] = fit(VELOCITY * span * (a[k] - b[k]) * in_steps[c]);
                    s[k] = fit(own[k] * in_seen[c]);
                }
                motion.push(m);
                seen.push(s);
                luma.push(libm::rint((own[0] + own[1] + own[2]) / 3.0 * f64::from(UNIT)) as i16);
            }
        }
        Self {
            cols,
            rows,
            frames,
            motion,
            seen,
            luma,
            moving: natural.iter().map(|n| *n > 0.5 * mean).collect(),
        }
    }

    /// Number of cells.
    pub(super) fn cells(&self) -> usize {
        self.cols * self.rows
    }

    /// The squared jump from frame `a` to frame `b` at cell `c`, 1024 for a
    /// natural step.
    #[inline(always)]
    pub(super) fn jump(&self, c: usize, a: usize, b: usize) -> i32 {
        let (a, b) = (
            &self.motion[a * self.cells() + c],
            &self.motion[b * self.cells() + c],
        );
        // At most twice MOST: no overflow.
        (0..8)
            .map(|k| i32::from(a[k].wrapping_sub(b[k])))
            .map(|d| d * d)
            .sum()
    }

    /// The squared contrast of frames `a` and `b` at cell `c`, 1024 for what is
    /// just seen.
    #[inline(always)]
    pub(super) fn contrast(&self, c: usize, a: usize, b: usize) -> i32 {
        let (a, b) = (
            &self.seen[a * self.cells() + c],
            &self.seen[b * self.cells() + c],
        );
        // At most twice MOST: no overflow.
        (0..4)
            .map(|k| i32::from(a[k].wrapping_sub(b[k])))
            .map(|d| d * d)
            .sum()
    }
}

/// Columns of a grid of `fewer` rows that shows what one of `cols` by `rows` does.
pub(super) fn coarser_cols(cols: usize, rows: usize, fewer: usize) -> usize {
    ((cols * fewer + rows / 2) / rows).max(1)
}

/// Cells that are read together.
const TOGETHER: usize = 16;

impl Features {
    /// The luma of cells that play the plate at `offsets` from output index `t`, and the
    /// plate indices that they show, all within the plate.
    pub(super) fn show(&self, offsets: &[i32], t: i32, source: &mut [u32], luma: &mut [i16]) {
        let cells = self.cells();
        let last = self.frames as i32 - 1;
        let plate = |offset: i32| (t + offset).clamp(0, last) as u32;
        for (c, offsets) in (0..).step_by(TOGETHER).zip(offsets.chunks(TOGETHER)) {
            let to = c..c + offsets.len();
            // Most cells show what those beside them do.
            let first = offsets[0];
            if offsets.iter().fold(0, |all, o| all | (o ^ first)) == 0 {
                let p = plate(first);
                source[to.clone()].fill(p);
                luma[to.clone()].copy_from_slice(&self.luma[p as usize * cells..][to]);
                continue;
            }
            for (c, offset) in to.zip(offsets) {
                source[c] = plate(*offset);
                luma[c] = self.luma[source[c] as usize * cells + c];
            }
        }
    }
}

/// The sum over cells of the absolute step between two frames' luma.
pub(super) fn step(a: &[i16], b: &[i16]) -> i64 {
    // So many fit 31 bits.
    const FEW: usize = 4096;
    a.chunks(FEW)
        .zip(b.chunks(FEW))
        .map(|(a, b)| {
            let steps = a.iter().zip(b).map(|(a, b)| i32::from(*a) - i32::from(*b));
            i64::from(steps.map(i32::abs).sum::<i32>())
        })
        .sum()
}

/// For each of `to` cells the `from` cells that it covers and their shares.
fn share(from: usize, to: usize) -> Vec<(usize, usize, Vec<f64>)> {
    (0..to)
        .map(|c| {
            let (a, b) = (c * from, (c + 1) * from);
            let (first, last) = (a / to, b.div_ceil(to).max(a / to + 1));
            let weights = (first..last)
                .map(|i| {
                    let covered = b.min((i + 1) * to) - a.max(i * to);
                    covered as f64 / from as f64
                })
                .collect();
            (first, last, weights)
        })
        .collect()
}

/// The plate's mean squared step around each cell; never 0.
fn natural(
    at: &impl Fn(usize, usize) -> [f64; 3],
    cols: usize,
    rows: usize,
    frames: usize,
    still: &dyn Fn(usize) -> bool,
) -> Vec<f64> {
    let cells = cols * rows;
    let mut n = vec![0.0; cells];
    let steps: Vec<usize> = (1..frames).filter(|t| !still(*t)).collect();
    for &t in &steps {
        for (c, n) in n.iter_mut().enumerate() {
            let (a, b) = (at(t, c), at(t - 1, c));
            *n += (0..3).map(|k| (a[k] - b[k]) * (a[k] - b[k])).sum::<f64>();
        }
    }
    for n in &mut n {
        *n /= steps.len().max(1) as f64;
    }
    let n = blur(&n, cols, rows, rows as f64 / 12.0);
    let mean = n.iter().sum::<f64>() / cells as f64;
    n.iter().map(|n| n + 0.25 * mean + GRAIN * GRAIN).collect()
}

/// The plate's mean squared gradient around each cell.
fn gradient(
    at: &impl Fn(usize, usize) -> [f64; 3],
    cols: usize,
    rows: usize,
    frames: usize,
) -> Vec<f64> {
    let mut g = vec![0.0; cols * rows];
    let sampled: Vec<usize> = (0..frames).step_by(4).collect();
    for &t in &sampled {
        for y in 0..rows {
            for x in 0..cols {
                let mut along = |a: (usize, usize), b: (usize, usize), span: usize| {
                    let (p, q) = (at(t, a.1 * cols + a.0), at(t, b.1 * cols + b.0));
                    let span = span.max(1) as f64;
                    for k in 0..3 {
                        let d = (q[k] - p[k]) / span;
                        g[y * cols + x] += d * d;
                    }
                };
                let (x0, x1) = (x.saturating_sub(1), (x + 1).min(cols - 1));
                let (y0, y1) = (y.saturating_sub(1), (y + 1).min(rows - 1));
                along((x0, y), (x1, y), x1 - x0);
                along((x, y0), (x, y1), y1 - y0);
            }
        }
    }
    for g in &mut g {
        *g /= sampled.len() as f64;
    }
    blur(&g, cols, rows, 1.5)
}

/// A Gaussian of deviation `sigma` cells, edges repeated.
fn blur(values: &[f64], cols: usize, rows: usize, sigma: f64) -> Vec<f64> {
    let reach = libm::ceil(3.0 * sigma) as i64;
    let kernel: Vec<f64> = (-reach..=reach)
        .map(|i| libm::exp(-((i * i) as f64) / (2.0 * sigma * sigma)))
        .collect();
    let total: f64 = kernel.iter().sum();
    let along = |from: &[f64], n: usize, stride: usize, start: usize, i: usize| -> f64 {
        kernel
            .iter()
            .enumerate()
            .map(|(k, w)| {
                let j = (i as i64 + k as i64 - reach).clamp(0, n as i64 - 1) as usize;
                w * from[start + j * stride]
            })
            .sum::<f64>()
            / total
    };
    let mut across = vec![0.0; values.len()];
    for y in 0..rows {
        for x in 0..cols {
            across[y * cols + x] = along(values, cols, 1, y * cols, x);
        }
    }
    let mut out = vec![0.0; values.len()];
    for y in 0..rows {
        for x in 0..cols {
            out[y * cols + x] = along(&across, rows, cols, x, y);
        }
    }
    out
}
