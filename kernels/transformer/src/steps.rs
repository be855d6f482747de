//! Steps of a sampler by Longtake's own kernel, on candle's tensors and stream.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use longtake_kernels::driver::{Device, DeviceError, Part};
use longtake_kernels::sampler_step::{Reads, Update, Weights, Writes, launch};

use crate::device::ops::Stepped;
use crate::gpu::stream_of;
use crate::memory::{address, device_of, part, part_mut, room};

/// What addresses are to be multiples of, in bytes.
const ALIGNED: u64 = 16;

/// The kernel on one device.
pub struct Steps {
    device: Arc<Device>,
}

impl Steps {
    /// The kernel on device `ordinal`, in the context that candle has of it.
    ///
    /// # Errors
    /// Where this build has none, or the device takes none.
    pub fn new(ordinal: usize) -> std::result::Result<Self, DeviceError> {
        Ok(Self {
            device: Device::open(ordinal)?,
        })
    }

    /// As `ops::sampler_step`.
    pub fn step(
        &self,
        weights: &Weights,
        reads: &Reads<&Tensor, &Tensor>,
    ) -> Result<Option<Stepped>> {
        let Some(device) = device_of(reads.sample) else {
            return Ok(None);
        };
        let others = [reads.negative, reads.from]
            .into_iter()
            .chain(reads.earlier);
        let all = [reads.prompt, reads.sample].into_iter();
        for tensor in all.chain(others.flatten()) {
            let fits = tensor.dtype() == DType::F32 && tensor.is_contiguous();
            if !fits || address(tensor)? % ALIGNED != 0 {
                return Ok(None);
            }
        }
        let [a, b, c] = reads.earlier;
        let parts = Reads {
            prompt: part(reads.prompt)?,
            negative: some(reads.negative)?,
            sample: part(reads.sample)?,
            from: some(reads.from)?,
            earlier: [some(a)?, some(b)?, some(c)?],
            keep: None,
        };
        let fresh = || room(reads.sample.shape(), DType::F32, device);
        let corrects = match weights.update {
            Update::UniPc { correct, .. } => correct.is_some(),
            Update::Euler { .. } => false,
        };
        let (next, clean) = (fresh()?, fresh()?);
        let corrected = match corrects {
            true => fresh()?,
            false => reads.sample.clone(),
        };
        let writes = Writes {
            next: part_mut(&next)?,
            clean: Some(part_mut(&clean)?),
            corrected: corrects.then(|| part_mut(&corrected)).transpose()?,
        };
        launch::<f32>(&stream_of(&self.device, device), weights, &parts, writes)
            .map_err(candle_core::Error::wrap)?;
        Ok(Some(Stepped {
            next,
            clean,
            corrected,
        }))
    }
}

/// All of a tensor in f32, if there is one.
fn some(tensor: Option<&Tensor>) -> Result<Option<Part<'_, f32>>> {
    tensor.map(part).transpose()
}
