//! What is measured of the plate before the sequence, its frames as they are read
//! again, and frames as a camera at rest would have taken them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::coherence::{Coherence, Coherent};
use super::encoded::Encoded;
use super::ghost::GhostPlate;
use super::grain::Grain;
use super::profile::{Profile, Profiler};
use super::repetition::Diversity;
use super::seams::PlateLines;
use super::{Facts, ReportError, Viewer, facts};
use crate::device::Task;
use crate::engine::plate::{Camera, Exposure, Pose, at_rest};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader};

/// Plate frames kept encoded while seams are looked at.
const PLATE_CACHE: usize = 24;

/// What is measured of the plate before the output.
pub(super) struct Plate {
    pub(super) facts: Facts,
    pub(super) profile: Profile,
    /// The mean of each channel of each frame.
    pub(super) colours: Vec<[f64; 3]>,
    pub(super) ghosts: GhostPlate,
    pub(super) coherent: Coherent,
    pub(super) grain: Grain,
    pub(super) lines: PlateLines,
    pub(super) diversity: Diversity,
}

impl Plate {
    pub(super) fn measure(
        reader: &mut dyn PlateReader,
        taken: TakenOut<'_>,
        factor: usize,
        made: usize,
        viewer: &mut dyn Viewer,
        task: Task<'_>,
    ) -> Result<Self, ReportError> {
        let info = reader.info().clone();
        let n = info.range.count();
        let mut profiler = Profiler::of_plate(n);
        let mut ghosts =
            GhostPlate::new(info.width.div_ceil(factor), info.height.div_ceil(factor), n);
        let mut coherence = Coherence::new(vec![true; n]);
        let mut grain = Grain::new(n);
        let mut lines = PlateLines::new(n);
        let mut diversity = Diversity::new(n, made);
        let mut not_finite = 0;
        let mut colours = Vec::with_capacity(n);
        for (i, frame) in info.range.iter().enumerate() {
            task.step("Measuring the plate", i, n)?;
            let picture = reader.read(frame)?;
            grain.push(&picture, &info);
            let (encoded, bad) = Encoded::of(&picture, &info, factor);
            not_finite += bad;
            viewer.plate(frame, i, &encoded);
            let seen = taken.seen((Of::Plate, i), &picture, encoded, &info, factor);
            drop(picture);
            colours.push(seen.still.channel_means());
            coherence.push(&seen.level);
            lines.push(&seen.level);
            diversity.plate(i, &seen.level);
            ghosts.push(&seen.level);
            profiler.push(&seen.still, &seen.level);
        }
        Ok(Self {
            facts: facts(&info, not_finite),
            profile: profiler.finish(),
            colours,
            ghosts,
            coherent: coherence.finish(),
            grain,
            lines,
            diversity,
        })
    }
}

/// What was taken out of a plate before anything was decided, and put back on what was
/// made: both are measured without it.
#[derive(Clone, Copy, Default)]
pub(super) struct TakenOut<'a> {
    pub(super) camera: Option<&'a Camera>,
    pub(super) exposure: Option<&'a Exposure>,
}

/// A frame as it is measured.
pub(super) struct Seen {
    /// As a camera at rest would have taken it.
    pub(super) still: Arc<Encoded>,
    /// So, and in the mean light of the plate.
    pub(super) level: Arc<Encoded>,
}

/// Whose frame it is.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Plate,
    Output,
}

impl TakenOut<'_> {
    /// Index `index` of those of `of`, which is `picture` and, as it is and reduced by
    /// `factor`, `encoded`.
    pub(super) fn seen(
        &self,
        (of, index): (Of, usize),
        picture: &Arc<Picture>,
        encoded: Encoded,
        info: &PlateInfo,
        factor: usize,
    ) -> Seen {
        let reduced = |picture: &Picture| Arc::new(Encoded::of(picture, info, factor).0);
        let still = self.still((of, index), picture, info);
        let level = self.level((of, index), still.as_ref().unwrap_or(picture), info);
        let still = still.map_or_else(|| Arc::new(encoded), |still| reduced(&still));
        Seen {
            level: level.map_or_else(|| still.clone(), |level| reduced(&level)),
            still,
        }
    }

    /// `picture` as a camera at rest would have taken it, where it was not at rest.
    fn still(
        &self,
        (of, index): (Of, usize),
        picture: &Arc<Picture>,
        info: &PlateInfo,
    ) -> Option<Arc<Picture>> {
        let camera = self.camera?;
        let poses = match of {
            Of::Plate => &camera.plate,
            Of::Output => &camera.out,
        };
        let pose = poses.get(index)?;
        (*pose != Pose::REST).then(|| at_rest(picture, pose, info))
    }

    /// `picture` in the mean light of the plate, where it is in another.
    fn level(
        &self,
        (of, index): (Of, usize),
        picture: &Arc<Picture>,
        info: &PlateInfo,
    ) -> Option<Arc<Picture>> {
        let exposure = self.exposure?;
        let level = match of {
            Of::Plate => exposure.level_plate(picture, index, info),
            Of::Output => exposure.level_output(picture, index, info),
        };
        (!Arc::ptr_eq(&level, picture)).then_some(level)
    }
}

/// The plate frames used last, encoded, in one light.
pub(super) struct PlateCache<'a> {
    factor: usize,
    taken: TakenOut<'a>,
    frames: VecDeque<(usize, Arc<Encoded>)>,
}

impl<'a> PlateCache<'a> {
    pub(super) fn new(factor: usize, taken: TakenOut<'a>) -> Self {
        Self {
            factor,
            taken,
            frames: VecDeque::new(),
        }
    }

    pub(super) fn get(
        &mut self,
        reader: &mut dyn PlateReader,
        index: usize,
    ) -> Result<Arc<Encoded>, FrameError> {
        if let Some(place) = self.frames.iter().position(|f| f.0 == index)
            && let Some(hit) = self.frames.remove(place)
        {
            let frame = hit.1.clone();
            self.frames.push_back(hit);
            return Ok(frame);
        }
        let info = reader.info().clone();
        let picture = reader.read(info.range.first + index as i32)?;
        let of = (Of::Plate, index);
        let still = self.taken.still(of, &picture, &info).unwrap_or(picture);
        let level = self.taken.level(of, &still, &info).unwrap_or(still);
        let frame = Arc::new(Encoded::of(&level, &info, self.factor).0);
        if self.frames.len() >= PLATE_CACHE {
            self.frames.pop_front();
        }
        self.frames.push_back((index, frame.clone()));
        Ok(frame)
    }
}
