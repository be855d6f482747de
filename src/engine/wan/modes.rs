//! What each mode of a model works in, told from its files alone.

use std::path::Path;

use serde::Serialize;

use super::checkpoint::{CheckpointError, Model, memory, text};
use super::encode::WORKING;
use super::studio::{Kind, kind};
use super::vae::VaeConfig;

/// Sizes and frames that are told of: those that the models were trained at.
const SIZES: [[usize; 3]; 2] = [[832, 480, 81], [1280, 720, 81]];

/// The memory of one mode at one size, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModeMemory {
    /// As the parameter `mode` names it.
    pub mode: &'static str,
    /// Width, height and frames made at once.
    pub size: [usize; 3],
    /// To make latents, weights included.
    pub sampling: u64,
    /// To encode what is given.
    pub encoding: u64,
    /// To decode frames.
    pub decoding: u64,
    /// The largest of these and what is given beside them: what the machine has to have
    /// beside the program itself.
    pub most: u64,
}

/// What the modes of the model at `path` work in. The VAE is the folder's or, where
/// there is none, the published one that goes with its latents.
///
/// # Errors
/// Where the model cannot be opened.
pub fn modes(path: &Path) -> Result<Vec<ModeMemory>, CheckpointError> {
    let model = Model::open(path)?;
    let Some(part) = model.parts.first() else {
        return Ok(Vec::new());
    };
    let told = text(&path.join("vae").join("config.json")).ok();
    let vae = told.and_then(|text| VaeConfig::parse(&text).ok());
    let vae = vae.unwrap_or_else(|| match part.config.out_channels {
        48 => VaeConfig::of_2_2(),
        _ => VaeConfig::default(),
    });
    let kind = kind(&model);
    let (modes, streams, given): (&[&'static str], usize, usize) = match kind {
        Kind::Text => (&["generate", "restyle"], 1, 0),
        Kind::Channels if part.config.pos_embed_seq_len.is_some() => {
            (&["between"], 1, vae.z_dim + 4)
        }
        Kind::Channels => (&["animate", "between", "extend"], 1, vae.z_dim + 4),
        Kind::Tokens => (&["generate", "animate", "extend", "restyle"], 1, 0),
        Kind::Vace => (
            &[
                "generate", "animate", "between", "extend", "fill", "match", "restyle",
            ],
            2,
            2 * vae.z_dim + vae.spatial_factor().pow(2),
        ),
    };
    let factor = vae.spatial_factor();
    let [_, down, across] = part.config.patch_size;
    let mut found = Vec::new();
    for size in SIZES {
        let up = |length: usize, step: usize| length.div_ceil(step) * step;
        let canvas = [up(size[0], factor * across), up(size[1], factor * down)];
        let latent = [canvas[1] / factor, canvas[0] / factor];
        let frames = (size[2] - 1) / 4 + 1;
        let needed = memory(
            &part.config,
            [canvas[0], canvas[1], size[2]],
            model.loaded_bytes(),
            model.values(),
        );
        for mode in modes {
            let plain = kind != Kind::Vace && *mode == "generate";
            let start = if *mode == "restyle" { vae.z_dim } else { 0 };
            let channels = given + start;
            let given = (2 * 4 * channels * frames * latent[0] * latent[1]) as u64;
            let encoding = match plain {
                true => 0,
                false => vae.encoding(canvas, streams, WORKING).1,
            };
            let sampling = needed.weights + needed.working;
            let decoding = vae.decoder_bytes(latent);
            found.push(ModeMemory {
                mode,
                size,
                sampling,
                encoding,
                decoding,
                most: given + sampling.max(encoding).max(decoding),
            });
        }
    }
    Ok(found)
}
