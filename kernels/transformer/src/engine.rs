//! The engine's model.

/// What a Wan transformer is made like, the transformer, and what runs it.
pub mod wan {
    pub use super::parts::{config, pipeline, transformer};
}

#[path = "wan.rs"]
mod parts;
