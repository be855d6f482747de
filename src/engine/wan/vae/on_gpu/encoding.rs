//! Frames that come one by one, and the latents that leave the device.

use std::ops::Deref;
use std::sync::Arc;

use candle_nn::VarBuilder;
use half::bf16;
use longtake_kernels::Number;
use longtake_kernels::driver::{Buffer, Device, Stream, Transfer};
use parking_lot::Mutex;

use super::encoder::{Encoder, FRAMES, Memory, bytes};
use super::queue::Queue;
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::wan::vae::layers::{Causal, Past};
use crate::engine::wan::vae::{VaeConfig, VaeError, check_frame, mean_of, names};

/// Turns frames into latents on a GPU.
pub struct GpuEncoder<T: Number = bf16> {
    config: VaeConfig,
    encoder: Encoder<T>,
    /// Of the last convolution on the device.
    bias: Vec<f32>,
    /// What moments go through last, on the CPU: some thousand positions.
    moments: Causal,
    work: Mutex<Work<T>>,
}

/// The queue, and how frames come onto it.
struct Work<T: Number> {
    queue: Queue<T>,
    transfer: Transfer,
}

impl<T: Number> GpuEncoder<T> {
    /// Hands the encoder's weights, named as
    /// [`VaeEncoder::load`](crate::engine::wan::vae::VaeEncoder::load) has them, to
    /// `device`.
    ///
    /// # Errors
    /// Where a weight is missing, or the device does not take them.
    pub fn load(
        device: &Arc<Device>,
        config: &VaeConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self, VaeError> {
        let vb = names::as_diffusers(vb, config);
        let stream = Stream::new(device)?;
        let queue = Queue::new(&stream);
        let moments = 2 * config.z_dim;
        let encoder = Encoder::load(&queue, &vb, config)?;
        Ok(Self {
            config: config.clone(),
            bias: stream.download(encoder.bias())?,
            encoder,
            moments: Causal::load(&vb.pp("quant_conv"), moments, moments, 1)?,
            work: Mutex::new(Work {
                queue,
                transfer: Transfer::new(&stream)?,
            }),
        })
    }

    /// What its convolutions do without, if anything: a sentence.
    pub fn lacks(&self) -> Option<String> {
        let work = self.work.lock();
        work.queue.convolutions.missing().map(ToString::to_string)
    }

    /// Whether the device has room for `streams` videos of `width` × `height` at once.
    ///
    /// # Errors
    /// Where the device is lost.
    pub fn has_room(&self, size: [usize; 2], streams: usize) -> Result<bool, VaeError> {
        let work = self.work.lock();
        let (free, _) = work.queue.stream().device().memory()?;
        Ok(bytes(&self.config, size) * streams as u64 <= free as u64)
    }

    /// Begins with a video.
    pub fn begin(&self) -> GpuEncoding<&Self, T> {
        GpuEncoding::new(self)
    }

    /// A frame on the device.
    fn upload(&self, frame: &FeatureMap) -> Result<Buffer<f32>, VaeError> {
        let mut work = self.work.lock();
        let work = &mut *work;
        let mut buffer = work.queue.take_wide(frame.height() * frame.width() * 3)?;
        match frame.values() {
            Some(values) => work.transfer.upload(values, &mut buffer)?,
            None => {
                let values: Vec<f32> = frame.rows().flatten().copied().collect();
                work.transfer.upload(&values, &mut buffer)?;
            }
        }
        Ok(buffer)
    }
}

/// A video on its way into latents on a GPU.
pub struct GpuEncoding<E, T: Number = bf16> {
    encoder: E,
    memory: Option<([usize; 2], Memory<T>)>,
    /// Frames whose latent has not come yet.
    waiting: Vec<Buffer<f32>>,
    begun: bool,
}

impl<T: Number, E: Deref<Target = GpuEncoder<T>>> GpuEncoding<E, T> {
    fn new(encoder: E) -> Self {
        Self {
            encoder,
            memory: None,
            waiting: Vec::new(),
            begun: false,
        }
    }

    /// As [`Encoding::push`](crate::engine::wan::vae::Encoding::push).
    ///
    /// # Errors
    /// Where the frame has a size that cannot be encoded, the device fails, or the work is
    /// to stop.
    pub fn push(
        &mut self,
        frame: &FeatureMap,
        task: Task<'_>,
    ) -> Result<Option<FeatureMap>, VaeError> {
        let encoder: &GpuEncoder<T> = &self.encoder;
        check_frame(&encoder.config, frame)?;
        let size = [frame.height(), frame.width()];
        if let Some((first, _)) = &self.memory
            && *first != size
        {
            return Err(VaeError::Size(format!(
                "a frame of {} × {} follows others of {} × {}: give frames of one size",
                size[1], size[0], first[1], first[0]
            )));
        }
        self.waiting.push(encoder.upload(frame)?);
        if self.begun && self.waiting.len() < FRAMES {
            return Ok(None);
        }
        let frames = std::mem::take(&mut self.waiting);
        let mut work = encoder.work.lock();
        let queue = &mut work.queue;
        if self.memory.is_none() {
            self.memory = Some((size, encoder.encoder.memory(queue, size)?));
        }
        let Some((_, memory)) = &mut self.memory else {
            return Err(VaeError::Size("there is no memory for frames".to_owned()));
        };
        let step = encoder.encoder.step(queue, frames, memory, task.cancel);
        let (made, [height, width]) = step?;
        let mut moments = queue.stream().download(&made)?;
        queue.wide.give(made);
        // Of the first frame all is of another size than of those that follow.
        if !std::mem::replace(&mut self.begun, true) {
            queue.shrink();
        }
        drop(work);
        for at in moments.chunks_exact_mut(encoder.bias.len()) {
            for (v, bias) in at.iter_mut().zip(&encoder.bias) {
                *v += bias;
            }
        }
        let moments = FeatureMap::from_rows(height, width, encoder.bias.len(), moments);
        let past = &mut Past::default();
        let moments = encoder.moments.step(moments, past, None, task.cancel)?;
        Ok(Some(mean_of(&encoder.config, &moments)))
    }
}
