//! Attention among the positions of a frame, around which the input is handed on.
//!
//! Each product is one of rows with rows, so queries, keys, and values turned round come
//! from convolutions of 1 × 1 as they are wanted. What a key's bias adds to scores is the
//! same for all keys, so it is left out; a value's bias passes through the weights, which
//! sum to 1, so it is added behind them.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use longtake_kernels::Number;
use longtake_kernels::driver::Buffer;
use longtake_kernels::softmax;

use super::queue::{Kernels, Queue};
use super::sum::{Norm, Sum, numbers};
use crate::engine::wan::vae::VaeError;

type Result<T> = std::result::Result<T, VaeError>;

/// Scores that are in memory at once, at most.
const SCORES: usize = 64 << 20;
/// Positions are made a multiple of so many, as tensor cores want it.
const WHOLE: usize = 8;

/// Attention with one head.
pub struct Attention<T: Number> {
    norm: Norm,
    queries: Kernels<T>,
    keys: Kernels<T>,
    values: Kernels<T>,
    out: Kernels<T>,
    /// Of the queries.
    asked: Buffer<f32>,
    /// Of what comes out.
    bias: Buffer<f32>,
}

impl<T: Number> Attention<T> {
    /// Hands the weights to the device.
    pub fn load(queue: &Queue<T>, vb: &VarBuilder<'_>, channels: usize) -> Result<Self> {
        let (both, proj) = (vb.pp("to_qkv"), vb.pp("proj"));
        let weight = both.get((3 * channels, channels, 1, 1), "weight")?;
        let biases = numbers(&both, &[3 * channels], "bias")?;
        let out = proj.get((channels, channels, 1, 1), "weight")?;
        // Scores are divided by the root of the channels.
        let scale = 1. / (channels as f32).sqrt();
        let part = |i: usize| weight.narrow(0, i * channels, channels);
        let kernels = |weight: &Tensor| Kernels::new(queue, weight);
        let asked: Vec<f32> = biases[..channels].iter().map(|b| b * scale).collect();
        let flat = out.flatten_all()?.to_vec1::<f32>()?;
        let mut bias = numbers(&proj, &[channels], "bias")?;
        for (row, bias) in flat.chunks_exact(channels).zip(&mut bias) {
            let passed = row.iter().zip(&biases[2 * channels..]).map(|(w, b)| w * b);
            *bias += passed.sum::<f32>();
        }
        Ok(Self {
            norm: Norm::load(queue, &vb.pp("norm"), channels, 2)?,
            queries: kernels(&(part(0)? * f64::from(scale))?)?,
            keys: kernels(&part(1)?)?,
            values: kernels(&part(2)?)?,
            out: kernels(&out)?,
            asked: queue.stream().upload(&asked)?,
            bias: queue.stream().upload(&bias)?,
        })
    }

    /// Of one frame.
    pub fn step<'a>(&'a self, queue: &mut Queue<T>, x: Sum<'_, T>) -> Result<Sum<'a, T>> {
        let (size, channels) = (x.size, self.bias.len());
        let positions: usize = size.iter().product();
        let whole = positions.next_multiple_of(WHOLE);
        let mut normed = queue.take(whole * channels)?;
        let (used, more) = (positions * channels, (whole - positions) * channels);
        queue.stream().clear(&mut normed, used, more)?;
        let out = (self.norm.scale(false), normed.part_mut_of(0, used));
        let x = x.added(queue, Some(out))?;
        let queries = {
            let mut plain = queue.take(used)?;
            let (a, b) = (normed.part_of(0, used), self.queries.part());
            queue.product(a, b, channels, plain.part_mut())?;
            Sum::of(plain, &self.asked, size).added(queue, None)?
        };
        let mut keys = queue.take(whole * channels)?;
        let (a, b) = (normed.part(), self.keys.part());
        queue.product(a, b, channels, keys.part_mut())?;
        let mut values = queue.take(channels * whole)?;
        let (a, b) = (self.values.part(), normed.part());
        queue.product(a, b, channels, values.part_mut())?;
        let mut mixed = queue.take(used)?;
        let rows = (SCORES / whole).clamp(1, positions);
        for first in (0..positions).step_by(rows) {
            let rows = rows.min(positions - first);
            let mut scores = queue.take_wide(rows * whole)?;
            let asks = queries.part_of(first * channels, rows * channels);
            queue.product(asks, keys.part(), channels, scores.part_mut())?;
            let mut weights = queue.take(rows * whole)?;
            let stream = queue.stream();
            softmax::launch(
                stream,
                scores.part(),
                (whole, positions),
                weights.part_mut(),
            )?;
            let to = mixed.part_mut_of(first * channels, rows * channels);
            queue.product(weights.part(), values.part(), whole, to)?;
            queue.give(weights);
            queue.wide.give(scores);
        }
        let mut branch = queue.take(used)?;
        let (a, b) = (mixed.part(), self.out.part());
        queue.product(a, b, channels, branch.part_mut())?;
        queries.end(queue);
        for buffer in [normed, keys, values, mixed] {
            queue.give(buffer);
        }
        Ok(x.with(branch, &self.bias))
    }
}
