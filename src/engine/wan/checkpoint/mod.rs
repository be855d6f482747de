//! Checkpoints as people have them: diffusers folders, single files with the
//! original names, GGUF. All come out as one set of weights under the names of
//! diffusers, and all that is wrong is told before long work begins.

mod error;
mod file;
mod folder;
mod gguf;
mod infer;
mod inspect;
mod lora;
mod names;
mod stored;
mod weights;

pub use error::{CheckpointError, Mismatch};
pub(in crate::engine::wan) use folder::{DIFFUSERS, TRANSFORMERS, files, text};
pub use folder::{Model, Part};
pub use inspect::{Inspection, Memory, PartInspection, inspect, memory};
pub use lora::{Lora, Merged};
pub use stored::Kind;
pub use weights::{Weights, expected};
