//! From a prompt to what the transformer reads: the tokenizer and the UMT5
//! encoder of the Wan models, in f32 on the CPU.

mod config;
mod encoder;
mod prompt;
#[cfg(test)]
mod tests;
mod weights;

use crate::device::Cancelled;
use crate::engine::wan::checkpoint::CheckpointError;

pub use config::TextConfig;
pub use encoder::TextEncoder;
pub use prompt::{Prompts, clean};

/// Why a prompt could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The settings do not describe an encoder that can be run.
    #[error("the text encoder's config.json {0}")]
    Config(String),
    /// A weight is missing or of another shape; the text names it.
    #[error("the text encoder's weights do not fit its config.json: {0}")]
    Weights(String),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// A tokenizer that cannot be read or is another model's.
    #[error("the tokenizer {0} {1}")]
    Tokenizer(String, String),
    /// The prompt cannot be taken; the text says why.
    #[error("{0}")]
    Prompt(String),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}
