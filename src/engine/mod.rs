//! Engines make frames. Each learns what it needs of the plate, decides what
//! the sequence will be, and then makes any frame of it alone.
//!
//! The three stages are apart so that each is kept under its own hash: another
//! seed does not pay for the analysis again, and a frame needs only the
//! decision and a few plate frames.

mod chosen;
pub mod plate;
mod timeline;
pub mod wan;

use std::sync::Arc;

use longtake_kernels::driver::DeviceError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::device::{Cancelled, Task};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Window};

pub use chosen::{AnyAnalysis, AnyDecision, AnyEngine};
pub use timeline::{Span, Timeline};

/// What an engine may read.
pub struct Sources<'a> {
    /// The reference plate.
    pub plate: &'a mut dyn PlateReader,
    /// One channel, the size of the plate: above 0 where a subject is to go.
    pub matte: Option<&'a mut dyn PlateReader>,
    /// A clip to follow, of any size, numbered as the output is.
    pub guide: Option<&'a mut dyn PlateReader>,
    /// Mattes of subjects: one channel each, of any size, numbered as the plate is;
    /// those that settings speak of.
    pub subjects: [Option<&'a mut dyn PlateReader>; SUBJECTS],
}

/// Subjects that can have mattes of their own.
pub const SUBJECTS: usize = 3;

/// Keeps bytes by name between calls, for engines that make more at once than was
/// asked for. What is put may be forgotten again.
pub trait Keep: Send + Sync {
    /// The bytes kept under `name`, if they are there and whole.
    fn get(&self, name: &blake3::Hash) -> Option<Vec<u8>>;

    /// Keeps `bytes` under `name`.
    fn put(&self, name: &blake3::Hash, bytes: &[u8]);

    /// Keeps `bytes` that are large and quick to make again: they give way before all
    /// else.
    fn lend(&self, name: &blake3::Hash, bytes: &[u8]) {
        self.put(name, bytes);
    }
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
    /// The files of a model cannot be used; the text says which and why.
    #[error("{0}")]
    Model(String),
    /// A GPU was asked for and cannot do the work.
    #[error(transparent)]
    Device(#[from] DeviceError),
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

/// Where in the frames of a take tiles meet that were made apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TileBorders {
    /// Lines between neighbouring columns, as parts of the frame's width between 0 and 1,
    /// so that they hold at any render scale. Rising.
    pub columns: Vec<f64>,
    /// Lines between neighbouring rows, as parts of its height.
    pub rows: Vec<f64>,
}

impl TileBorders {
    /// Whether frames are of one piece.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.rows.is_empty()
    }

    /// These and those of `other`, each once.
    pub fn join(&mut self, other: &Self) {
        let pairs = [
            (&mut self.columns, &other.columns),
            (&mut self.rows, &other.rows),
        ];
        for (own, other) in pairs {
            own.extend(other);
            own.sort_unstable_by(f64::total_cmp);
            own.dedup();
        }
    }
}

/// Pieces of a take, between what is decided and the frames, that do not need each
/// other.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What they are called.
    pub name: &'static str,
    /// The pieces, in the order of their frames.
    pub pieces: Vec<Piece>,
    /// Whether they are made when their frames are, and not before: frames themselves,
    /// too large for all of them to be kept.
    pub with_frames: bool,
    /// Where in the frames the pieces meet, where each is a part of the picture.
    pub tiles: TileBorders,
}

/// A piece of a take that is made at once and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The output frames that it is for, rising.
    pub frames: Vec<i32>,
    /// The pieces of earlier stages that it is made from: stage and number there.
    pub needs: Vec<(usize, usize)>,
}

/// One way to make a sequence.
pub trait Engine: Send + Sync {
    /// What is learned of the plate, from the plate (and matte and guide) alone.
    type Analysis: Serialize + DeserializeOwned + Send + Sync;
    /// What the sequence will be: small beside its frames, and enough to make any
    /// of them with.
    type Decision: Serialize + DeserializeOwned + Send + Sync;

    /// Name and version; part of every hash. Changed whenever a pixel changes.
    fn version(&self) -> &'static str;

    /// A text that changes when [`decide`](Self::decide) may decide otherwise:
    /// the settings, canonically.
    fn settings_key(&self) -> String;

    /// A text that changes when [`analyse`](Self::analyse) may learn otherwise of
    /// the same plate. Empty for an engine that always learns the same.
    fn analysis_key(&self, _timeline: &Timeline) -> String {
        String::new()
    }

    /// Refuses what cannot be made of a plate as `plate` tells, as far as headers
    /// of files say. Called before any work.
    fn check(&self, _timeline: &Timeline, _plate: &PlateInfo) -> Result<(), EngineError> {
        Ok(())
    }

    /// Learns what is needed of the plate for `timeline`.
    fn analyse(
        &self,
        timeline: &Timeline,
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

    /// In which pieces a take of `timeline` is made before its frames are, of a plate as
    /// `plate` tells; none of an engine that makes any frame from its decision.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    fn pieces(&self, _timeline: &Timeline, _plate: &PlateInfo) -> Result<Vec<Stage>, EngineError> {
        Ok(Vec::new())
    }

    /// Makes piece `number` of stage `stage` of [`pieces`](Self::pieces), and what it
    /// needs, and keeps it; what is kept already only where `again`. A frame makes the
    /// pieces that it needs by itself. `sources` are read where something of the
    /// analysis was kept apart and is lost.
    fn make_piece(
        &self,
        _analysis: &Self::Analysis,
        _decision: &Self::Decision,
        (_stage, _number): (usize, usize),
        _again: bool,
        _sources: &mut Sources<'_>,
        _task: Task<'_>,
    ) -> Result<(), EngineError> {
        Ok(())
    }

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
