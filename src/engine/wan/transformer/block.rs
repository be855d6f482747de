//! One block: attention among tokens, attention to the text, feed-forward, each
//! scaled, shifted and gated by the time.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::attention::Attention;
use super::embed::PerToken;
use super::regions::Regions;
use super::rope::Rope;
use crate::device::ops::{Activation, Linear, add_gated, full, layer_norm};
use crate::engine::wan::config::TransformerConfig;

/// What every block of a run reads.
pub struct Context<'a> {
    /// The main text and those of the subjects, [batch, m, dim] each.
    pub texts: Vec<Tensor>,
    /// Which tokens belong to which subjects.
    pub regions: Option<&'a Regions>,
    /// [batch, i, dim]
    pub image: Option<Tensor>,
    /// [times, 6, dim]
    pub time: PerToken,
    /// The tokens' positions.
    pub rope: Rope,
}

/// One transformer block.
pub struct Block {
    among: Attention,
    across: Attention,
    across_norm: Option<(Tensor, Tensor)>,
    widen: Linear,
    narrow: Linear,
    /// [6, dim]
    table: Tensor,
    eps: f64,
}

impl Block {
    /// The block at `vb`.
    pub fn load(config: &TransformerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let dim = config.dim();
        let across_norm = if config.cross_attn_norm {
            let vb = vb.pp("norm2");
            Some((full(&vb, dim, "weight")?, full(&vb, dim, "bias")?))
        } else {
            None
        };
        let net = vb.pp("ffn").pp("net");
        let widen = net.pp("0").pp("proj");
        Ok(Self {
            among: Attention::load(config, None, &vb.pp("attn1"))?,
            across: Attention::load(config, config.added_kv_proj_dim, &vb.pp("attn2"))?,
            across_norm,
            widen: Linear::load(dim, config.ffn_dim, Activation::GeluTanh, &widen)?,
            narrow: Linear::load(config.ffn_dim, dim, Activation::None, &net.pp("2"))?,
            table: full(vb, (1, 6, dim), "scale_shift_table")?.squeeze(0)?,
            eps: config.eps,
        })
    }

    /// `x` [batch, tokens, dim] → the same shape.
    pub fn forward(&self, x: &Tensor, context: &Context<'_>) -> Result<Tensor> {
        // Shift, scale and gate of the first attention, then of the feed-forward.
        let part = |i: usize| context.time.part(i, &self.table.get(i)?);
        let modulated = |x: &Tensor, i: usize| -> Result<Tensor> {
            layer_norm(x, &(part(i + 1)? + 1.0)?, &part(i)?, self.eps)
        };
        let regions = context.regions;
        let found = self
            .among
            .among(&modulated(x, 0)?, &context.rope, regions)?;
        let x = add_gated(x, &found, &part(2)?)?;
        let normed = match &self.across_norm {
            Some((weight, bias)) => layer_norm(&x, weight, bias, self.eps)?,
            None => x.clone(),
        };
        let found = self
            .across
            .across(&normed, &context.texts, context.image.as_ref(), regions)?;
        let x = (x + found)?;
        let thought = self
            .widen
            .forward_through(&self.narrow, &modulated(&x, 3)?)?;
        add_gated(&x, &thought, &part(5)?)
    }
}
