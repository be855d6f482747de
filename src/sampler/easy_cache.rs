//! EasyCache (Zhou et al., 2025): steps at which the model would say what it said
//! before are not computed. Off unless asked for; what it may have cost is told.

use candle_core::{Result, Tensor};

/// Pairs that are computed whatever they say.
const WARM_UP: usize = 10;

/// The cache of one run.
pub struct EasyCache {
    threshold: f64,
    steps: usize,
    /// Input and outputs of the last computed step.
    last: Option<(Tensor, Vec<Tensor>)>,
    /// Input of the step before, computed or not.
    before: Option<Tensor>,
    /// How the output changes with the input, from the last two computed steps.
    rate: Option<f64>,
    error: f64,
    worst: f64,
    reused: usize,
}

impl EasyCache {
    /// A cache for `steps` steps that reuses while the estimated relative error of
    /// the velocity stays below `threshold` (0 to compute all).
    pub fn new(threshold: f64, steps: usize) -> Self {
        Self {
            threshold,
            steps,
            last: None,
            before: None,
            rate: None,
            error: 0.0,
            worst: 0.0,
            reused: 0,
        }
    }

    /// The outputs for input `x` at step `step` without asking the model, if that
    /// will do: those of the last computed step with the same distance from the
    /// input. As many as were given to [`computed`](Self::computed).
    pub fn reuse(&mut self, step: usize, x: &Tensor) -> Result<Option<Vec<Tensor>>> {
        let before = self.before.replace(x.clone());
        if step < WARM_UP || step + 1 >= self.steps {
            return Ok(None);
        }
        let (Some((input, outputs)), Some(before), Some(rate)) = (&self.last, before, self.rate)
        else {
            return Ok(None);
        };
        let Some(first) = outputs.first() else {
            return Ok(None);
        };
        let moved = norm(&(x - before)?)?;
        let error = self.error + rate * moved / norm(first)?.max(f64::MIN_POSITIVE);
        if error.is_nan() || error >= self.threshold {
            self.error = 0.0;
            return Ok(None);
        }
        self.error = error;
        self.worst = self.worst.max(error);
        self.reused += 1;
        let offset = (x - input)?;
        let outputs = outputs.iter().map(|o| o + &offset).collect::<Result<_>>()?;
        Ok(Some(outputs))
    }

    /// Notes what the model gave for `x`, the prompt's output first.
    pub fn computed(&mut self, x: &Tensor, outputs: Vec<Tensor>) -> Result<()> {
        if let (Some((input, before)), Some(now)) = (&self.last, outputs.first())
            && let Some(before) = before.first()
        {
            let moved = norm(&(x - input)?)?;
            if moved > 0.0 {
                self.rate = Some(norm(&(now - before)?)? / moved);
            }
        }
        self.last = Some((x.clone(), outputs));
        Ok(())
    }

    /// Steps that were not computed.
    pub fn reused(&self) -> usize {
        self.reused
    }

    /// The largest estimated relative error of a velocity that was used.
    pub fn worst_error(&self) -> f64 {
        self.worst
    }
}

/// Sum of magnitudes.
fn norm(x: &Tensor) -> Result<f64> {
    let sum = x.abs()?.sum_all()?.to_scalar::<f32>()?;
    Ok(f64::from(sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Steps that are computed of 30, where the output is `rate` times the input.
    fn computed(threshold: f64, rate: f64) -> (Vec<usize>, f64) {
        let mut cache = EasyCache::new(threshold, 30);
        let mut asked = Vec::new();
        for step in 0..30 {
            let x = Tensor::new(&[1.0 + 0.01 * step as f32, -2.0], &Device::Cpu).unwrap();
            if cache.reuse(step, &x).unwrap().is_none() {
                asked.push(step);
                cache.computed(&x, vec![(&x * rate).unwrap()]).unwrap();
            }
        }
        assert_eq!(asked.len() + cache.reused(), 30);
        (asked, cache.worst_error())
    }

    #[test]
    fn nothing_is_reused_at_threshold_0() {
        assert_eq!(computed(0.0, 1.0).0.len(), 30);
    }

    #[test]
    fn the_first_ten_and_the_last_are_always_computed() {
        let (asked, _) = computed(1e9, 1.0);
        assert_eq!(asked, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 29]);
    }

    #[test]
    fn a_step_moves_a_third_of_a_percent_here_so_three_fit_under_one() {
        let (asked, error) = computed(0.01, 1.0);
        assert_eq!(asked[10..], [13, 17, 21, 25, 29]);
        assert!(error < 0.01);
    }

    #[test]
    fn what_is_reused_keeps_its_distance_from_the_input() {
        let mut cache = EasyCache::new(1e9, 30);
        let at = |v: f32| Tensor::new(&[v, 1.0], &Device::Cpu).unwrap();
        for (step, v) in [(0, 1.0), (1, 2.0)] {
            assert!(cache.reuse(step, &at(v)).unwrap().is_none());
            let out = |by: f64| (at(v) * by).unwrap();
            cache.computed(&at(v), vec![out(3.0), out(5.0)]).unwrap();
        }
        let found = cache.reuse(12, &at(2.5)).unwrap().unwrap();
        let values: Vec<Vec<f32>> = found.iter().map(|t| t.to_vec1().unwrap()).collect();
        assert_eq!(values, [[6.5, 3.0], [10.5, 5.0]]);
    }
}
