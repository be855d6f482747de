//! Mattes in files of their own: of regions, hold-outs and what is made again. One
//! channel (`A` where there is one, else `R`, else the first), of any size; a matte
//! of a single frame serves for all.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::EngineError;
use crate::engine::plate::camera::Pose;
use crate::engine::plate::gather::Seen;
use crate::frame::{
    FilePlate, Filter, FrameError, Picture, PlateInfo, PlateOptions, PlateReader, resampled,
};

/// Mattes that are open, shared by all threads of an engine.
#[derive(Clone, Default)]
pub struct Mattes(Arc<Mutex<HashMap<PathBuf, FilePlate>>>);

impl fmt::Debug for Mattes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mattes")
    }
}

/// How a matte's frames are looked at.
#[derive(Clone, Copy)]
pub(in crate::engine::plate) struct Sight<'a> {
    /// The plate that it lies over; the matte comes at its size.
    pub(in crate::engine::plate) info: &'a PlateInfo,
    /// Number of the plate frame that the first pose belongs to.
    pub(in crate::engine::plate) first: i32,
    /// Where the camera was at each plate frame; none where it stands still.
    pub(in crate::engine::plate) poses: &'a [Pose],
    /// Where it looks from.
    pub(in crate::engine::plate) from: Pose,
}

impl Mattes {
    /// Does `work` with the matte `path`, opened once.
    fn with<T>(
        &self,
        path: &Path,
        work: impl FnOnce(&mut FilePlate) -> Result<T, FrameError>,
    ) -> Result<T, EngineError> {
        let mut open = self.0.lock();
        if !open.contains_key(path) {
            let file = FilePlate::open(path, &PlateOptions::default())?;
            open.insert(path.to_owned(), file);
        }
        match open.get_mut(path) {
            Some(file) => Ok(work(file)?),
            None => Err(EngineError::Request(format!(
                "the matte {} cannot be kept open: try again",
                path.display()
            ))),
        }
    }

    /// Whether the matte `path` is a single frame that holds still.
    ///
    /// # Errors
    /// Where it is missing or unreadable.
    pub(in crate::engine::plate) fn is_still(&self, path: &Path) -> Result<bool, EngineError> {
        self.with(path, |file| Ok(file.info().range.count() == 1))
    }

    /// Frame `frame` of the matte `path` at the size of the plate.
    ///
    /// # Errors
    /// Where it is missing or unreadable.
    pub(in crate::engine::plate) fn read(
        &self,
        path: &Path,
        frame: i32,
        sight: Sight<'_>,
    ) -> Result<Arc<Picture>, EngineError> {
        self.with(path, |file| {
            let info = sight.info;
            let mut sized = Sized { file, info };
            if sight.poses.is_empty() {
                return sized.read(frame);
            }
            Seen::new(&mut sized, sight.first, sight.poses, sight.from).read(frame)
        })
    }

    /// Names the files of the matte `path` by what they hold, wherever they lie. One
    /// that cannot be opened, by its path: the error comes where it is read.
    pub(in crate::engine::plate) fn name(&self, path: &Path) -> String {
        match self.with(path, |matte| matte.key()) {
            Ok(key) => key.to_hex().to_string(),
            Err(_) => path.display().to_string(),
        }
    }
}

/// A matte at the size of the plate.
struct Sized<'a> {
    file: &'a mut FilePlate,
    info: &'a PlateInfo,
}

impl PlateReader for Sized<'_> {
    fn info(&self) -> &PlateInfo {
        self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let own = self.file.info();
        let channel = own.channel("A").or(own.channel("R")).unwrap_or(0);
        let number = match own.range.count() {
            1 => own.range.first,
            _ => frame,
        };
        let picture = self.file.read(number)?;
        let (width, height) = (self.info.width, self.info.height);
        let one: Vec<f32> = picture
            .data()
            .chunks_exact(picture.channels().max(1))
            .map(|p| p.get(channel).copied().unwrap_or(0.0))
            .collect();
        let data = resampled(
            &one,
            (picture.height(), picture.width(), 1),
            (height, width),
            (0..height, 0..width),
            Filter::Triangle,
        );
        Picture::from_data(width, height, 1, data)
            .map(Arc::new)
            .ok_or(FrameError::Size {
                frame,
                found: (picture.width(), picture.height()),
                expected: (width, height),
            })
    }
}
