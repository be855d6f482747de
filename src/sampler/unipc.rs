//! UniPC: a unified predictor-corrector framework for fast sampling of diffusion
//! models (Zhao, Bai, Rao, Zhou, Lu; 2023), on the predicted clean sample of a flow.
//!
//! With α = 1 − σ and λ = ln α − ln σ, a step from s to t has h = λₜ − λₛ. The
//! predictor extrapolates clean samples of earlier steps; once the model has been
//! asked at t, the corrector takes the step again with what it said there.

use candle_core::{Result, Tensor};
use longtake_kernels::sampler_step::{Sum, Update};

use super::guidance::Velocity;
use super::one_pass::Step;
use super::scheduler::{SchedulerConfig, UniPcSettings, UniPcVariant};
use super::solver::{Schedule, shifted};
use crate::device::ops::Stepped;

/// Levels evenly spaced over the trained range without its end, then shifted. The
/// model is told whole times.
pub fn schedule(config: &SchedulerConfig, steps: usize) -> Schedule {
    let train = config.train_steps as f64;
    let mut levels: Vec<f64> = (0..steps)
        .map(|i| {
            let sigma = 1.0 + (1.0 / train - 1.0) * (i as f64 / steps as f64);
            shifted(sigma, config.shift)
        })
        .collect();
    // At exactly 1 nothing is left of the picture and λ has no value.
    if let Some(first) = levels.first_mut().filter(|s| (**s - 1.0).abs() < 1e-6) {
        *first -= 1e-6;
    }
    let timesteps = levels.iter().map(|s| (s * train).trunc() as f32).collect();
    let sigmas = levels.iter().map(|s| *s as f32).chain([0.0]).collect();
    Schedule { sigmas, timesteps }
}

/// The state between steps.
pub struct UniPc {
    settings: UniPcSettings,
    /// Clean samples predicted at the latest steps, the latest last.
    clean: Vec<Tensor>,
    /// Where the latest step began, and of which order it was.
    last: Option<(Tensor, usize)>,
    /// Steps taken, up to the order.
    warm: usize,
}

impl UniPc {
    /// Before the first step.
    pub fn new(settings: UniPcSettings) -> Self {
        Self {
            settings,
            clean: Vec::new(),
            last: None,
            warm: 0,
        }
    }

    /// Step `step` of `schedule`; steps come in order.
    pub fn step(
        &mut self,
        schedule: &Schedule,
        step: usize,
        velocity: Velocity<'_>,
        sample: &Tensor,
    ) -> Result<Tensor> {
        let sigma = f64::from(schedule.sigmas[step]);
        let corrects = step > 0 && !self.settings.disable_corrector.contains(&(step - 1));
        let correct = match &self.last {
            Some((from, order)) if corrects => {
                let weights = self.weights(schedule, step - 1, *order, true);
                Some((from.clone(), weights))
            }
            _ => None,
        };
        let left = schedule.steps() - step;
        // At the last level, 0, only a step of order 1 has a value.
        let order = if self.settings.lower_order_final || left == 1 {
            self.settings.order.min(left)
        } else {
            self.settings.order
        };
        let order = order.min(self.warm + 1);
        let predict = self.weights(schedule, step, order, false);
        self.warm = (self.warm + 1).min(self.settings.order);

        let one = Step {
            velocity,
            sample,
            sigma,
            from: correct.as_ref().map(|(from, _)| from),
            earlier: self.clean.iter().rev().collect(),
            update: Update::UniPc {
                correct: correct.as_ref().map(|(_, w)| w.corrector(self.clean.len())),
                predict: predict
                    .predictor(self.clean.len().min(self.settings.order.saturating_sub(1))),
            },
        };
        let made = match one.make()? {
            Some(made) => made,
            None => self.by_tensors(velocity, sample, sigma, correct.as_ref(), &predict)?,
        };
        self.clean.push(made.clean);
        if self.clean.len() > self.settings.order {
            self.clean.remove(0);
        }
        self.last = Some((made.corrected, order));
        Ok(made.next)
    }

    /// The same step tensor by tensor, on any device.
    fn by_tensors(
        &self,
        velocity: Velocity<'_>,
        sample: &Tensor,
        sigma: f64,
        correct: Option<&(Tensor, Weights)>,
        predict: &Weights,
    ) -> Result<Stepped> {
        let clean = (sample - (velocity.combined()? * sigma)?)?;
        let corrected = match correct {
            Some((from, weights)) => {
                let earlier: Vec<&Tensor> = self.clean.iter().rev().collect();
                combine(weights, from, &earlier, Some(&clean))?
            }
            None => sample.clone(),
        };
        let latest = [&clean].into_iter().chain(self.clean.iter().rev());
        let latest: Vec<&Tensor> = latest.take(self.settings.order).collect();
        let next = combine(predict, &corrected, &latest, None)?;
        Ok(Stepped {
            next,
            clean,
            corrected,
        })
    }

    /// The weights of the step from level `from` to the one behind it.
    fn weights(&self, schedule: &Schedule, from: usize, order: usize, correct: bool) -> Weights {
        let level = |i: usize| {
            let sigma = schedule.sigmas[i];
            // Subtracted in f32, where the reference has its levels.
            (f64::from(1.0 - sigma), f64::from(sigma))
        };
        let lambda = |(alpha, sigma): (f64, f64)| libm::log(alpha) - libm::log(sigma);
        let (start, end) = (level(from), level(from + 1));
        let h = lambda(end) - lambda(start);
        let ratios: Vec<f64> = (1..order)
            .map(|i| (lambda(level(from - i)) - lambda(start)) / h)
            .collect();
        let phi = libm::expm1(-h);
        let b_h = match self.settings.variant {
            UniPcVariant::Bh1 => -h,
            UniPcVariant::Bh2 => phi,
        };
        let mut rhos = rhos(&ratios, -h, b_h, correct);
        let (alpha, sigma) = end;
        let new = match correct {
            true => rhos.pop().map_or(0.0, |rho| -alpha * b_h * rho),
            false => 0.0,
        };
        // Differences from the latest clean sample, over their distances.
        let earlier: Vec<f64> = rhos
            .iter()
            .zip(&ratios)
            .map(|(rho, ratio)| -alpha * b_h * rho / ratio)
            .collect();
        let latest = -alpha * phi - new - earlier.iter().sum::<f64>();
        Weights {
            sample: sigma / start.1,
            clean: [latest].into_iter().chain(earlier).collect(),
            new,
        }
    }
}

/// The weighted sum of where the step began, the clean samples from the latest back,
/// and the clean sample at its end.
fn combine(
    weights: &Weights,
    sample: &Tensor,
    clean: &[&Tensor],
    new: Option<&Tensor>,
) -> Result<Tensor> {
    let mut sum = (sample * weights.sample)?;
    for (weight, clean) in weights.clean.iter().zip(clean) {
        sum = (sum + (*clean * *weight)?)?;
    }
    match new {
        Some(new) => sum + (new * weights.new)?,
        None => Ok(sum),
    }
}

/// What a step is made of.
struct Weights {
    sample: f64,
    clean: Vec<f64>,
    new: f64,
}

impl Weights {
    /// As a corrector, of `held` clean samples of earlier steps.
    fn corrector(&self, held: usize) -> Sum {
        Sum {
            new: self.new as f32,
            ..self.sum(&self.clean, held)
        }
    }

    /// As a predictor, whose latest clean sample is that of this step.
    fn predictor(&self, held: usize) -> Sum {
        let (new, earlier) = self.clean.split_first().unwrap_or((&0.0, &[]));
        Sum {
            new: *new as f32,
            ..self.sum(earlier, held)
        }
    }

    fn sum(&self, earlier: &[f64], held: usize) -> Sum {
        let mut sum = Sum {
            sample: self.sample as f32,
            count: earlier.len().min(held).min(3),
            ..Sum::default()
        };
        for (to, weight) in sum.earlier.iter_mut().zip(earlier) {
            *to = *weight as f32;
        }
        sum
    }
}

/// How much each difference counts: the solution of Σⱼ rⱼⁱ⁻¹ ρⱼ = bᵢ (equation 9 of
/// the paper), with r = 1 behind the others where the step's end is known. The
/// smallest cases are 1/2 in every published implementation.
fn rhos(ratios: &[f64], hh: f64, b_h: f64, correct: bool) -> Vec<f64> {
    let mut ratios = ratios.to_vec();
    if correct {
        ratios.push(1.0);
    }
    if ratios.len() <= 1 {
        return vec![0.5; ratios.len()];
    }
    let mut phi = libm::expm1(hh) / hh - 1.0;
    let mut factorial = 1.0;
    let mut rows = Vec::new();
    for i in 0..ratios.len() {
        let powers = ratios.iter().map(|r| libm::pow(*r, i as f64));
        let right = phi * factorial / b_h;
        rows.push(powers.chain([right]).collect::<Vec<f64>>());
        factorial *= (i + 2) as f64;
        phi = phi / hh - 1.0 / factorial;
    }
    solve(rows)
}

/// Solves a small linear system given as rows with the right side last, by
/// elimination with the largest pivot first.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))
            .unwrap_or(column);
        rows.swap(column, pivot);
        let pivot = rows[column].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            if i != column {
                let factor = row[column] / pivot[column];
                for (v, p) in row.iter_mut().zip(&pivot).skip(column) {
                    *v -= factor * p;
                }
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}
