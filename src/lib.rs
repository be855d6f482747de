//! Longtake turns a reference plate into a coherent frame sequence: the plate
//! extended, looped, varied or filled inside a matte.
//!
//! The rooms, from the top floor down; a room knows only those below it:
//! `node` → `sequence` → `engine`, `store` → `sampler` → `frame`, `device`.

mod bridge;
pub mod device;
pub mod engine;
pub mod frame;
pub mod job;
pub mod manifest;
pub mod node;
pub mod sampler;
pub mod sequence;
pub mod store;
