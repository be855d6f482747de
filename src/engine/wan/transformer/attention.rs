//! The transformer's attention: over the tokens themselves, or from them to the
//! text and, where the model has it, to the image.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::regions::Regions;
use crate::device::ops::{Activation, Angles, Linear, attention, full, rms_norm};
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

    /// `x` [batch, m, input] → keys, turned by their angles if they have some, and
    /// values, [batch, m, dim] each.
    fn read(&self, x: &Tensor, eps: f64, angles: Option<&Angles>) -> Result<(Tensor, Tensor)> {
        let key = rms_norm(&self.key.forward(x)?, &self.norm, eps, angles)?;
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

    /// Tokens `x` [batch, n, dim] to one another, turned by their positions; where
    /// there are regions, to those that they may see.
    pub fn among(&self, x: &Tensor, angles: &Angles, regions: Option<&Regions>) -> Result<Tensor> {
        let query = self.query(x, Some(angles))?;
        let (key, value) = self.source.read(x, self.eps, Some(angles))?;
        let found = match regions {
            None => attention(&query, &key, &value, self.heads)?,
            Some(regions) => {
                let parts = regions.groups.iter().map(|group| {
                    attention(
                        &query.index_select(&group.tokens, 1)?,
                        &key.index_select(&group.sees, 1)?,
                        &value.index_select(&group.sees, 1)?,
                        self.heads,
                    )
                });
                regions.gathered(&parts.collect::<Result<Vec<_>>>()?)?
            }
        };
        self.out.forward(&found)
    }

    /// Tokens `x` [batch, n, dim] to `texts` [batch, m, dim] and `image`
    /// [batch, i, dim]; what both say is added. All tokens read the first text, or, where
    /// there are regions and further texts, those of their subjects.
    pub fn across(
        &self,
        x: &Tensor,
        texts: &[Tensor],
        image: Option<&Tensor>,
        regions: Option<&Regions>,
    ) -> Result<Tensor> {
        let query = self.query(x, None)?;
        let read = texts
            .iter()
            .map(|text| self.source.read(text, self.eps, None));
        let read = read.collect::<Result<Vec<_>>>()?;
        let Some((key, value)) = read.first() else {
            candle_core::bail!("there is no text");
        };
        let mut found = match regions.filter(|_| read.len() > 1) {
            None => attention(&query, key, value, self.heads)?,
            Some(regions) => {
                let mut parts = Vec::new();
                for group in &regions.groups {
                    let query = query.index_select(&group.tokens, 1)?;
                    let mut sum: Option<Tensor> = None;
                    for (key, value) in group.texts.iter().filter_map(|t| read.get(*t)) {
                        let found = attention(&query, key, value, self.heads)?;
                        sum = Some(match sum {
                            Some(sum) => (sum + found)?,
                            None => found,
                        });
                    }
                    let Some(sum) = sum else {
                        candle_core::bail!("a region has no text");
                    };
                    parts.push((sum / group.texts.len() as f64)?);
                }
                regions.gathered(&parts)?
            }
        };
        if let (Some(branch), Some(image)) = (&self.image, image) {
            let (key, value) = branch.read(image, self.eps, None)?;
            found = (found + attention(&query, &key, &value, self.heads)?)?;
        }
        self.out.forward(&found)
    }

    fn query(&self, x: &Tensor, angles: Option<&Angles>) -> Result<Tensor> {
        rms_norm(&self.query.forward(x)?, &self.query_norm, self.eps, angles)
    }
}
