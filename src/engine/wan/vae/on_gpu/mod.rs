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

use super::{VaeConfig, VaeError};

pub use decoding::{GpuDecoder, GpuDecoding};
pub use encoding::{GpuEncoder, GpuEncoding};

/// Channels that are read or given are made a multiple of so many, as tensor cores want it.
const WHOLE: usize = 8;

/// Wan 2.2's VAE, with shortcuts around its levels, is not for it.
fn refuse_shortcuts(config: &VaeConfig) -> Result<(), VaeError> {
    if config.is_residual {
        return Err(VaeError::Config(
            "has shortcuts around its levels, which are not made on a GPU yet".to_owned(),
        ));
    }
    Ok(())
}
