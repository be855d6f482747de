//! Latents that come one by one, and the frames that leave the device.

use std::ops::Deref;
use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use half::bf16;
use longtake_kernels::Number;
use longtake_kernels::driver::{Buffer, Device, Mark, Stream, Transfer};
use parking_lot::Mutex;

use super::decoder::{Decoder, Memory};
use super::queue::Queue;
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::wan::vae::layers::{Causal, Past};
use crate::engine::wan::vae::{Piece, VaeConfig, VaeError, denormalised, frames_of, names};

/// Turns latents into frames on a GPU.
pub struct GpuDecoder<T: Number = bf16> {
    config: VaeConfig,
    /// What latents go through first, on the CPU: some thousand positions.
    latents: Causal,
    decoder: Decoder<T>,
    queue: Mutex<Queue<T>>,
    exit: Mutex<Exit>,
}

/// Where frames leave the device while it works on the next.
struct Exit {
    stream: Stream,
    transfer: Transfer,
}

/// Frames that are queued.
struct Made {
    frames: Vec<Buffer<f32>>,
    /// Rows and columns.
    size: [usize; 2],
    mark: Mark,
}

impl<T: Number> GpuDecoder<T> {
    /// Hands the decoder's weights, named as [`VaeDecoder::load`](crate::engine::wan::vae::VaeDecoder::load)
    /// has them, to `device`.
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
        let z = config.z_dim;
        let leaving = Stream::new(device)?;
        Ok(Self {
            config: config.clone(),
            latents: Causal::load(&vb.pp("post_quant_conv"), z, z, 1)?,
            decoder: Decoder::load(&queue, &vb, config)?,
            queue: Mutex::new(queue),
            exit: Mutex::new(Exit {
                transfer: Transfer::new(&leaving)?,
                stream: leaving,
            }),
        })
    }

    /// What its convolutions do without, if anything: a sentence.
    pub fn lacks(&self) -> Option<String> {
        let queue = self.queue.lock();
        queue.convolutions.missing().map(ToString::to_string)
    }

    /// Convolutions that were done without tensor cores, and why.
    pub fn refused(&self) -> Vec<String> {
        self.queue.lock().convolutions.refused().to_vec()
    }

    /// Begins with a video that comes one latent at a time.
    pub fn begin(&self) -> GpuDecoding<&Self, T> {
        GpuDecoding::new(self)
    }

    /// The same, for a video that outlives whoever begins it.
    pub fn begin_shared(self: Arc<Self>) -> GpuDecoding<Arc<Self>, T> {
        GpuDecoding::new(self)
    }

    /// As [`VaeDecoder::decode_from`](crate::engine::wan::vae::VaeDecoder::decode_from), the picture whole.
    /// While frames leave the device it makes the next.
    ///
    /// # Errors
    /// Where latents have another size, the device fails, or the work is to stop.
    pub fn decode_from(
        &self,
        latents: &Tensor,
        (begin, first): (usize, usize),
        task: Task<'_>,
        take: &mut dyn FnMut(Piece),
    ) -> Result<(), VaeError> {
        let latents = frames_of(latents)?;
        let mut decoding = self.begin();
        // The first latent frame gives its last frame alone.
        let mut frame = 4 * begin;
        let mut hand = |made: Made| {
            self.hand_over(made, &mut |pixels| {
                if frame >= first {
                    take(Piece {
                        frame,
                        y: 0,
                        x: 0,
                        pixels,
                    });
                }
                frame += 1;
            })
        };
        let mut before = None;
        for (i, latent) in latents.iter().enumerate() {
            let made = decoding.queue_up(latent, task)?;
            if let Some(before) = before.replace(made) {
                hand(before)?;
            }
            task.step("Decoding frames", i + 1, latents.len())?;
        }
        before.map_or(Ok(()), hand)
    }

    /// Waits for frames and hands them over.
    fn hand_over(&self, made: Made, take: &mut dyn FnMut(FeatureMap)) -> Result<(), VaeError> {
        let [height, width] = made.size;
        for frame in made.frames {
            let mut pixels = vec![0f32; frame.len()];
            {
                let mut exit = self.exit.lock();
                exit.stream.follow(&made.mark)?;
                exit.transfer.download(&frame, &mut pixels)?;
            }
            self.queue.lock().wide.give(frame);
            take(FeatureMap::from_rows(height, width, 3, pixels));
        }
        Ok(())
    }
}

/// A video on its way out of latents on a GPU.
pub struct GpuDecoding<D, T: Number = bf16> {
    decoder: D,
    memory: Option<(usize, usize, Memory<T>)>,
    begun: bool,
}

impl<T: Number, D: Deref<Target = GpuDecoder<T>>> GpuDecoding<D, T> {
    fn new(decoder: D) -> Self {
        Self {
            decoder,
            memory: None,
            begun: false,
        }
    }

    /// As [`Decoding::push`](crate::engine::wan::vae::Decoding::push).
    ///
    /// # Errors
    /// Where the latent has another size, the device fails, or the work is to stop.
    pub fn push(
        &mut self,
        latent: &FeatureMap,
        task: Task<'_>,
        take: &mut dyn FnMut(FeatureMap),
    ) -> Result<(), VaeError> {
        let made = self.queue_up(latent, task)?;
        self.decoder.hand_over(made, take)
    }

    /// Queues what the next latent becomes.
    fn queue_up(&mut self, latent: &FeatureMap, task: Task<'_>) -> Result<Made, VaeError> {
        let decoder: &GpuDecoder<T> = &self.decoder;
        let (height, width) = (latent.height(), latent.width());
        let latent = denormalised(&decoder.config, latent)?;
        let past = &mut Past::default();
        let latent = decoder.latents.step(latent, past, None, task.cancel)?;
        let numbers: Vec<T> = latent.rows().flatten().map(|v| T::narrow(*v)).collect();
        let mut queue = decoder.queue.lock();
        if self.memory.is_none() {
            let memory = decoder.decoder.memory(&queue, [height, width])?;
            self.memory = Some((height, width, memory));
        }
        let Some((rows, columns, memory)) = &mut self.memory else {
            return Err(VaeError::Size("there is no memory for latents".to_owned()));
        };
        if (*rows, *columns) != (height, width) {
            return Err(VaeError::Size(format!(
                "a latent of {width} × {height} follows others of {columns} × {rows}"
            )));
        }
        let (frames, size) = decoder
            .decoder
            .step(&mut queue, &numbers, memory, task.cancel)?;
        let mark = queue.stream().mark()?;
        // Of the first latent all is of another size than of those that follow.
        if !std::mem::replace(&mut self.begun, true) {
            queue.shrink();
        }
        Ok(Made { frames, size, mark })
    }
}
