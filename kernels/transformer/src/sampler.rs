//! The engine's samplers.

#[path = "../../../src/sampler/mod.rs"]
mod rooms;

pub use rooms::*;
