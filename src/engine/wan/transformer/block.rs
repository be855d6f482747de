//! One block: attention among tokens, attention to the text, feed-forward, each
//! scaled, shifted and gated by the time.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::attention::Attention;
use super::embed::PerToken;
use super::regions::Regions;
use crate::device::ops::{Activation, Angles, LayerNorm, Linear, PerRow, Trunk, full};
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
    pub angles: Angles,
    /// What branches off the trunk is of this type, as texts and image are.
    pub branches: DType,
}

/// One transformer block.
pub struct Block {
    among: Attention,
    across: Attention,
    across_norm: Option<LayerNorm>,
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
            Some(LayerNorm {
                scale: PerRow::all(&full(&vb, dim, "weight")?)?,
                shift: PerRow::all(&full(&vb, dim, "bias")?)?,
                eps: config.eps,
            })
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

    /// The tokens behind this block.
    pub fn forward(&self, trunk: Trunk, context: &Context<'_>) -> Result<Trunk> {
        // Shift, scale and gate of the first attention, then of the feed-forward.
        let time = context.time.with(&self.table)?;
        let modulated = |i: usize| -> Result<LayerNorm> {
            Ok(LayerNorm {
                scale: time.part(i + 1)?.plus(1.0),
                shift: time.part(i)?,
                eps: self.eps,
            })
        };
        let (regions, kind) = (context.regions, context.branches);
        let (trunk, x) = trunk.normed(&modulated(0)?, kind)?;
        let found = self.among.among(&x, &context.angles, regions)?;
        let trunk = trunk.join(found, Some(time.part(2)?))?;
        let (trunk, x) = match &self.across_norm {
            Some(norm) => trunk.normed(norm, kind)?,
            None => trunk.unnormed(kind)?,
        };
        let (texts, image) = (&context.texts, context.image.as_ref());
        let found = self.across.across(&x, texts, image, regions)?;
        let trunk = trunk.join(found, None)?;
        let (trunk, x) = trunk.normed(&modulated(3)?, kind)?;
        let thought = self.widen.forward_through(&self.narrow, &x)?;
        trunk.join(thought, Some(time.part(5)?))
    }
}
