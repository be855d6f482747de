//! The transformer's attention: over the tokens themselves, or from them to the
//! text and, where the model has it, to the image.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::rope::Rope;
use crate::device::ops::{Activation, Linear, attention, full, rms_norm};
use crate::engine::wan::config::TransformerConfig;

/// Keys and values of one source, the keys normalised over all heads together.
struct Source {
    key: Linear,
    value: Linear,
    norm: Tensor,
}

impl Source {
    fn load(input: usize, names: [&str; 3], dim: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let [key, value, norm] = names;
        Ok(Self {
            key: Linear::load(input, dim, Activation::None, &vb.pp(key))?,
            value: Linear::load(input, dim, Activation::None, &vb.pp(value))?,
            norm: full(&vb.pp(norm), dim, "weight")?,
        })
    }

    /// `x` [batch, m, input] → keys and values, [batch, m, dim] each.
    fn read(&self, x: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
        let key = rms_norm(&self.key.forward(x)?, &self.norm, eps)?;
        Ok((key, self.value.forward(x)?))
    }
}

/// One attention with its projections.
pub struct Attention {
    query: Linear,
    query_norm: Tensor,
    source: Source,
    image: Option<Source>,
    out: Linear,
    heads: usize,
    eps: f64,
}

impl Attention {
    /// The attention at `vb`; `image` where it has a branch for image tokens of
    /// that width.
    pub fn load(
        config: &TransformerConfig,
        image: Option<usize>,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let dim = config.dim();
        let image = image
            .map(|width| {
                let names = ["add_k_proj", "add_v_proj", "norm_added_k"];
                Source::load(width, names, dim, vb)
            })
            .transpose()?;
        Ok(Self {
            query: Linear::load(dim, dim, Activation::None, &vb.pp("to_q"))?,
            query_norm: full(&vb.pp("norm_q"), dim, "weight")?,
            source: Source::load(dim, ["to_k", "to_v", "norm_k"], dim, vb)?,
            image,
            out: Linear::load(dim, dim, Activation::None, &vb.pp("to_out").pp("0"))?,
            heads: config.num_attention_heads,
            eps: config.eps,
        })
    }

    /// Tokens `x` [batch, n, dim] to one another, turned by their positions.
    pub fn among(&self, x: &Tensor, rope: &Rope) -> Result<Tensor> {
        let query = rope.apply(&self.query(x)?)?;
        let (key, value) = self.source.read(x, self.eps)?;
        let key = rope.apply(&key)?;
        self.out
            .forward(&attention(&query, &key, &value, self.heads)?)
    }

    /// Tokens `x` [batch, n, dim] to `text` [batch, m, dim] and `image`
    /// [batch, i, dim]; what both say is added.
    pub fn across(&self, x: &Tensor, text: &Tensor, image: Option<&Tensor>) -> Result<Tensor> {
        let query = self.query(x)?;
        let (key, value) = self.source.read(text, self.eps)?;
        let mut found = attention(&query, &key, &value, self.heads)?;
        if let (Some(branch), Some(image)) = (&self.image, image) {
            let (key, value) = branch.read(image, self.eps)?;
            found = (found + attention(&query, &key, &value, self.heads)?)?;
        }
        self.out.forward(&found)
    }

    fn query(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(&self.query.forward(x)?, &self.query_norm, self.eps)
    }
}
