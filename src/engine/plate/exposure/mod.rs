//! Plates whose exposure or white balance drifts: the drift is found, channel by
//! channel, taken out before anything is decided, and put back on what is made.
//!
//! A drift is slow, and shared by the whole picture: the median over cells of how
//! much more light than usual each has, smoothed in time. What only a part of the
//! picture does, a flame or a cloud, is no drift. As with the camera, a pixel of the
//! output is read from the plate once, by the exposure of its output frame over that
//! of its plate frame; where both are one it is the plate's own bits.

mod course;
mod drift;
mod light;

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::analysis::Analysis;
use super::cells::UNIT;
use super::steadied::Steadied;
use crate::device::install;
use crate::engine::Timeline;
use crate::frame::{FrameRange, Picture, PlateInfo, Transfer};
use course::course;
use drift::{Drift, Of};
pub(super) use light::lit;
use light::{encoded, light};

/// How far an exposure must drift to count, and what can be told from nothing, as
/// natural logarithms of light.
const DRIFTS: f64 = 0.06;
const TOLD: f64 = 0.005;
/// The share of the areas of a picture that must drift like the whole.
const ALIKE: f64 = 0.75;

/// When a plate is levelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Where its exposure drifts, all over the picture alike.
    #[default]
    Auto,
    /// Wherever any drift is found.
    On,
    /// Never.
    Off,
}

/// The exposure of frames: their red, green and blue light over that of the plate in the
/// mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Of each plate frame.
    pub plate: Vec<[f32; 3]>,
    /// Of each output frame.
    pub out: Vec<[f32; 3]>,
}

impl Exposure {
    /// That of the plate frames and the output frames of `timeline`, if the plate is
    /// to be levelled; the cells of `analysis` as they are or steadied.
    pub(super) fn of(
        analysis: &Analysis,
        timeline: &Timeline,
        level: Level,
        steady: bool,
    ) -> Option<Self> {
        let fps = analysis.info.fps.clamp(1.0, 1000.0);
        if level == Level::Off {
            return None;
        }
        // The picture's light, and each channel by itself: a white balance may drift
        // where the exposure does not.
        let drift = |of| Drift::of(analysis, timeline.plate, steady, fps, of);
        let whole = drift(Of::Light)?;
        let channels = [0, 1, 2].map(|c| drift(Of::Channel(c)));
        let all = channels.iter().flatten().chain([&whole]);
        let counts = |d: &Drift| match level {
            Level::Auto => d.span() >= DRIFTS && d.alike >= ALIKE,
            _ => d.span() >= TOLD,
        };
        if !all.into_iter().any(counts) {
            return None;
        }
        // A channel that cannot be told by itself, as one that is all dark, goes with
        // the picture.
        let slow = channels.map(|own| match own {
            Some(own) if own.alike >= ALIKE || level == Level::On => own.slow,
            _ if counts(&whole) => whole.slow.clone(),
            _ => vec![0.0; whole.slow.len()],
        });
        let light = |logs: [Vec<f64>; 3]| {
            let at = |i: usize| [0, 1, 2].map(|c| libm::exp(logs[c][i]) as f32);
            (0..logs[0].len()).map(at).collect()
        };
        Some(Self {
            out: light([0, 1, 2].map(|c| course(&slow[c], timeline, fps))),
            plate: light(slow),
        })
    }

    /// How much more light the brightest exposure of the plate has than the darkest, as
    /// a share of that, in the channel that drifts most.
    pub fn span(&self) -> f64 {
        let of = |c: usize| {
            let most = self.plate.iter().map(|p| p[c]).fold(f32::MIN, f32::max);
            let least = self.plate.iter().map(|p| p[c]).fold(f32::MAX, f32::min);
            f64::from((most / least.max(1e-6) - 1.0).max(0.0))
        };
        (0..3).map(of).fold(0.0, f64::max)
    }

    /// What the light of plate index `index` is multiplied by in output index `t`.
    pub(super) fn gain(&self, index: i32, t: i32) -> [f32; 3] {
        let of = |list: &[[f32; 3]], i: i32| {
            let last = list.len().saturating_sub(1) as i32;
            let at = list.get(i.clamp(0, last) as usize);
            at.copied().unwrap_or([1.0; 3])
        };
        over(of(&self.out, t), of(&self.plate, index))
    }

    /// What the light of plate index `lender` is multiplied by where it stands for what
    /// plate index `own` would have shown.
    pub(super) fn between(&self, lender: usize, own: usize) -> [f32; 3] {
        match (self.plate.get(own), self.plate.get(lender)) {
            (Some(own), Some(lender)) => over(*own, *lender),
            _ => [1.0; 3],
        }
    }

    /// `picture`, plate index `index` of a plate like `info`, in the plate's mean light;
    /// itself where it has that.
    pub fn level_plate(
        &self,
        picture: &Arc<Picture>,
        index: usize,
        info: &PlateInfo,
    ) -> Arc<Picture> {
        lit(picture.clone(), inverse(self.plate.get(index)), info)
    }

    /// The same of `picture`, which is output index `t`.
    pub fn level_output(&self, picture: &Arc<Picture>, t: usize, info: &PlateInfo) -> Arc<Picture> {
        lit(picture.clone(), inverse(self.out.get(t)), info)
    }

    /// `cells` of plate index `index` in the perceptual encoding, levelled.
    pub(super) fn level(&self, cells: &[i16], index: i32, transfer: Transfer) -> Vec<i16> {
        let gain = inverse(self.plate.get(index.max(0) as usize));
        cells
            .iter()
            .zip(gain.iter().cycle())
            .map(|(&c, gain)| {
                let light = light(f32::from(c) / UNIT, transfer) * gain;
                let e = encoded(light, transfer) * UNIT;
                e.round().clamp(-32_767.0, 32_767.0) as i16
            })
            .collect()
    }
}

fn over(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [0, 1, 2].map(|c| a[c] / b[c])
}

/// What levels a frame of this exposure.
fn inverse(exposure: Option<&[f32; 3]>) -> [f32; 3] {
    exposure.map_or([1.0; 3], |of| over([1.0; 3], *of))
}

impl Analysis {
    /// The same of a plate whose frames `range` were levelled, as decisions are made on it:
    /// of its cells and matte those as they are or steadied, and nothing of the other.
    pub fn levelled(&self, exposure: &Exposure, range: FrameRange, steady: bool) -> Self {
        let first = range.first - self.info.range.first;
        let (width, transfer) = (self.cells() * 3, self.info.transfer);
        let mut colour = self.colour(steady).to_vec();
        install(|| {
            let frames = colour.par_chunks_exact_mut(width).enumerate();
            frames.for_each(|(i, cells)| {
                let index = i as i32 - first;
                if (0..exposure.plate.len() as i32).contains(&index) {
                    cells.copy_from_slice(&exposure.level(cells, index, transfer));
                }
            });
        });
        let matte = self.matte(steady).to_vec();
        let (plain, steadied) = match &self.steadied {
            Some(s) if steady => {
                let steadied = Steadied {
                    poses: s.poses.clone(),
                    travel: s.travel,
                    colour,
                    matte,
                };
                (Default::default(), Some(steadied))
            }
            _ => ((colour, matte), None),
        };
        Self {
            info: self.info.clone(),
            cols: self.cols,
            rows: self.rows,
            colour: plain.0,
            matte: plain.1,
            fingerprints: self.fingerprints.clone(),
            duplicates: self.duplicates.clone(),
            not_finite: self.not_finite.clone(),
            steadied,
        }
    }
}
