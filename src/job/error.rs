//! Why a job was not done, in kinds that a script can tell apart.

use std::io::ErrorKind;

use serde::Serialize;

use super::file::FileError;
use crate::engine::EngineError;
use crate::frame::FrameError;
use crate::manifest::ValueError;
use crate::sequence::RequestError;
use crate::store::StoreError;

/// What kind of thing went wrong: who can mend it, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An option, a parameter or the job file.
    Usage,
    /// Frames or files of the plate, the matte or the model are not there.
    Missing,
    /// A file of the plate, the matte or the model is there and cannot be read.
    Unreadable,
    /// Frames of the plate, or plate and matte, are of differing sizes.
    Mismatch,
    /// Plate, range and mode do not go together.
    Unsuitable,
    /// The output cannot be written.
    Output,
    /// The disk is full.
    Full,
    /// Somebody asked for it to stop.
    Cancelled,
    /// A program that is needed is not installed.
    Tool,
    /// A fault of Longtake's own.
    Internal,
    /// There is not enough memory.
    Memory,
    /// This machine cannot do it, another may.
    Elsewhere,
}

impl Kind {
    /// What kind of thing a failure to write is.
    pub fn of_writing(error: &std::io::Error) -> Self {
        match error.kind() {
            // A limit on the size of files is a disk that is full to this process.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full
            }
            _ => Self::Output,
        }
    }
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    /// What kind of thing went wrong.
    pub kind: Kind,
    /// One sentence: what, and what to do.
    pub message: String,
}

impl JobError {
    /// An error of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// That `path` could not be written.
    pub fn writing(path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = Kind::of_writing(error);
        let advice = match kind {
            Kind::Full => "the disk is full; free some space and run again",
            _ => "choose a place that you may write to",
        };
        Self::new(
            kind,
            format!("{} cannot be written ({error}): {advice}", path.display()),
        )
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Full { .. } | StoreError::TooLarge { .. } => Kind::Full,
            _ => Kind::Output,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ValueError> for JobError {
    fn from(error: ValueError) -> Self {
        Self::new(Kind::Usage, error.to_string())
    }
}

impl From<FileError> for JobError {
    fn from(error: FileError) -> Self {
        Self::new(Kind::Usage, error.to_string())
    }
}

impl From<RequestError> for JobError {
    fn from(error: RequestError) -> Self {
        let kind = match &error {
            RequestError::Setting(_) => Kind::Usage,
            _ => Kind::Unsuitable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<FrameError> for JobError {
    fn from(error: FrameError) -> Self {
        let kind = match &error {
            FrameError::Missing { .. } | FrameError::NotFound { .. } => Kind::Missing,
            FrameError::Size { .. } | FrameError::MatteSize { .. } => Kind::Mismatch,
            FrameError::Pattern { .. } => Kind::Usage,
            FrameError::NoProgram { .. } => Kind::Tool,
            FrameError::Write { source, .. } => Kind::of_writing(source),
            FrameError::Cancelled(_) => Kind::Cancelled,
            _ => Kind::Unreadable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<EngineError> for JobError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Frame(e) => e.into(),
            EngineError::Cancelled(e) => Self::new(Kind::Cancelled, e.to_string()),
            EngineError::Request(message) => Self::new(Kind::Unsuitable, message),
            // Only where a GPU was asked for: else the CPU takes over.
            EngineError::Device(e) => Self::new(Kind::Elsewhere, e.to_string()),
            EngineError::Model(message) => Self::new(Kind::Unreadable, message),
        }
    }
}
