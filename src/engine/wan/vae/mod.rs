//! The causal video VAEs of Wan 2.1 (8 × 8 pixels and 4 frames to a latent) and
//! 2.2 (16 × 16 and 4), in f32 on the CPU.
//!
//! The first frame has a latent of its own, every four after it share one. Frames
//! are taken and given one at a time, whatever the length: what a layer still
//! needs of earlier frames it keeps. Large pictures are decoded in tiles that
//! give the same bits as the whole.

mod area;
mod config;
mod decoder;
mod encoder;
mod layers;
mod level;
mod memory;
mod names;
pub mod on_gpu;
mod preview;
#[cfg(test)]
mod tests;
mod tiled;
mod work;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use longtake_kernels::driver::DeviceError;

use crate::device::ops::{FeatureMap, plainly};
use crate::device::{Cancelled, Task};
use crate::engine::wan::checkpoint::{CheckpointError, DIFFUSERS, Weights, files, text};
use area::{Area, tiles};
use decoder::{Decoder, HeadPast, Plan, TailPast};
use encoder::{Encoder, EncoderPast};

pub use config::VaeConfig;
pub use preview::{PreviewDecoder, Previewing};
pub use tiled::{EncoderTile, JoinedEncoding, TileEncoding};

/// Why a VAE could not be read or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaeError {
    /// The settings do not describe a VAE that can be built.
    #[error("the VAE's config.json {0}")]
    Config(String),
    /// A weight is missing or of another shape; the text names it.
    #[error("the VAE's weights do not fit its config.json: {}", plainly(.0))]
    Weights(#[from] candle_core::Error),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// Frames or latents of a size that the VAE cannot take.
    #[error("{0}")]
    Size(String),
    /// A GPU does not do it.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Opens a folder as diffusers saves it (`config.json` and weights, whole or in
/// parts), or a single file of Wan 2.1's or 2.2's VAE, whose settings are the published
/// ones; its latents' channels tell which. Nothing is loaded yet: see [`VaeDecoder::load`] and [`VaeEncoder::load`].
pub fn open(path: &Path) -> Result<(VaeConfig, VarBuilder<'static>), VaeError> {
    let (config, files) = if path.is_dir() {
        let config = VaeConfig::parse(&text(&path.join("config.json"))?)?;
        (Some(config), files(path, DIFFUSERS)?)
    } else {
        (None, vec![path.to_owned()])
    };
    let weights = Arc::new(Weights::open(path, &files)?);
    let config = config.unwrap_or_else(|| {
        let names = ["conv2.weight", "post_quant_conv.weight"];
        let shape = names.iter().find_map(|name| weights.shape(name));
        match shape.and_then(|s| s.first()) {
            Some(48) => VaeConfig::of_2_2(),
            _ => VaeConfig::default(),
        }
    });
    let vb = weights.builder().to_dtype(DType::F32);
    Ok((config, vb))
}

/// Turns frames into latents.
pub struct VaeEncoder {
    config: VaeConfig,
    weights: Encoder,
}

impl VaeEncoder {
    /// Reads the encoder's weights, named as in a diffusers checkpoint or as in
    /// the published single file of Wan 2.1.
    pub fn load(config: &VaeConfig, vb: &VarBuilder<'_>) -> Result<Self, VaeError> {
        let vb = names::as_diffusers(vb, config);
        Ok(Self {
            config: config.clone(),
            weights: Encoder::load(&vb, config)?,
        })
    }

    /// Begins with a video.
    pub fn begin(&self) -> Encoding<'_> {
        Encoding {
            encoder: self,
            past: EncoderPast::default(),
        }
    }

    /// Refuses frames that cannot be encoded.
    fn check(&self, frame: &FeatureMap) -> Result<(), VaeError> {
        check_frame(&self.config, frame)
    }

    /// The mean of a latent's moments, normalised as the transformer knows it.
    fn latent(&self, moments: &FeatureMap) -> FeatureMap {
        mean_of(&self.config, moments)
    }
}

/// A video on its way into latents.
pub struct Encoding<'a> {
    encoder: &'a VaeEncoder,
    past: EncoderPast,
}

impl Encoding<'_> {
    /// Takes the next frame: RGB of -1 to 1, display-referred, all frames of one
    /// size. Gives a latent, normalised as the transformer knows it, for the
    /// first frame and then for every fourth.
    pub fn push(
        &mut self,
        frame: &FeatureMap,
        task: Task<'_>,
    ) -> Result<Option<FeatureMap>, VaeError> {
        let moments = self.push_for_moments(frame, task)?;
        Ok(moments.map(|moments| self.encoder.latent(&moments)))
    }

    /// The same, but gives what the encoder says of the latent: means, then
    /// logarithms of variances, not normalised.
    pub fn push_for_moments(
        &mut self,
        frame: &FeatureMap,
        task: Task<'_>,
    ) -> Result<Option<FeatureMap>, VaeError> {
        self.encoder.check(frame)?;
        let frame = patched(frame, self.encoder.config.patch());
        let weights = &self.encoder.weights;
        Ok(weights.step(&frame, &mut self.past, task.cancel)?)
    }
}

/// Tiles to decode a picture in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiling {
    /// None: the least work, frames in order.
    Whole,
    /// Tiles of at most so many latents in height and in width. Memory follows
    /// the tile; the work around each tile is done again by its neighbours.
    Latents(usize),
}

/// A decoded piece of a frame.
pub struct Piece {
    /// The frame's number from 0.
    pub frame: usize,
    /// Row of its first pixel.
    pub y: usize,
    /// Column of its first pixel.
    pub x: usize,
    /// RGB of -1 to 1, display-referred, held to that range.
    pub pixels: FeatureMap,
}

/// Turns latents into frames.
pub struct VaeDecoder {
    config: VaeConfig,
    weights: Decoder,
}

impl VaeDecoder {
    /// Reads the decoder's weights, named as in a diffusers checkpoint or as in
    /// the published single file of Wan 2.1.
    pub fn load(config: &VaeConfig, vb: &VarBuilder<'_>) -> Result<Self, VaeError> {
        let vb = names::as_diffusers(vb, config);
        Ok(Self {
            config: config.clone(),
            weights: Decoder::load(&vb, config)?,
        })
    }

    /// Begins with a video that comes one latent at a time.
    pub fn begin(&self) -> Decoding<&Self> {
        Decoding::new(self)
    }

    /// The same, for a video that outlives whoever begins it.
    pub fn begin_shared(self: Arc<Self>) -> Decoding<Arc<Self>> {
        Decoding::new(self)
    }

    /// Decodes `latents`, `[channels, latents, height, width]`, normalised as the
    /// transformer knows them. `take` is handed all pieces of all frames; within
    /// a tile in the order of frames, one tile after the other.
    pub fn decode(
        &self,
        latents: &Tensor,
        tiling: Tiling,
        task: Task<'_>,
        take: &mut dyn FnMut(Piece),
    ) -> Result<(), VaeError> {
        self.decode_from(latents, (0, 0), tiling, task, take)
    }

    /// Decodes the frames from `first` on of a video of which `latents` begins with
    /// latent frame `begin`: to the same bits as all of it, where `latents` begins no
    /// later than [`VaeConfig::decoder_starts`] says. Frames are numbered as the
    /// video's.
    pub fn decode_from(
        &self,
        latents: &Tensor,
        (begin, first): (usize, usize),
        tiling: Tiling,
        task: Task<'_>,
        take: &mut dyn FnMut(Piece),
    ) -> Result<(), VaeError> {
        let latents = frames_of(latents)?;
        let Some((height, width)) = latents.first().map(|l| (l.height(), l.width())) else {
            return Err(VaeError::Size("there are no latents to decode".into()));
        };
        let stage = "Decoding frames";
        let tiles = tiles(tiling, height, width);
        let starts = self.config.decoder_starts(first);
        let starts = starts.get(1..).unwrap_or_default();
        let factor = self.config.spatial_factor();
        let plans: Vec<Plan> = tiles
            .iter()
            .map(|tile| self.weights.plan(tile, (height, width), starts))
            .collect();
        let mut past = HeadPast::default();
        let mut head = |latent: &FeatureMap| -> Result<FeatureMap, VaeError> {
            let latent = self.denormalised(latent)?;
            Ok(self.weights.head(latent, &mut past, task.cancel)?)
        };
        let tail = |at: usize,
                    head: (usize, &FeatureMap),
                    past: &mut TailPast,
                    take: &mut dyn FnMut(Piece)|
         -> Result<(), VaeError> {
            let tile: &Area = &tiles[at];
            let mut emit = |frame, x| {
                if frame >= first {
                    take(Piece {
                        frame,
                        y: tile.rows.start * factor,
                        x: tile.columns.start * factor,
                        pixels: self.pixels(&x),
                    });
                }
            };
            let weights = &self.weights;
            Ok(weights.tail(head, &plans[at], past, task.cancel, &mut emit)?)
        };
        if tiles.len() == 1 {
            let mut past = TailPast::default();
            for (i, latent) in latents.iter().enumerate() {
                let head = head(latent)?;
                tail(0, (begin + i, &head), &mut past, take)?;
                task.step(stage, i + 1, latents.len())?;
            }
            return Ok(());
        }
        let heads = latents.iter().map(head).collect::<Result<Vec<_>, _>>()?;
        for at in 0..tiles.len() {
            let mut past = TailPast::default();
            for (i, head) in heads.iter().enumerate() {
                tail(at, (begin + i, head), &mut past, take)?;
                task.step(stage, at * heads.len() + i + 1, tiles.len() * heads.len())?;
            }
        }
        Ok(())
    }

    /// A latent as the VAE knows it.
    fn denormalised(&self, latent: &FeatureMap) -> Result<FeatureMap, VaeError> {
        denormalised(&self.config, latent)
    }

    /// The decoder's output as pixels.
    fn pixels(&self, x: &FeatureMap) -> FeatureMap {
        let mut out = unpatched(x, self.config.patch());
        for y in 0..out.height() {
            for v in out.row_mut(y) {
                *v = v.clamp(-1., 1.);
            }
        }
        out
    }
}

/// A video on its way out of latents.
pub struct Decoding<D> {
    decoder: D,
    head: HeadPast,
    tail: TailPast,
    plan: Option<((usize, usize), Plan)>,
    /// Latent frames that have come.
    latents: usize,
}

impl<D: Deref<Target = VaeDecoder>> Decoding<D> {
    fn new(decoder: D) -> Self {
        Self {
            decoder,
            head: HeadPast::default(),
            tail: TailPast::default(),
            plan: None,
            latents: 0,
        }
    }

    /// Takes the next latent, normalised as the transformer knows it, all of one
    /// size; `take` is handed one frame for the first and four for each other:
    /// RGB of -1 to 1, display-referred.
    pub fn push(
        &mut self,
        latent: &FeatureMap,
        task: Task<'_>,
        take: &mut dyn FnMut(FeatureMap),
    ) -> Result<(), VaeError> {
        let decoder: &VaeDecoder = &self.decoder;
        let (height, width) = (latent.height(), latent.width());
        let latent = decoder.denormalised(latent)?;
        let (size, plan) = self.plan.get_or_insert_with(|| {
            let all = Area {
                rows: 0..height,
                columns: 0..width,
            };
            let size = (height, width);
            (size, decoder.weights.plan(&all, size, &[0]))
        });
        if *size != (height, width) {
            return Err(VaeError::Size(format!(
                "a latent of {width} × {height} follows others of {} × {}",
                size.1, size.0
            )));
        }
        let head = decoder.weights.head(latent, &mut self.head, task.cancel)?;
        let mut emit = |_, x| take(decoder.pixels(&x));
        let tail = &mut self.tail;
        self.latents += 1;
        Ok(decoder.weights.tail(
            (self.latents - 1, &head),
            plan,
            tail,
            task.cancel,
            &mut emit,
        )?)
    }
}

/// Refuses frames that cannot be encoded.
fn check_frame(config: &VaeConfig, frame: &FeatureMap) -> Result<(), VaeError> {
    let factor = config.spatial_factor();
    let (height, width) = (frame.height(), frame.width());
    let whole = height % factor == 0 && width % factor == 0;
    if frame.channels() != 3 || height < factor || width < factor {
        return Err(VaeError::Size(format!(
            "frames of {width} × {height} with {} channels cannot be encoded; the VAE takes \
             RGB of at least {factor} × {factor}",
            frame.channels()
        )));
    }
    if config.is_residual && !whole {
        return Err(VaeError::Size(format!(
            "frames of {width} × {height} cannot be encoded; this VAE takes whole multiples \
             of {factor}: pad them first"
        )));
    }
    Ok(())
}

/// The mean of a latent's moments, normalised as the transformer knows it.
fn mean_of(config: &VaeConfig, moments: &FeatureMap) -> FeatureMap {
    let mut latent = moments.channel_range(0, config.z_dim);
    for y in 0..latent.height() {
        for at in latent.row_mut(y).chunks_exact_mut(config.z_dim) {
            for (c, v) in at.iter_mut().enumerate() {
                *v = (*v - config.latents_mean[c]) / config.latents_std[c];
            }
        }
    }
    latent
}

/// A latent as the VAE knows it.
fn denormalised(config: &VaeConfig, latent: &FeatureMap) -> Result<FeatureMap, VaeError> {
    if latent.channels() != config.z_dim || latent.height() * latent.width() == 0 {
        return Err(VaeError::Size(format!(
            "latents of {} channels, {} × {}, cannot be decoded; the VAE takes {} channels",
            latent.channels(),
            latent.width(),
            latent.height(),
            config.z_dim
        )));
    }
    let mut latent = latent.clone();
    for y in 0..latent.height() {
        for at in latent.row_mut(y).chunks_exact_mut(config.z_dim) {
            for (c, v) in at.iter_mut().enumerate() {
                *v = *v * config.latents_std[c] + config.latents_mean[c];
            }
        }
    }
    Ok(latent)
}

/// The frames of a tensor `[channels, frames, height, width]`, or the same with
/// a batch of one.
pub fn frames_of(tensor: &Tensor) -> Result<Vec<FeatureMap>, VaeError> {
    let tensor = match tensor.dims() {
        [1, ..] if tensor.rank() == 5 => tensor.squeeze(0)?,
        _ => tensor.clone(),
    };
    let (channels, frames, height, width) = tensor.dims4().map_err(|_| {
        VaeError::Size("latents need a shape of [channels, frames, height, width]".into())
    })?;
    let tensor = tensor.to_dtype(DType::F32)?.permute((1, 2, 3, 0))?;
    (0..frames)
        .map(|t| {
            let data = tensor.get(t)?.flatten_all()?.to_vec1()?;
            Ok(FeatureMap::from_rows(height, width, channels, data))
        })
        .collect()
}

/// Squares of `patch` pixels as channels, as the reference orders them.
fn patched(x: &FeatureMap, patch: usize) -> FeatureMap {
    if patch == 1 {
        return x.clone();
    }
    let (height, width) = (x.height() / patch, x.width() / patch);
    let channels = x.channels() * patch * patch;
    let mut out = FeatureMap::zeros(height, width, channels, 0);
    for y in 0..height {
        for (cell, out) in out.row_mut(y).chunks_exact_mut(channels).enumerate() {
            for (i, out) in out.iter_mut().enumerate() {
                let (c, px, py) = (i / (patch * patch), i / patch % patch, i % patch);
                *out = x.at(y * patch + py, cell * patch + px)[c];
            }
        }
    }
    out
}

/// The inverse of [`patched`].
fn unpatched(x: &FeatureMap, patch: usize) -> FeatureMap {
    if patch == 1 {
        return x.clone();
    }
    let channels = x.channels() / (patch * patch);
    let mut out = FeatureMap::zeros(x.height() * patch, x.width() * patch, channels, 0);
    for y in 0..out.height() {
        for (column, out) in out.row_mut(y).chunks_exact_mut(channels).enumerate() {
            let cell = x.at(y / patch, column / patch);
            for (c, out) in out.iter_mut().enumerate() {
                *out = cell[(c * patch + column % patch) * patch + y % patch];
            }
        }
    }
    out
}
