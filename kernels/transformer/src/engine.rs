//! The engine's model.

/// What a Wan transformer is made like, and the transformer.
pub mod wan {
    pub use super::parts::{config, transformer};
}

#[path = "wan.rs"]
mod parts;
