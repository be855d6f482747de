//! The Wan transformer: latents, time, text and conditions in, velocity out.
//!
//! Wan: Open and Advanced Large-Scale Video Generative Models (Wan team, 2025).
//! A port of the published model; names of weights are those of diffusers.

mod attention;
mod block;
mod embed;
mod head;
pub mod message;
mod regions;
mod rope;
mod shelf;
mod vace;

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::config::TransformerConfig;
use crate::device::ops::{Angles, Trunk};
use block::{Block, Context};
use embed::{ImageEmbedding, PatchEmbedding, TextEmbedding, TimeEmbedding};
use head::Head;
use rope::{Grid, angles};
use shelf::{Away, Here, Place, Shelf};
use vace::Vace;

pub use embed::Timesteps;
pub use regions::{MOST, Regions};
pub use vace::Control;

/// What one evaluation reads.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// [1, in_channels, frames, rows, columns], condition channels included.
    pub latents: &'a Tensor,
    /// The noise level of the tokens.
    pub timesteps: &'a Timesteps,
    /// [1, m, text_dim], padded as the model was trained.
    pub text: &'a Tensor,
    /// CLIP's penultimate states, [pictures, tokens, image_dim].
    pub image: Option<&'a Tensor>,
    /// What VACE is to follow.
    pub control: Option<Control<'a>>,
    /// Which tokens belong to which subjects.
    pub regions: Option<&'a Regions>,
    /// The texts of the subjects, as `text`; none where all tokens read `text`.
    pub subjects: &'a [Tensor],
}

/// A place in the transformer, for whoever watches a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Latents as tokens, [1, tokens, dim].
    Patch,
    /// The time, [times, 1, dim].
    Time,
    /// The time for the blocks, [times, 6, dim].
    TimeProjection,
    /// The text, [1, m, dim].
    Text,
    /// The image, [1, i, dim].
    Image,
    /// A scaled hint of the control branch, [1, tokens, dim].
    Hint(usize),
    /// Behind a block, before its hint, [1, tokens, dim].
    Block(usize),
}

/// Is told of each part while the transformer runs, and can have its result; an error
/// ends it.
pub type Watch<'a> = dyn FnMut(Part, &dyn Fn() -> Result<Tensor>) -> Result<()> + 'a;

/// A Wan transformer with its weights.
pub struct Transformer {
    patch: PatchEmbedding,
    time: TimeEmbedding,
    text: TextEmbedding,
    image: Option<ImageEmbedding>,
    blocks: Vec<Shelf<Block>>,
    vace: Option<Vace>,
    head: Head,
    config: TransformerConfig,
    /// See [`Context`].
    branches: DType,
    /// Those of the last evaluation's tokens.
    angles: Mutex<Option<(Grid, Angles)>>,
}

impl Transformer {
    /// The transformer that `config` describes, with the weights of `vb`.
    pub fn load(config: &TransformerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        Self::placed(config, vb, &Here)
    }

    /// The same for a machine that does not hold it: blocks are read whenever they are
    /// run, one at a time.
    pub fn open(config: &TransformerConfig, vb: &VarBuilder<'static>) -> Result<Self> {
        Self::placed(config, vb, &Away)
    }

    fn placed<'v>(
        config: &TransformerConfig,
        vb: &VarBuilder<'v>,
        place: &impl Place<'v>,
    ) -> Result<Self> {
        let embedder = vb.pp("condition_embedder");
        let image = config
            .image_dim
            .map(|width| ImageEmbedding::load(config, width, &embedder.pp("image_embedder")))
            .transpose()?;
        let vace = config
            .vace
            .as_ref()
            .map(|vace| Vace::load(config, vace, vb, place))
            .transpose()?;
        Ok(Self {
            patch: PatchEmbedding::load(config, config.in_channels, &vb.pp("patch_embedding"))?,
            time: TimeEmbedding::load(config, &embedder)?,
            text: TextEmbedding::load(config, &embedder.pp("text_embedder"))?,
            image,
            blocks: (0..config.num_layers)
                .map(|i| {
                    let config = config.clone();
                    let load = move |vb: &VarBuilder<'v>| Block::load(&config, vb);
                    place.put(vb.pp("blocks").pp(i), load)
                })
                .collect::<Result<_>>()?,
            vace,
            head: Head::load(config, vb)?,
            config: config.clone(),
            // On a GPU the matrices' own type, in which products are made there.
            branches: match vb.device().is_cpu() {
                true => DType::F32,
                false => vb.dtype(),
            },
            angles: Mutex::new(None),
        })
    }

    /// What the transformer is like.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The velocity, [1, out_channels, frames, rows, columns].
    pub fn forward(&self, inputs: &Inputs<'_>, watch: &mut Watch<'_>) -> Result<Tensor> {
        let device = inputs.latents.device();
        let grid = self.patch.grid(inputs.latents)?;
        let longest = grid.frames.max(grid.rows).max(grid.columns);
        if longest > self.config.rope_max_seq_len {
            candle_core::bail!(
                "{longest} tokens along one axis, where the model has positions for {}",
                self.config.rope_max_seq_len
            );
        }
        let x = self.patch.forward(inputs.latents)?;
        let told = |tensor: &Tensor| {
            let tensor = tensor.clone();
            move || Ok(tensor.clone())
        };
        watch(Part::Patch, &told(&x))?;
        let time = self.time.forward(inputs.timesteps, grid.tokens(), device)?;
        watch(Part::Time, &told(time.embedding.rows()))?;
        watch(Part::TimeProjection, &told(time.projection.rows()))?;
        if let Some(regions) = inputs.regions.filter(|r| r.tokens() != grid.tokens()) {
            candle_core::bail!(
                "regions of {} tokens for {}",
                regions.tokens(),
                grid.tokens()
            );
        }
        let kind = self.branches;
        let text = |text: &Tensor| self.text.forward(text)?.to_dtype(kind);
        let mut texts = vec![text(inputs.text)?];
        watch(Part::Text, &told(&texts[0]))?;
        for subject in inputs.subjects {
            texts.push(text(subject)?);
        }
        let image = match (&self.image, inputs.image) {
            (Some(embedding), Some(image)) => Some(embedding.forward(image)?.to_dtype(kind)?),
            _ => None,
        };
        if let Some(image) = &image {
            watch(Part::Image, &told(image))?;
        }
        let context = Context {
            texts,
            regions: inputs.regions,
            image,
            time: time.projection,
            angles: self.angles(grid, device)?,
            branches: kind,
        };
        let hints = match (&self.vace, inputs.control) {
            (Some(vace), Some(control)) => vace.hints(&x, control, &context)?,
            _ => Vec::new(),
        };
        for (i, (_, hint)) in hints.iter().enumerate() {
            watch(Part::Hint(i), &told(hint))?;
        }
        let mut hints = hints.into_iter().peekable();
        let mut trunk = Trunk::new(x);
        for (i, block) in self.blocks.iter().enumerate() {
            trunk = block.with(|block| block.forward(trunk, &context))?;
            watch(Part::Block(i), &|| trunk.joined())?;
            if let Some((_, hint)) = hints.next_if(|(layer, _)| *layer == i) {
                trunk = trunk.join(hint, None)?;
            }
        }
        self.head.forward(trunk, &time.embedding, grid)
    }

    /// The same with branches of type `kind`, as elsewhere than on the CPU.
    #[cfg(test)]
    pub(crate) fn with_branches(self, kind: DType) -> Self {
        let branches = kind;
        Self { branches, ..self }
    }

    /// The angles of the tokens of `grid`, kept from evaluation to evaluation.
    fn angles(&self, grid: Grid, device: &Device) -> Result<Angles> {
        let mut kept = self.angles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, angles)) = kept.as_ref().filter(|(of, _)| *of == grid) {
            return Ok(angles.clone());
        }
        let angles = angles(&self.config, grid, device)?;
        *kept = Some((grid, angles.clone()));
        Ok(angles)
    }
}
