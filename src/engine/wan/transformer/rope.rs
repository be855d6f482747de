//! Rotary positions in time, rows and columns (Su et al., RoFormer, 2021; three
//! axes as the reference has them).

use candle_core::{Device, Result, Tensor};

use crate::device::ops::Angles;
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

/// The angles of the tokens of `grid`, which neighbouring channels of each head are turned
/// by. Of the pairs of a head, a third each turn with the row and the column; time has the
/// rest.
pub fn angles(config: &TransformerConfig, grid: Grid, device: &Device) -> Result<Angles> {
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
        let value =
            |angles: Vec<f64>| -> Vec<f32> { angles.into_iter().map(|a| of(a) as f32).collect() };
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
    Ok(Angles {
        cos: Tensor::from_vec(cos, shape, device)?,
        sin: Tensor::from_vec(sin, shape, device)?,
    })
}
