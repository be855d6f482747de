//! A solver's step in one pass over memory, by the twin of the kernel `sampler_step`,
//! where all tensors are f32 in the CPU's memory.

use candle_core::{CpuStorage, Device, Result, Storage, Tensor};
use longtake_kernels::sampler_step::{Reads, Update, Weights, Writes, sampler_step};

/// What a step reads.
pub(super) struct Step<'a> {
    pub(super) velocity: &'a Tensor,
    pub(super) sample: &'a Tensor,
    /// The level that it begins at.
    pub(super) sigma: f64,
    /// Where the last step began; for a corrector.
    pub(super) from: Option<&'a Tensor>,
    /// Clean samples of earlier steps, the latest first; at most three.
    pub(super) earlier: Vec<&'a Tensor>,
    pub(super) update: Update,
}

/// What a step makes.
pub(super) struct Made {
    pub(super) next: Tensor,
    pub(super) clean: Tensor,
    /// The sample itself where there is no corrector.
    pub(super) corrected: Tensor,
}

impl Step<'_> {
    /// Makes the step; none where a tensor lies elsewhere or is of another kind.
    pub(super) fn make(&self) -> Result<Option<Made>> {
        let all = [self.velocity, self.sample].into_iter();
        let all: Vec<&Tensor> = all.chain(self.from).chain(self.earlier.clone()).collect();
        let held: Vec<_> = all.iter().map(|t| t.storage_and_layout()).collect();
        let values: Option<Vec<&[f32]>> = held
            .iter()
            .map(|(storage, layout)| {
                let (start, end) = layout.contiguous_offsets()?;
                match &**storage {
                    Storage::Cpu(CpuStorage::F32(v)) => v.get(start..end),
                    _ => None,
                }
            })
            .collect();
        let alike = all.iter().all(|t| t.dims() == self.sample.dims());
        let Some(values) = values.filter(|_| alike && self.earlier.len() <= 3) else {
            return Ok(None);
        };
        let count = self.sample.elem_count();
        let [mut next, mut clean, mut corrected] = [(); 3].map(|()| vec![0f32; count]);
        let first = 2 + usize::from(self.from.is_some());
        let reads = Reads {
            prompt: values[0],
            negative: None,
            sample: values[1],
            from: self.from.map(|_| values[2]),
            earlier: [0, 1, 2].map(|i| values.get(first + i).copied()),
            keep: None,
        };
        let weights = Weights {
            scale: 1.0,
            sigma: self.sigma as f32,
            update: self.update,
        };
        let mut writes = Writes {
            next: &mut next[..],
            clean: Some(&mut clean[..]),
            corrected: Some(&mut corrected[..]),
        };
        sampler_step(&weights, &reads, &mut writes);
        let tensor = |v: Vec<f32>| Tensor::from_vec(v, self.sample.dims(), &Device::Cpu);
        Ok(Some(Made {
            next: tensor(next)?,
            clean: tensor(clean)?,
            corrected: tensor(corrected)?,
        }))
    }
}

#[cfg(test)]
mod tests {
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
                let velocity = draw(seed);
                a = fast.step(&velocity, &a).unwrap();
                b = slow.step(&scattered(&velocity), &scattered(&b)).unwrap();
                let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(values(&a), values(&b), "{:?}, step {seed}", config.method);
            }
        }
    }
}
