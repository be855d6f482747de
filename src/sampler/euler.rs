//! Euler's method along the flow.

use candle_core::{Result, Tensor};
use longtake_kernels::sampler_step::Update;

use super::guidance::Velocity;
use super::one_pass::Step;
use super::scheduler::SchedulerConfig;
use super::solver::{Schedule, shifted};

/// Levels evenly spaced between the trained ends, then shifted. The lower end is
/// shifted twice, as the reference does it.
pub fn schedule(config: &SchedulerConfig, steps: usize) -> Schedule {
    let train = config.train_steps as f64;
    // The reference keeps the trained ends in f32.
    let shift = config.shift as f32;
    let end = |sigma: f32| f64::from(shift * sigma / (1.0 + (shift - 1.0) * sigma));
    let (highest, lowest) = (end(1.0), end((1.0 / train) as f32));
    let mut sigmas: Vec<f32> = (0..steps)
        .map(|i| {
            let along = i as f64 / steps.saturating_sub(1).max(1) as f64;
            shifted(highest + (lowest - highest) * along, config.shift) as f32
        })
        .collect();
    let timesteps = sigmas.iter().map(|s| s * train as f32).collect();
    sigmas.push(0.0);
    Schedule { sigmas, timesteps }
}

/// x + (σ' − σ) v.
pub fn step(
    schedule: &Schedule,
    step: usize,
    velocity: Velocity<'_>,
    sample: &Tensor,
) -> Result<Tensor> {
    let by = schedule.sigmas[step + 1] - schedule.sigmas[step];
    let one = Step {
        velocity,
        sample,
        sigma: f64::from(schedule.sigmas[step]),
        from: None,
        earlier: Vec::new(),
        update: Update::Euler { by },
    };
    match one.make()? {
        Some(made) => Ok(made.next),
        None => sample + (velocity.combined()? * f64::from(by))?,
    }
}
