//! The plate engine: the artist's own plate, re-timed place by place.
//!
//! Each output pixel is a plate pixel from the same place at another time,
//! `out(x, t) = plate(x + w(x, t), t + δ_k(x))`. Whole clips of the plate follow
//! one another and each place changes clip at its own moment, so that no jump
//! is seen anywhere. It makes no new shapes.

// Several planes are walked by the index of one cell.
#![allow(clippy::needless_range_loop)]

mod analysis;
mod asides;
mod camera;
mod carry;
mod cells;
mod costs;
mod decide;
mod edit_list;
mod exposure;
mod features;
mod fill;
mod gather;
mod ground;
mod judge;
mod jumps;
mod landings;
mod needs;
mod parts;
mod plan;
mod planes;
mod playing;
mod recent;
mod score;
mod settings;
mod solve;
mod steadied;
mod suitability;
mod switch;
mod trws;

use std::sync::Arc;

pub use analysis::Analysis;
pub use camera::{Camera, Pose};
pub use cells::fingerprint;
pub use edit_list::{Area, EditList, Event, Kind, Layer, NEVER};
pub use exposure::{Exposure, Level};
pub use judge::Judge;
pub use parts::Mattes;
pub use settings::{Region, Remake, Settings, Steady};
pub use steadied::Steadied;
pub use suitability::{Concern, Suitability, Use, suitability};

use super::{Engine, EngineError, Sources, Timeline};
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::frame::{Picture, PlateInfo, Window};

/// The engine, with the settings it works under.
#[derive(Clone, Debug, Default)]
pub struct PlateEngine {
    /// What the artist chose.
    pub settings: Settings,
    /// Where costs are counted and frames made; the pixels are the same.
    pub device: Choice,
    /// The mattes that the settings name, as far as they are open.
    pub mattes: Mattes,
}

impl EditList {
    /// The plate index (0 is the plate's first frame) whose pixel each pixel
    /// of output frame `frame` shows, for a picture of `width` × `height`, row
    /// by row; where a cut is warped, the frame that is warped. A matte is not
    /// looked at. Empty where the edit list is damaged.
    pub fn plate_indices(&self, frame: i32, width: usize, height: usize) -> Vec<i32> {
        gather::plate_indices(self, frame, width, height)
    }
}

/// `picture`, a frame of a plate like `info` that was taken from `taken`, as a
/// camera at rest would have taken it: the same size, mirrored beyond its edges.
pub fn at_rest(picture: &Arc<Picture>, taken: &Pose, info: &PlateInfo) -> Arc<Picture> {
    gather::at_rest(picture, taken, info)
}

/// Dense optical flow from picture `a` to picture `b`, both one channel of
/// `cols` columns, row by row: for each pixel how far, across and down, what it
/// shows has moved. The engine's own (Kroeger et al. 2016, Brox et al. 2004),
/// the same field on every machine; still where the pictures are not of one
/// size.
pub fn optical_flow(a: &[f32], b: &[f32], cols: usize) -> Vec<[f32; 2]> {
    gather::optical_flow(a, b, cols)
}

/// Pictures that a GPU holds for a frame at most: what it is gathered from, the matte,
/// the plate beneath, and the frame.
pub const GPU_PICTURES: usize = longtake_kernels::gather::SOURCES + 3;

impl PlateEngine {
    /// Learns what is needed of a plate, reading each frame once.
    ///
    /// # Errors
    /// Where a frame cannot be had, or the work was asked to stop.
    pub fn study(
        &self,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Analysis, EngineError> {
        analysis::analyse(sources, task)
    }
}

impl Engine for PlateEngine {
    type Analysis = Analysis;
    type Decision = EditList;

    fn version(&self) -> &'static str {
        "plate 14"
    }

    fn settings_key(&self) -> String {
        self.settings.key(&self.mattes)
    }

    fn analyse(
        &self,
        _timeline: &Timeline,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Analysis, EngineError> {
        self.study(sources, task)
    }

    fn decide(
        &self,
        analysis: &Analysis,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<EditList, EngineError> {
        decide::decide(analysis, timeline, self, task)
    }

    fn frames_needed(&self, analysis: &Analysis, decision: &EditList, frame: i32) -> Vec<i32> {
        gather::frames_needed(analysis, decision, frame)
    }

    fn make(
        &self,
        analysis: &Analysis,
        decision: &EditList,
        frame: i32,
        window: Window,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Arc<Picture>, EngineError> {
        let with = gather::With {
            analysis,
            choice: self.device,
            settings: &self.settings,
            mattes: &self.mattes,
        };
        gather::make(with, decision, frame, window, sources, task)
    }
}
