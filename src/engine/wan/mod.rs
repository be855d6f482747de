//! The wan engine's parts: the published Wan video diffusion family, run in
//! process from the user's own checkpoint. What is here is held against the
//! reference implementation (diffusers) by the fixtures of `tests/wan`.

pub mod checkpoint;
pub mod clip;
pub mod colour;
pub mod config;
pub mod generate;
pub mod pipeline;
pub mod text;
pub mod transformer;
pub mod vae;
