//! Why the wan engine could not do its work.

use super::checkpoint::CheckpointError;
use super::clip::ImageError;
use super::pipeline::PipelineError;
use super::text::TextError;
use super::vae::VaeError;
use crate::device::Cancelled;
use crate::engine::EngineError;
use crate::frame::FrameError;

/// Why a prompt and a plate did not become frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WanError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The prompt cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The transformer cannot be run.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Frames cannot be encoded or latents decoded.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// The image encoder cannot be run.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A frame of the plate, the matte or the guide cannot be had.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Parts of a model that do not go together, or are not there; the text says which.
    #[error("{0}")]
    Model(String),
    /// What was asked for does not go together; the text says why.
    #[error("{0}")]
    Request(String),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<candle_core::Error> for WanError {
    fn from(error: candle_core::Error) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<WanError> for EngineError {
    fn from(error: WanError) -> Self {
        match error {
            WanError::Cancelled(c)
            | WanError::Pipeline(PipelineError::Cancelled(c))
            | WanError::Text(TextError::Cancelled(c))
            | WanError::Vae(VaeError::Cancelled(c))
            | WanError::Image(ImageError::Cancelled(c)) => c.into(),
            WanError::Frame(e) => e.into(),
            WanError::Request(_)
            | WanError::Pipeline(_)
            | WanError::Vae(VaeError::Size(_) | VaeError::Device(_))
            | WanError::Text(TextError::Prompt(_)) => Self::Request(error.to_string()),
            _ => Self::Model(error.to_string()),
        }
    }
}
