//! The VAE on a GPU: numbers of 16 bits, convolutions by the tensor cores, all frames of a
//! latent at once at each level. What it makes is the same in every run on one kind of GPU
//! and not to the bit what the CPU makes.
//!
//! Memory does not grow with the length: of each convolution two frames are remembered,
//! in front of the place where the next ones are laid.

mod attention;
mod causal;
mod decoder;
mod decoding;
mod encoder;
mod encoding;
mod middle;
mod queue;
mod residual;
mod resize;
mod sum;
#[cfg(test)]
mod tests;

pub use decoding::{GpuDecoder, GpuDecoding};
pub use encoding::{GpuEncoder, GpuEncoding};

/// Channels that are read or given are made a multiple of so many, as tensor cores want it.
const WHOLE: usize = 8;
