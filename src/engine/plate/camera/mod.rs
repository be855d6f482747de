//! Plates that move: the camera's motion is found, taken out before anything is
//! decided, and put back on what is made.
//!
//! A pixel of the output is read from the plate once: the plate frame is seen as
//! the camera of the output frame would have seen it, so kept frames, where both
//! are one, stay the plate's bits.

mod path;
mod pose;
mod raster;
mod track;

use serde::{Deserialize, Serialize};

use self::path::Course;
use self::raster::Raster;
use self::track::{Pyramid, SHARE, Tracker};
use crate::engine::{Span, Timeline};
use crate::frame::PlateInfo;

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

/// A frame as the camera is followed in it.
pub(super) struct View(Pyramid);

impl View {
    /// Of a frame's means on the finest grid of its plate, of `cols` columns, three
    /// values a cell, `unit` for white.
    pub(super) fn new(cells: &[i16], cols: usize, unit: f32) -> Self {
        let data: Vec<f32> = cells
            .chunks_exact(3)
            .map(|c| {
                (0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2])) / unit
            })
            .collect();
        Self(Pyramid::new(&Raster {
            cols,
            rows: data.len() / cols.max(1),
            data,
        }))
    }
}

/// Follows the camera while the frames of a plate are read in order.
pub(super) struct Watch {
    tracker: Tracker,
    poses: Vec<Pose>,
    sure: usize,
    gain: f64,
    wide: f64,
}

impl Watch {
    /// For a plate like `info`.
    pub(super) fn new(info: &PlateInfo) -> Self {
        let wide = wide(info);
        Self {
            tracker: Tracker::new(wide),
            poses: Vec::new(),
            sure: 0,
            gain: 0.0,
            wide,
        }
    }

    /// Takes the next frame.
    pub(super) fn take(&mut self, view: View) {
        let sight = self.tracker.follow(view.0);
        self.sure += usize::from(sight.held >= SHARE);
        self.gain += sight.held - sight.unmoved;
        self.poses.push(sight.pose);
    }

    /// The poses of all frames about their mean and the farthest that they go, in
    /// heights of the picture, where the camera moves at all and can be followed.
    pub(super) fn poses(&self) -> Option<(Vec<Pose>, f64)> {
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
    /// Frames of the plate that show others nothing of what lies beyond their edges, as
    /// those that are left out. Empty where all do.
    pub withheld: Vec<bool>,
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
            withheld: Vec::new(),
        }
    }

    /// The same with plate frames that show others nothing.
    pub(super) fn withholding(self, frames: &[bool]) -> Self {
        let withheld = match frames.contains(&true) {
            true => frames.to_vec(),
            false => Vec::new(),
        };
        Self { withheld, ..self }
    }
}
