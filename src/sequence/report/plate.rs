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
use crate::engine::plate::{Pose, at_rest};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader};

/// Plate frames kept encoded while seams are looked at.
const PLATE_CACHE: usize = 24;

/// What is measured of the plate before the output.
pub(super) struct Plate {
    pub(super) facts: Facts,
    pub(super) profile: Profile,
    pub(super) ghosts: GhostPlate,
    pub(super) coherent: Coherent,
    pub(super) grain: Grain,
    pub(super) lines: PlateLines,
    pub(super) diversity: Diversity,
}

impl Plate {
    pub(super) fn measure(
        reader: &mut dyn PlateReader,
        poses: Option<&[Pose]>,
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
        for (i, frame) in info.range.iter().enumerate() {
            task.step("Measuring the plate", i, n)?;
            let picture = reader.read(frame)?;
            grain.push(&picture, &info);
            let (mut encoded, bad) = Encoded::of(&picture, &info, factor);
            not_finite += bad;
            viewer.plate(frame, i, &encoded);
            if let Some(still) = still(poses, i, &picture, &info) {
                encoded = Encoded::of(&still, &info, factor).0;
            }
            drop(picture);
            coherence.push(&encoded);
            lines.push(&encoded);
            diversity.plate(i, &encoded);
            ghosts.push(&encoded);
            profiler.push(&Arc::new(encoded));
        }
        Ok(Self {
            facts: facts(&info, not_finite),
            profile: profiler.finish(),
            ghosts,
            coherent: coherence.finish(),
            grain,
            lines,
            diversity,
        })
    }
}

/// The plate frames used last, encoded.
pub(super) struct PlateCache<'a> {
    factor: usize,
    poses: Option<&'a [Pose]>,
    frames: VecDeque<(usize, Arc<Encoded>)>,
}

impl<'a> PlateCache<'a> {
    pub(super) fn new(factor: usize, poses: Option<&'a [Pose]>) -> Self {
        Self {
            factor,
            poses,
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
        let seen = still(self.poses, index, &picture, &info).unwrap_or(picture);
        let frame = Arc::new(Encoded::of(&seen, &info, self.factor).0);
        if self.frames.len() >= PLATE_CACHE {
            self.frames.pop_front();
        }
        self.frames.push_back((index, frame.clone()));
        Ok(frame)
    }
}

/// Frame number `index` of those taken from `poses` as a camera at rest would have
/// taken it, where it was not at rest.
pub(super) fn still(
    poses: Option<&[Pose]>,
    index: usize,
    picture: &Arc<Picture>,
    info: &PlateInfo,
) -> Option<Arc<Picture>> {
    let pose = poses?.get(index)?;
    (*pose != Pose::REST).then(|| at_rest(picture, pose, info))
}
