//! From frames to the moments of their latents: the encoder's layers in order.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::Buffer;
use longtake_kernels::pixels::{Patches, launch_channels};
use longtake_kernels::shortcut::{Direction, Shortcut};

use super::WHOLE;
use super::causal::{Causal, Past};
use super::middle::{Middle, MiddlePast};
use super::queue::Queue;
use super::residual::Residual;
use super::resize::{ResizePast, Shrink};
use super::sum::{Norm, Size, Sum};
use crate::device::{Cancel, Cancelled};
use crate::engine::wan::vae::{VaeConfig, VaeError};

type Result<T> = std::result::Result<T, VaeError>;

/// Frames that come at once, but for the first.
pub const FRAMES: usize = 4;

/// The encoder's weights, but for the convolution of 1 × 1 that moments go through last.
pub struct Encoder<T: Number> {
    first: Causal<T>,
    levels: Vec<Level<T>>,
    middle: Middle<T>,
    norm: Norm,
    last: Causal<T>,
    patch: usize,
    inputs: usize,
}

/// A level: residual blocks, a change of size.
struct Level<T: Number> {
    residuals: Vec<Residual<T>>,
    shrink: Option<Shrink<T>>,
    /// Pixels of a side and frames that become one on the way around the level, channels
    /// that are read and channels that are given; Wan 2.2 alone has such a way.
    around: Option<[usize; 4]>,
}

/// What the encoder remembers of earlier frames, of one size.
pub struct Memory<T: Number> {
    /// Rows and columns of pixels.
    size: [usize; 2],
    first: Past<T>,
    levels: Vec<LevelPast<T>>,
    middle: MiddlePast<T>,
    last: Past<T>,
}

struct LevelPast<T: Number> {
    residuals: Vec<[Past<T>; 2]>,
    shrink: Option<ResizePast<T>>,
    begun: bool,
}

impl<T: Number> Encoder<T> {
    /// Hands the weights to the device.
    pub fn load(queue: &Queue<T>, vb: &VarBuilder<'_>, config: &VaeConfig) -> Result<Self> {
        let vb = vb.pp("encoder");
        let base = config.base_dim;
        let (mut from, mut layer) = (base, 0);
        let nested = config.is_residual;
        let mut levels = Vec::new();
        for (i, mult) in config.dim_mult.iter().enumerate() {
            let to = mult * base;
            let (blocks, time) = (config.num_res_blocks, config.temperal_downsample.get(i));
            // Without shortcuts the layers of all levels are counted through.
            let mut next = |block: usize| {
                layer += 1;
                let vb = vb.pp("down_blocks");
                match nested {
                    false => vb.pp(layer - 1),
                    true if block == blocks => vb.pp(i).pp("downsampler"),
                    true => vb.pp(i).pp("resnets").pp(block),
                }
            };
            let around = nested.then(|| {
                let pair = 1 + usize::from(time == Some(&true));
                [1 + usize::from(time.is_some()), pair, from, to]
            });
            let mut residuals = Vec::new();
            for block in 0..blocks {
                residuals.push(Residual::load(queue, &next(block), from, to)?);
                from = to;
            }
            let shrink = time.map(|time| Shrink::load(queue, &next(blocks), from, *time));
            let shrink = shrink.transpose()?;
            levels.push(Level {
                residuals,
                shrink,
                around,
            });
        }
        let inputs = config.in_channels.next_multiple_of(WHOLE);
        let read = [config.in_channels, base];
        let moments = [from, 2 * config.z_dim];
        Ok(Self {
            first: Causal::load(queue, &vb.pp("conv_in"), read, [inputs, base], 3)?,
            levels,
            middle: Middle::load(queue, &vb.pp("mid_block"), from)?,
            norm: Norm::load(queue, &vb.pp("norm_out"), from, 3)?,
            last: Causal::load_normed(queue, &vb.pp("conv_out"), moments, moments[1])?,
            patch: config.patch(),
            inputs,
        })
    }

    /// Before a video of frames of `height` × `width` pixels.
    pub fn memory(&self, queue: &Queue<T>, [height, width]: [usize; 2]) -> Result<Memory<T>> {
        let mut size: Size = [FRAMES, height / self.patch, width / self.patch];
        let first = self.first.past(queue, size)?;
        let mut levels = Vec::new();
        for level in &self.levels {
            let residuals = level.residuals.iter().map(|r| r.past(queue, size));
            let residuals = residuals.collect::<Result<_>>()?;
            let shrink = level.shrink.as_ref();
            let past = shrink.map(|s| s.past(queue, size)).transpose()?;
            size = shrink.map_or(size, |s| s.made(size));
            levels.push(LevelPast {
                residuals,
                shrink: past,
                begun: false,
            });
        }
        Ok(Memory {
            size: [height, width],
            first,
            levels,
            middle: self.middle.past(queue, size)?,
            last: self.last.past(queue, size)?,
        })
    }

    /// Queues what the next frames become, the first of a video or then [`FRAMES`]: means
    /// and logarithms of variances, without the bias of the last convolution, and rows
    /// and columns of them.
    pub fn step(
        &self,
        queue: &mut Queue<T>,
        frames: Vec<Buffer<f32>>,
        memory: &mut Memory<T>,
        cancel: &Cancel,
    ) -> Result<(Buffer<f32>, [usize; 2])> {
        let ([height, width], patch) = (memory.size, self.patch);
        let of = Patches {
            height,
            width,
            patch,
            channels: self.inputs,
        };
        let size = [frames.len(), height / patch, width / patch];
        for (i, frame) in frames.into_iter().enumerate() {
            let room = memory.first.room_of(i);
            launch_channels(queue.stream(), frame.part(), &of, room)?;
            queue.wide.give(frame);
        }
        let x = self.first.step(queue, &mut memory.first, size)?;
        let mut x = Sum::of(x, &self.first.bias, size);
        for (level, past) in self.levels.iter().zip(&mut memory.levels) {
            let begun = std::mem::replace(&mut past.begun, true);
            let mut around = None;
            if let Some([side, pair, from, to]) = level.around {
                x = x.added(queue, None)?;
                let of = Shortcut {
                    direction: Direction::Down,
                    size: x.size,
                    from,
                    to,
                    side,
                    pair,
                    // The first frame has one of zeros before it.
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
            if let (Some(shrink), Some(past)) = (&level.shrink, &mut past.shrink) {
                x = shrink.step(queue, x, past)?;
            }
            x = x.joined(queue, around)?;
        }
        x = self.middle.step(queue, x, &mut memory.middle)?;
        let size = x.size;
        memory.last.lay_normed(queue, x, &self.norm)?;
        let made = self.last.step_wide(queue, &mut memory.last, size)?;
        Ok((made, [size[1], size[2]]))
    }

    /// Channels of the moments.
    pub fn bias(&self) -> &Buffer<f32> {
        &self.last.bias
    }
}

/// Bytes of device memory in which frames of `width` × `height` are encoded, a little more
/// than are used: what is remembered, and as much again of the widest level to work in.
pub fn bytes(config: &VaeConfig, [width, height]: [usize; 2]) -> u64 {
    const NUMBER: u64 = 2;
    let patch = config.patch();
    let mut places = (width / patch * (height / patch)) as u64;
    let mut frames = FRAMES as u64;
    let (mut all, mut most) = (0, 0);
    for (i, mult) in config.dim_mult.iter().enumerate() {
        let map = places * (mult * config.base_dim) as u64 * NUMBER;
        all += 2 * config.num_res_blocks as u64 * (2 + frames) * map;
        most = most.max(6 * frames * map);
        if let Some(time) = config.temperal_downsample.get(i) {
            places /= 4;
            frames /= 1 + u64::from(*time);
        }
    }
    // Scores of attention, and weights.
    all + most + (1 << 30)
}
