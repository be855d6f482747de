//! The frames of a take as a plate is read, made when they are asked for.

use std::sync::Arc;

use super::shared_plate::SharedPlate;
use super::shot::Matte;
use crate::device::{Cancel, Silent, Task};
use crate::engine::{Engine, EngineError, Sources};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Window};
use crate::sequence::Take;

/// Reads the frames of `take`: in the plate's own values, so that they can be
/// held against the plate's bit for bit, whatever files they are written to.
pub struct TakeReader<'a, E: Engine> {
    take: &'a Take<E>,
    plate: SharedPlate<'a>,
    matte: Option<Matte>,
    cancel: &'a Cancel,
    info: PlateInfo,
}

impl<'a, E: Engine> TakeReader<'a, E> {
    /// Reads the frames of `take`, which is of `plate` and `matte`.
    pub fn new(
        take: &'a Take<E>,
        plate: SharedPlate<'a>,
        matte: Option<Matte>,
        cancel: &'a Cancel,
    ) -> Self {
        let info = PlateInfo {
            range: take.timeline().out,
            ..plate.info().clone()
        };
        Self {
            take,
            plate,
            matte,
            cancel,
            info,
        }
    }
}

impl<E: Engine> PlateReader for TakeReader<'_, E> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let mut sources = Sources {
            plate: &mut self.plate,
            matte: self.matte.as_mut().map(|m| m as &mut dyn PlateReader),
            guide: None,
            subjects: Default::default(),
        };
        let task = Task {
            cancel: self.cancel,
            progress: &Silent,
        };
        let window = Window::whole(self.info.width, self.info.height);
        let made = self.take.make(frame, window, &mut sources, task);
        made.map_err(|error| match error {
            EngineError::Frame(e) => e,
            EngineError::Cancelled(c) => c.into(),
            EngineError::Request(message) | EngineError::Model(message) => {
                FrameError::Host { frame, message }
            }
            EngineError::Device(e) => FrameError::Host {
                frame,
                message: e.to_string(),
            },
        })
    }
}
