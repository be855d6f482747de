//! Changes of height, width and frame rate.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::Buffer;
use longtake_kernels::normalise::Walk;

use super::causal::{Causal, Past};
use super::queue::{Kernels, Queue, Way};
use super::sum::{Size, Sum, numbers};
use crate::engine::wan::vae::VaeError;

type Result<T> = std::result::Result<T, VaeError>;

/// Doubles height and width, and the frame rate where `time` is there.
pub struct Grow<T: Number> {
    space: Kernels<T>,
    bias: Buffer<f32>,
    time: Option<Causal<T>>,
}

/// What a change of size remembers: whether it has seen a frame, and what its change of
/// frame rate looks back to.
pub struct ResizePast<T: Number> {
    begun: bool,
    frames: Option<Past<T>>,
}

impl<T: Number> ResizePast<T> {
    /// Before a video, where `time` is fed frames of `size`.
    fn new(time: Option<&Causal<T>>, queue: &Queue<T>, size: Size) -> Result<Self> {
        let frames = time.map(|time| time.past(queue, size));
        Ok(Self {
            begun: false,
            frames: frames.transpose()?,
        })
    }
}

impl<T: Number> Grow<T> {
    /// Hands the weights to the device.
    pub fn load(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        [from, to]: [usize; 2],
        time: bool,
    ) -> Result<Self> {
        let resample = vb.pp("resample").pp(1);
        let weight = resample.get((to, from, 3, 3), "weight")?;
        let bias = numbers(&resample, &[to], "bias")?;
        let of_time = || {
            let both = [from, 2 * from];
            Causal::load(queue, &vb.pp("time_conv"), both, both, 1)
        };
        Ok(Self {
            space: Kernels::doubling(queue, &weight)?,
            bias: queue.stream().upload(&bias)?,
            time: time.then(of_time).transpose()?,
        })
    }

    /// Whether frames become two.
    pub fn doubles_rate(&self) -> bool {
        self.time.is_some()
    }

    /// Before a video.
    pub fn past(&self, queue: &Queue<T>, size: Size) -> Result<ResizePast<T>> {
        ResizePast::new(self.time.as_ref(), queue, size)
    }

    /// The frames that `x` becomes: of each two where the frame rate is doubled, but one
    /// of the first, which later ones do not look back to.
    pub fn step<'a>(
        &'a self,
        queue: &mut Queue<T>,
        x: Sum<'_, T>,
        past: &mut ResizePast<T>,
    ) -> Result<Sum<'a, T>> {
        let mut size = x.size;
        let begun = std::mem::replace(&mut past.begun, true);
        let x = match (&self.time, &mut past.frames) {
            (Some(time), Some(frames)) if begun => {
                frames.lay_sum(queue, x)?;
                let made = time.step(queue, frames, size)?;
                let [_, height, width] = size;
                size[0] *= 2;
                // Channels of both frames side by side become frames.
                let paired = Walk::Paired { height, width };
                Sum::of(made, &time.bias, size)
                    .lying(paired)
                    .added(queue, None)?
            }
            _ => x.added(queue, None)?,
        };
        let made = queue.convolve(&self.space, size, Way::around(1), x.part())?;
        x.end(queue);
        let [frames, height, width] = [size[0], 2 * size[1], 2 * size[2]];
        let made = Sum::of(made, &self.bias, [frames, height, width]);
        Ok(made.lying(Walk::Doubled { height, width }))
    }
}

/// Halves height and width, and the frame rate where `time` is there.
pub struct Shrink<T: Number> {
    space: Kernels<T>,
    bias: Buffer<f32>,
    time: Option<Causal<T>>,
}

impl<T: Number> Shrink<T> {
    /// Hands the weights to the device.
    pub fn load(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        channels: usize,
        time: bool,
    ) -> Result<Self> {
        let resample = vb.pp("resample").pp(1);
        let weight = resample.get((channels, channels, 3, 3), "weight")?;
        let bias = numbers(&resample, &[channels], "bias")?;
        let of_time = || Causal::load_slower(queue, &vb.pp("time_conv"), channels);
        Ok(Self {
            space: Kernels::new(queue, &weight)?,
            bias: queue.stream().upload(&bias)?,
            time: time.then(of_time).transpose()?,
        })
    }

    /// What becomes of frames of this size.
    pub fn made(&self, [frames, height, width]: Size) -> Size {
        let frames = match self.time {
            Some(_) if frames > 1 => frames / 2,
            _ => frames,
        };
        [frames, height / 2, width / 2]
    }

    /// Before a video.
    pub fn past(&self, queue: &Queue<T>, [frames, height, width]: Size) -> Result<ResizePast<T>> {
        let size = [frames, height / 2, width / 2];
        ResizePast::new(self.time.as_ref(), queue, size)
    }

    /// What `x` becomes: the first frame one of its own, then each two frames one.
    pub fn step<'a>(
        &'a self,
        queue: &mut Queue<T>,
        x: Sum<'_, T>,
        past: &mut ResizePast<T>,
    ) -> Result<Sum<'a, T>> {
        let x = x.added(queue, None)?;
        let [frames, height, width] = x.size;
        let made = queue.convolve(&self.space, x.size, Way::HALVED, x.part())?;
        x.end(queue);
        let size = [frames, height / 2, width / 2];
        let x = Sum::of(made, &self.bias, size);
        let begun = std::mem::replace(&mut past.begun, true);
        match (&self.time, &mut past.frames) {
            (Some(time), Some(frames)) if begun => {
                frames.lay_sum(queue, x)?;
                let made = time.step(queue, frames, size)?;
                Ok(Sum::of(
                    made,
                    &time.bias,
                    self.made([size[0], height, width]),
                ))
            }
            (Some(_), Some(frames)) => {
                let x = x.added(queue, None)?;
                x.write(queue, Some(frames.room(size[0])), None)?;
                frames.step(queue, size[0])?;
                Ok(x)
            }
            _ => Ok(x),
        }
    }
}
