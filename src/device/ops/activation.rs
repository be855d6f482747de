//! The exponential function and what is made of it, over rows, the same bits on
//! every machine: the compiler's vectors of plain sums and products.

use candle_core::{Result, Tensor};

use super::values::{is_ours, tensor, with_values};
use crate::device::isa::vectorised;

/// `exp(x)`, within 2 units in the last place; 0 for `x` below -87, as large as
/// at 88 beyond it.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn exp(x: f32) -> f32 {
    // x = n·ln 2 + r; the constant rounds to a whole number by its size alone.
    const ROUND: f32 = 12_582_912.;
    let low = x < -87.;
    let x = x.clamp(-87., 88.);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * 0.693_359_375) - n * -2.121_944_4e-4;
    // Taylor's series for e^r - 1 - r, its coefficients balanced (Cephes' expf).
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.;
    // The lowest bits of `rounded` are n: a conversion would look at each number again.
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if low { 0. } else { p * power }
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1. + exp(-x))
}

/// [`silu`] of every number of `x`, on the CPU in f32 or by candle elsewhere.
///
/// # Errors
/// Where memory is short.
pub fn silu_each(x: &Tensor) -> Result<Tensor> {
    if !is_ours(x) {
        return x.silu();
    }
    let values = with_values(x, |x| x.iter().map(|x| silu(*x)).collect())?;
    tensor(values, x.dims())
}

/// GELU by its hyperbolic tangent: `x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    // ½·(1 + tanh u) = 1 / (1 + e^(-2u)).
    let u = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x / (1. + exp(-2. * u))
}

/// The sum of squares, added up in an order that does not depend on the machine.
#[inline(always)]
pub(crate) fn sum_of_squares(row: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x * x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += x * x;
    }
    fold(sums, |a, b| a + b)
}

/// All of `values` by `with`, halves with halves.
#[inline(always)]
fn fold(mut values: [f32; 16], with: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            values[i] = with(values[i], values[i + half]);
        }
    }
    values[0]
}

vectorised! {
    /// For each position of `channels` numbers, `x / |x| · gain`, then SiLU where
    /// asked for.
    pub(crate) fn normalise(input: &[f32], gain: &[f32], with_silu: bool, out: &mut [f32]) {
        let channels = gain.len();
        for (x, out) in input.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            // The reference divides by no less than this.
            let scale = 1. / sum_of_squares(x).sqrt().max(1e-12);
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = x * scale * gain;
            }
        }
        if with_silu {
            for out in out.iter_mut() {
                *out = silu(*out);
            }
        }
    }
}

vectorised! {
    /// `x / √(mean of x² + epsilon) · gain` for each row of as many numbers as
    /// `gain` has.
    pub(crate) fn root_mean_square(input: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = gain.len();
        for (x, out) in input.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let scale = 1. / (sum_of_squares(x) / width as f32 + epsilon).sqrt();
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = x * scale * gain;
            }
        }
    }
}

vectorised! {
    /// `gelu(gate) · up`, in the place of `gate`.
    pub(crate) fn gelu_product(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = gelu_tanh(*gate) * up;
        }
    }
}

vectorised! {
    /// Each row of `width` numbers becomes `exp(x - max)` over the sum of its row.
    pub(crate) fn softmax_rows(rows: &mut [f32], width: usize) {
        for row in rows.chunks_exact_mut(width) {
            let mut most = [f32::NEG_INFINITY; 16];
            for chunk in row.chunks(16) {
                for (most, x) in most.iter_mut().zip(chunk) {
                    *most = if *x > *most { *x } else { *most };
                }
            }
            let most = fold(most, f32::max);
            let mut sums = [0f32; 16];
            for chunk in row.chunks_mut(16) {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *x = exp(*x - most);
                    *sum += *x;
                }
            }
            let scale = 1. / fold(sums, |a, b| a + b);
            for x in row.iter_mut() {
                *x *= scale;
            }
        }
    }
}

vectorised! {
    /// [`gelu_tanh`] of every number.
    pub(crate) fn gelu_tanh_all(row: &mut [f32]) {
        for x in row.iter_mut() {
            *x = gelu_tanh(*x);
        }
    }
}

vectorised! {
    /// A tile of attention scores, rows of `width`, becomes `exp(x - most)`, where
    /// `most` is the largest of a row over all tiles so far. What was summed up under
    /// a smaller `most` is scaled to the new one: `sums`, and the first `channels`
    /// numbers of the rows of `out`, which begin `pitch` apart.
    pub(crate) fn attend_rows(
        scores: &mut [f32],
        width: usize,
        most: &mut [f32],
        sums: &mut [f32],
        out: &mut [f32],
        pitch: usize,
        channels: usize,
    ) {
        let rows = scores.chunks_exact_mut(width).zip(out.chunks_mut(pitch));
        for (((row, out), before), sum) in rows.zip(most.iter_mut()).zip(sums.iter_mut()) {
            let mut here = [f32::NEG_INFINITY; 16];
            let (chunks, rest) = row.as_chunks::<16>();
            for chunk in chunks {
                for (most, x) in here.iter_mut().zip(chunk) {
                    *most = if *x > *most { *x } else { *most };
                }
            }
            for (most, x) in here.iter_mut().zip(rest) {
                *most = if *x > *most { *x } else { *most };
            }
            let most = fold(here, f32::max).max(*before);
            if most > *before {
                let by = exp(*before - most);
                *sum *= by;
                for x in &mut out[..channels] {
                    *x *= by;
                }
                *before = most;
            }
            let mut total = [0f32; 16];
            let (chunks, rest) = row.as_chunks_mut::<16>();
            for chunk in chunks {
                for (total, x) in total.iter_mut().zip(chunk) {
                    *x = exp(*x - most);
                    *total += *x;
                }
            }
            for (total, x) in total.iter_mut().zip(rest) {
                *x = exp(*x - most);
                *total += *x;
            }
            *sum += fold(total, |a, b| a + b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let exact = libm::exp(f64::from(x));
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(
                error <= 2. * f64::from(f32::EPSILON),
                "exp({x}) is off by {error}"
            );
        }
        assert_eq!(exp(0.), 1.);
        assert_eq!(exp(-1000.), 0.);
        assert!(exp(1000.).is_finite());
    }

    #[test]
    fn activations_are_what_their_formulas_say() {
        for i in -2000..=2000 {
            let x = f64::from(i) * 0.01;
            let silu_exact = x / (1. + libm::exp(-x));
            let u = (2. / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            let gelu_exact = 0.5 * x * (1. + libm::tanh(u));
            let close =
                |got: f32, exact: f64| (f64::from(got) - exact).abs() <= 2e-6 * (1. + x.abs());
            assert!(close(silu(x as f32), silu_exact), "silu({x})");
            assert!(close(gelu_tanh(x as f32), gelu_exact), "gelu({x})");
        }
    }

    #[test]
    fn normalised_positions_have_the_length_of_their_gain() {
        let input: Vec<f32> = (0..5 * 37).map(|i| (i % 23) as f32 - 7.3).collect();
        let mut out = vec![0.; input.len()];
        normalise(&input, &[2.; 37], false, &mut out);
        for (x, y) in input.chunks(37).zip(out.chunks(37)) {
            let length = x.iter().map(|v| v * v).sum::<f32>().sqrt();
            for (x, y) in x.iter().zip(y) {
                assert!((y - 2. * x / length).abs() < 1e-6);
            }
        }
        normalise(&[0.; 37], &[2.; 37], true, &mut out[..37]);
        assert_eq!(out[..37], [0.; 37]);
    }

    #[test]
    fn softmax_rows_sum_to_one_and_keep_their_ratios() {
        for width in [1, 5, 16, 17, 100] {
            let input: Vec<f32> = (0..3 * width)
                .map(|i| (i * 31 % 47) as f32 * 0.3 - 40.)
                .collect();
            let mut rows = input.clone();
            softmax_rows(&mut rows, width);
            for (row, input) in rows.chunks(width).zip(input.chunks(width)) {
                assert!((row.iter().sum::<f32>() - 1.).abs() < 1e-5);
                for (y, x) in row.iter().zip(input) {
                    let ratio = f64::from(y / row[0]).ln();
                    assert!((ratio - f64::from(x - input[0])).abs() < 1e-4);
                }
            }
        }
    }
}
