//! Linear layers with the activation behind them.

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};

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
    /// In the type that the builder has: f32, or 16 bits that are widened in use.
    weight: Tensor,
    bias: Tensor,
    activation: Activation,
}

/// The tensor `name` in f32, whatever type the builder keeps matrices in.
pub fn full(vb: &VarBuilder<'_>, shape: impl Into<Shape>, name: &str) -> Result<Tensor> {
    vb.get_with_hints_dtype(shape, name, Init::default(), DType::F32)
}

impl Linear {
    /// Loads `weight` [output, input] and `bias` [output] at `vb`.
    pub fn load(
        input: usize,
        output: usize,
        activation: Activation,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            weight: vb.get((output, input), "weight")?,
            bias: full(vb, output, "bias")?,
            activation,
        })
    }

    /// `x` [.., input] in f32 → [.., output].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x
            .broadcast_matmul(&self.weight.to_dtype(DType::F32)?.t()?)?
            .broadcast_add(&self.bias)?;
        match self.activation {
            Activation::None => Ok(y),
            Activation::Gelu => y.gelu_erf(),
            Activation::GeluTanh => y.gelu(),
            Activation::Silu => y.silu(),
        }
    }
}
