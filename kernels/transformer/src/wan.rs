//! Where the parts of the model lie.

#[path = "../../../src/engine/wan/config.rs"]
pub mod config;
#[path = "../../../src/engine/wan/pipeline/mod.rs"]
pub mod pipeline;
#[path = "../../../src/engine/wan/transformer/mod.rs"]
pub mod transformer;
