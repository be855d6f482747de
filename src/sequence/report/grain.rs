//! Grain: how much there is in the finest detail, from shadow to highlight.
//!
//! Grain that is softened by resampling, or doubled by a blend of two frames,
//! hardly changes a mean over the picture; by level of brightness it shows.

use serde::Serialize;

use super::profile::evenly;
use crate::frame::{Picture, PlateInfo};

/// Levels from black to white.
const LEVELS: usize = 8;
/// Frames that are looked at, at most.
const FRAMES: usize = 24;
/// Squares of a frame that are looked at, about.
const SQUARES: usize = 60_000;
/// Squares that a level must have to be judged.
const ENOUGH: u64 = 2_000;

/// The grain at one level of brightness, over the plate's at that level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GrainLevel {
    /// From this value of the display encoding, black 0 and white 1 …
    pub from: f64,
    /// … to this one.
    pub to: f64,
    /// Energy over the plate's.
    pub energy: f64,
}

/// Gathers the energy of the finest band: the diagonal detail of the Haar
/// wavelet on squares of 2 × 2 pixels at full size, of the mean of the channels
/// in the display encoding.
pub(super) struct Grain {
    wanted: Vec<usize>,
    counted: usize,
    sums: [f64; LEVELS],
    squares: [u64; LEVELS],
}

impl Grain {
    /// For a sequence with `frames` frames that count.
    pub(super) fn new(frames: usize) -> Self {
        Self {
            wanted: evenly(0, frames.saturating_sub(1), FRAMES.min(frames)),
            counted: 0,
            sums: [0.0; LEVELS],
            squares: [0; LEVELS],
        }
    }

    /// The next frame that counts, at full size.
    pub(super) fn push(&mut self, picture: &Picture, info: &PlateInfo) {
        let k = self.counted;
        self.counted += 1;
        let (w, h, n) = (picture.width(), picture.height(), picture.channels());
        if !self.wanted.contains(&k) || w < 2 || h < 2 {
            return;
        }
        let channels = [("R", 0), ("G", 1), ("B", 2)]
            .map(|(name, place)| info.channel(name).unwrap_or(if n >= 3 { place } else { 0 }))
            .map(|c| c.min(n - 1));
        let value = |x: usize, y: usize| -> f64 {
            let pixel = picture.pixel(x, y);
            let sum: f32 = channels
                .iter()
                .map(|&c| info.transfer.perceptual(pixel[c]))
                .sum();
            f64::from(sum) / 3.0
        };
        // Whole lines of squares, evenly spaced: memory is read line by line.
        let lines = (SQUARES / (w / 2)).clamp(1, h / 2);
        for line in evenly(0, h / 2 - 1, lines) {
            for x in 0..w / 2 {
                let (x, y) = (2 * x, 2 * line);
                let [a, b, c, d] = [
                    value(x, y),
                    value(x + 1, y),
                    value(x, y + 1),
                    value(x + 1, y + 1),
                ];
                let (detail, mean) = ((a - b - c + d) / 2.0, (a + b + c + d) / 4.0);
                if detail.is_finite() && mean.is_finite() {
                    let level = ((mean * LEVELS as f64).max(0.0) as usize).min(LEVELS - 1);
                    self.sums[level] += detail * detail;
                    self.squares[level] += 1;
                }
            }
        }
    }

    /// Over `plate`, level by level, and all levels together as the sequence
    /// is lit.
    pub(super) fn over(&self, plate: &Self) -> (Option<f64>, Vec<GrainLevel>) {
        let mut levels = Vec::new();
        let (mut ours, mut theirs) = (0.0, 0.0);
        for k in 0..LEVELS {
            if self.squares[k] < ENOUGH || plate.squares[k] < ENOUGH {
                continue;
            }
            let own = self.sums[k] / self.squares[k] as f64;
            let unit = plate.sums[k] / plate.squares[k] as f64;
            if unit <= 1e-12 {
                continue;
            }
            ours += own * self.squares[k] as f64;
            theirs += unit * self.squares[k] as f64;
            levels.push(GrainLevel {
                from: k as f64 / LEVELS as f64,
                to: (k + 1) as f64 / LEVELS as f64,
                energy: own / unit,
            });
        }
        ((theirs > 0.0).then(|| ours / theirs), levels)
    }
}
