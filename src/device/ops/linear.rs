//! Linear layers with the activation behind them.

use std::ops::Range;

use candle_core::{CpuStorage, D, DType, Result, Shape, Storage, Tensor};
use candle_nn::{Init, VarBuilder};
use half::{bf16, f16};
use rayon::prelude::*;

use super::accelerated::asked;
use super::activation::gelu_tanh_all;
use super::packed::PackedRows;
use super::product::Packed;
use super::values::{is_ours, tensor, with_values};
use crate::device::{Stop, install};

/// Rows of input that a thread takes through all outputs at a time. The same for any
/// number of threads, and so is the result.
const ROWS: usize = 192;
/// Outputs whose weights pass together: they stay in the second cache.
const OUTPUTS: usize = 96;

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

/// A matrix, [output, input].
#[derive(Clone, Debug)]
enum Weight {
    /// In the type that the builder has: f32, or 16 bits that are widened in use.
    Dense(Tensor),
    /// Of 8 bits and fewer, widened in use.
    Packed(PackedRows),
}

impl Weight {
    fn sides(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(weight) => weight.dims2(),
            Self::Packed(rows) => {
                let [output, input] = rows.sides();
                Ok((output, input))
            }
        }
    }
}

/// `activation(x · weightᵀ + bias)`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Weight,
    bias: Tensor,
    /// The same in the weights' type, where they are of 16 bits and on a GPU.
    narrow_bias: Option<Tensor>,
    activation: Activation,
}

/// The tensor `name` in f32, whatever type the builder keeps matrices in.
pub fn full(vb: &VarBuilder<'_>, shape: impl Into<Shape>, name: &str) -> Result<Tensor> {
    vb.get_with_hints_dtype(shape, name, Init::default(), DType::F32)
}

impl Linear {
    /// A layer of `weight` [output, input] and `bias` [output] in f32, zeros where there
    /// is none.
    ///
    /// # Errors
    /// Where `weight` is no matrix.
    pub fn new(weight: Tensor, bias: Option<Tensor>, activation: Activation) -> Result<Self> {
        let (output, _) = weight.dims2()?;
        let bias = match bias {
            Some(bias) => bias,
            None => Tensor::zeros(output, DType::F32, weight.device())?,
        };
        Ok(Self {
            weight: Weight::Dense(weight),
            bias,
            narrow_bias: None,
            activation,
        })
    }

    /// Loads `weight` [output, input] and `bias` [output] at `vb`. A weight that `vb`
    /// has packed stays so, see [`PackedRows`].
    pub fn load(
        input: usize,
        output: usize,
        activation: Activation,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let weight = match PackedRows::load(output, input, vb)? {
            Some(rows) => Weight::Packed(rows),
            None => Weight::Dense(vb.get((output, input), "weight")?),
        };
        let bias = full(vb, output, "bias")?;
        let narrow_bias = match &weight {
            Weight::Dense(weight) if is_narrow(weight) && !weight.device().is_cpu() => {
                Some(bias.to_dtype(weight.dtype())?)
            }
            _ => None,
        };
        Ok(Self {
            weight,
            bias,
            narrow_bias,
            activation,
        })
    }

    /// `x` [.., input] in f32 or the weights' type → [.., output] in the same.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !is_ours(x) {
            let own = self.own_way(x)?;
            return own.map_or_else(|| self.plainly(x), Ok);
        }
        let (output, input) = self.weight.sides()?;
        let mut shape = x.dims().to_vec();
        if shape.pop() != Some(input) {
            candle_core::bail!("{:?} does not end in {input} channels", x.dims());
        }
        let rows = shape.iter().product::<usize>();
        shape.push(output);
        let stop = Stop::here();
        stop.check()?;
        let mut out = vec![0f32; rows * output];
        let layer = Ready::new(self)?;
        with_values(x, |x| {
            install(|| {
                out.par_chunks_mut(ROWS * output)
                    .zip(x.par_chunks(ROWS * input))
                    .for_each(|(out, x)| layer.apply(x, out, &stop));
            });
        })?;
        stop.check()?;
        tensor(out, &shape)
    }

    /// `next` after this layer, [.., input] → [.., next's output], with no more than
    /// some rows of what lies between in memory at once.
    pub fn forward_through(&self, next: &Self, x: &Tensor) -> Result<Tensor> {
        if !is_ours(x) {
            return next.forward(&self.forward(x)?);
        }
        let (between, input) = self.weight.sides()?;
        let (output, expected) = next.weight.sides()?;
        if expected != between || x.dim(D::Minus1)? != input {
            candle_core::bail!("layers of {input}, {between}, {expected} do not follow");
        }
        let mut shape = x.dims().to_vec();
        let rows = x.elem_count() / input;
        shape.pop();
        shape.push(output);
        let stop = Stop::here();
        stop.check()?;
        let mut out = vec![0f32; rows * output];
        let (first, second) = (Ready::new(self)?, Ready::new(next)?);
        with_values(x, |x| {
            install(|| {
                out.par_chunks_mut(ROWS * output)
                    .zip(x.par_chunks(ROWS * input))
                    .for_each_init(Vec::new, |hidden: &mut Vec<f32>, (out, x)| {
                        hidden.resize(x.len() / input * between, 0.0);
                        first.apply(x, hidden, &stop);
                        second.apply(hidden, out, &stop);
                    });
            });
        })?;
        stop.check()?;
        tensor(out, &shape)
    }

    /// The same as the device does it itself.
    fn own_way(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let Weight::Dense(weight) = &self.weight else {
            return Ok(None);
        };
        if !is_narrow(weight) {
            return Ok(None);
        }
        let bias = match &self.narrow_bias {
            Some(bias) if bias.dtype() == x.dtype() => bias.clone(),
            _ => self.bias.to_dtype(x.dtype())?,
        };
        asked(|ways| ways.linear(x, weight, &bias, self.activation))
    }

    /// The same by candle alone, on any device.
    fn plainly(&self, x: &Tensor) -> Result<Tensor> {
        let weight = match &self.weight {
            Weight::Dense(weight) => weight.clone(),
            Weight::Packed(rows) => rows.dense()?,
        };
        let bias = self.bias.to_dtype(x.dtype())?;
        linear(x, &weight, &bias, self.activation)
    }
}

/// As [`Linear::forward`], by candle alone on any device: `x` [.., input], `weight`
/// [output, input], `bias` [output] in the type of `x` → [.., output] in that type.
///
/// # Errors
/// Where the shapes do not go together, or memory is short.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    let y = product(x, weight)?.broadcast_add(bias)?;
    match activation {
        Activation::None => Ok(y),
        Activation::Gelu => y.gelu_erf(),
        Activation::GeluTanh => y.gelu(),
        Activation::Silu => y.silu(),
    }
}

/// `x` times `weight` [output, input], in the type of `x`. On a GPU weights of 16 bits are
/// not widened: they and what they are multiplied with go to the tensor cores as they
/// are, as in the reference.
fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let kind = if is_narrow(weight) && !x.device().is_cpu() {
        weight.dtype()
    } else {
        x.dtype()
    };
    let (x, weight, wide) = (x.to_dtype(kind)?, weight.to_dtype(kind)?, x.dtype());
    x.broadcast_matmul(&weight.t()?)?.to_dtype(wide)
}

/// Whether its numbers are of 16 bits.
fn is_narrow(weight: &Tensor) -> bool {
    matches!(weight.dtype(), DType::BF16 | DType::F16)
}

/// A layer whose weights are wide and arranged for the product. Made anew for each
/// use: the arranging costs little beside the product, and the weights stay small.
struct Ready {
    /// `OUTPUTS` outputs each.
    groups: Vec<Packed>,
    bias: Vec<f32>,
    sides: [usize; 2],
    activation: Activation,
}

impl Ready {
    fn new(linear: &Linear) -> Result<Self> {
        let (output, input) = linear.weight.sides()?;
        Ok(Self {
            groups: match &linear.weight {
                Weight::Dense(weight) => dense(weight)?,
                Weight::Packed(rows) => unpacked(rows)?,
            },
            bias: linear.bias.to_vec1()?,
            sides: [output, input],
            activation: linear.activation,
        })
    }

    /// Rows `x` to rows `out`.
    fn apply(&self, x: &[f32], out: &mut [f32], stop: &Stop) {
        let [output, input] = self.sides;
        let rows = x.len() / input;
        for (i, group) in self.groups.iter().enumerate() {
            if stop.asked() {
                return;
            }
            let at = i * OUTPUTS;
            group.multiply(x, input, rows, &mut out[at..], output);
            // While they are in the second cache.
            let bias = &self.bias[at..output.min(at + OUTPUTS)];
            for row in out[at..].chunks_mut(output) {
                let row = &mut row[..bias.len()];
                for (x, bias) in row.iter_mut().zip(bias) {
                    *x += bias;
                }
                activate(self.activation, row);
            }
        }
    }
}

/// The groups of a matrix of f32 or 16 bits.
fn dense(weight: &Tensor) -> Result<Vec<Packed>> {
    let (output, input) = weight.dims2()?;
    let weight = weight.contiguous()?;
    let (storage, layout) = weight.storage_and_layout();
    let from = layout.start_offset();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("weights on the CPU are needed");
    };
    match storage {
        CpuStorage::F32(w) => groups(output, |_, outputs, group| {
            let rows = from + outputs.start * input..from + outputs.end * input;
            group.refill(input, outputs.len(), &w[rows]);
            Ok(())
        }),
        CpuStorage::F16(w) => widened(&w[from..], output, input, f16::to_f32),
        CpuStorage::BF16(w) => widened(&w[from..], output, input, bf16::to_f32),
        _ => candle_core::bail!("weights of f32, f16 or bf16 are needed"),
    }
}

/// The groups of a matrix of 16 bits.
fn widened<T: Copy + Sync>(
    weights: &[T],
    output: usize,
    input: usize,
    wide: impl Fn(T) -> f32 + Sync,
) -> Result<Vec<Packed>> {
    groups(output, |rows, outputs, group| {
        rows.clear();
        let narrow = &weights[outputs.start * input..outputs.end * input];
        rows.extend(narrow.iter().map(|w| wide(*w)));
        group.refill(input, outputs.len(), rows);
        Ok(())
    })
}

/// The groups of a packed matrix.
fn unpacked(packed: &PackedRows) -> Result<Vec<Packed>> {
    let [output, input] = packed.sides();
    groups(output, |rows, outputs, group| {
        rows.resize(outputs.len() * input, 0.);
        packed.widen(outputs.clone(), rows)?;
        group.refill(input, outputs.len(), rows);
        Ok(())
    })
}

/// Weights in groups of outputs, each filled by `fill` with those of the outputs that it
/// is told; it may work in the memory that it is given.
fn groups(
    output: usize,
    fill: impl Fn(&mut Vec<f32>, Range<usize>, &mut Packed) -> Result<()> + Sync,
) -> Result<Vec<Packed>> {
    let firsts: Vec<usize> = (0..output).step_by(OUTPUTS).collect();
    install(|| {
        let groups = firsts.into_par_iter().map_init(Vec::new, |rows, first| {
            let mut group = Packed::default();
            fill(rows, first..output.min(first + OUTPUTS), &mut group)?;
            Ok(group)
        });
        groups.collect()
    })
}

fn activate(activation: Activation, row: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::GeluTanh => gelu_tanh_all(row),
        Activation::Gelu => {
            for x in row {
                *x *= 0.5 * (1.0 + libm::erff(*x * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
        Activation::Silu => {
            for x in row {
                *x = super::activation::silu(*x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ops::testing::scattered;
    use candle_core::Device;

    fn linear(input: usize, output: usize, activation: Activation, dtype: DType) -> Linear {
        let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.) * 0.0007;
        let values = |n: usize| (0..n).map(number).collect::<Vec<_>>();
        let weight = tensor(values(input * output), &[output, input]).unwrap();
        Linear {
            weight: Weight::Dense(weight.to_dtype(dtype).unwrap()),
            bias: tensor(values(output), &[output]).unwrap(),
            narrow_bias: None,
            activation,
        }
    }

    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        let most = |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
        let difference: f32 = most((a - b).unwrap());
        difference / most(b.clone())
    }

    #[test]
    fn every_way_gives_what_candle_gives() {
        for (rows, input, output) in [(1, 3, 5), (2 * ROWS + 7, 33, 70), (5, 16, 3 * OUTPUTS + 9)] {
            let x = scattered(&[1, rows, input], 0.0);
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                for activation in [
                    Activation::None,
                    Activation::Gelu,
                    Activation::GeluTanh,
                    Activation::Silu,
                ] {
                    let layer = linear(input, output, activation, dtype);
                    let next = linear(output, 9, Activation::None, dtype);
                    let found = layer.forward(&x).unwrap();
                    let plain = layer.plainly(&x).unwrap();
                    let error = apart(&found, &plain);
                    assert!(error < 2e-6, "{activation:?} {dtype:?}: {error}");
                    let through = layer.forward_through(&next, &x).unwrap();
                    let error = apart(&through, &next.plainly(&plain).unwrap());
                    assert!(error < 5e-6, "{activation:?} {dtype:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let layer = linear(3, 5, Activation::None, DType::F32);
        let x = Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(layer.forward(&x).is_err());
        assert!(layer.forward_through(&layer, &x).is_err());
    }
}
