//! A sequence as it is measured: in the encoding of its plate, numbered as its take is.

use std::path::Path;
use std::sync::Arc;

use super::error::{JobError, Kind};
use crate::frame::{
    FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader, SampleDepth,
    Sequence, Transfer, Warning, recoded,
};
use crate::sequence::Colour;

/// A name and how its samples are held, of each channel of a file.
pub type Holds = Vec<(String, SampleDepth)>;

/// What the files of `plate` hold.
pub fn holds(plate: &FilePlate) -> Holds {
    let channels = plate.header().channels.iter();
    channels.map(|c| (c.name.clone(), c.depth)).collect()
}

/// A sequence in the encoding of its plate, in which a camera's motion is taken out of
/// both, its frames numbered as in their take.
pub struct Encoding {
    files: FilePlate,
    info: PlateInfo,
    /// What is added to the numbers of the files.
    offset: i32,
}

impl Encoding {
    /// Opens the frames `files` of a sequence whose plate is `plate` and lies at `of`, to be
    /// measured in its space. Of the options only the rate of frames counts.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn open(
        files: &Path,
        plate: &FilePlate,
        of: &Path,
        options: &PlateOptions,
        colour: Option<&Colour>,
    ) -> Result<Self, FrameError> {
        let kind = |path: &Path| Sequence::find(path).map(|s| s.extension()).ok();
        // Files of the plate's own kind hold what it holds.
        let alike = (kind(files) == kind(of)).then_some(plate.header().transfer);
        let transfer = match colour {
            Some(colour) => Some(colour.transfer()),
            None => alike,
        };
        let output = FilePlate::open(
            files,
            &PlateOptions {
                fps: options.fps,
                transfer,
                ..PlateOptions::default()
            },
        )?;
        let (files, transfer) = match colour.and_then(|c| c.ways.as_ref()) {
            // Both come to light.
            Some(ways) => (
                output.converted(files, ways.back.clone())?,
                Transfer::Linear,
            ),
            None => (output, plate.info().transfer),
        };
        let info = PlateInfo {
            transfer,
            ..files.info().clone()
        };
        Ok(Self {
            files,
            info,
            offset: 0,
        })
    }

    /// What the files hold.
    pub fn holds(&self) -> Holds {
        holds(&self.files)
    }

    /// The same, its frames numbered `offset` higher than the files.
    ///
    /// # Errors
    /// Where there are no such numbers.
    pub fn numbered(self, offset: i32) -> Result<Self, JobError> {
        let range = self.files.info().range;
        let ends = [range.first, range.last].map(|end| end.checked_add(offset));
        let range = match ends {
            [Some(first), Some(last)] => FrameRange::new(first, last),
            _ => None,
        };
        let range = range.ok_or_else(|| {
            let text = "the numbers that the frames have in their take are none";
            JobError::new(Kind::Unreadable, text)
        })?;
        let info = PlateInfo { range, ..self.info };
        Ok(Self {
            info,
            offset,
            ..self
        })
    }
}

impl PlateReader for Encoding {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let picture = self.files.read(frame.saturating_sub(self.offset))?;
        let names = self.info.channels.iter().map(String::as_str);
        let (from, to) = (self.files.info().transfer, self.info.transfer);
        Ok(recoded(&picture, names, from, to))
    }

    fn prefetch(&mut self, frames: &[i32]) {
        let shift = |f: &i32| f.saturating_sub(self.offset);
        let frames: Vec<i32> = frames.iter().map(shift).collect();
        self.files.prefetch(&frames);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.files.take_warnings()
    }
}
