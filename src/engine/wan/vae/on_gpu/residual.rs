//! Two convolutions around which the input is handed on.

use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::Buffer;

use super::causal::{Causal, Past};
use super::queue::{Kernels, Queue, Way};
use super::sum::{Norm, Size, Sum, numbers};
use crate::engine::wan::vae::VaeError;

type Result<T> = std::result::Result<T, VaeError>;

/// Two convolutions around which the input is handed on.
pub struct Residual<T: Number> {
    norms: [Norm; 2],
    convs: [Causal<T>; 2],
    shortcut: Option<Kernels<T>>,
    /// Of the second convolution and of the shortcut.
    bias: Buffer<f32>,
}

impl<T: Number> Residual<T> {
    /// Hands the weights to the device.
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
                Causal::load_normed(queue, &vb.pp("conv1"), [from, to], to)?,
                Causal::load_normed(queue, &vb.pp("conv2"), [to, to], to)?,
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

    /// What becomes of the frames `x`.
    pub fn step<'a>(
        &'a self,
        queue: &mut Queue<T>,
        x: Sum<'_, T>,
        [past1, past2]: &mut [Past<T>; 2],
    ) -> Result<Sum<'a, T>> {
        let ([norm1, norm2], [conv1, conv2]) = (&self.norms, &self.convs);
        let size = x.size;
        let x = x.added(queue, Some(past1.normed(size[0], norm1)))?;
        let h = conv1.step(queue, past1, size)?;
        past2.lay_normed(queue, Sum::of(h, &conv1.bias, size), norm2)?;
        let branch = conv2.step(queue, past2, size)?;
        let x = match &self.shortcut {
            None => x,
            Some(kernels) => {
                let around = queue.convolve(kernels, size, Way::around(0), x.part())?;
                x.end(queue);
                Sum::of(around, &self.bias, size)
            }
        };
        Ok(x.with(branch, &self.bias))
    }
}
