//! What a checkpoint is, what is wrong with it, and what it will need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{CheckpointError, Mismatch};
use super::folder::{Model, Part};
use crate::engine::wan::config::TransformerConfig;
use crate::engine::wan::transformer::message::GpuMemory;
use crate::sampler::Method;

/// What `longtake model inspect` tells.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Where it lies.
    pub path: PathBuf,
    /// How it is laid out.
    pub layout: &'static str,
    /// Which model it seems to be.
    pub model: String,
    /// Each transformer.
    pub transformers: Vec<PartInspection>,
    /// Solver and shift.
    pub scheduler: Option<String>,
    /// Other parts that are there.
    pub others: Vec<String>,
    /// Parts that are named and not there.
    pub absent: Vec<String>,
    /// Whether all transformers can be loaded.
    pub complete: bool,
    /// What a run needs, by size.
    pub memory: Vec<Memory>,
}

/// One transformer.
#[derive(Debug, Serialize)]
pub struct PartInspection {
    /// `transformer` or `transformer_2`.
    pub name: &'static str,
    /// Values in all its weights.
    pub parameters: u64,
    /// Values of each kind in the files.
    pub stored: BTreeMap<String, u64>,
    /// Bytes in memory once loaded.
    pub loaded_bytes: u64,
    /// Blocks, width and heads.
    pub shape: String,
    /// What is wrong.
    pub mismatch: Mismatch,
}

/// The memory of one run, beside VAE and text encoder.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Memory {
    /// Picture size and frames.
    pub size: [usize; 3],
    /// Tokens of the transformer.
    pub tokens: u64,
    /// Bytes of all transformers' weights.
    pub weights: u64,
    /// Bytes that one evaluation works in, estimated from the sizes of what a block
    /// holds at once.
    pub working: u64,
    /// Bytes of a GPU's memory where the transformers work there: all weights and one
    /// evaluation, likewise estimated.
    pub on_gpu: u64,
    /// Of these, what the evaluation works in.
    pub working_on_gpu: u64,
    /// Bytes of a GPU's memory that will do: the matrices of blocks stay in this
    /// machine's memory and are brought over one by one.
    pub least_on_gpu: u64,
}

/// What the GPU's libraries work in.
const LIBRARIES: u64 = 640 << 20;

/// Bytes of `values` weights on a GPU. Matrices are of 16 bits there, however few they
/// have in their file; the vectors beside them, in f32, are less than a fiftieth.
pub(super) fn on_gpu(values: u64) -> u64 {
    2 * values + values / 50
}

/// Bytes of a block's largest matrix on a GPU.
pub(super) fn largest_matrix(config: &TransformerConfig) -> u64 {
    2 * config.dim() as u64 * config.ffn_dim.max(config.dim()) as u64
}

/// Looks at what lies at `path`. Weights that do not fit are part of the answer, not
/// an error.
pub fn inspect(path: &Path) -> Result<Inspection, CheckpointError> {
    let model = Model::open(path)?;
    let transformers: Vec<_> = model.parts.iter().map(part).collect();
    let weights = transformers.iter().map(|t| t.loaded_bytes).sum();
    let values = model.values();
    let memory = match model.parts.first() {
        Some(part) => [[832, 480, 81], [1280, 720, 81]]
            .into_iter()
            .map(|size| memory(&part.config, size, weights, values))
            .collect(),
        None => Vec::new(),
    };
    let scheduler = model.scheduler.as_ref().map(|s| {
        let method = match &s.method {
            Method::Euler => "Euler".to_owned(),
            Method::UniPc(unipc) => format!("UniPC of order {}", unipc.order),
        };
        format!("{method}, shift {}", s.shift)
    });
    Ok(Inspection {
        layout: layout(&model),
        model: describe(&model, &transformers),
        complete: transformers.iter().all(|t| t.mismatch.is_empty()),
        transformers,
        scheduler,
        others: model.others,
        absent: model.absent,
        memory,
        path: model.path,
    })
}

fn layout(model: &Model) -> &'static str {
    let Some(part) = model.parts.first() else {
        return "nothing";
    };
    match (model.path.is_dir(), part.weights.is_gguf()) {
        (true, _) => "diffusers folder",
        (false, true) => "GGUF file",
        (false, false) if part.weights.is_original() => "single file, original names",
        (false, false) => "single file, diffusers' names",
    }
}

fn part(part: &Part) -> PartInspection {
    let kinds = part.weights.kinds();
    let config = &part.config;
    PartInspection {
        name: part.name,
        parameters: part.values(),
        stored: kinds
            .into_iter()
            .map(|(kind, (values, _))| (kind.name(), values))
            .collect(),
        loaded_bytes: part.loaded_bytes(),
        shape: format!(
            "{} blocks, {} channels in {} heads, feed-forward {}",
            config.num_layers,
            config.dim(),
            config.num_attention_heads,
            config.ffn_dim
        ),
        mismatch: part.weights.compare(config),
    }
}

/// The published model that has these shapes.
fn describe(model: &Model, transformers: &[PartInspection]) -> String {
    let (Some(part), Some(found)) = (model.parts.first(), transformers.first()) else {
        return "no transformer".to_owned();
    };
    let config = &part.config;
    let size = match found.parameters as f64 / 1e9 {
        billions if billions >= 10.0 => format!("{billions:.0}B"),
        billions if billions >= 0.1 => format!("{billions:.1}B"),
        billions => format!("{:.2}M", billions * 1e3),
    };
    let task = match config {
        c if c.vace.is_some() => "Wan 2.1 VACE",
        c if c.pos_embed_seq_len.is_some() => "Wan 2.1 first and last frame to video",
        c if c.image_dim.is_some() => "Wan 2.1 image to video",
        c if model.parts.len() == 2 && c.in_channels > c.out_channels => {
            "Wan 2.2 image to video, two experts"
        }
        _ if model.parts.len() == 2 => "Wan 2.2 text to video, two experts",
        _ if model.expand_timesteps => "Wan 2.2 text and image to video",
        c if c.in_channels > c.out_channels => "Wan 2.2 image to video, one expert of two",
        _ => "Wan text to video",
    };
    format!("{task}, {size}")
}

/// What a run of `size` (width, height, frames) needs under `config`: `weights` are the
/// bytes of all transformers' weights on the CPU, `values` how many there are.
pub fn memory(config: &TransformerConfig, size: [usize; 3], weights: u64, values: u64) -> Memory {
    let [width, height, frames] = size;
    // The VAE that goes with 48 channels halves twice as often.
    let by = if config.out_channels == 48 { 16 } else { 8 };
    let [t, h, w] = config.patch_size;
    let across = |pixels: usize, patch: usize| pixels.div_ceil(by).div_ceil(patch) as u64;
    let latent_frames = (frames - 1) / 4 + 1;
    let tokens = latent_frames.div_ceil(t) as u64 * across(height, h) * across(width, w);
    let dim = config.dim() as u64;
    // At once, in rows of the transformer's width: in attention the tokens, what went
    // in, query, key and value, the latter two arranged once more, and what was found;
    // in the feed-forward layer three, and the weights of both matrices arranged. VACE
    // keeps its hints.
    let hints = config.vace.as_ref().map_or(0, |v| v.layers.len()) as u64;
    let attention = tokens * 8 * dim;
    let feed_forward = tokens * 3 * dim + 2 * dim * config.ffn_dim as u64;
    let at_once = attention.max(feed_forward) + tokens * hints * dim;
    // On a GPU in bytes of a token. Through attention the trunk in f32, and in 16 bits
    // what went in, query, key and value, one of them before it was normed, and what was
    // found, gathered once more where there are regions. What lies between the matrices of
    // the feed-forward layer, in 16 bits, is larger than any of these, and finds no room
    // among them: it comes on top. The rest are the tokens' angles.
    let ffn = config.ffn_dim as u64;
    let part = 20 * dim + 2 * ffn + 2 * hints * dim;
    let part = part + 4 * config.attention_head_dim as u64;
    // The sampler's are there too, in f32 of a place of the latents: of as many channels as
    // come out the noise, the latents and where the last step began, clean samples of three
    // steps, and the velocities that are at hand or kept; the channels of a condition, with
    // the latents and without, and of what is to be followed.
    let places = latent_frames as u64 * across(height, 1) * across(width, 1);
    let (takes, gives) = (config.in_channels as u64, config.out_channels as u64);
    let follows = config.vace.as_ref().map_or(0, |v| v.in_channels as u64);
    let conditions = if takes > gives { 2 * takes } else { 0 };
    let sampler = 4 * places * (10 * gives + conditions + follows);
    let working_on_gpu = tokens * part + sampler + LIBRARIES;
    // What lies before the blocks: the words' and the times' matrices.
    let ends = 2 * dim * (8 * dim + config.text_dim as u64);
    // Of a small model all of it is less than the places of what stays away.
    let matrices = GpuMemory::PLACES as u64 * largest_matrix(config);
    let all = on_gpu(values) + working_on_gpu;
    let least = ends + matrices + GpuMemory::working_in_parts(working_on_gpu);
    Memory {
        size,
        tokens,
        weights,
        working: at_once * 4,
        on_gpu: all,
        working_on_gpu,
        least_on_gpu: least.min(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_holds_matrices_of_16_bits_whatever_the_file_has() {
        let config = TransformerConfig::from_json(
            r#"{"_class_name": "WanTransformer3DModel", "num_attention_heads": 12,
                "ffn_dim": 8960, "num_layers": 30}"#,
        )
        .unwrap();
        let values = 1_419_000_000;
        let of = |weights| memory(&config, [832, 480, 81], weights, values);
        let (few_bits, wide) = (of(values / 2), of(4 * values));
        assert_eq!(few_bits.tokens, 32_760);
        assert_eq!(few_bits.on_gpu, wide.on_gpu);
        assert!(few_bits.weights < 2 * values && few_bits.on_gpu > 2 * values);
        // A block's matrices may stay away: of 1.3B most of the weights.
        assert!(few_bits.least_on_gpu > few_bits.working_on_gpu);
        assert!(few_bits.least_on_gpu < few_bits.on_gpu - 3 * values / 2);
        let larger = memory(&config, [1280, 720, 81], 0, values);
        let each = |m: &Memory| (m.working_on_gpu - LIBRARIES) / m.tokens;
        assert!(larger.tokens > 2 * few_bits.tokens && each(&larger) == each(&few_bits));
    }

    /// What evaluations took on an H200 at 832 x 480 x 81: benches/results, 2026-11-27.
    #[test]
    fn what_a_gpu_was_seen_to_lend_is_what_is_told() {
        for (heads, ffn, layers, values, taken) in [
            (12, 8960, 30, 1_418_996_800, 5_014_290_432u64),
            (40, 13824, 40, 14_288_491_584, 33_252_442_112),
        ] {
            let config = TransformerConfig::from_json(&format!(
                r#"{{"_class_name": "WanTransformer3DModel", "num_attention_heads": {heads},
                    "ffn_dim": {ffn}, "num_layers": {layers}}}"#,
            ));
            let told = memory(&config.unwrap(), [832, 480, 81], 0, values).on_gpu;
            assert!(
                told >= taken && told < taken + taken / 20,
                "{told} for {taken}"
            );
        }
    }
}
