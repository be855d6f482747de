//! The control branch of VACE (Jiang et al., 2025): blocks of its own read the
//! control video and give hints to some of the transformer's blocks.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::block::{Block, Context};
use super::embed::PatchEmbedding;
use super::shelf::{Place, Shelf};
use crate::device::ops::{Activation, Linear, Trunk};
use crate::engine::wan::config::{TransformerConfig, VaceConfig};

/// The control branch.
pub struct Vace {
    patch: PatchEmbedding,
    proj_in: Linear,
    blocks: Vec<Shelf<(Block, Linear)>>,
    layers: Vec<usize>,
}

/// What the control branch reads.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// [1, channels, frames, rows, columns], as many frames as the latents or
    /// fewer, same rows and columns.
    pub latents: &'a Tensor,
    /// How much each hint counts, one a layer of the branch; all alike if one.
    pub scales: &'a [f32],
}

impl Vace {
    /// The branch of the model at `vb`.
    pub fn load<'v>(
        config: &TransformerConfig,
        vace: &VaceConfig,
        vb: &VarBuilder<'v>,
        place: &impl Place<'v>,
    ) -> Result<Self> {
        let dim = config.dim();
        let linear = move |vb: &VarBuilder<'v>| Linear::load(dim, dim, Activation::None, vb);
        let blocks = (0..vace.layers.len())
            .map(|i| {
                let config = config.clone();
                let load = move |vb: &VarBuilder<'v>| {
                    Ok((Block::load(&config, vb)?, linear(&vb.pp("proj_out"))?))
                };
                place.put(vb.pp("vace_blocks").pp(i), load)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            patch: PatchEmbedding::load(config, vace.in_channels, &vb.pp("vace_patch_embedding"))?,
            proj_in: linear(&vb.pp("vace_blocks").pp(0).pp("proj_in"))?,
            blocks,
            layers: vace.layers.clone(),
        })
    }

    /// The hint for each block of the transformer that gets one, scaled:
    /// `(block, [batch, tokens, dim])` in the branches' type.
    pub fn hints(
        &self,
        x: &Tensor,
        control: Control<'_>,
        context: &Context<'_>,
    ) -> Result<Vec<(usize, Tensor)>> {
        let count = self.blocks.len();
        if control.scales.len() != count && control.scales.len() != 1 {
            candle_core::bail!(
                "{} control scales for {count} control layers",
                control.scales.len()
            );
        }
        let mut state = self.patch.forward(control.latents)?;
        let (tokens, given) = (x.dim(1)?, state.dim(1)?);
        if given > tokens {
            candle_core::bail!("the control video is longer than the latents");
        }
        if given < tokens {
            state = state.pad_with_zeros(1, 0, tokens - given)?;
        }
        let mut trunk = Trunk::new((self.proj_in.forward(&state)? + x)?);
        let mut hints = Vec::with_capacity(count);
        for (i, block) in self.blocks.iter().enumerate() {
            let (next, hint) = block.with(|(block, out)| {
                let trunk = block.forward(trunk, context)?;
                let (trunk, state) = trunk.unnormed(context.branches)?;
                Ok((trunk, out.forward(&state)?))
            })?;
            trunk = next;
            let scale = control.scales[i.min(control.scales.len() - 1)];
            hints.push((self.layers[i], (hint * f64::from(scale))?));
        }
        Ok(hints)
    }
}
