//! Rotary positions in time, rows and columns (Su et al., RoFormer, 2021; three
//! axes as the reference has them).

use candle_core::{DType, Device, Result, Tensor};

use crate::engine::wan::config::TransformerConfig;

const THETA: f64 = 10_000.0;

/// Tokens along time, rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Tokens along time.
    pub frames: usize,
    /// Tokens down.
    pub rows: usize,
    /// Tokens across.
    pub columns: usize,
}

impl Grid {
    /// All tokens.
    pub fn tokens(self) -> usize {
        self.frames * self.rows * self.columns
    }
}

/// Cosine and sine of every token's angles, [tokens, head / 2] each.
pub struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// The angles of `grid`. Of the pairs of a head, a third each turn with the
    /// row and the column; time has the rest.
    pub fn new(config: &TransformerConfig, grid: Grid, device: &Device) -> Result<Self> {
        let head = config.attention_head_dim;
        let space = 2 * (head / 6);
        let dims = [head - 2 * space, space, space];
        let mut cos = Vec::with_capacity(grid.tokens() * head / 2);
        let mut sin = Vec::with_capacity(grid.tokens() * head / 2);
        for t in 0..grid.frames {
            for y in 0..grid.rows {
                for x in 0..grid.columns {
                    for (position, dim) in [t, y, x].into_iter().zip(dims) {
                        for pair in 0..dim / 2 {
                            let exponent = (2 * pair) as f64 / dim as f64;
                            let angle = position as f64 / libm::pow(THETA, exponent);
                            cos.push(libm::cos(angle) as f32);
                            sin.push(libm::sin(angle) as f32);
                        }
                    }
                }
            }
        }
        let shape = (grid.tokens(), head / 2);
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
        })
    }

    /// Turns neighbouring channels of each head of `x` [batch, tokens, heads · d]
    /// by the token's angles.
    pub fn apply(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (batch, tokens, channels) = x.dims3()?;
        // [batch, tokens, heads · d] → [batch, tokens, heads, d / 2, 2]
        let pairs = x.reshape((batch, tokens, heads, channels / heads / 2, 2))?;
        let (a, b) = (pairs.narrow(4, 0, 1)?, pairs.narrow(4, 1, 1)?);
        // [tokens, d / 2] → [tokens, 1, d / 2, 1], the same for every head
        let dtype = x.dtype();
        let cos = self.angles(&self.cos, dtype)?;
        let sin = self.angles(&self.sin, dtype)?;
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (a.broadcast_mul(&sin)? + b.broadcast_mul(&cos)?)?;
        Tensor::cat(&[first, second], 4)?.reshape((batch, tokens, channels))
    }

    fn angles(&self, values: &Tensor, dtype: DType) -> Result<Tensor> {
        values.unsqueeze(1)?.unsqueeze(3)?.to_dtype(dtype)
    }
}
