//! The wan engine's parts: the published Wan video diffusion family, run in
//! process from the user's own checkpoint. What is here is held against the
//! reference implementation (diffusers) by the fixtures of `tests/wan`.

mod array;
#[cfg(test)]
mod as_on_gpu;
pub mod checkpoint;
pub mod clip;
pub mod colour;
mod compose;
mod conditions;
pub mod config;
mod control;
mod decoder;
mod develop;
mod encode;
mod engine;
mod error;
mod expose;
mod face;
mod fit;
mod identity;
mod length;
pub mod loaded;
mod look;
mod modes;
mod naming;
mod needs;
pub mod on_gpu;
mod packed;
pub mod pipeline;
mod reference;
mod sampling;
mod settings;
mod shot;
mod studio;
mod subjects;
pub mod text;
mod track;
pub mod transformer;
pub mod vae;
mod work;

pub use array::Array;
pub use conditions::{Conditions, Given, Role, Told};
pub use develop::{Exposed, Latents};
pub use engine::WanEngine;
pub use error::WanError;
pub use fit::Fit;
pub use length::{Axis, Grid, Layout, Scheme};
pub use modes::{ModeMemory, modes};
pub use naming::VERSION;
pub use needs::Needs;
pub use settings::{LoraFile, ModelFiles, PlateColour, Settings, Subject, SubjectMatte, Way};
pub use shot::Shot;
pub use studio::{Kind, Studio};
pub use work::{TakeWork, Work};
