//! Normalisation over the last axis.

use candle_core::{D, Result, Tensor};

/// `(x − mean) / √(variance + eps) · scale + shift` over the last axis.
///
/// `x` [.., channels]; `scale` and `shift` broadcast against it, for instance
/// [channels] or one row a token.
pub fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .broadcast_mul(scale)?
        .broadcast_add(shift)
}

/// `x / √(mean(x²) + eps) · weight` over the last axis; `weight` [channels].
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let square = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(square + eps)?.sqrt()?)?
        .broadcast_mul(weight)
}
