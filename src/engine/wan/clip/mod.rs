//! The image encoder of the image-to-video models of Wan 2.1: CLIP's vision
//! transformer, up to the last layer but one.

mod resize;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use crate::device::ops::{Activation, FeatureMap, Linear, attention, layer_norm, plainly};
use crate::device::{Cancelled, Task};
use crate::engine::wan::checkpoint::{CheckpointError, TRANSFORMERS, Weights, files, text};

/// Why an image could not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The settings do not describe an encoder that can be run.
    #[error("the image encoder's config.json {0}")]
    Config(String),
    /// A weight is missing or of another shape; the text names it.
    #[error("the image encoder's weights do not fit its config.json: {}", plainly(.0))]
    Weights(#[from] candle_core::Error),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// The settings of a CLIP vision model, as transformers writes them. What a file
/// leaves out has the value it has in the published encoder (ViT-H/14).
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    model_type: String,
    /// Numbers that stand for a patch.
    pub hidden_size: usize,
    /// Numbers between the two linear layers of a block.
    pub intermediate_size: usize,
    /// Blocks; the last is not run.
    pub num_hidden_layers: usize,
    /// Heads of a block.
    pub num_attention_heads: usize,
    /// Side of the picture that is looked at.
    pub image_size: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Added to a variance before its root is taken.
    pub layer_norm_eps: f64,
    hidden_act: String,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            model_type: "clip_vision_model".into(),
            hidden_size: 1280,
            intermediate_size: 5120,
            num_hidden_layers: 32,
            num_attention_heads: 16,
            image_size: 224,
            patch_size: 14,
            layer_norm_eps: 1e-5,
            hidden_act: "gelu".into(),
        }
    }
}

impl ImageConfig {
    /// Reads the text of a `config.json`; refuses what cannot be built, in a
    /// sentence.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let refuse = |text: String| Err(ImageError::Config(text));
        let config: Self = match serde_json::from_str(text) {
            Ok(config) => config,
            Err(e) => return refuse(format!("is not what CLIP's settings look like: {e}")),
        };
        if config.model_type != "clip_vision_model" {
            return refuse(format!(
                "is of the kind {}; only clip_vision_model can be read",
                config.model_type
            ));
        }
        if config.hidden_act != "gelu" {
            return refuse(format!(
                "asks for {}; only gelu can be run",
                config.hidden_act
            ));
        }
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if !(1..=1 << 16).contains(&width) || heads == 0 || width % heads != 0 {
            return refuse(format!("says hidden_size {width} with {heads} heads"));
        }
        let (side, patch) = (config.image_size, config.patch_size);
        if !(1..=4096).contains(&side) || patch == 0 || side % patch != 0 {
            return refuse(format!("says image_size {side} with patches of {patch}"));
        }
        if !(2..=256).contains(&config.num_hidden_layers)
            || !(1..=1 << 18).contains(&config.intermediate_size)
        {
            return refuse(format!(
                "says {} layers of {}",
                config.num_hidden_layers, config.intermediate_size
            ));
        }
        Ok(config)
    }
}

/// CLIP's vision transformer.
pub struct ImageEncoder {
    config: ImageConfig,
    patches: Linear,
    class: Tensor,
    positions: Tensor,
    before: Norm,
    blocks: Vec<Block>,
}

struct Norm {
    scale: Tensor,
    shift: Tensor,
    epsilon: f64,
}

struct Block {
    norms: [Norm; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    wide: Linear,
    narrow: Linear,
}

impl Norm {
    fn load(vb: &VarBuilder<'_>, config: &ImageConfig) -> candle_core::Result<Self> {
        Ok(Self {
            scale: vb.get(config.hidden_size, "weight")?,
            shift: vb.get(config.hidden_size, "bias")?,
            epsilon: config.layer_norm_eps,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        layer_norm(x, &self.scale, &self.shift, self.epsilon)
    }
}

impl Block {
    fn load(vb: &VarBuilder<'_>, config: &ImageConfig) -> candle_core::Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let head = |name: &str| {
            let vb = vb.pp("self_attn").pp(name);
            Linear::load(width, width, Activation::None, &vb)
        };
        let mlp = vb.pp("mlp");
        Ok(Self {
            norms: [
                Norm::load(&vb.pp("layer_norm1"), config)?,
                Norm::load(&vb.pp("layer_norm2"), config)?,
            ],
            query: head("q_proj")?,
            key: head("k_proj")?,
            value: head("v_proj")?,
            out: head("out_proj")?,
            wide: Linear::load(width, inner, Activation::Gelu, &mlp.pp("fc1"))?,
            narrow: Linear::load(inner, width, Activation::None, &mlp.pp("fc2"))?,
        })
    }

    fn forward(&self, x: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
        let h = self.norms[0].forward(x)?;
        let (q, k, v) = (
            self.query.forward(&h)?,
            self.key.forward(&h)?,
            self.value.forward(&h)?,
        );
        let x = (x + self.out.forward(&attention(&q, &k, &v, heads)?)?)?;
        let h = self.wide.forward(&self.norms[1].forward(&x)?)?;
        x + self.narrow.forward(&h)?
    }
}

impl ImageEncoder {
    /// Opens a folder as transformers saves it (`config.json`,
    /// `model.safetensors` whole or in parts), or a single file of the published
    /// encoder.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let (config, files) = if path.is_dir() {
            let config = ImageConfig::parse(&text(&path.join("config.json"))?)?;
            (config, files(path, TRANSFORMERS)?)
        } else {
            (ImageConfig::default(), vec![path.to_owned()])
        };
        let weights = Arc::new(Weights::open(path, &files)?);
        Self::load(config, &weights.builder().to_dtype(DType::F32))
    }

    /// Reads the weights, with or without `vision_model` before their names.
    pub fn load(config: ImageConfig, vb: &VarBuilder<'_>) -> Result<Self, ImageError> {
        let published = vb.pp("vision_model");
        let vb = match published.contains_tensor("pre_layrnorm.weight") {
            true => &published,
            false => vb,
        };
        let (width, patch) = (config.hidden_size, config.patch_size);
        let count = (config.image_size / patch).pow(2) + 1;
        let embeddings = vb.pp("embeddings");
        let patches = embeddings.get((width, 3, patch, patch), "patch_embedding.weight")?;
        // The state before the last block is what the transformer was trained on.
        let blocks = (0..config.num_hidden_layers - 1)
            .map(|i| Block::load(&vb.pp("encoder").pp("layers").pp(i), &config))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            patches: Linear::new(
                patches.reshape((width, 3 * patch * patch))?,
                None,
                Activation::None,
            )?,
            class: embeddings.get(width, "class_embedding")?,
            positions: embeddings.get((count, width), "position_embedding.weight")?,
            before: Norm::load(&vb.pp("pre_layrnorm"), &config)?,
            blocks,
            config,
        })
    }

    /// The states of `frame` (RGB of -1 to 1, display-referred, of any size; its
    /// middle square is looked at): `[1, tokens, hidden_size]`.
    pub fn encode(&self, frame: &FeatureMap, task: Task<'_>) -> Result<Tensor, ImageError> {
        let pixels = resize::looked_at(frame, self.config.image_size);
        self.states(&pixels, task)
    }

    /// The states of pixels as CLIP looks at them.
    fn states(&self, pixels: &[f32], task: Task<'_>) -> Result<Tensor, ImageError> {
        let mut x = self.embedded(pixels)?;
        for (i, block) in self.blocks.iter().enumerate() {
            task.step("Looking at the image", i, self.blocks.len())?;
            x = block.forward(&x, self.config.num_attention_heads)?;
        }
        Ok(x)
    }

    fn embedded(&self, pixels: &[f32]) -> candle_core::Result<Tensor> {
        let (size, patch) = (self.config.image_size, self.config.patch_size);
        let side = size / patch;
        let x = Tensor::from_slice(pixels, (3, side, patch, side, patch), &Device::Cpu)?;
        let x = x
            .permute((1, 3, 0, 2, 4))?
            .reshape((side * side, 3 * patch * patch))?;
        let x = self.patches.forward(&x)?;
        let x = Tensor::cat(&[&self.class.unsqueeze(0)?, &x], 0)?;
        self.before.forward(&(x + &self.positions)?.unsqueeze(0)?)
    }
}
