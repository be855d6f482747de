//! The layers of the decoder, over all frames at once that one latent makes at a level.
//!
//! A convolution is followed by no pass of its own for its bias or for what goes around
//! it: what is still to be added is carried along ([`Sum`]) and added by whatever reads
//! it next.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::{Buffer, Part, PartMut};
use longtake_kernels::normalise::{self, Scale, Walk};

use super::queue::{Kernels, Queue};
use crate::engine::wan::vae::VaeError;

type Result<T> = std::result::Result<T, VaeError>;

/// Frames, rows and columns.
pub type Size = [usize; 3];

/// Features that are still to be added up: [frames, rows, columns, channels].
pub struct Sum<'a, T: Number> {
    x: Buffer<T>,
    walk: Walk,
    branch: Option<Buffer<T>>,
    bias: Option<&'a Buffer<f32>>,
    /// Of what comes out.
    pub size: Size,
    channels: usize,
}

impl<'a, T: Number> Sum<'a, T> {
    /// What a convolution gave, and its bias.
    pub fn of(x: Buffer<T>, bias: &'a Buffer<f32>, size: Size) -> Self {
        Self {
            x,
            walk: Walk::Same,
            branch: None,
            bias: Some(bias),
            size,
            channels: bias.len(),
        }
    }

    fn positions(&self) -> usize {
        self.size.iter().product()
    }

    fn is_added(&self) -> bool {
        self.walk == Walk::Same && self.branch.is_none() && self.bias.is_none()
    }

    /// Adds up into `trunk`, and norms into `out`.
    fn write(
        &self,
        queue: &Queue<T>,
        trunk: Option<PartMut<'_, T>>,
        out: Option<(Scale<Part<'_, f32>>, PartMut<'_, T>)>,
    ) -> Result<()> {
        let sum = normalise::Sum {
            x: self.x.part(),
            walk: self.walk,
            branch: self.branch.as_ref().map(Buffer::part),
            bias: self.bias.map(Buffer::part),
        };
        let stream = queue.stream();
        Ok(normalise::launch(stream, &sum, self.channels, trunk, out)?)
    }

    /// The same with a branch and a bias still to be added; it is added up itself.
    pub fn with<'b>(self, branch: Buffer<T>, bias: &'b Buffer<f32>) -> Sum<'b, T> {
        Sum {
            branch: Some(branch),
            ..Sum::of(self.x, bias, self.size)
        }
    }

    /// Numbers of what is added up.
    pub fn part_of(&self, first: usize, len: usize) -> Part<'_, T> {
        self.x.part_of(first, len)
    }

    /// Adds up, and norms into `out`.
    pub fn added<'b>(
        self,
        queue: &mut Queue<T>,
        out: Option<(Scale<Part<'_, f32>>, PartMut<'_, T>)>,
    ) -> Result<Sum<'b, T>> {
        let (size, channels) = (self.size, self.channels);
        let x = if self.is_added() {
            if out.is_some() {
                self.write(queue, None, out)?;
            }
            self.x
        } else {
            let mut trunk = queue.take(self.positions() * channels)?;
            self.write(queue, Some(trunk.part_mut()), out)?;
            self.end(queue);
            trunk
        };
        Ok(Sum {
            x,
            walk: Walk::Same,
            branch: None,
            bias: None,
            size,
            channels,
        })
    }

    /// Gives its memory back.
    pub fn end(self, queue: &mut Queue<T>) {
        queue.give(self.x);
        if let Some(branch) = self.branch {
            queue.give(branch);
        }
    }
}

/// Numbers of a checkpoint.
pub fn numbers(vb: &VarBuilder<'_>, shape: &[usize], name: &str) -> Result<Vec<f32>> {
    Ok(vb.get(shape, name)?.flatten_all()?.to_vec1::<f32>()?)
}

/// What each channel is multiplied by behind a division by the length.
pub struct Norm(Buffer<f32>);

impl Norm {
    /// `rank` is how many axes the checkpoint's gain has beyond its channels.
    pub fn load<T: Number>(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        channels: usize,
        rank: usize,
    ) -> Result<Self> {
        let shape = [vec![channels], vec![1; rank]].concat();
        let scale = (channels as f32).sqrt();
        let gain = numbers(vb, &shape, "gamma")?;
        let gain: Vec<f32> = gain.into_iter().map(|g| g * scale).collect();
        Ok(Self(queue.stream().upload(&gain)?))
    }

    pub fn scale(&self, silu: bool) -> Scale<Part<'_, f32>> {
        let gain = self.0.part();
        Scale { gain, silu }
    }
}

/// A convolution over a frame and the two before it.
pub struct Causal<T: Number> {
    kernels: Kernels<T>,
    /// Of each channel that it gives.
    pub bias: Buffer<f32>,
    /// Zeros around a frame.
    zeros: usize,
}

/// Two frames that came before, and behind them room for those that come: what is laid
/// there is read where it lies.
pub struct Past<T: Number> {
    buffer: Buffer<T>,
    /// Numbers of a frame.
    frame: usize,
}

impl<T: Number> Past<T> {
    fn new(queue: &Queue<T>, frames: usize, frame: usize) -> Result<Self> {
        let mut buffer = queue.stream().room((2 + frames) * frame)?;
        queue.stream().clear(&mut buffer, 0, 2 * frame)?;
        Ok(Self { buffer, frame })
    }

    /// Where `frames` frames go that come.
    fn room(&mut self, frames: usize) -> PartMut<'_, T> {
        self.buffer.part_mut_of(2 * self.frame, frames * self.frame)
    }

    /// Those before and those.
    fn all(&self, frames: usize) -> Part<'_, T> {
        self.buffer.part_of(0, (2 + frames) * self.frame)
    }

    /// Lays numbers of one frame there.
    pub fn lay(&mut self, queue: &Queue<T>, frame: &[T]) -> Result<()> {
        let at = 2 * self.frame;
        Ok(queue.stream().write(&mut self.buffer, at, frame)?)
    }

    /// Lays `x` there.
    pub fn lay_sum(&mut self, queue: &mut Queue<T>, x: Sum<'_, T>) -> Result<()> {
        x.write(queue, Some(self.room(x.size[0])), None)?;
        x.end(queue);
        Ok(())
    }

    /// Lays `x` there, normed and put through SiLU.
    pub fn lay_normed(&mut self, queue: &mut Queue<T>, x: Sum<'_, T>, norm: &Norm) -> Result<()> {
        x.write(queue, None, Some((norm.scale(true), self.room(x.size[0]))))?;
        x.end(queue);
        Ok(())
    }

    /// Remembers the last two of `frames` that came.
    fn step(&mut self, queue: &Queue<T>, frames: usize) -> Result<()> {
        let (stream, frame) = (queue.stream(), self.frame);
        let buffer = &mut self.buffer;
        if frames >= 2 {
            stream.copy_within(buffer, frames * frame, 0, 2 * frame)?;
        } else if frames == 1 {
            stream.copy_within(buffer, frame, 0, frame)?;
            stream.copy_within(buffer, 2 * frame, frame, frame)?;
        }
        Ok(())
    }
}

impl<T: Number> Causal<T> {
    /// With kernels of 3 × `side` × `side`. It gives `outputs` channels, those beyond the
    /// checkpoint's `to` without a bias and all zero.
    pub fn load(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        [from, to, outputs]: [usize; 3],
        side: usize,
    ) -> Result<Self> {
        let weight = vb.get((to, from, 3, side, side), "weight")?;
        let weight = weight.pad_with_zeros(0, 0, outputs.saturating_sub(to))?;
        Ok(Self {
            kernels: Kernels::new(queue, &weight)?,
            bias: queue.stream().upload(&numbers(vb, &[to], "bias")?)?,
            zeros: side / 2,
        })
    }

    /// Before a video, for at most so many frames at once.
    pub fn past(&self, queue: &Queue<T>, [frames, height, width]: Size) -> Result<Past<T>> {
        Past::new(queue, frames, height * width * self.kernels.channels)
    }

    /// What it gives for the frames that were laid into `past`, without its bias.
    pub fn step(
        &self,
        queue: &mut Queue<T>,
        past: &mut Past<T>,
        [frames, height, width]: Size,
    ) -> Result<Buffer<T>> {
        let (size, zeros) = ([2 + frames, height, width], [[self.zeros; 2]; 2]);
        let y = queue.convolve(&self.kernels, size, zeros, past.all(frames))?;
        past.step(queue, frames)?;
        Ok(y)
    }

    /// The same in f32.
    pub fn step_wide(
        &self,
        queue: &mut Queue<T>,
        past: &mut Past<T>,
        [frames, height, width]: Size,
    ) -> Result<Buffer<f32>> {
        let (size, zeros) = ([2 + frames, height, width], [[self.zeros; 2]; 2]);
        let y = queue.convolve_wide(&self.kernels, size, zeros, past.all(frames))?;
        past.step(queue, frames)?;
        Ok(y)
    }
}

/// Two convolutions around which the input is handed on.
pub struct Residual<T: Number> {
    norms: [Norm; 2],
    convs: [Causal<T>; 2],
    shortcut: Option<Kernels<T>>,
    /// Of the second convolution and of the shortcut.
    bias: Buffer<f32>,
}

impl<T: Number> Residual<T> {
    pub fn load(queue: &Queue<T>, vb: &VarBuilder<'_>, from: usize, to: usize) -> Result<Self> {
        let mut bias = numbers(&vb.pp("conv2"), &[to], "bias")?;
        let mut shortcut = None;
        if from != to {
            let vb = vb.pp("conv_shortcut");
            for (b, more) in bias.iter_mut().zip(numbers(&vb, &[to], "bias")?) {
                *b += more;
            }
            let weight = vb.get((to, from, 1, 1, 1), "weight")?;
            shortcut = Some(Kernels::new(queue, &weight)?);
        }
        Ok(Self {
            norms: [
                Norm::load(queue, &vb.pp("norm1"), from, 3)?,
                Norm::load(queue, &vb.pp("norm2"), to, 3)?,
            ],
            convs: [
                Causal::load(queue, &vb.pp("conv1"), [from, to, to], 3)?,
                Causal::load(queue, &vb.pp("conv2"), [to, to, to], 3)?,
            ],
            shortcut,
            bias: queue.stream().upload(&bias)?,
        })
    }

    /// Before a video.
    pub fn past(&self, queue: &Queue<T>, size: Size) -> Result<[Past<T>; 2]> {
        let [one, two] = &self.convs;
        Ok([one.past(queue, size)?, two.past(queue, size)?])
    }

    pub fn step<'a>(
        &'a self,
        queue: &mut Queue<T>,
        x: Sum<'_, T>,
        [past1, past2]: &mut [Past<T>; 2],
    ) -> Result<Sum<'a, T>> {
        let ([norm1, norm2], [conv1, conv2]) = (&self.norms, &self.convs);
        let size = x.size;
        let room = past1.room(size[0]);
        let x = x.added(queue, Some((norm1.scale(true), room)))?;
        let h = conv1.step(queue, past1, size)?;
        past2.lay_normed(queue, Sum::of(h, &conv1.bias, size), norm2)?;
        let branch = conv2.step(queue, past2, size)?;
        let x = match &self.shortcut {
            None => x,
            Some(kernels) => {
                let around = queue.convolve(kernels, size, [[0; 2]; 2], x.x.part())?;
                x.end(queue);
                Sum::of(around, &self.bias, size)
            }
        };
        Ok(x.with(branch, &self.bias))
    }
}

/// Doubles height and width, and the frame rate where `time` is there.
pub struct Grow<T: Number> {
    space: Kernels<T>,
    bias: Buffer<f32>,
    time: Option<Causal<T>>,
}

/// What [`Grow`] remembers.
pub struct GrowPast<T: Number> {
    begun: bool,
    frames: Option<Past<T>>,
}

impl<T: Number> Grow<T> {
    pub fn load(
        queue: &Queue<T>,
        vb: &VarBuilder<'_>,
        [from, to]: [usize; 2],
        time: bool,
    ) -> Result<Self> {
        let resample = vb.pp("resample").pp(1);
        let weight = resample.get((to, from, 3, 3), "weight")?;
        let bias = numbers(&resample, &[to], "bias")?;
        let of_time = || Causal::load(queue, &vb.pp("time_conv"), [from, 2 * from, 2 * from], 1);
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
    pub fn past(&self, queue: &Queue<T>, size: Size) -> Result<GrowPast<T>> {
        let frames = self.time.as_ref().map(|time| time.past(queue, size));
        Ok(GrowPast {
            begun: false,
            frames: frames.transpose()?,
        })
    }

    /// The frames that `x` becomes: of each two where the frame rate is doubled, but one
    /// of the first, which later ones do not look back to.
    pub fn step<'a>(
        &'a self,
        queue: &mut Queue<T>,
        x: Sum<'_, T>,
        past: &mut GrowPast<T>,
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
                Sum {
                    walk: paired,
                    channels: time.bias.len() / 2,
                    ..Sum::of(made, &time.bias, size)
                }
                .added(queue, None)?
            }
            _ => x.added(queue, None)?,
        };
        let made = queue.convolve(&self.space, size, [[1; 2]; 2], x.x.part())?;
        x.end(queue);
        let [frames, height, width] = [size[0], 2 * size[1], 2 * size[2]];
        Ok(Sum {
            walk: Walk::Doubled { height, width },
            ..Sum::of(made, &self.bias, [frames, height, width])
        })
    }
}
