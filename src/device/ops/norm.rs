//! Normalisation over the last axis, and what joins a branch to its trunk.

use candle_core::{D, DType, Result, Tensor};
use rayon::prelude::*;

use super::accelerated::asked;
use super::activation::sum_of_squares;
use super::rotate::{Angles, rotate};
use super::values::{is_ours, tensor, with_values};
use crate::device::install;
use crate::device::isa::vectorised;

/// Rows that a thread takes at a time.
const ROWS: usize = 16;

/// `(x − mean) / √(variance + eps) · scale + shift` over the last axis.
///
/// `x` [.., channels]; `scale` and `shift` [channels], or [rows, channels] with a row
/// for each of `x`.
pub fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Result<Tensor> {
    if !is_ours(x) {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        return centred
            .broadcast_div(&(variance + eps)?.sqrt()?)?
            .broadcast_mul(scale)?
            .broadcast_add(shift);
    }
    let eps = eps as f32;
    with_values(scale, |scale| {
        with_values(shift, |shift| {
            over_rows(x, &[scale, shift], |x, [scale, shift], out| {
                layer_norm_row(x, scale, shift, eps, out);
            })
        })
    })??
}

/// `x / √(mean(x²) + eps) · weight` over the last axis; `weight` [channels]. Then
/// neighbouring channels of every head turned by `angles`, where there are any. In the
/// type of `x`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, angles: Option<&Angles>) -> Result<Tensor> {
    let turned = |x: Tensor| match angles {
        Some(angles) => rotate(&x, angles),
        None => Ok(x),
    };
    if !is_ours(x) {
        if let Some(own) = asked(|ways| ways.rms_norm(x, weight, eps, angles))? {
            return Ok(own);
        }
        // Squares of 16 bits would be too coarse.
        let wide = match x.dtype() {
            DType::BF16 | DType::F16 => x.to_dtype(DType::F32)?,
            _ => x.clone(),
        };
        let square = wide.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = wide
            .broadcast_div(&(square + eps)?.sqrt()?)?
            .broadcast_mul(weight)?;
        return turned(normed)?.to_dtype(x.dtype());
    }
    let eps = eps as f32;
    turned(with_values(weight, |weight| {
        over_rows(x, &[weight], |x, [weight], out| {
            rms_norm_row(x, weight, eps, out);
        })
    })??)
}

/// `x + branch · gate`; `gate` [channels], or [rows, channels].
pub(super) fn add_gated(x: &Tensor, branch: &Tensor, gate: &Tensor) -> Result<Tensor> {
    if !is_ours(x) || x.dims() != branch.dims() {
        return x + branch.broadcast_mul(gate)?;
    }
    with_values(branch, |branch| {
        with_values(gate, |gate| {
            over_rows(x, &[branch, gate], |x, [branch, gate], out| {
                add_gated_row(x, branch, gate, out);
            })
        })
    })??
}

/// Makes a tensor like `x` row by row from its rows and those of `others`, which have
/// one row for all or one for each.
fn over_rows<const N: usize>(
    x: &Tensor,
    others: &[&[f32]; N],
    row: impl Fn(&[f32], [&[f32]; N], &mut [f32]) + Sync,
) -> Result<Tensor> {
    let channels = x.dim(D::Minus1)?;
    let count = x.elem_count();
    for other in others {
        if other.len() != channels && other.len() != count {
            candle_core::bail!("{} numbers for rows of {:?}", other.len(), x.dims());
        }
    }
    let mut out = vec![0f32; count];
    if count > 0 {
        with_values(x, |x| {
            install(|| {
                let parts = out.par_chunks_mut(ROWS * channels);
                parts
                    .zip(x.par_chunks(ROWS * channels))
                    .enumerate()
                    .for_each(|(part, (out, x))| {
                        let rows = x.chunks(channels).zip(out.chunks_mut(channels));
                        for (i, (x, out)) in rows.enumerate() {
                            let at = (part * ROWS + i) * channels;
                            let own = others.map(|other| match other.len() == channels {
                                true => other,
                                false => &other[at..at + channels],
                            });
                            row(x, own, out);
                        }
                    });
            });
        })?;
    }
    tensor(out, x.dims())
}

vectorised! {
    fn layer_norm_row(x: &[f32], scale: &[f32], shift: &[f32], eps: f32, out: &mut [f32]) {
        let mut sums = [0f32; 16];
        let (chunks, rest) = x.as_chunks::<16>();
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += x;
            }
        }
        let total = sums.iter().sum::<f32>() + rest.iter().sum::<f32>();
        let mean = total / x.len() as f32;
        for (out, x) in out.iter_mut().zip(x) {
            *out = x - mean;
        }
        let variance = sum_of_squares(out) / x.len() as f32;
        let by = 1. / (variance + eps).sqrt();
        for ((out, scale), shift) in out.iter_mut().zip(scale).zip(shift) {
            *out = *out * by * scale + shift;
        }
    }
}

vectorised! {
    fn rms_norm_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let by = 1. / (sum_of_squares(x) / x.len() as f32 + eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * by * weight;
        }
    }
}

vectorised! {
    fn add_gated_row(x: &[f32], branch: &[f32], gate: &[f32], out: &mut [f32]) {
        for (((out, x), branch), gate) in out.iter_mut().zip(x).zip(branch).zip(gate) {
            *out = x + branch * gate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ops::testing::scattered as random;
    use candle_core::DType;

    /// Against the same in f64, which goes candle's way.
    fn check(found: Tensor, exact: Tensor) {
        let found = found.to_dtype(DType::F64).unwrap();
        let difference = (found - exact).unwrap().abs().unwrap();
        let most: f64 = difference.max_all().unwrap().to_scalar().unwrap();
        // What is left of numbers of about 30 once their mean is gone.
        assert!(most < 3e-5, "{most}");
    }

    #[test]
    fn rows_are_normalised_and_joined_as_defined() {
        let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
        for (rows, channels) in [(1, 1), (5, 7), (37, 48), (40, 100)] {
            // A mean far from 0, where a one-pass variance would fail.
            let x = random(&[1, rows, channels], 30.0);
            for shape in [vec![channels], vec![rows, channels]] {
                let (a, b) = (random(&shape, 1.0), random(&shape, 0.0));
                let normed = layer_norm(&x, &a, &b, 1e-6).unwrap();
                let exact = layer_norm(&wide(&x), &wide(&a), &wide(&b), 1e-6).unwrap();
                if channels > 1 {
                    check(normed, exact);
                }
                let joined = add_gated(&x, &x, &a).unwrap();
                let exact = (wide(&x) + wide(&x).broadcast_mul(&wide(&a)).unwrap()).unwrap();
                check((joined / 30.0).unwrap(), (exact / 30.0).unwrap());
            }
            let weight = random(&[channels], 1.0);
            let normed = rms_norm(&x, &weight, 1e-6, None).unwrap();
            check(
                normed,
                rms_norm(&wide(&x), &wide(&weight), 1e-6, None).unwrap(),
            );
        }
        let x = random(&[4, 6], 0.0);
        assert!(rms_norm(&x, &random(&[5], 0.0), 1e-6, None).is_err());
    }
}
