//! Linear layers with the activation behind them.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

/// What is applied to a layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// GELU with the error function.
    Gelu,
    /// GELU in its tanh approximation.
    GeluTanh,
    /// x · sigmoid(x).
    Silu,
}

/// `activation(x · weightᵀ + bias)`.
#[derive(Clone, Debug)]
pub struct Linear {
    inner: candle_nn::Linear,
    activation: Activation,
}

impl Linear {
    /// Loads `weight` [output, input] and `bias` [output] at `vb`.
    pub fn load(
        input: usize,
        output: usize,
        activation: Activation,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let weight = vb.get((output, input), "weight")?;
        let bias = vb.get(output, "bias")?;
        Ok(Self {
            inner: candle_nn::Linear::new(weight, Some(bias)),
            activation,
        })
    }

    /// `x` [.., input] → [.., output].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.inner.forward(x)?;
        match self.activation {
            Activation::None => Ok(y),
            Activation::Gelu => y.gelu_erf(),
            Activation::GeluTanh => y.gelu(),
            Activation::Silu => y.silu(),
        }
    }
}
