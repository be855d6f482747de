//! How the exposure of a plate drifts, and whether all of its picture does.

use rayon::prelude::*;

use super::light::light;
use crate::device::install;
use crate::engine::plate::analysis::Analysis;
use crate::engine::plate::cells::UNIT;
use crate::frame::{FrameRange, Transfer};

/// What is slower than this is drift, in seconds (deviation of a Gaussian).
const SLOW: f64 = 0.2;
/// Areas across and down that are asked whether they drift alike, and the share of the
/// drift (of its squares) that must be gone from an area once the picture's is taken out.
const AREAS: (usize, usize) = (4, 3);
const EXPLAINED: f64 = 0.5;
/// Cells that an area must have to be asked.
const FEWEST: usize = 12;
/// Median light of a cell that tells anything, and the encoded value above which a
/// display-referred one may be clipped.
const DARKEST: f64 = 0.004;
const CLIPPED: f32 = 0.97;

/// How the exposure of a plate drifts.
pub(super) struct Drift {
    /// Frame by frame the logarithm of its light over the mean.
    pub(super) slow: Vec<f64>,
    /// Share of the areas of the picture that drift like the whole.
    pub(super) alike: f64,
}

/// Of what the drift is asked.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// Of the mean of the channels.
    Light,
    /// Of one of them.
    Channel(usize),
}

impl Drift {
    pub(super) fn of(
        analysis: &Analysis,
        range: FrameRange,
        steady: bool,
        fps: f64,
        of: Of,
    ) -> Option<Self> {
        let (cols, rows) = (analysis.cols, analysis.rows);
        let cells = cols * rows;
        let first = (range.first - analysis.info.range.first).max(0) as usize;
        let frames = range.count();
        let colour = analysis.colour(steady);
        let colour = colour.get(first * cells * 3..(first + frames) * cells * 3)?;
        let transfer = analysis.info.transfer;
        // Every other cell tells enough.
        let asked: Vec<usize> = (0..cells)
            .filter(|c| (c % cols + c / cols).is_multiple_of(2))
            .collect();
        let series = |c: usize| -> Option<Vec<f64>> {
            let mut clipped = false;
            let logs: Vec<f64> = (0..frames)
                .map(|t| {
                    let at = (t * cells + c) * 3;
                    let rgb = &colour[at..at + 3];
                    let e = match of {
                        Of::Light => rgb.iter().map(|v| f32::from(*v)).sum::<f32>() / 3.0,
                        Of::Channel(c) => f32::from(rgb[c]),
                    };
                    let e = e / UNIT;
                    clipped |= transfer == Transfer::Display && e > CLIPPED;
                    libm::log(f64::from(light(e, transfer)).max(1e-4))
                })
                .collect();
            let usual = middle(logs.clone());
            let tells = !clipped && usual >= libm::log(DARKEST);
            tells.then(|| logs.into_iter().map(|l| l - usual).collect())
        };
        let told: Vec<(usize, Vec<f64>)> = install(|| {
            asked
                .into_par_iter()
                .filter_map(|c| Some((c, series(c)?)))
                .collect()
        });
        let all = |within: &dyn Fn(usize) -> bool| -> Option<Vec<f64>> {
            let of: Vec<&Vec<f64>> = told.iter().filter(|t| within(t.0)).map(|t| &t.1).collect();
            let median = |t: usize| middle(of.iter().map(|s| s[t]).collect());
            (of.len() >= FEWEST).then(|| slow(&(0..frames).map(median).collect::<Vec<_>>(), fps))
        };
        let whole = all(&|_| true)?;
        let (mut areas, mut alike) = (0usize, 0usize);
        for area in 0..AREAS.0 * AREAS.1 {
            let here = |c: usize| {
                let (x, y) = (c % cols * AREAS.0 / cols, c / cols * AREAS.1 / rows);
                y * AREAS.0 + x == area
            };
            if let Some(own) = all(&here) {
                let left: f64 = own.iter().zip(&whole).map(|(a, b)| (a - b) * (a - b)).sum();
                let had: f64 = whole.iter().map(|b| b * b).sum();
                areas += 1;
                alike += usize::from(left <= (1.0 - EXPLAINED) * had);
            }
        }
        Some(Self {
            slow: whole,
            alike: alike as f64 / areas.max(1) as f64,
        })
    }

    /// How far it goes, from the darkest to the brightest.
    pub(super) fn span(&self) -> f64 {
        let most = self.slow.iter().copied().fold(f64::MIN, f64::max);
        most - self.slow.iter().copied().fold(f64::MAX, f64::min)
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let k = values.len() / 2;
    *values.select_nth_unstable_by(k, f64::total_cmp).1
}

/// `values` smoothed in time and about their mean. What smoothing takes off is
/// smoothed and added once more (twicing; Tukey 1977), so that a drift of some
/// seconds is found in full.
fn slow(values: &[f64], fps: f64) -> Vec<f64> {
    let once = smooth(values, fps);
    let left: Vec<f64> = values.iter().zip(&once).map(|(v, s)| v - s).collect();
    let more = smooth(&left, fps);
    let mean = (once.iter().sum::<f64>() + more.iter().sum::<f64>()) / values.len().max(1) as f64;
    once.iter().zip(more).map(|(s, m)| s + m - mean).collect()
}

/// `values` under a Gaussian in time. Beyond the ends the course goes on as it was,
/// turned about the end.
fn smooth(values: &[f64], fps: f64) -> Vec<f64> {
    let n = values.len() as i64;
    let sigma = SLOW * fps;
    let reach = (libm::ceil(3.0 * sigma) as i64).min(n - 1);
    let at = |i: i64| -> f64 {
        let (first, last) = (values[0], values[values.len() - 1]);
        match i {
            i if i < 0 => 2.0 * first - values[(-i).min(n - 1) as usize],
            i if i >= n => 2.0 * last - values[(2 * (n - 1) - i).max(0) as usize],
            i => values[i as usize],
        }
    };
    let weight = |d: i64| libm::exp(-((d * d) as f64) / (2.0 * sigma * sigma));
    let total: f64 = (-reach..=reach).map(weight).sum();
    (0..n)
        .map(|i| (-reach..=reach).map(|d| weight(d) * at(i + d)).sum::<f64>() / total)
        .collect()
}
