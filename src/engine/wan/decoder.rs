//! What makes frames of latents: the VAE's decoder, or a tiny one in its place.

use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use longtake_kernels::driver::DeviceError;

use super::error::WanError;
use super::studio::Studio;
use super::vae::on_gpu::{GpuDecoder, GpuDecoding};
use super::vae::{
    self, Decoding, PreviewDecoder, Previewing, Tiling, VaeConfig, VaeDecoder, VaeError, frames_of,
};
use crate::device::gpu::{self, Choice};
use crate::device::ops::FeatureMap;
use crate::device::{Task, notices, stoppable};

/// A decoder that is loaded.
pub enum Decoder {
    /// The model's own.
    Vae(Arc<VaeDecoder>),
    /// The same on a GPU.
    OnGpu(Arc<GpuDecoder>),
    /// A tiny one.
    Tiny(Arc<PreviewDecoder>),
}

/// A video on its way out of latents.
pub enum Reel {
    /// By the model's own decoder.
    Vae(Decoding<Arc<VaeDecoder>>),
    /// By the same on a GPU.
    OnGpu(GpuDecoding<Arc<GpuDecoder>>),
    /// By a tiny one.
    Tiny(Previewing<Arc<PreviewDecoder>>),
}

impl Decoder {
    /// Loads the decoder that `studio` has, onto a GPU where that alone is chosen and has
    /// one for it; what keeps it off is told as a notice.
    ///
    /// # Errors
    /// Where it cannot be read, or the work is to stop.
    pub fn load(studio: &Studio, task: Task<'_>) -> Result<Self, WanError> {
        Ok(match studio.tiny_path() {
            Some(path) => Self::Tiny(Arc::new(PreviewDecoder::open(path)?)),
            None => {
                let (config, vb) = vae::open(studio.vae_path())?;
                if studio.device() == Choice::Gpu {
                    match stoppable(task.cancel, || on_gpu(&config, &vb)) {
                        Ok(decoder) => return Ok(Self::OnGpu(Arc::new(decoder))),
                        Err(VaeError::Cancelled(cancelled)) => return Err(cancelled.into()),
                        Err(error) => {
                            notices::tell(format!("frames are decoded on the CPU: {error}"))
                        }
                    }
                }
                let decoder = stoppable(task.cancel, || VaeDecoder::load(&config, &vb))?;
                Self::Vae(Arc::new(decoder))
            }
        })
    }

    /// Begins with a video that comes one latent at a time.
    pub fn begin(&self) -> Reel {
        match self {
            Self::Vae(decoder) => Reel::Vae(Arc::clone(decoder).begin_shared()),
            Self::OnGpu(decoder) => Reel::OnGpu(Arc::clone(decoder).begin_shared()),
            Self::Tiny(decoder) => Reel::Tiny(Arc::clone(decoder).begin_shared()),
        }
    }

    /// As [`VaeDecoder::decode_from`]; `take` is handed each frame's number and its
    /// pixels.
    ///
    /// # Errors
    /// As of that.
    pub fn decode_from(
        &self,
        latents: &Tensor,
        (begin, first): (usize, usize),
        task: Task<'_>,
        take: &mut dyn FnMut(usize, FeatureMap),
    ) -> Result<(), VaeError> {
        match self {
            Self::Vae(decoder) => {
                let take = &mut |piece: vae::Piece| take(piece.frame, piece.pixels);
                decoder.decode_from(latents, (begin, first), Tiling::Whole, task, take)
            }
            Self::OnGpu(decoder) => {
                let take = &mut |piece: vae::Piece| take(piece.frame, piece.pixels);
                decoder.decode_from(latents, (begin, first), task, take)
            }
            Self::Tiny(decoder) => {
                let mut reel = Arc::clone(decoder).begin_shared();
                // The first latent frame gives its last frame alone.
                let mut frame = 4 * begin;
                let latents = frames_of(latents)?;
                for (i, latent) in latents.iter().enumerate() {
                    reel.push(latent, task, &mut |pixels| {
                        if frame >= first {
                            take(frame, pixels);
                        }
                        frame += 1;
                    })?;
                    task.step("Decoding frames", i + 1, latents.len())?;
                }
                Ok(())
            }
        }
    }
}

impl Reel {
    /// Takes the next latent; `take` is handed one frame for the first and four for each
    /// other: RGB of -1 to 1.
    ///
    /// # Errors
    /// Where the latent has another size, or the work is to stop.
    pub fn push(
        &mut self,
        latent: &FeatureMap,
        task: Task<'_>,
        take: &mut dyn FnMut(FeatureMap),
    ) -> Result<(), VaeError> {
        match self {
            Self::Vae(reel) => reel.push(latent, task, take),
            Self::OnGpu(reel) => reel.push(latent, task, take),
            Self::Tiny(reel) => reel.push(latent, task, take),
        }
    }
}

/// The decoder of `vb` on the GPU.
fn on_gpu(config: &VaeConfig, vb: &VarBuilder<'_>) -> Result<GpuDecoder, VaeError> {
    let device = gpu::with(Choice::Gpu, |gpu| Ok(gpu.stream().device().clone()))?;
    let device = device.ok_or(DeviceError::NoDevice)?;
    let decoder = GpuDecoder::load(&device, config, vb)?;
    if let Some(why) = decoder.lacks() {
        notices::tell(format!("frames are decoded without tensor cores: {why}"));
    }
    Ok(decoder)
}
