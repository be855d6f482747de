//! The plate as files of a take's own kind hold it: smaller, in another sample type, or in
//! another kind of file, so that frames of such a take are held against it bit for bit.

use std::path::PathBuf;
use std::sync::Arc;

use super::encoding::{Encoding, Holds, holds};
use super::error::JobError;
use super::output;
use super::shared_plate::SharedPlate;
use super::spec::Job;
use crate::engine::Timeline;
use crate::frame::{
    Compression, FilePlate, FrameError, Picture, PlateInfo, PlateReader, Sequence, SequenceWriter,
};

/// Writes each plate frame that is asked for as the take's kept frames are written, and
/// reads it again as the take's files are read.
pub struct Rewritten<'a> {
    job: &'a Job,
    timeline: &'a Timeline,
    plate: SharedPlate<'a>,
    /// Tells how files are read.
    header: FilePlate,
    writer: SequenceWriter,
    files: PathBuf,
    /// Where the one file lies while it is read.
    _folder: tempfile::TempDir,
}

impl<'a> Rewritten<'a> {
    /// The frames of `plate`, at the scale of `job`, in files as those that it writes on
    /// `timeline`.
    ///
    /// # Errors
    /// Where there is no room for a file in the system's folder for such.
    pub fn new(
        job: &'a Job,
        timeline: &'a Timeline,
        plate: SharedPlate<'a>,
    ) -> Result<Self, JobError> {
        let folder = tempfile::tempdir();
        let folder = folder.map_err(|e| JobError::writing(&std::env::temp_dir(), &e))?;
        let extension = Sequence::parse(&job.out)?.extension();
        let files = folder.path().join(format!("kept.####.{extension}"));
        let own = Job {
            out: files.clone(),
            // What is soon forgotten is not packed; DWAA is not compared.
            compression: Compression::None,
            ..job.clone()
        };
        let header = job.open_plate()?;
        Ok(Self {
            job,
            timeline,
            plate,
            writer: output::writer(&own, &header, "")?,
            header,
            files,
            _folder: folder,
        })
    }

    /// What such files hold, by the first frame of the plate.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn holds(&mut self) -> Result<Holds, JobError> {
        let first = self.plate.info().range.first;
        self.write(first)?;
        let found = FilePlate::open_one(&self.writer.path(first))?;
        Ok(holds(&found))
    }

    fn write(&mut self, frame: i32) -> Result<(), FrameError> {
        // Within a matte a frame is made, and what is around it as the plate is read.
        let is_filled = self.job.matte.is_some() && self.timeline.kept(frame).is_none();
        let picture = match is_filled {
            true => self.plate.read(frame)?,
            false => (self.plate).read_kept(frame, &self.job.plate, &self.job.options)?,
        };
        self.writer.write(frame, &picture).map(drop)
    }
}

impl PlateReader for Rewritten<'_> {
    fn info(&self) -> &PlateInfo {
        self.plate.info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.write(frame)?;
        let (job, path) = (self.job, self.writer.path(frame));
        let (options, colour) = (&job.options, job.colour.as_ref());
        let opened = Encoding::open(&self.files, &self.header, &job.plate, options, colour);
        let picture = opened.and_then(|mut file| file.read(frame));
        // The next one is to be alone.
        let removed = std::fs::remove_file(&path);
        removed.map_err(|e| FrameError::File {
            path,
            message: format!("it cannot be removed ({e}): check the folder's permissions"),
        })?;
        picture
    }
}
