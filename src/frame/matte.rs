//! A matte: one channel of a picture, over the plate.

use std::path::Path;
use std::sync::Arc;

use super::{
    FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader, Warning,
};

/// One channel of another reader: `A` where there is one, else `R`, else the
/// first. A matte of a single frame serves for all frames of the plate.
pub struct MattePlate<R> {
    inner: R,
    info: PlateInfo,
    channel: usize,
    still: Option<i32>,
}

impl MattePlate<FilePlate> {
    /// Opens the matte `path` for `plate`, whose display window it must have;
    /// it is placed as the plate's pictures are. Frames that the matte lacks
    /// are missed here, not when they are read.
    pub fn open(path: &Path, plate: &FilePlate) -> Result<Self, FrameError> {
        let canvas = Some(plate.header().data_window);
        let all = PlateOptions {
            canvas,
            ..PlateOptions::default()
        };
        let mut matte = match FilePlate::open(path, &all) {
            // A hole outside the plate's range does no harm.
            Err(FrameError::Missing { .. }) => None,
            other => Some(other?),
        };
        let range = plate.info().range;
        if matte.as_ref().is_none_or(|m| m.info().range.count() > 1) {
            let options = PlateOptions {
                range: Some(range),
                ..all
            };
            matte = Some(FilePlate::open(path, &options)?);
        }
        let matte = matte.ok_or_else(|| FrameError::NotFound {
            path: path.to_owned(),
            advice: "the matte has no frames".to_owned(),
        })?;
        let size = |p: &FilePlate| {
            let window = p.header().display_window;
            (window.width(), window.height())
        };
        if size(&matte) != size(plate) {
            return Err(FrameError::MatteSize {
                found: size(&matte),
                expected: size(plate),
            });
        }
        Self::new(matte, plate.info())
    }
}

impl<R: PlateReader> MattePlate<R> {
    /// The matte in `inner` for a plate as `plate` tells; of the same size.
    pub fn new(inner: R, plate: &PlateInfo) -> Result<Self, FrameError> {
        let info = inner.info();
        let (found, expected) = ((info.width, info.height), (plate.width, plate.height));
        if found != expected {
            return Err(FrameError::MatteSize { found, expected });
        }
        let channel = info.channel("A").or(info.channel("R")).unwrap_or(0);
        let FrameRange { first, last } = info.range;
        let still = (first == last).then_some(first);
        let info = PlateInfo {
            range: if still.is_some() {
                plate.range
            } else {
                info.range
            },
            channels: info.channels.get(channel).cloned().into_iter().collect(),
            ..info.clone()
        };
        Ok(Self {
            inner,
            info,
            channel,
            still,
        })
    }

    /// The reader behind.
    pub fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: PlateReader> PlateReader for MattePlate<R> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        if !self.info.range.contains(frame) {
            return Err(FrameError::Missing {
                frame,
                have: format!("the matte has {}", self.info.range),
            });
        }
        let picture = self.inner.read(self.still.unwrap_or(frame))?;
        if picture.channels() == 1 {
            return Ok(picture);
        }
        let mut matte = Picture::new(picture.width(), picture.height(), 1);
        let pixels = picture.data().chunks_exact(picture.channels());
        for (value, pixel) in matte.data_mut().iter_mut().zip(pixels) {
            *value = pixel[self.channel];
        }
        Ok(Arc::new(matte))
    }

    fn prefetch(&mut self, frames: &[i32]) {
        match self.still {
            Some(frame) => self.inner.prefetch(&[frame]),
            None => self.inner.prefetch(frames),
        }
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.inner.take_warnings()
    }
}
