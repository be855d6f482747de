//! Residual, attention, residual: what works at the size of the latents.

use candle_nn::VarBuilder;
use longtake_kernels::Number;

use super::attention::Attention;
use super::causal::Past;
use super::queue::Queue;
use super::residual::Residual;
use super::sum::{Size, Sum};
use crate::engine::wan::vae::VaeError;

type Result<T> = std::result::Result<T, VaeError>;

/// Two residual blocks with attention between them.
pub struct Middle<T: Number> {
    residuals: [Residual<T>; 2],
    attention: Attention<T>,
}

/// What [`Middle`] remembers.
pub struct MiddlePast<T: Number>([[Past<T>; 2]; 2]);

impl<T: Number> Middle<T> {
    /// Hands the weights to the device.
    pub fn load(queue: &Queue<T>, vb: &VarBuilder<'_>, channels: usize) -> Result<Self> {
        let residual = |i: usize| {
            let vb = vb.pp("resnets").pp(i);
            Residual::load(queue, &vb, channels, channels)
        };
        Ok(Self {
            residuals: [residual(0)?, residual(1)?],
            attention: Attention::load(queue, &vb.pp("attentions").pp(0), channels)?,
        })
    }

    /// Before a video.
    pub fn past(&self, queue: &Queue<T>, size: Size) -> Result<MiddlePast<T>> {
        let [one, two] = &self.residuals;
        let past = [one.past(queue, size)?, two.past(queue, size)?];
        Ok(MiddlePast(past))
    }

    /// Of one frame.
    pub fn step<'a>(
        &'a self,
        queue: &mut Queue<T>,
        x: Sum<'_, T>,
        MiddlePast([past1, past2]): &mut MiddlePast<T>,
    ) -> Result<Sum<'a, T>> {
        let [one, two] = &self.residuals;
        let x = one.step(queue, x, past1)?;
        let x = self.attention.step(queue, x)?;
        two.step(queue, x, past2)
    }
}
