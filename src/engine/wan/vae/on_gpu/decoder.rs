//! From latents to frames: the decoder's layers in order.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::Buffer;
use longtake_kernels::pixels::{self, Patches};
use longtake_kernels::shortcut::{Direction, Shortcut};

use super::WHOLE;
use super::causal::{Causal, Past};
use super::middle::{Middle, MiddlePast};
use super::queue::Queue;
use super::residual::Residual;
use super::resize::{Grow, ResizePast};
use super::sum::{Norm, Size, Sum};
use crate::device::{Cancel, Cancelled};
use crate::engine::wan::vae::{VaeConfig, VaeError};

type Result<T> = std::result::Result<T, VaeError>;

/// The decoder's weights, behind the convolution of 1 × 1 that latents go through first.
pub struct Decoder<T: Number> {
    first: Causal<T>,
    middle: Middle<T>,
    levels: Vec<Level<T>>,
    norm: Norm,
    last: Causal<T>,
    patch: usize,
}

/// A level: residual blocks, a change of size.
struct Level<T: Number> {
    residuals: Vec<Residual<T>>,
    grow: Option<Grow<T>>,
    /// Frames that one becomes on the way around the level, channels that are read and
    /// channels that are given; Wan 2.2 alone has such a way.
    around: Option<[usize; 3]>,
}

/// What the decoder remembers of earlier frames, of one size.
pub struct Memory<T: Number> {
    size: [usize; 2],
    first: Past<T>,
    middle: MiddlePast<T>,
    levels: Vec<LevelPast<T>>,
    last: Past<T>,
}

struct LevelPast<T: Number> {
    residuals: Vec<[Past<T>; 2]>,
    grow: Option<ResizePast<T>>,
    begun: bool,
}

impl<T: Number> Decoder<T> {
    /// Hands the weights to the device.
    pub fn load(queue: &Queue<T>, vb: &VarBuilder<'_>, config: &VaeConfig) -> Result<Self> {
        let vb = vb.pp("decoder");
        let base = config.decoder_dim();
        let dims: Vec<usize> = config.dim_mult.iter().rev().map(|m| m * base).collect();
        let widest = dims.first().copied().unwrap_or(base);
        let mut levels = Vec::new();
        let mut from = widest;
        for (i, &to) in dims.iter().enumerate() {
            let vb = vb.pp("up_blocks").pp(i);
            let residual = |block: usize| {
                let from = if block == 0 { from } else { to };
                Residual::load(queue, &vb.pp("resnets").pp(block), from, to)
            };
            let residuals = (0..=config.num_res_blocks).map(residual);
            let residuals = residuals.collect::<Result<_>>()?;
            // The decoder walks the encoder's steps backwards.
            let times = &config.temperal_downsample;
            let time = times.len().checked_sub(i + 1).map(|i| times[i]);
            let nested = config.is_residual;
            let frames = time.map(|time| 1 + usize::from(time));
            let around = frames.filter(|_| nested).map(|frames| [frames, from, to]);
            from = if time.is_some() && !nested {
                to / 2
            } else {
                to
            };
            let grow = time.map(|time| {
                let vb = match nested {
                    true => vb.pp("upsampler"),
                    false => vb.pp("upsamplers").pp(0),
                };
                Grow::load(queue, &vb, [to, from], time)
            });
            let grow = grow.transpose()?;
            levels.push(Level {
                residuals,
                grow,
                around,
            });
        }
        let (z, outputs) = (config.z_dim, config.out_channels);
        let (read, pixels) = ([z, widest], [from, outputs]);
        let padded = outputs.next_multiple_of(WHOLE);
        Ok(Self {
            first: Causal::load(queue, &vb.pp("conv_in"), read, read, 3)?,
            middle: Middle::load(queue, &vb.pp("mid_block"), widest)?,
            levels,
            norm: Norm::load(queue, &vb.pp("norm_out"), from, 3)?,
            last: Causal::load_normed(queue, &vb.pp("conv_out"), pixels, padded)?,
            patch: config.patch(),
        })
    }

    /// Before a video of latents of `height` × `width`.
    pub fn memory(&self, queue: &Queue<T>, [height, width]: [usize; 2]) -> Result<Memory<T>> {
        let mut size: Size = [1, height, width];
        let first = self.first.past(queue, size)?;
        let middle = self.middle.past(queue, size)?;
        let mut levels = Vec::new();
        for level in &self.levels {
            let residuals = level.residuals.iter().map(|r| r.past(queue, size));
            let residuals = residuals.collect::<Result<_>>()?;
            let grow = level.grow.as_ref();
            let past = grow.map(|g| g.past(queue, size)).transpose()?;
            if let Some(grow) = grow {
                let frames = size[0] << usize::from(grow.doubles_rate());
                size = [frames, 2 * size[1], 2 * size[2]];
            }
            levels.push(LevelPast {
                residuals,
                grow: past,
                begun: false,
            });
        }
        Ok(Memory {
            size: [height, width],
            first,
            middle,
            levels,
            last: self.last.past(queue, size)?,
        })
    }

    /// Queues what the next latent frame becomes, of which `latent` are the numbers, row
    /// by row: a buffer of RGB for each frame, and rows and columns of these.
    pub fn step(
        &self,
        queue: &mut Queue<T>,
        latent: &[T],
        memory: &mut Memory<T>,
        cancel: &Cancel,
    ) -> Result<(Vec<Buffer<f32>>, [usize; 2])> {
        let [height, width] = memory.size;
        let size = [1, height, width];
        memory.first.lay(queue, latent)?;
        let x = self.first.step(queue, &mut memory.first, size)?;
        let mut x = Sum::of(x, &self.first.bias, size);
        x = self.middle.step(queue, x, &mut memory.middle)?;
        for (level, past) in self.levels.iter().zip(&mut memory.levels) {
            let begun = std::mem::replace(&mut past.begun, true);
            let mut around = None;
            if let Some([pair, from, to]) = level.around {
                x = x.added(queue, None)?;
                let of = Shortcut {
                    direction: Direction::Up,
                    size: x.size,
                    from,
                    to,
                    side: 2,
                    pair,
                    // The first frame is the last of those that it would become.
                    missing: if begun { 0 } else { pair - 1 },
                };
                around = Some(queue.around(&of, x.part())?);
            }
            for (residual, past) in level.residuals.iter().zip(&mut past.residuals) {
                if cancel.is_cancelled() {
                    return Err(Cancelled.into());
                }
                x = residual.step(queue, x, past)?;
            }
            if let (Some(grow), Some(past)) = (&level.grow, &mut past.grow) {
                x = grow.step(queue, x, past)?;
            }
            x = x.joined(queue, around)?;
        }
        let size = x.size;
        memory.last.lay_normed(queue, x, &self.norm)?;
        let made = self.last.step_wide(queue, &mut memory.last, size)?;
        let patch = self.patch;
        let [frames, height, width] = [size[0], size[1] * patch, size[2] * patch];
        let of = Patches {
            height,
            width,
            patch,
            channels: made.len() / size.iter().product::<usize>().max(1),
        };
        let each = made.len() / frames.max(1);
        let mut all = Vec::with_capacity(frames);
        for i in 0..frames {
            let mut out = queue.take_wide(height * width * 3)?;
            let x = made.part_of(i * each, each);
            pixels::launch(
                queue.stream(),
                x,
                &of,
                self.last.bias.part(),
                out.part_mut(),
            )?;
            all.push(out);
        }
        queue.wide.give(made);
        Ok((all, [height, width]))
    }
}
