//! What an honest continuation measures: the second half of a plate, held against its
//! first as a sequence is held against its plate. Footage is no constant, and a measure of
//! a sequence that is off by no more than this is not the sequence's fault.

use std::sync::Arc;

use super::{Measures, ReportError, Subject, report};
use crate::device::Task;
use crate::engine::plate::Camera;
use crate::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Warning};

/// Frames that a plate must have for halves of it to tell anything.
const LEAST: usize = 48;

/// A part of a plate.
struct Part<'a> {
    plate: &'a mut dyn PlateReader,
    info: PlateInfo,
}

impl PlateReader for Part<'_> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.plate.read(frame)
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.plate.prefetch(frames);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.plate.take_warnings()
    }
}

/// The measures of the second half of a plate against its first, as if it had been made
/// of it; `None` of a plate too short for that. `plate` and `again` read the same plate,
/// whose camera is `camera`.
///
/// # Errors
/// As [`report`].
pub fn reference(
    plate: &mut dyn PlateReader,
    again: &mut dyn PlateReader,
    camera: Option<&Camera>,
    task: Task<'_>,
) -> Result<Option<Measures>, ReportError> {
    let info = plate.info().clone();
    let range = info.range;
    let half = range.count() / 2;
    let middle = range.first + half as i32;
    let halves = (
        FrameRange::new(range.first, middle - 1),
        FrameRange::new(middle, range.last),
    );
    let (true, (Some(first), Some(second))) = (range.count() >= LEAST, halves) else {
        return Ok(None);
    };
    let part = |range: FrameRange| PlateInfo {
        range,
        ..info.clone()
    };
    let camera = camera
        .filter(|c| c.plate.len() == range.count())
        .map(|c| Camera {
            plate: c.plate[..half].to_vec(),
            out: c.plate[half..].to_vec(),
            withheld: Vec::new(),
        });
    let mut output = Part {
        plate: again,
        info: part(second),
    };
    let mut plate = Part {
        plate,
        info: part(first),
    };
    let mut subject = Subject {
        camera: camera.as_ref(),
        ..Subject::of(&mut output, Some(&mut plate))
    };
    Ok(Some(report(&mut subject, task)?.measures))
}
