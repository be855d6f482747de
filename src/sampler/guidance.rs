//! Classifier-free guidance (Ho and Salimans, 2022).

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// How strongly the prompt counts against the negative prompt, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guidance {
    /// 1 for none; the negative prompt is then not asked.
    pub scale: f64,
    /// The scale of the expert for low noise, where the model has two.
    pub scale_low: Option<f64>,
    /// The part of the steps that is guided, 0 to 1. The last steps change detail
    /// alone: leaving them unguided saves half of their time.
    pub until: f64,
}

impl Default for Guidance {
    /// Wan's own: 5, at every step.
    fn default() -> Self {
        Self {
            scale: 5.0,
            scale_low: None,
            until: 1.0,
        }
    }
}

impl Guidance {
    /// Whether any step asks the negative prompt. As in the reference, the scale of
    /// the first expert decides for both.
    pub fn is_used(&self) -> bool {
        self.scale > 1.0 && self.until > 0.0
    }

    /// The scale at step `step` of `steps`, if that step is guided.
    pub fn at(&self, step: usize, steps: usize, low_noise: bool) -> Option<f64> {
        let guided = self.is_used() && (step as f64) < self.until * steps as f64;
        let low = self.scale_low.filter(|_| low_noise);
        guided.then(|| low.unwrap_or(self.scale))
    }
}

/// What the model said of a sample: tensors in f32, of the sample's shape.
#[derive(Clone, Copy)]
pub struct Velocity<'a> {
    /// With the prompt.
    pub prompt: &'a Tensor,
    /// With the negative prompt, and the scale of guidance, where the step is guided.
    pub negative: Option<(&'a Tensor, f64)>,
}

impl<'a> From<&'a Tensor> for Velocity<'a> {
    fn from(prompt: &'a Tensor) -> Self {
        Self {
            prompt,
            negative: None,
        }
    }
}

impl Velocity<'_> {
    /// negative + scale · (prompt − negative).
    pub(super) fn combined(&self) -> Result<Tensor> {
        match self.negative {
            Some((negative, scale)) => negative + ((self.prompt - negative)? * scale)?,
            None => Ok(self.prompt.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_can_be_dropped_late_and_differ_by_expert() {
        let guidance = Guidance {
            scale: 4.0,
            scale_low: Some(3.0),
            until: 0.5,
        };
        let at = |step, low| guidance.at(step, 10, low);
        assert_eq!((at(0, false), at(4, true)), (Some(4.0), Some(3.0)));
        assert_eq!((at(5, false), at(9, true)), (None, None));
        let none = Guidance {
            scale: 1.0,
            ..Guidance::default()
        };
        assert_eq!(none.at(0, 10, false), None);
    }
}
