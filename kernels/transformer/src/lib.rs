//! The Wan transformer on an NVIDIA GPU, as a shared object that is opened where CUDA's
//! libraries were found. The model is the engine's own (`src/engine/wan/transformer`),
//! compiled here with candle's feature `cuda`; what crosses is bytes and numbers by a C
//! interface (`face.rs`), since the tensors of either side are strangers to the other.

#[cfg(feature = "cuda")]
mod attention;
#[cfg(feature = "cuda")]
mod away;
// The engine's rooms, as far as the model needs them, by the names that it knows.
#[allow(dead_code, unused_imports)]
mod device;
#[allow(dead_code, unused_imports)]
mod engine;
#[cfg(feature = "cuda")]
mod engines;
mod face;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
mod memory;
mod notices;
#[cfg(feature = "cuda")]
mod pace;
#[cfg(feature = "cuda")]
mod products;
#[cfg(feature = "cuda")]
mod rows;
mod run;
#[allow(dead_code, unused_imports)]
mod sampler;
#[cfg(feature = "cuda")]
mod steps;
#[cfg(feature = "cuda")]
mod trial;
#[cfg(feature = "cuda")]
mod ways;
mod weights;
