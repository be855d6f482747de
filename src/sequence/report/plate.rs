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
            let seen = taken.plate(i, &picture, encoded, &info, factor);
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

impl TakenOut<'_> {
    /// Plate index `index`, which is `picture` and, as it is and reduced by `factor`,
    /// `encoded`.
    pub(super) fn plate(
        &self,
        index: usize,
        picture: &Arc<Picture>,
        encoded: Encoded,
        info: &PlateInfo,
        factor: usize,
    ) -> Seen {
        let still = still(self.camera.map(|c| &c.plate[..]), index, picture, info);
        let level = |picture: &Arc<Picture>| {
            let of = self.exposure;
            of.map(|of| of.level_plate(picture, index, info))
        };
        Seen::of(picture, encoded, still, level, info, factor)
    }

    /// The same of output index `index`.
    pub(super) fn output(
        &self,
        index: usize,
        picture: &Arc<Picture>,
        encoded: Encoded,
        info: &PlateInfo,
        factor: usize,
    ) -> Seen {
        let still = still(self.camera.map(|c| &c.out[..]), index, picture, info);
        let level = |picture: &Arc<Picture>| {
            let of = self.exposure;
            of.map(|of| of.level_output(picture, index, info))
        };
        Seen::of(picture, encoded, still, level, info, factor)
    }
}

impl Seen {
    fn of(
        picture: &Arc<Picture>,
        encoded: Encoded,
        still: Option<Arc<Picture>>,
        level: impl Fn(&Arc<Picture>) -> Option<Arc<Picture>>,
        info: &PlateInfo,
        factor: usize,
    ) -> Self {
        let at_rest = still.as_ref().unwrap_or(picture);
        let level = level(at_rest).filter(|level| !Arc::ptr_eq(level, at_rest));
        let of = |picture: &Picture| Arc::new(Encoded::of(picture, info, factor).0);
        let still = still.map_or_else(|| Arc::new(encoded), |still| of(&still));
        Self {
            level: level.map_or_else(|| still.clone(), |level| of(&level)),
            still,
        }
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
        let encoded = Encoded::of(&picture, &info, self.factor).0;
        let seen = self
            .taken
            .plate(index, &picture, encoded, &info, self.factor);
        let frame = seen.level;
        if self.frames.len() >= PLATE_CACHE {
            self.frames.pop_front();
        }
        self.frames.push_back((index, frame.clone()));
        Ok(frame)
    }
}

/// Frame number `index` of those taken from `poses` as a camera at rest would have
/// taken it, where it was not at rest.
fn still(
    poses: Option<&[Pose]>,
    index: usize,
    picture: &Arc<Picture>,
    info: &PlateInfo,
) -> Option<Arc<Picture>> {
    let pose = poses?.get(index)?;
    (*pose != Pose::REST).then(|| at_rest(picture, pose, info))
}
