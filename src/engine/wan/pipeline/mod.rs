//! From noise to latents: the model asked at every step of a schedule. All of it runs
//! where the model is: on a GPU in the object that has it (`kernels/transformer`), to
//! which a run crosses once, see [`message`].

pub mod message;
mod run;

use candle_core::{DType, Tensor};

use super::config::TransformerConfig;
use super::transformer::{Inputs, Timesteps, Transformer};
use crate::device::{Task, stoppable};
use crate::sampler::{EasyCache, SchedulerConfig, Solver, Velocity};

pub use run::{Condition, Held, Made, PipelineError, Run, Start, Subjects};

/// Text tokens that the published models were trained with; shorter prompts have
/// zeros behind them.
pub const TEXT_TOKENS: usize = 512;
/// What a run says that it does.
pub const SAMPLING: &str = "Sampling";

/// What gives velocities.
pub trait Model {
    /// What it is like.
    fn config(&self) -> &TransformerConfig;

    /// The velocity, [1, out_channels, frames, rows, columns] in f32. `check` is asked now
    /// and then whether to go on; its error ends it.
    fn velocity(
        &self,
        inputs: &Inputs<'_>,
        check: &mut dyn FnMut() -> candle_core::Result<()>,
    ) -> candle_core::Result<Tensor>;
}

impl Model for Transformer {
    fn config(&self) -> &TransformerConfig {
        self.config()
    }

    fn velocity(
        &self,
        inputs: &Inputs<'_>,
        check: &mut dyn FnMut() -> candle_core::Result<()>,
    ) -> candle_core::Result<Tensor> {
        self.forward(inputs, &mut |_, _| check())
    }
}

/// A model of one transformer, or of two that share the noise levels.
pub struct Experts<M> {
    /// The only one, or that for high noise.
    pub high: M,
    /// That for low noise, with the part of the trained time steps below which it
    /// takes over (Wan 2.2 A14B: .875 for text, .9 for images).
    pub low: Option<(M, f64)>,
}

impl<M: Model> Experts<M> {
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
            task.step(SAMPLING, step, run.steps)?;
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
                (Some(scale), [prompt, negative, ..]) => Velocity {
                    prompt,
                    negative: Some((negative, scale)),
                },
                (_, [prompt, ..]) => prompt.into(),
                (_, []) => {
                    let text = "the model gave no velocity";
                    return Err(candle_core::Error::Msg(text.to_owned()).into());
                }
            };
            latents = solver.step(velocity, &latents)?;
        }
        task.step(SAMPLING, run.steps, run.steps)?;
        if let Some(held) = &run.held {
            latents = held.at(0., run.noise, &latents)?;
        }
        Ok(Made {
            latents: run.condition.applied(&latents)?,
            cached: cache.map(|c| (c.reused(), c.worst_error())),
        })
    }

    /// The transformer for `time`, and whether it is that for low noise.
    fn at(&self, time: f32, scheduler: &SchedulerConfig) -> (&M, bool) {
        match &self.low {
            Some((low, boundary)) if f64::from(time) < boundary * scheduler.train_steps as f64 => {
                (low, true)
            }
            _ => (&self.high, false),
        }
    }
}

/// The velocity that `model` gives for one text, and for those of the subjects.
fn ask(
    model: &impl Model,
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
    model.velocity(&inputs, &mut || {
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
