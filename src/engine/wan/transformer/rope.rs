//! Rotary positions in time, rows and columns (Su et al., RoFormer, 2021; three
//! axes as the reference has them).

use candle_core::{Device, Result, Tensor};

use crate::device::ops::rotate;
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
        // Angles of each position along one axis.
        let along = |length: usize, dim: usize| -> Vec<Vec<f64>> {
            let turn = |pair: usize| libm::pow(THETA, (2 * pair) as f64 / dim as f64);
            let by: Vec<f64> = (0..dim / 2).map(turn).collect();
            let angles = |position| by.iter().map(|b| position as f64 / b).collect();
            (0..length).map(angles).collect()
        };
        let axes = [grid.frames, grid.rows, grid.columns];
        let table = |of: fn(f64) -> f64| -> Vec<f32> {
            let value = |angles: Vec<f64>| -> Vec<f32> {
                angles.into_iter().map(|a| of(a) as f32).collect()
            };
            let [times, rows, columns] = [0, 1, 2].map(|i| {
                let angles = along(axes[i], dims[i]);
                angles.into_iter().map(value).collect::<Vec<_>>()
            });
            let mut all = Vec::with_capacity(grid.tokens() * head / 2);
            for t in &times {
                for y in &rows {
                    for x in &columns {
                        all.extend(t.iter().chain(y).chain(x));
                    }
                }
            }
            all
        };
        let (cos, sin) = (table(libm::cos), table(libm::sin));
        let shape = (grid.tokens(), head / 2);
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
        })
    }

    /// Turns neighbouring channels of each head of `x` [batch, tokens, heads · d]
    /// by the token's angles.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        rotate(x, &self.cos, &self.sin)
    }
}
