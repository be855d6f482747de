//! From a prompt to frames with a whole diffusers folder: tokenizer, text encoder,
//! transformers, VAE. One part after the other is in memory.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::checkpoint::{CheckpointError, Model};
use super::pipeline::{Condition, Made, PipelineError, Run, TEXT_TOKENS};
use super::text::{Prompts, TextEncoder, TextError};
use super::vae::{self, Piece, Tiling, VaeConfig, VaeDecoder, VaeError};
use crate::device::Task;
use crate::sampler::{Guidance, Place, SchedulerConfig, noise};

/// Why a prompt did not become frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The prompt cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The transformer cannot be run.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Latents cannot be decoded.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// What was asked for does not go together; the text says why.
    #[error("{0}")]
    Request(String),
}

impl From<candle_core::Error> for GenerateError {
    fn from(error: candle_core::Error) -> Self {
        Self::Pipeline(error.into())
    }
}

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be seen.
    pub prompt: String,
    /// What is not.
    pub negative: String,
    /// Width and height in pixels. What the model cannot make is made larger and
    /// cropped.
    pub size: [usize; 2],
    /// Number of frames; one more than a multiple of 4 is made, the rest cut off.
    pub frames: usize,
    /// Number of steps.
    pub steps: usize,
    /// How strongly the prompt counts.
    pub guidance: Guidance,
    /// What the noise is drawn from.
    pub seed: u64,
    /// The noise itself, [1, channels, frames, rows, columns], instead of the seed.
    pub noise: Option<Tensor>,
    /// EasyCache's threshold; none for off.
    pub cache: Option<f64>,
}

/// A text-to-video model whose parts have been looked at and not been loaded.
pub struct TextToVideo {
    model: Model,
    prompts: Prompts,
    encoder: TextEncoder,
    scheduler: SchedulerConfig,
    vae: VaeConfig,
    vae_path: PathBuf,
}

impl TextToVideo {
    /// Opens the folder at `path` and holds every part against its configuration.
    pub fn open(path: &Path) -> Result<Self, GenerateError> {
        let model = Model::open(path)?;
        model.check()?;
        let absent = |what: &str| {
            GenerateError::Request(format!(
                "{} has no {what}; a whole diffusers folder is needed",
                path.display()
            ))
        };
        let part = |name: &str| {
            let folder = path.join(name);
            let there = folder.is_dir();
            there.then_some(folder).ok_or_else(|| absent(name))
        };
        let scheduler = model.scheduler.clone().ok_or_else(|| absent("scheduler"))?;
        let encoder = TextEncoder::open(&part("text_encoder")?)?;
        let (words, end) = (encoder.config().vocab_size, encoder.config().eos_token_id);
        let prompts = Prompts::open(&part("tokenizer")?.join("tokenizer.json"), words, end)?;
        let vae_path = part("vae")?;
        let (vae, _) = vae::open(&vae_path)?;
        let opened = Self {
            model,
            prompts,
            encoder,
            scheduler,
            vae,
            vae_path,
        };
        opened.check(path)?;
        Ok(opened)
    }

    /// Whether the parts go together.
    fn check(&self, path: &Path) -> Result<(), GenerateError> {
        let width = self.encoder.config().d_model;
        for part in &self.model.parts {
            let config = &part.config;
            let (takes, gives) = (config.in_channels, config.out_channels);
            let why = if config.vace.is_some() || config.image_dim.is_some() || takes != gives {
                format!("the {} is not one for text alone", part.name)
            } else if config.text_dim != width {
                let wanted = config.text_dim;
                format!("the text encoder gives {width} channels, {wanted} are needed")
            } else if gives != self.vae.z_dim {
                format!("the VAE has {} channels, not {gives}", self.vae.z_dim)
            } else {
                continue;
            };
            let path = path.display();
            return Err(GenerateError::Request(format!("{path}: {why}")));
        }
        Ok(())
    }

    /// The shape of the latents for `request`: [channels, frames, rows, columns].
    pub fn latent_shape(&self, request: &Request) -> Result<[usize; 4], GenerateError> {
        let [width, height] = request.size;
        if width == 0 || height == 0 || request.frames == 0 || request.steps == 0 {
            let text = "a size, a number of frames and one of steps are needed, all above 0";
            return Err(GenerateError::Request(text.to_owned()));
        }
        let config = &self.model.parts[0].config;
        let [t, h, w] = config.patch_size;
        let by = self.vae.spatial_factor();
        let up = |pixels: usize, patch: usize| pixels.div_ceil(by).div_ceil(patch) * patch;
        let frames = (request.frames - 1).div_ceil(4) + 1;
        let longest = (frames.div_ceil(t)).max(height.div_ceil(by * h).max(width.div_ceil(by * w)));
        if longest > config.rope_max_seq_len {
            return Err(GenerateError::Request(format!(
                "{width} x {height}, {} frames is beyond the model, which knows {} places along an axis; make it in parts",
                request.frames, config.rope_max_seq_len
            )));
        }
        Ok([
            config.out_channels,
            frames.div_ceil(t) * t,
            up(height, h),
            up(width, w),
        ])
    }

    /// The latents of `request`, [1, channels, frames, rows, columns].
    pub fn latents(&self, request: &Request, task: Task<'_>) -> Result<Made, GenerateError> {
        let shape = self.latent_shape(request)?;
        let noise = match &request.noise {
            None => noise(request.seed, Place::default(), shape, &Device::Cpu)?,
            Some(given) => {
                let [c, t, h, w] = shape;
                if given.dims() != [1, c, t, h, w] {
                    return Err(GenerateError::Request(format!(
                        "the latents given are {:?}, where [1, {c}, {t}, {h}, {w}] goes with this size",
                        given.dims()
                    )));
                }
                given.to_dtype(candle_core::DType::F32)?
            }
        };
        let mut texts = vec![self.prompts.ids(&request.prompt, TEXT_TOKENS)?];
        if request.guidance.is_used() {
            texts.push(self.prompts.ids(&request.negative, TEXT_TOKENS)?);
        }
        let width = self.encoder.config().d_model;
        let mut states = Vec::new();
        for state in self.encoder.encode(&texts, task)? {
            let tokens = state.len() / width;
            states.push(Tensor::from_vec(state, (1, tokens, width), &Device::Cpu)?);
        }
        let experts = self.model.load()?;
        let run = Run {
            noise: &noise,
            prompt: &states[0],
            negative: states.get(1),
            image: None,
            condition: Condition::None,
            control: None,
            scheduler: &self.scheduler,
            steps: request.steps,
            guidance: request.guidance,
            cache: request.cache,
        };
        Ok(experts.sample(&run, task)?)
    }

    /// The frames of `latents`, in pieces: RGB of -1 to 1, display-referred. They may
    /// be larger and more than was asked for.
    pub fn decode(
        &self,
        latents: &Tensor,
        tiling: Tiling,
        task: Task<'_>,
        take: &mut dyn FnMut(Piece),
    ) -> Result<(), GenerateError> {
        let (config, vb) = vae::open(&self.vae_path)?;
        let decoder = VaeDecoder::load(&config, &vb)?;
        Ok(decoder.decode(&latents.squeeze(0)?, tiling, task, take)?)
    }
}
