//! A model whose parts have been looked at, and none of them loaded.

use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::checkpoint::{CheckpointError, Memory, Model, memory};
use super::config::TransformerConfig;
use super::error::WanError;
use super::loaded::Loaded;
use super::pipeline::TEXT_TOKENS;
use super::settings::{ModelFiles, Settings, Way};
use super::shot::Shot;
use super::text::{Prompts, TextEncoder};
use super::vae::{self, PreviewDecoder, VaeConfig};
use super::work::Work;
use crate::device::gpu::{self, Choice};
use crate::device::{Task, memory as system, notices};
use crate::sampler::{Method, SchedulerConfig, UniPcSettings};

/// What a model takes beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Text,
    /// Given frames in channels of their own (image to video; Wan 2.1 has CLIP look at
    /// them too).
    Channels,
    /// Given frames in their place, told by the time of their tokens (Wan 2.2 TI2V).
    Tokens,
    /// A control video with a mask, and reference pictures.
    Vace,
}

/// A model whose parts have been looked at and not been loaded.
pub struct Studio {
    model: Model,
    kind: Kind,
    prompts: Prompts,
    encoder: TextEncoder,
    scheduler: SchedulerConfig,
    vae: VaeConfig,
    vae_path: PathBuf,
    tiny_path: Option<PathBuf>,
    /// What a place of a latent comes to with the tiny decoder.
    tiny_work: Option<Work>,
    image_path: Option<PathBuf>,
    device: Choice,
}

impl Studio {
    /// Opens the files and holds every part against its configuration and against the
    /// others.
    ///
    /// # Errors
    /// Whatever is missing, of the wrong shape or does not go together, by name.
    pub fn open(files: &ModelFiles) -> Result<Self, WanError> {
        if files.model.as_os_str().is_empty() {
            return Err(WanError::Request(
                "the wan engine needs a model: name a diffusers folder, or a transformer's .safetensors or .gguf file"
                    .to_owned(),
            ));
        }
        let mut model = Model::open(&files.model)?;
        if let Some(low) = &files.low {
            let mut other = Model::open(low)?;
            if model.parts.len() != 1 || other.parts.len() != 1 {
                return Err(WanError::Model(format!(
                    "{} goes beside a single transformer for high noise, and {} has {} parts: leave one of the two out",
                    low.display(),
                    files.model.display(),
                    model.parts.len()
                )));
            }
            model.parts.append(&mut other.parts);
            // As published: .875 of the steps for text, .9 for images.
            let takes_frames =
                model.parts[0].config.in_channels > model.parts[0].config.out_channels;
            model.boundary = Some(if takes_frames { 0.9 } else { 0.875 });
        }
        for lora in &files.loras {
            add(&mut model, lora)?;
        }
        model.check()?;
        let part = |name: &str, chosen: &Option<PathBuf>| -> Result<PathBuf, WanError> {
            if let Some(path) = chosen {
                return Ok(path.clone());
            }
            let folder = files.model.join(name);
            if folder.is_dir() {
                return Ok(folder);
            }
            Err(WanError::Model(format!(
                "{} has no {name}: take a whole diffusers folder, or name that part's own file",
                files.model.display()
            )))
        };
        let encoder = TextEncoder::open(&part("text_encoder", &files.text_encoder)?)?;
        let (words, end) = (encoder.config().vocab_size, encoder.config().eos_token_id);
        let mut tokenizer = part("tokenizer", &files.tokenizer)?;
        if tokenizer.is_dir() {
            tokenizer = tokenizer.join("tokenizer.json");
        }
        let prompts = Prompts::open(&tokenizer, words, end)?;
        let vae_path = part("vae", &files.vae)?;
        let (vae, _) = vae::open(&vae_path)?;
        let kind = kind(&model);
        let image_path = match model.parts[0].config.image_dim {
            Some(_) => Some(part("image_encoder", &files.image_encoder)?),
            None => None,
        };
        let scheduler = model.scheduler.clone().unwrap_or(SchedulerConfig {
            method: Method::UniPc(UniPcSettings::default()),
            shift: published_shift(kind, &model.parts[0].config),
            train_steps: 1000,
        });
        let mut opened = Self {
            model,
            kind,
            prompts,
            encoder,
            scheduler,
            vae,
            vae_path,
            tiny_path: files.tiny.clone(),
            tiny_work: None,
            image_path,
            device: Choice::Auto,
        };
        opened.agree()?;
        if let Some(path) = &opened.tiny_path {
            let tiny = PreviewDecoder::open(path)?;
            if !tiny.fits(opened.vae.z_dim, opened.vae.spatial_factor()) {
                return Err(WanError::Model(format!(
                    "{} is a tiny decoder for another VAE: take taew2_1 for latents of 16 channels and taew2_2 for 48",
                    path.display()
                )));
            }
            opened.tiny_work = Some(tiny.work());
        }
        Ok(opened)
    }

    /// The same with its transformers and its VAE on `device`.
    pub fn on(self, device: Choice) -> Self {
        Self { device, ..self }
    }

    /// Where it works.
    pub fn device(&self) -> Choice {
        self.device
    }

    /// Whether the parts go together.
    fn agree(&self) -> Result<(), WanError> {
        let width = self.encoder.config().d_model;
        let z = self.vae.z_dim;
        for part in &self.model.parts {
            let config = &part.config;
            let (takes, gives) = (config.in_channels, config.out_channels);
            let wanted = match self.kind {
                // Four frames' masks and the given frames' latents.
                Kind::Channels => 2 * gives + 4,
                _ => gives,
            };
            let square = self.vae.spatial_factor().pow(2);
            let control = config.vace.as_ref().map(|v| v.in_channels);
            let why = if config.text_dim != width {
                let wanted = config.text_dim;
                format!("the text encoder gives {width} channels, {wanted} are needed")
            } else if gives != z {
                format!("the VAE has {z} channels, not {gives}")
            } else if takes != wanted {
                format!(
                    "its {} takes {takes} channels, where {wanted} are known",
                    part.name
                )
            } else if control.is_some_and(|c| c != 2 * z + square) {
                let wanted = 2 * z + square;
                format!("its control branch does not take the {wanted} channels of this VAE")
            } else {
                continue;
            };
            let path = self.model.path.display();
            return Err(WanError::Model(format!(
                "{path}: {why}; take all parts from one model"
            )));
        }
        Ok(())
    }

    /// What the model takes.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The model's transformers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The VAE's settings.
    pub fn vae(&self) -> &VaeConfig {
        &self.vae
    }

    /// Where the VAE lies.
    pub fn vae_path(&self) -> &Path {
        &self.vae_path
    }

    /// Where the tiny decoder lies, if frames are to be decoded by one.
    pub fn tiny_path(&self) -> Option<&Path> {
        self.tiny_path.as_deref()
    }

    /// What it comes to to make frames from `first` on of the latent frames `latents`, of
    /// `rows` × `columns`, by the decoder that is chosen.
    pub fn decoder_work(
        &self,
        [rows, columns]: [usize; 2],
        latents: Range<usize>,
        first: usize,
    ) -> Work {
        match self.tiny_work {
            Some(work) => work * (rows * columns * latents.len()) as f64,
            None => self.vae.decoder_work([rows, columns], latents.end, first),
        }
    }

    /// Where the image encoder lies, if the model has one.
    pub fn image_path(&self) -> Option<&Path> {
        self.image_path.as_deref()
    }

    /// Whether the image encoder's states of two pictures are needed: the first and the
    /// last frame's.
    pub fn needs_both_ends(&self) -> bool {
        self.model.parts[0].config.pos_embed_seq_len.is_some()
    }

    /// Solver and shift under `settings`.
    pub fn scheduler(&self, settings: &Settings) -> SchedulerConfig {
        SchedulerConfig {
            shift: settings.shift.unwrap_or(self.scheduler.shift),
            ..self.scheduler.clone()
        }
    }

    /// Pixels across and down that the model makes multiples of.
    pub fn step(&self) -> [usize; 2] {
        let [_, down, across] = self.model.parts[0].config.patch_size;
        let by = self.vae.spatial_factor();
        [by * across, by * down]
    }

    /// Rows and columns of a latent of a picture `canvas` wide and high.
    pub fn latent_size(&self, canvas: [usize; 2]) -> [usize; 2] {
        let by = self.vae.spatial_factor();
        [canvas[1] / by, canvas[0] / by]
    }

    /// Refuses what this kind of model cannot make.
    ///
    /// # Errors
    /// What it can make instead.
    pub fn can(&self, shots: &[Shot], settings: &Settings) -> Result<(), WanError> {
        let refuse = |text: &str| Err(WanError::Request(text.to_owned()));
        let given = shots.iter().any(|s| !s.given.is_empty());
        let after = shots.iter().any(Shot::given_after);
        let from_nothing = shots.iter().any(|s| s.given_before() == 0);
        match (self.kind, settings.way) {
            (Kind::Vace, _) => {}
            (_, Way::Fill | Way::Follow) => {
                return refuse(
                    "filling a matte and following a guide take a VACE model: choose one, such as Wan2.1-VACE-1.3B",
                );
            }
            (Kind::Channels, Way::Restyle) => {
                return refuse(
                    "restyling takes a text-to-video model: this one makes frames from given ones",
                );
            }
            (Kind::Channels, Way::Frames) if from_nothing => {
                return refuse(
                    "this model makes frames that follow a given one: choose 'animate', 'between' or an extension at the end, or a text-to-video model",
                );
            }
            (Kind::Channels, Way::Frames) if self.needs_both_ends() && !after => {
                return refuse(
                    "this model makes the frames between a first and a last one: choose 'between', or an image-to-video model",
                );
            }
            (Kind::Text, Way::Frames) if given => {
                return refuse(
                    "this model makes frames from text alone: to begin with plate frames choose an image-to-video, a TI2V or a VACE model",
                );
            }
            (Kind::Tokens, Way::Frames) if after => {
                return refuse(
                    "this model can begin with given frames and not end with them: choose a VACE or a first-and-last-frame model",
                );
            }
            _ => {}
        }
        if settings.cache.is_some() && !settings.subjects.is_empty() {
            return refuse(
                "the step cache looks at the whole picture, and subjects are kept apart: leave out one of the two",
            );
        }
        if settings.all_references().next().is_some() && self.kind != Kind::Vace {
            return refuse("reference pictures take a VACE model: choose one, or leave them out");
        }
        Ok(())
    }

    /// Refuses a size or a length that the model has no places for, or that memory does
    /// not hold: the weights, a block of them at a time where they do not fit, and what one evaluation works in, of
    /// `most` latent frames at once and `more` of references.
    ///
    /// # Errors
    /// What is too large, and by how much.
    pub fn fits(
        &self,
        canvas: [usize; 2],
        shots: &[Shot],
        most: usize,
        more: usize,
    ) -> Result<(), WanError> {
        let config = &self.model.parts[0].config;
        let [t, h, w] = config.patch_size;
        let [rows, columns] = self.latent_size(canvas);
        let latents = |s: &Shot| s.latents().min(most.max(1)) + more;
        let frames = shots.iter().map(latents).max().unwrap_or(1);
        let longest = frames.div_ceil(t).max(rows / h).max(columns / w);
        if longest > config.rope_max_seq_len {
            return Err(WanError::Request(format!(
                "{} x {}, {} frames is beyond the model, which knows {} places along an axis; make it in parts",
                canvas[0],
                canvas[1],
                (frames - 1) * 4 + 1,
                config.rope_max_seq_len
            )));
        }
        if self.device == Choice::Gpu {
            // Weights go there one by one, and it says itself what it has no room for.
            return Ok(());
        }
        let available = system::available();
        let needed = memory(
            config,
            [canvas[0], canvas[1], (frames - 1) * 4 + 1],
            self.model.held_bytes(available),
            self.model.values(),
        );
        enough(&needed, available)
    }

    /// What sampling works in: the weights of all transformers and one evaluation, of
    /// `latents` latent frames of a picture `canvas` wide and high.
    pub fn sampling(&self, canvas: [usize; 2], latents: usize) -> Memory {
        let frames = (latents.max(1) - 1) * 4 + 1;
        memory(
            &self.model.parts[0].config,
            [canvas[0], canvas[1], frames],
            self.model.loaded_bytes(),
            self.model.values(),
        )
    }

    /// The embeddings of `texts`, [1, tokens, width] each.
    pub fn texts(&self, texts: &[&str], task: Task<'_>) -> Result<Vec<Tensor>, WanError> {
        let ids = texts
            .iter()
            .map(|text| self.prompts.ids(text, TEXT_TOKENS))
            .collect::<Result<Vec<_>, _>>()?;
        let width = self.encoder.config().d_model;
        let states = self.encoder.encode(&ids, task)?;
        let tensors = states.into_iter().map(|state| {
            let tokens = state.len() / width;
            Tensor::from_vec(state, (1, tokens, width), &Device::Cpu)
        });
        Ok(tensors.collect::<candle_core::Result<_>>()?)
    }

    /// Refuses a text that is too long.
    ///
    /// # Errors
    /// By how much.
    pub fn readable(&self, text: &str) -> Result<(), WanError> {
        Ok(self.prompts.ids(text, TEXT_TOKENS).map(drop)?)
    }

    /// What it takes to read `text`.
    ///
    /// # Errors
    /// Where it is too long.
    pub fn text_work(&self, text: &str) -> Result<Work, WanError> {
        let tokens = self.prompts.ids(text, TEXT_TOKENS)?.len() as f64;
        let config = self.encoder.config();
        let (width, inner) = (config.d_model, config.num_heads * config.d_kv);
        let block = Work::layer(4. * tokens, width, inner)
            + Work::layer(3. * tokens, width, config.d_ff)
            + Work::attending(tokens, tokens, inner);
        Ok(block * config.num_layers as f64)
    }

    /// Bytes of files that are read to make latents in so many evaluations.
    pub fn read_bytes(&self, evaluations: usize) -> u64 {
        let all = self.model.loaded_bytes();
        let times = match self.model.held_bytes(system::available()) < all {
            true => evaluations as u64,
            false => 1,
        };
        all * times + self.encoder.bytes()
    }

    /// Loads the transformers, onto a GPU where that alone is chosen: what it makes is
    /// not to the bit what the CPU makes, so nobody is given it unasked. An evaluation
    /// there is of `latents` latent frames of a picture `canvas` wide and high at most.
    ///
    /// # Errors
    /// Where a weight cannot be read, or the GPU does not take them.
    pub fn experts(&self, canvas: [usize; 2], latents: usize) -> Result<Loaded, WanError> {
        if self.device != Choice::Gpu {
            let loaded = self.model.load(system::available())?;
            return Ok(Loaded::OnCpu(Box::new(loaded)));
        }
        let working = self.sampling(canvas, latents).working_on_gpu;
        let loaded = self.model.load_on_gpu(working, gpu::most_memory());
        loaded.map(Loaded::OnGpu).map_err(|error| match error {
            CheckpointError::OnGpu(error) => WanError::Request(error.to_string()),
            other => other.into(),
        })
    }
}

/// What `model` takes.
pub(super) fn kind(model: &Model) -> Kind {
    let config = &model.parts[0].config;
    if config.vace.is_some() {
        Kind::Vace
    } else if config.in_channels > config.out_channels || config.image_dim.is_some() {
        Kind::Channels
    } else if model.expand_timesteps {
        Kind::Tokens
    } else {
        Kind::Text
    }
}

/// The shift that a model was published with, where no file says it. Of a Wan 2.1 model
/// that for 480 rows, for more 5 is usual; the two transformers of Wan 2.2 look like it
/// and have 12 for text and 5 for images by their authors, 3 by diffusers' converter.
fn published_shift(kind: Kind, config: &TransformerConfig) -> f64 {
    if config.pos_embed_seq_len.is_some() {
        // First and last frame to video.
        return 16.;
    }
    match kind {
        Kind::Tokens => 5.,
        Kind::Text | Kind::Channels | Kind::Vace => 3.,
    }
}

/// Adds a LoRA to the transformers that it is for.
fn add(model: &mut Model, lora: &super::settings::LoraFile) -> Result<(), WanError> {
    let all = 0..model.parts.len();
    if let Some(part) = lora.part.filter(|p| !all.contains(p)) {
        let name = ["high", "low"].get(part).unwrap_or(&"low");
        return Err(WanError::Request(format!(
            "{} is for the transformer @{name}, and this model has {}: leave that out",
            lora.path.display(),
            all.len()
        )));
    }
    for part in all.filter(|p| lora.part.is_none_or(|l| l == *p)) {
        let merged = model.add_lora(part, &lora.path, lora.strength)?;
        if merged.left_out > 0 {
            notices::tell(format!(
                "{} is for more than this model: of the parts that it changes, {} are left out",
                lora.path.display(),
                merged.left_out
            ));
        }
    }
    Ok(())
}

/// Refuses work that would not fit.
fn enough(needed: &Memory, available: Option<u64>) -> Result<(), WanError> {
    let bytes = needed.weights + needed.working;
    let gb = |b: u64| b as f64 / 1e9;
    match available {
        Some(have) if have < bytes => Err(WanError::Request(format!(
            "{} x {}, {} frames need about {:.1} GB of memory ({:.1} of it the model) and {:.1} GB can be had: choose a smaller size, fewer frames or a quantised model, or close other programs",
            needed.size[0],
            needed.size[1],
            needed.size[2],
            gb(bytes),
            gb(needed.weights),
            gb(have)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_alone_has_the_shift_that_its_model_was_published_with() {
        let shift = |kind, more: &str| {
            let config = format!(r#"{{"_class_name": "WanTransformer3DModel"{more}}}"#);
            published_shift(kind, &TransformerConfig::from_json(&config).unwrap())
        };
        let image = r#", "in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120"#;
        let both_ends = format!(r#"{image}, "pos_embed_seq_len": 514"#);
        assert_eq!(shift(Kind::Text, ""), 3.);
        assert_eq!(shift(Kind::Channels, image), 3.);
        assert_eq!(shift(Kind::Channels, &both_ends), 16.);
        assert_eq!(shift(Kind::Tokens, ""), 5.);
    }

    #[test]
    fn too_little_memory_is_told_with_the_figures() {
        let needed = Memory {
            size: [832, 480, 81],
            tokens: 32_760,
            weights: 2_800_000_000,
            working: 1_600_000_000,
            on_gpu: 0,
            working_on_gpu: 0,
            least_on_gpu: 0,
        };
        assert!(enough(&needed, None).is_ok());
        assert!(enough(&needed, Some(4_400_000_000)).is_ok());
        let error = enough(&needed, Some(4_300_000_000))
            .unwrap_err()
            .to_string();
        for figure in ["832 x 480, 81 frames", "4.4 GB", "2.8", "4.3 GB"] {
            assert!(error.contains(figure), "{error}");
        }
    }
}
