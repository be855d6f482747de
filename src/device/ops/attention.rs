//! Attention of every token to every other.

use candle_core::{Result, Tensor};

/// softmax(q · kᵀ / √d) · v for each of `heads` heads of d channels.
///
/// `q` [batch, n, heads · d], `k` and `v` [batch, m, heads · d] →
/// [batch, n, heads · d].
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, n, channels) = q.dims3()?;
    let d = channels / heads;
    // [batch, tokens, heads · d] → [batch, heads, tokens, d]
    let split = |x: &Tensor| -> Result<Tensor> {
        x.reshape((batch, x.dim(1)?, heads, d))?
            .transpose(1, 2)?
            .contiguous()
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let scores = (q.matmul(&k.t()?)? * (1.0 / (d as f64).sqrt()))?;
    let weights = candle_nn::ops::softmax_last_dim(&scores)?;
    // [batch, heads, n, d] → [batch, n, heads · d]
    weights
        .matmul(&v)?
        .transpose(1, 2)?
        .reshape((batch, n, channels))
}
