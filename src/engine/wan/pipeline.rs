//! From noise to latents: the model asked at every step of a schedule.

use candle_core::{DType, Tensor};

use super::evaluator::Evaluator;
use super::transformer::{Control, Inputs, Regions, Timesteps};
use crate::device::ops::plainly;
use crate::device::{Cancelled, Task, stoppable};
use crate::sampler::{EasyCache, Guidance, SchedulerConfig, Solver};

/// Text tokens that the published models were trained with; shorter prompts have
/// zeros behind them.
pub const TEXT_TOKENS: usize = 512;

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

/// A model of one transformer, or of two that share the noise levels.
pub struct Experts {
    /// The only one, or that for high noise.
    pub high: Evaluator,
    /// That for low noise, with the part of the trained time steps below which it
    /// takes over (Wan 2.2 A14B: .875 for text, .9 for images).
    pub low: Option<(Evaluator, f64)>,
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
    fn first_step(&self) -> usize {
        let taken = self.start.map_or(1., |s| s.strength.clamp(0., 1.)) * self.steps as f64;
        self.steps - (taken as usize).min(self.steps)
    }
}

impl Experts {
    /// Makes the latents of `run`.
    pub fn sample(&self, run: &Run<'_>, task: Task<'_>) -> Result<Made, PipelineError> {
        stoppable(task.cancel, || self.run(run, task)).map_err(|error| {
            // A stop inside the model comes out as an error of its own.
            match task.check() {
                Err(cancelled) => cancelled.into(),
                Ok(()) => error,
            }
        })
    }

    fn run(&self, run: &Run<'_>, task: Task<'_>) -> Result<Made, PipelineError> {
        let prompt = padded(run.prompt)?;
        let subjects = match &run.subjects {
            Some(subjects) => subjects.texts.iter().map(padded).collect(),
            None => Ok(Vec::new()),
        }?;
        let negative = match (run.guidance.is_used(), run.negative) {
            (false, _) => None,
            (true, Some(negative)) => Some(padded(negative)?),
            (true, None) => {
                let text = "guidance needs a negative prompt, if an empty one";
                return Err(candle_core::Error::Msg(text.to_owned()).into());
            }
        };
        let first = run.first_step();
        let mut solver = Solver::new(run.scheduler, run.steps).starting_at(first);
        let mut cache = run.cache.map(|by| EasyCache::new(by, run.steps));
        let times = solver.schedule().timesteps.clone();
        let mut latents = match &run.start {
            None => run.noise.clone(),
            Some(start) => {
                let level = solver.schedule().sigmas.get(first).copied().unwrap_or(0.);
                let clean = (start.latents * f64::from(1. - level))?;
                (clean + (run.noise * f64::from(level))?)?
            }
        };
        for (step, time) in times.iter().copied().enumerate().skip(first) {
            task.step("Sampling", step, run.steps)?;
            if let Some(held) = &run.held {
                let level = solver.schedule().sigmas.get(step).copied().unwrap_or(0.);
                latents = held.at(level, run.noise, &latents)?;
            }
            let (model, low) = self.at(time, run.scheduler);
            let guided = run.guidance.at(step, run.steps, low);
            let wanted = 1 + usize::from(guided.is_some());
            let reused = match &mut cache {
                Some(cache) => cache.reuse(step, &latents)?.filter(|r| r.len() >= wanted),
                None => None,
            };
            let outputs = match reused {
                Some(outputs) => outputs,
                None => {
                    // What is not wanted is not wanted anywhere.
                    let mut texts = vec![(&prompt, &subjects[..])];
                    let negative = negative.as_ref().filter(|_| guided.is_some());
                    texts.extend(negative.map(|text| (text, &[][..])));
                    let outputs = texts
                        .into_iter()
                        .map(|text| ask(model, run, &latents, text, time, task))
                        .collect::<Result<Vec<_>, _>>()?;
                    if let Some(cache) = &mut cache {
                        cache.computed(&latents, outputs.clone())?;
                    }
                    outputs
                }
            };
            let velocity = match (guided, &outputs[..]) {
                (Some(scale), [prompt, negative, ..]) => {
                    Guidance::combine(prompt, negative, scale)?
                }
                (_, [prompt, ..]) => prompt.clone(),
                (_, []) => latents.zeros_like()?,
            };
            latents = solver.step(&velocity, &latents)?;
        }
        task.step("Sampling", run.steps, run.steps)?;
        if let Some(held) = &run.held {
            latents = held.at(0., run.noise, &latents)?;
        }
        Ok(Made {
            latents: run.condition.applied(&latents)?,
            cached: cache.map(|c| (c.reused(), c.worst_error())),
        })
    }

    /// The transformer for `time`, and whether it is that for low noise.
    fn at(&self, time: f32, scheduler: &SchedulerConfig) -> (&Evaluator, bool) {
        match &self.low {
            Some((low, boundary)) if f64::from(time) < boundary * scheduler.train_steps as f64 => {
                (low, true)
            }
            _ => (&self.high, false),
        }
    }
}

impl Held<'_> {
    /// `latents` with what is known in its place, at noise level `level`.
    fn at(&self, level: f32, noise: &Tensor, latents: &Tensor) -> candle_core::Result<Tensor> {
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
    fn applied(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
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

/// The velocity that `model` gives for one text, and for those of the subjects.
fn ask(
    model: &Evaluator,
    run: &Run<'_>,
    latents: &Tensor,
    (text, subjects): (&Tensor, &[Tensor]),
    time: f32,
    task: Task<'_>,
) -> candle_core::Result<Tensor> {
    let latents = match run.condition {
        Condition::Channels(channels) => Tensor::cat(&[latents, channels], 1)?,
        _ => run.condition.applied(latents)?,
    };
    let timesteps = match run.condition {
        Condition::Given { free, .. } => {
            let times = (token_values(free, model.config().patch_size)? * f64::from(time))?;
            Timesteps::per_token(&times.to_vec1()?)
        }
        _ => Timesteps::whole(time),
    };
    let inputs = Inputs {
        latents: &latents,
        timesteps: &timesteps,
        text,
        image: run.image,
        control: run.control,
        regions: run.subjects.map(|s| s.regions),
        subjects,
    };
    model.forward(&inputs, &mut || {
        task.check().map_err(candle_core::Error::wrap)
    })
}

/// The value of `mask` [1, 1, frames, rows, columns] at the first place of each
/// token: [tokens].
fn token_values(mask: &Tensor, patch: [usize; 3]) -> candle_core::Result<Tensor> {
    let (_, _, t, h, w) = mask.dims5()?;
    let every = |length: usize, by: usize| {
        let indices: Vec<u32> = (0..length).step_by(by).map(|i| i as u32).collect();
        Tensor::new(indices, mask.device())
    };
    mask.reshape((t, h, w))?
        .index_select(&every(t, patch[0])?, 0)?
        .index_select(&every(h, patch[1])?, 1)?
        .index_select(&every(w, patch[2])?, 2)?
        .flatten_all()?
        .to_dtype(DType::F32)
}

/// `text` [1, m, width] with zeros behind it up to the length that the models were
/// trained with; cut there if it is longer.
fn padded(text: &Tensor) -> candle_core::Result<Tensor> {
    let length = text.dim(1)?;
    if length >= TEXT_TOKENS {
        return text.narrow(1, 0, TEXT_TOKENS);
    }
    text.pad_with_zeros(1, 0, TEXT_TOKENS - length)
}
