//! A solver's step in one pass over memory, see [`ops::sampler_step`].

use candle_core::{Result, Tensor};
use longtake_kernels::sampler_step::{Reads, Update, Weights};

use super::guidance::Velocity;
use crate::device::ops::{self, Stepped};

/// What a step reads.
pub(super) struct Step<'a> {
    pub(super) velocity: Velocity<'a>,
    pub(super) sample: &'a Tensor,
    /// The level that it begins at.
    pub(super) sigma: f64,
    /// Where the last step began; for a corrector.
    pub(super) from: Option<&'a Tensor>,
    /// Clean samples of earlier steps, the latest first; at most three.
    pub(super) earlier: Vec<&'a Tensor>,
    pub(super) update: Update,
}

impl Step<'_> {
    /// Makes the step; none where that is to be done tensor by tensor.
    pub(super) fn make(&self) -> Result<Option<Stepped>> {
        if self.earlier.len() > 3 {
            return Ok(None);
        }
        let (negative, scale) = self.velocity.negative.unzip();
        let reads = Reads {
            prompt: self.velocity.prompt,
            negative,
            sample: self.sample,
            from: self.from,
            earlier: [0, 1, 2].map(|i| self.earlier.get(i).copied()),
            keep: None,
        };
        let weights = Weights {
            scale: scale.unwrap_or(1.0) as f32,
            sigma: self.sigma as f32,
            update: self.update,
        };
        ops::sampler_step(&weights, &reads)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::sampler::{
        Method, Place, SchedulerConfig, Solver, UniPcSettings, UniPcVariant, noise,
    };

    /// A tensor that is no piece of memory: its numbers lie in another order.
    fn scattered(t: &Tensor) -> Tensor {
        let last = t.rank() - 1;
        let turned = t.transpose(last - 1, last).unwrap().contiguous().unwrap();
        turned.transpose(last - 1, last).unwrap()
    }

    #[test]
    fn one_pass_gives_what_tensor_by_tensor_gives() {
        let unipc = |order| {
            Method::UniPc(UniPcSettings {
                order,
                variant: UniPcVariant::Bh2,
                lower_order_final: true,
                disable_corrector: vec![1],
            })
        };
        for method in [Method::Euler, unipc(1), unipc(2), unipc(3)] {
            let config = SchedulerConfig {
                method,
                shift: 3.0,
                train_steps: 1000,
            };
            let [mut fast, mut slow] = [Solver::new(&config, 7), Solver::new(&config, 7)];
            let draw = |seed| noise(seed, Place::default(), [3, 2, 4, 5], &Device::Cpu).unwrap();
            let [mut a, mut b] = [draw(99), scattered(&draw(99))];
            for seed in 0..7 {
                let (prompt, negative) = (draw(seed), draw(seed + 10));
                let guided = seed % 2 == 0;
                let velocity = Velocity {
                    prompt: &prompt,
                    negative: guided.then_some((&negative, 5.5)),
                };
                a = fast.step(velocity, &a).unwrap();
                let [prompt, negative] = [scattered(&prompt), scattered(&negative)];
                let velocity = Velocity {
                    prompt: &prompt,
                    negative: guided.then_some((&negative, 5.5)),
                };
                b = slow.step(velocity, &scattered(&b)).unwrap();
                let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(values(&a), values(&b), "{:?}, step {seed}", config.method);
            }
        }
    }
}
