//! Engines make frames. Each learns what it needs of the plate, decides what
//! the sequence will be, and then makes any frame of it alone.
//!
//! The three stages are apart so that each is kept under its own hash: another
//! seed does not pay for the analysis again, and a frame needs only the
//! decision and a few plate frames.

pub mod plate;
mod timeline;
pub mod wan;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::device::{Cancelled, Task};
use crate::frame::{FrameError, Picture, PlateReader, Window};

pub use timeline::{Span, Timeline};

/// What an engine may read.
pub struct Sources<'a> {
    /// The reference plate.
    pub plate: &'a mut dyn PlateReader,
    /// One channel, the size of the plate: above 0 where a subject is to go.
    pub matte: Option<&'a mut dyn PlateReader>,
}

/// Why an engine could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A frame could not be had.
    #[error(transparent)]
    Frame(FrameError),
    /// The plate, the matte and the parameters do not allow what was asked;
    /// the text says why and what to do.
    #[error("{0}")]
    Request(String),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<FrameError> for EngineError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Cancelled(c) => Self::Cancelled(c),
            other => Self::Frame(other),
        }
    }
}

/// One way to make a sequence.
pub trait Engine: Send + Sync {
    /// What is learned of the plate, from the plate (and matte) alone.
    type Analysis: Serialize + DeserializeOwned + Send + Sync;
    /// What the sequence will be: small, and enough to make any frame with.
    type Decision: Serialize + DeserializeOwned + Send + Sync;

    /// Name and version; part of every hash. Changed whenever a pixel changes.
    fn version(&self) -> &'static str;

    /// A text that changes when [`decide`](Self::decide) may decide otherwise:
    /// the settings, canonically.
    fn settings_key(&self) -> String;

    /// Learns what is needed of the plate, reading each frame once.
    fn analyse(
        &self,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Self::Analysis, EngineError>;

    /// Decides what each place plays at each time. The same on every machine
    /// and on any number of threads.
    fn decide(
        &self,
        analysis: &Self::Analysis,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<Self::Decision, EngineError>;

    /// The plate frames (by number) that output frame `frame` needs.
    fn frames_needed(
        &self,
        analysis: &Self::Analysis,
        decision: &Self::Decision,
        frame: i32,
    ) -> Vec<i32>;

    /// Makes the part `window` of output frame `frame`, in the size and the
    /// channels of the plate as its reader gives it. Deterministic: windows of
    /// one frame fit together to the bit.
    fn make(
        &self,
        analysis: &Self::Analysis,
        decision: &Self::Decision,
        frame: i32,
        window: Window,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Arc<Picture>, EngineError>;
}
