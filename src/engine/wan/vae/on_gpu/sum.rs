//! Features on their way from one convolution to the next.
//!
//! A convolution is followed by no pass of its own for its bias or for what goes around
//! it: what is still to be added is carried along and added by whatever reads it next.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::{Buffer, Part, PartMut};
use longtake_kernels::normalise::{self, Scale, Walk};

use super::queue::Queue;
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

    /// The same where the convolution gave it in other places.
    pub fn lying(self, walk: Walk) -> Self {
        let channels = self.channels / walk.biases();
        Self {
            walk,
            channels,
            ..self
        }
    }

    fn positions(&self) -> usize {
        self.size.iter().product()
    }

    fn is_added(&self) -> bool {
        self.walk == Walk::Same && self.branch.is_none() && self.bias.is_none()
    }

    /// Adds up into `trunk`, and norms into `out`.
    pub fn write(
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
    pub fn part(&self) -> Part<'_, T> {
        self.x.part()
    }

    /// Some of them.
    pub fn part_of(&self, first: usize, len: usize) -> Part<'_, T> {
        self.x.part_of(first, len)
    }

    /// The same with another branch still to be added.
    pub fn joined(self, queue: &mut Queue<T>, branch: Option<Buffer<T>>) -> Result<Self> {
        let mut sum = match (&self.branch, &branch) {
            (Some(_), Some(_)) => self.added(queue, None)?,
            _ => self,
        };
        if branch.is_some() {
            sum.branch = branch;
        }
        Ok(sum)
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

    /// As [`Sum::write`] takes it, for rows that lie side by side.
    pub fn scale(&self, silu: bool) -> Scale<Part<'_, f32>> {
        let gain = self.0.part();
        Scale {
            gain,
            silu,
            fenced: None,
        }
    }
}
