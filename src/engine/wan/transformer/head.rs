//! What comes out: tokens as latents again.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::embed::PerToken;
use super::rope::Grid;
use crate::device::ops::{Activation, LayerNorm, Linear, Trunk, full};
use crate::engine::wan::config::TransformerConfig;

/// The last normalisation and projection.
pub struct Head {
    out: Linear,
    /// [2, dim]
    table: Tensor,
    patch: [usize; 3],
    channels: usize,
    eps: f64,
}

impl Head {
    /// The head of the model at `vb`.
    pub fn load(config: &TransformerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let dim = config.dim();
        let values = config.patch_values(config.out_channels);
        Ok(Self {
            out: Linear::load(dim, values, Activation::None, &vb.pp("proj_out"))?,
            table: full(vb, (1, 2, dim), "scale_shift_table")?.squeeze(0)?,
            patch: config.patch_size,
            channels: config.out_channels,
            eps: config.eps,
        })
    }

    /// The tokens behind all blocks → [batch, channels, frames, rows, columns] in f32.
    pub fn forward(&self, trunk: Trunk, time: &PerToken, grid: Grid) -> Result<Tensor> {
        let time = time.with(&self.table)?;
        let norm = LayerNorm {
            scale: time.part(1)?.plus(1.0),
            shift: time.part(0)?,
            eps: self.eps,
        };
        let (_, x) = trunk.normed(&norm, DType::F32)?;
        let values = self.out.forward(&x)?;
        let batch = x.dim(0)?;
        let [pt, ph, pw] = self.patch;
        // [b, tokens, pt · ph · pw · c] → [b, T, H, W, pt, ph, pw, c]
        let cut = values.reshape(vec![
            batch,
            grid.frames,
            grid.rows,
            grid.columns,
            pt,
            ph,
            pw,
            self.channels,
        ])?;
        // → [b, c, T, pt, H, ph, W, pw] → [b, c, T·pt, H·ph, W·pw]
        cut.permute(vec![0, 7, 1, 4, 2, 5, 3, 6])?.reshape((
            batch,
            self.channels,
            grid.frames * pt,
            grid.rows * ph,
            grid.columns * pw,
        ))
    }
}
