//! What a run from noise to latents reads, and what it makes.

use candle_core::Tensor;

use crate::device::Cancelled;
use crate::device::ops::plainly;
use crate::engine::wan::transformer::{Control, Regions};
use crate::sampler::{Guidance, SchedulerConfig};

/// Why latents could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// What was given does not go together, or memory is short.
    #[error("the model cannot be run: {}", plainly(.0))]
    Tensor(#[from] candle_core::Error),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// What the latents are tied to.
#[derive(Clone, Copy)]
pub enum Condition<'a> {
    /// The text alone.
    None,
    /// Channels behind the noise, [1, c, frames, rows, columns]: mask and given
    /// frames (Wan 2.1 and 2.2 image to video).
    Channels(&'a Tensor),
    /// Latents that are given where `free` is 0 (Wan 2.2 TI2V).
    Given {
        /// [1, channels, frames, rows, columns], or fewer frames that repeat.
        latents: &'a Tensor,
        /// [1, 1, frames, rows, columns]: 1 where latents are to be made, else 0.
        free: &'a Tensor,
    },
}

/// Latents to start from in place of noise alone.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// [1, channels, frames, rows, columns], clean.
    pub latents: &'a Tensor,
    /// The part of the steps that is taken, 0 to 1: the latents are given the noise of
    /// the first of these.
    pub strength: f64,
}

/// Latents that are known where others are made, for models that have no way of their
/// own of being told: at every step they have the noise of that step's level (the
/// replacement method; Song et al., 2021, section 5), and in the end none.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    /// [1, channels, frames, rows, columns]
    pub latents: &'a Tensor,
    /// [1, 1, frames, 1, 1]: 1 where latents are to be made, else 0.
    pub free: &'a Tensor,
}

/// Parts of the picture with texts of their own. What a text says stays in its part, see
/// [`Regions`]; a step cache, which looks at all of the picture, must be off for that.
#[derive(Clone, Copy)]
pub struct Subjects<'a> {
    /// Which tokens belong to which.
    pub regions: &'a Regions,
    /// [1, m, text_dim] of each; padded here.
    pub texts: &'a [Tensor],
}

/// A run from noise to latents.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// [1, channels, frames, rows, columns], of mean 0 and deviation 1.
    pub noise: &'a Tensor,
    /// [1, m, text_dim]; padded here.
    pub prompt: &'a Tensor,
    /// [1, m, text_dim]; needed where `guidance` is used.
    pub negative: Option<&'a Tensor>,
    /// CLIP's image states, where the model takes them.
    pub image: Option<&'a Tensor>,
    /// Latents to start from.
    pub start: Option<Start<'a>>,
    /// What the latents are tied to.
    pub condition: Condition<'a>,
    /// Latents that are known.
    pub held: Option<Held<'a>>,
    /// What VACE is to follow.
    pub control: Option<Control<'a>>,
    /// Parts of the picture with texts of their own.
    pub subjects: Option<Subjects<'a>>,
    /// Solver and shift.
    pub scheduler: &'a SchedulerConfig,
    /// Number of steps.
    pub steps: usize,
    /// How strongly the prompt counts.
    pub guidance: Guidance,
    /// EasyCache's threshold; none for off.
    pub cache: Option<f64>,
}

/// What a run made.
pub struct Made {
    /// [1, channels, frames, rows, columns]
    pub latents: Tensor,
    /// Steps that EasyCache saved, and the largest relative error of a velocity that
    /// it estimates to have caused.
    pub cached: Option<(usize, f64)>,
}

impl Run<'_> {
    /// The step that is taken first: 0 from noise alone.
    pub(super) fn first_step(&self) -> usize {
        let taken = self.start.map_or(1., |s| s.strength.clamp(0., 1.)) * self.steps as f64;
        self.steps - (taken as usize).min(self.steps)
    }
}

impl Held<'_> {
    /// `latents` with what is known in its place, at noise level `level`.
    pub(super) fn at(
        &self,
        level: f32,
        noise: &Tensor,
        latents: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let clean = (self.latents * f64::from(1. - level))?;
        let noisy = match level {
            0. => self.latents.clone(),
            _ => (clean + (noise * f64::from(level))?)?,
        };
        let known = noisy.broadcast_mul(&self.free.affine(-1., 1.)?)?;
        known.broadcast_add(&latents.broadcast_mul(self.free)?)
    }
}

impl Condition<'_> {
    /// `latents` with what is given in its place.
    pub(super) fn applied(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Given {
                latents: given,
                free,
            } => {
                let kept = given.broadcast_mul(&free.affine(-1.0, 1.0)?)?;
                kept.broadcast_add(&latents.broadcast_mul(free)?)
            }
            _ => Ok(latents.clone()),
        }
    }
}
