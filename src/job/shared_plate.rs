//! One plate for all threads of a job: its frames are read and kept once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::watch::{Event, Watch};
use crate::frame::{
    CachedPlate, FilePlate, FrameError, Picture, PlateInfo, PlateOptions, PlateReader, ScaledPlate,
    Warning,
};

/// Warnings of one sort that are told before they are only counted.
const TOLD: usize = 8;

/// A handle on a plate that several threads read. While one reads a file the
/// others work on frames that they have.
#[derive(Clone)]
pub struct SharedPlate<'a> {
    info: PlateInfo,
    converts: bool,
    plate: Arc<Mutex<Plate<'a>>>,
}

struct Plate<'a> {
    reader: CachedPlate<ScaledPlate<FilePlate>>,
    /// Frames with samples that were replaced.
    mended: BTreeSet<i32>,
    /// Reads those frames as they are, once one is asked for.
    untouched: Option<FilePlate>,
    watch: &'a dyn Watch,
}

impl<'a> SharedPlate<'a> {
    /// Shares `plate` at one `reduce`-th of its size, keeping at most `memory`
    /// bytes of frames. Warnings go to `watch`.
    pub fn new(plate: FilePlate, reduce: u32, memory: u64, watch: &'a dyn Watch) -> Self {
        let converts = plate.converts();
        let scaled = ScaledPlate::new(plate, reduce as usize);
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let reader = CachedPlate::new(scaled, memory);
        Self {
            info: reader.info().clone(),
            converts,
            plate: Arc::new(Mutex::new(Plate {
                reader,
                mended: BTreeSet::new(),
                untouched: None,
                watch,
            })),
        }
    }

    /// Frame `frame` as its file has it, samples that are not finite too; of a
    /// plate that is converted, as [`read`](PlateReader::read) gives it.
    ///
    /// # Errors
    /// Where the frame cannot be read.
    pub fn read_kept(
        &self,
        frame: i32,
        path: &Path,
        options: &PlateOptions,
    ) -> Result<Arc<Picture>, FrameError> {
        let mut plate = self.plate.lock();
        let picture = plate.read(frame)?;
        if self.converts
            || !plate.mended.contains(&frame)
            || self.info.full_size != (self.info.width, self.info.height)
        {
            return Ok(picture);
        }
        if plate.untouched.is_none() {
            plate.untouched = Some(FilePlate::open(path, options)?);
        }
        match &mut plate.untouched {
            Some(untouched) => untouched.read_untouched(frame).map(Arc::new),
            None => Ok(picture),
        }
    }
}

impl Plate<'_> {
    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let picture = self.reader.read(frame)?;
        self.tell();
        Ok(picture)
    }

    fn tell(&mut self) {
        for warning in self.reader.take_warnings() {
            if let Warning::NotFinite { frame, .. } = warning {
                self.mended.insert(frame);
                if self.mended.len() == TOLD {
                    let message = "more frames have samples that are not finite";
                    self.watch.event(&Event::Warning { message });
                }
                if self.mended.len() >= TOLD {
                    continue;
                }
            }
            let message = &warning.to_string();
            self.watch.event(&Event::Warning { message });
        }
    }
}

impl PlateReader for SharedPlate<'_> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.plate.lock().read(frame)
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.plate.lock().reader.prefetch(frames);
    }
}
