//! Convolutions over time: what they remember lies in front of what comes.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::{Buffer, Part, PartMut};
use longtake_kernels::normalise::Scale;

use super::queue::{Kernels, Queue, Way};
use super::sum::{Norm, Size, Sum, numbers};
use crate::engine::wan::vae::VaeError;

type Result<T> = std::result::Result<T, VaeError>;

/// How features are normed, and where they go.
type Normed<'n, 'p, T> = (Scale<Part<'n, f32>>, PartMut<'p, T>);

/// Channels up to which two columns are made at once: tensor cores are made for more
/// channels than these, and waste less where a third of the work is in vain.
const FEW: usize = 96;

/// A convolution over a frame and the two before it.
pub struct Causal<T: Number> {
    kernels: Kernels<T>,
    /// The same as one from two columns to two, for an even width.
    paired: Option<Kernels<T>>,
    /// Of each channel that it gives.
    pub bias: Buffer<f32>,
    way: Way,
    /// Frames that are remembered.
    before: usize,
}

/// Frames that came before, and behind them room for those that come: what is laid there
/// is read where it lies.
pub struct Past<T: Number> {
    buffer: Buffer<T>,
    /// Frames that are remembered.
    before: usize,
    /// Numbers of a frame.
    frame: usize,
    /// Columns of a row where a column of zeros lies before it and one behind.
    fenced: Option<usize>,
}

impl<T: Number> Past<T> {
    /// Where `frames` frames go that come.
    pub fn room(&mut self, frames: usize) -> PartMut<'_, T> {
        let len = frames * self.frame;
        self.buffer.part_mut_of(self.before * self.frame, len)
    }

    /// Where frame `number` of those goes.
    pub fn room_of(&mut self, number: usize) -> PartMut<'_, T> {
        let first = (self.before + number) * self.frame;
        self.buffer.part_mut_of(first, self.frame)
    }

    /// Those before and those.
    fn all(&self, frames: usize) -> Part<'_, T> {
        self.buffer.part_of(0, (self.before + frames) * self.frame)
    }

    /// Lays numbers of one frame there.
    pub fn lay(&mut self, queue: &Queue<T>, frame: &[T]) -> Result<()> {
        let at = self.before * self.frame;
        Ok(queue.stream().write(&mut self.buffer, at, frame)?)
    }

    /// Lays `x` there.
    pub fn lay_sum(&mut self, queue: &mut Queue<T>, x: Sum<'_, T>) -> Result<()> {
        x.write(queue, Some(self.room(x.size[0])), None)?;
        x.end(queue);
        Ok(())
    }

    /// Where `frames` frames go that are normed and put through SiLU.
    pub fn normed<'n>(&mut self, frames: usize, norm: &'n Norm) -> Normed<'n, '_, T> {
        let scale = Scale {
            fenced: self.fenced,
            ..norm.scale(true)
        };
        (scale, self.room(frames))
    }

    /// Lays `x` there, normed and put through SiLU.
    pub fn lay_normed(&mut self, queue: &mut Queue<T>, x: Sum<'_, T>, norm: &Norm) -> Result<()> {
        x.write(queue, None, Some(self.normed(x.size[0], norm)))?;
        x.end(queue);
        Ok(())
    }

    /// Remembers the last of `frames` that came.
    pub fn step(&mut self, queue: &Queue<T>, frames: usize) -> Result<()> {
        let (stream, frame, before) = (queue.stream(), self.frame, self.before);
        let buffer = &mut self.buffer;
        if frames >= before {
            stream.copy_within(buffer, frames * frame, 0, before * frame)?;
        } else {
            // One by one, where what is kept lies over where it goes.
            for i in 0..before {
                stream.copy_within(buffer, (frames + i) * frame, i * frame, frame)?;
            }
        }
        Ok(())
    }
}

impl<T: Number> Causal<T> {
    /// With kernels of 3 × `side` × `side`, of weights [to, from, …] that are filled up
    /// with zeros to `outputs` and `inputs`.
    pub fn load(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        [from, to]: [usize; 2],
        [inputs, outputs]: [usize; 2],
        side: usize,
    ) -> Result<Self> {
        let weight = vb.get((to, from, 3, side, side), "weight")?;
        let weight = weight.pad_with_zeros(0, 0, outputs.saturating_sub(to))?;
        let weight = weight.pad_with_zeros(1, 0, inputs.saturating_sub(from))?;
        Ok(Self {
            kernels: Kernels::new(queue, &weight)?,
            paired: None,
            bias: queue.stream().upload(&numbers(vb, &[to], "bias")?)?,
            way: Way::around(side / 2),
            before: 2,
        })
    }

    /// The same for what is only fed what is normed: of few channels it may make two columns
    /// at once.
    pub fn load_normed(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        [from, to]: [usize; 2],
        outputs: usize,
    ) -> Result<Self> {
        let mut made = Self::load(queue, vb, [from, to], [from, outputs], 3)?;
        if from <= FEW && outputs <= FEW {
            let weight = vb.get((to, from, 3, 3, 3), "weight")?;
            let weight = weight.pad_with_zeros(0, 0, outputs.saturating_sub(to))?;
            made.paired = Some(Kernels::paired(queue, &weight)?);
        }
        Ok(made)
    }

    /// One that gives a frame for each two that come, of these and the one before.
    pub fn load_slower(queue: &Queue<T>, vb: &VarBuilder<'_>, channels: usize) -> Result<Self> {
        let both = [channels, channels];
        Ok(Self {
            way: Way::SLOWER,
            before: 1,
            ..Self::load(queue, vb, both, both, 1)?
        })
    }

    /// Before a video, for at most so many frames at once.
    pub fn past(&self, queue: &Queue<T>, [frames, height, width]: Size) -> Result<Past<T>> {
        let fenced = (self.paired.is_some() && width.is_multiple_of(2)).then_some(width);
        let wide = width + fenced.map_or(0, |_| 2);
        let (before, frame) = (self.before, height * wide * self.kernels.channels);
        let all = (before + frames) * frame;
        let mut buffer = queue.stream().room(all)?;
        let cleared = fenced.map_or(before * frame, |_| all);
        queue.stream().clear(&mut buffer, 0, cleared)?;
        Ok(Past {
            buffer,
            before,
            frame,
            fenced,
        })
    }

    /// The kernels, and what they read, for frames that are laid into `past`.
    fn read(&self, past: &Past<T>, [frames, height, width]: Size) -> (&Kernels<T>, Size, Way) {
        let frames = self.before + frames;
        match (&self.paired, past.fenced) {
            (Some(paired), Some(_)) => (paired, [frames, height, width / 2 + 1], Way::PAIRED),
            _ => (&self.kernels, [frames, height, width], self.way),
        }
    }

    /// What it gives for the frames that were laid into `past`, without its bias.
    pub fn step(&self, queue: &mut Queue<T>, past: &mut Past<T>, size: Size) -> Result<Buffer<T>> {
        let (kernels, read, way) = self.read(past, size);
        let y = queue.convolve(kernels, read, way, past.all(size[0]))?;
        past.step(queue, size[0])?;
        Ok(y)
    }

    /// The same in f32.
    pub fn step_wide(
        &self,
        queue: &mut Queue<T>,
        past: &mut Past<T>,
        size: Size,
    ) -> Result<Buffer<f32>> {
        let (kernels, read, way) = self.read(past, size);
        let y = queue.convolve_wide(kernels, read, way, past.all(size[0]))?;
        past.step(queue, size[0])?;
        Ok(y)
    }
}
