//! Plates that move: the camera's motion is found, taken out before anything is
//! decided, and put back on what is made.
//!
//! A pixel of the output is read from the plate once: the plate frame is seen as
//! the camera of the output frame would have seen it, so kept frames, where both
//! are one, stay the plate's bits.

mod path;
mod pose;
mod raster;
mod still;
mod track;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::path::Course;
use self::raster::Raster;
use self::still::Frames;
use self::track::{SHARE, Tracker};
use super::cells::{self, Light, UNIT};
use crate::device::{self, Task};
use crate::engine::{EngineError, Span, Timeline};
use crate::frame::{Picture, PlateInfo};

pub use pose::Pose;

/// Travel in heights from which a camera counts as moving, and beyond which too
/// little of the frames overlaps.
const MOVES: std::ops::Range<f64> = 0.0015..0.15;
/// Travel in heights that can be told from noise, and beyond which there is
/// nothing left to steady.
const TOLD: std::ops::Range<f64> = 0.0006..0.5;
/// Share of the frames that must say where the camera is.
const SURE: f64 = 0.9;
/// How much more of the picture must stand still, in the mean, once the motion
/// that was found is taken out.
const GAIN: f64 = 0.1;

/// A plate as a camera at rest would have taken it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steadied {
    /// Where the camera looks at each frame.
    pub poses: Vec<Pose>,
    /// The farthest that it goes, in heights of the picture.
    pub travel: f64,
    /// The cells of [`Analysis::colour`](super::Analysis::colour), steadied.
    pub colour: Vec<i16>,
    /// The cells of [`Analysis::matte`](super::Analysis::matte), steadied.
    pub matte: Vec<bool>,
}

/// Follows the camera while the frames of a plate are read in order.
pub(super) struct Watch {
    tracker: Tracker,
    frames: Frames,
    /// The grid that frames are taken on, and how many times finer it is than
    /// that which they are kept on.
    cols: usize,
    finer: usize,
    poses: Vec<Pose>,
    sure: usize,
    gain: f64,
    wide: f64,
}

impl Watch {
    /// For a plate like `info`.
    pub(super) fn new(info: &PlateInfo) -> Self {
        let (wide, finest) = (wide(info), cells::finest(info));
        let (cols, rows) = cells::grid(info);
        let kept = (finest / 2).max(1);
        Self {
            tracker: Tracker::new(wide),
            frames: Frames::new(cols, rows, kept, wide),
            cols: cols * finest,
            finer: finest / kept,
            poses: Vec::new(),
            sure: 0,
            gain: 0.0,
            wide,
        }
    }

    /// Takes the next frame, on the finest grid that its plate has.
    pub(super) fn take(&mut self, light: &Light, info: &PlateInfo) {
        let data: Vec<f32> = light
            .encoded(info.transfer)
            .chunks_exact(3)
            .map(|c| {
                (0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2])) / UNIT
            })
            .collect();
        let sight = self.tracker.follow(&Raster {
            cols: self.cols,
            rows: data.len() / self.cols.max(1),
            data,
        });
        self.sure += usize::from(sight.held >= SHARE);
        self.gain += sight.held - sight.unmoved;
        self.poses.push(sight.pose);
        let kept = light.pooled(self.finer).encoded(info.transfer);
        self.frames.take(&kept);
    }

    /// Takes the matte of that frame.
    pub(super) fn take_matte(&mut self, matte: &Picture) {
        self.frames.take_matte(matte);
    }

    /// The plate with its camera's motion taken out, where the camera moves at all
    /// and can be followed.
    ///
    /// # Errors
    /// Where the work was asked to stop.
    pub(super) fn steadied(self, task: Task<'_>) -> Result<Option<Steadied>, EngineError> {
        let Some((poses, travel)) = self.poses() else {
            return Ok(None);
        };
        task.check()?;
        let frames = || poses.par_iter().enumerate();
        let (colour, matte) = device::install(|| {
            let colour = frames().flat_map_iter(|(i, pose)| self.frames.colour_at_rest(i, pose));
            let matte = frames().flat_map_iter(|(i, pose)| self.frames.matte_at_rest(i, pose));
            (colour.collect(), matte.collect())
        });
        Ok(Some(Steadied {
            poses,
            travel,
            colour,
            matte,
        }))
    }

    /// The poses of all frames about their mean and how far they go, where the
    /// camera moves.
    fn poses(&self) -> Option<(Vec<Pose>, f64)> {
        let n = self.poses.len();
        let frames = n as f64;
        if n < 2 || (self.sure as f64) < SURE * frames || self.gain < GAIN * frames {
            return None;
        }
        let sum = self
            .poses
            .iter()
            .skip(1)
            .fold(self.poses[0], |s, p| s.with(p, |s, p| s + p));
        let home = sum.with(&sum, |s, _| s / frames).inverse();
        let poses: Vec<Pose> = self.poses.iter().map(|p| p.after(&home)).collect();
        let travel = poses
            .iter()
            .map(|p| p.apart(&Pose::REST, self.wide))
            .fold(0.0, f64::max);
        TOLD.contains(&travel).then_some((poses, travel))
    }
}

/// Whether a camera that goes as far as this, in heights, wants steadying and can
/// be steadied well.
pub(super) fn moves(travel: f64) -> bool {
    MOVES.contains(&travel)
}

/// Width of a plate in heights.
pub(super) fn wide(info: &PlateInfo) -> f64 {
    info.full_size.0 as f64 * info.pixel_aspect / info.full_size.1.max(1) as f64
}

/// Where the camera of a sequence looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// At each frame of the plate.
    pub plate: Vec<Pose>,
    /// At each frame of the output.
    pub out: Vec<Pose>,
}

impl Camera {
    /// The camera for `timeline`, from the poses `plate` of the timeline's plate
    /// range.
    pub(super) fn of(plate: &[Pose], timeline: &Timeline, fps: f64, seed: u64) -> Self {
        let index = |out: i32, offset: i32| {
            let k = out + offset - timeline.plate.first;
            usize::try_from(k).ok().map(|k| k.min(plate.len() - 1))
        };
        let mut kept = Vec::with_capacity(timeline.out.count());
        for span in &timeline.spans {
            kept.extend(span.out().iter().map(|t| match *span {
                Span::Kept { offset, .. } | Span::Matted { offset, .. } => index(t, offset),
                Span::Free { .. } => None,
            }));
        }
        let course = Course {
            plate,
            kept,
            closed: timeline.closed,
            fps,
            seed,
        };
        Self {
            out: course.poses(),
            plate: plate.to_vec(),
        }
    }
}
