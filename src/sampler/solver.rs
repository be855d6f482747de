//! From noise to latents, step by step.

use candle_core::{Result, Tensor};

use super::euler;
use super::guidance::Velocity;
use super::scheduler::{Method, SchedulerConfig};
use super::unipc::UniPc;

/// Noise levels and times of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// One level a step and the last, 0: falling, in 0..=1.
    pub sigmas: Vec<f32>,
    /// The time that the model is told at each step, in 0..=1000.
    pub timesteps: Vec<f32>,
}

impl Schedule {
    /// The levels of `steps` steps, as the reference's scheduler has them.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        match &config.method {
            Method::Euler => euler::schedule(config, steps),
            Method::UniPc(_) => super::unipc::schedule(config, steps),
        }
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }
}

/// σ → sσ / (1 + (s − 1)σ).
pub(super) fn shifted(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

/// A solver under way.
pub struct Solver {
    schedule: Schedule,
    unipc: Option<UniPc>,
    next: usize,
}

impl Solver {
    /// A solver at its first step of `steps`.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        let unipc = match &config.method {
            Method::Euler => None,
            Method::UniPc(settings) => Some(UniPc::new(settings.clone())),
        };
        Self {
            schedule: Schedule::new(config, steps),
            unipc,
            next: 0,
        }
    }

    /// Begins at step `step` of the schedule, as where a picture is given that has the
    /// noise of that step's level.
    pub fn starting_at(mut self, step: usize) -> Self {
        self.next = step;
        self
    }

    /// Noise levels and times.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The next sample from `sample` (f32) and the model's `velocity` there. Fails behind
    /// the last step.
    pub fn step<'v>(
        &mut self,
        velocity: impl Into<Velocity<'v>>,
        sample: &Tensor,
    ) -> Result<Tensor> {
        let velocity = velocity.into();
        if self.next >= self.schedule.steps() {
            candle_core::bail!("the solver is done after {} steps", self.next);
        }
        let step = self.next;
        self.next += 1;
        match &mut self.unipc {
            None => euler::step(&self.schedule, step, velocity, sample),
            Some(unipc) => unipc.step(&self.schedule, step, velocity, sample),
        }
    }
}
