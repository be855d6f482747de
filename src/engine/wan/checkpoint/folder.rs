//! What lies at a path: a diffusers folder with its parts, or a single file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::error::CheckpointError;
use super::infer;
use super::inspect::{largest_matrix, on_gpu};
use super::lora::Merged;
use super::weights::{Weights, expected};
use crate::device::ops::plainly;
use crate::engine::wan::config::TransformerConfig;
use crate::engine::wan::on_gpu::OnGpu;
use crate::engine::wan::pipeline::Experts;
use crate::engine::wan::transformer::Transformer;
use crate::engine::wan::transformer::message::GpuMemory;
use crate::sampler::SchedulerConfig;

/// Configurations and indices are small; a larger file is none.
const MOST_TEXT: u64 = 64 << 20;
/// What diffusers calls weights in one file, and the index of several.
/// The name of weights that diffusers saved, without what follows.
pub(in crate::engine::wan) const DIFFUSERS: &str = "diffusion_pytorch_model";
/// The same of transformers.
pub(in crate::engine::wan) const TRANSFORMERS: &str = "model";

/// One transformer: what it is like, and its weights still in the files.
pub struct Part {
    /// `transformer`, or `transformer_2` for low noise.
    pub name: &'static str,
    /// What it is like.
    pub config: TransformerConfig,
    /// Its weights. LoRAs are added while nobody else holds them.
    pub weights: Arc<Weights>,
}

/// A model as it lies on disk.
pub struct Model {
    /// Where.
    pub path: PathBuf,
    /// One or two transformers, that for high noise first.
    pub parts: Vec<Part>,
    /// Solver and shift, where the folder says them.
    pub scheduler: Option<SchedulerConfig>,
    /// The part of the time steps below which the second transformer takes over.
    pub boundary: Option<f64>,
    /// Whether given frames are told by the time of their tokens (Wan 2.2 TI2V).
    pub expand_timesteps: bool,
    /// Other parts that are there: `vae`, `text_encoder`, `tokenizer`,
    /// `image_encoder`.
    pub others: Vec<String>,
    /// Other parts that the folder names and does not have.
    pub absent: Vec<String>,
}

impl Part {
    /// Bytes that the weights take once they are loaded.
    pub fn loaded_bytes(&self) -> u64 {
        let wanted = expected(&self.config);
        let bytes = wanted.iter();
        bytes
            .map(|(name, shape)| self.weights.loaded_bytes(name, shape))
            .sum()
    }

    /// Values in all its weights.
    pub fn values(&self) -> u64 {
        let values = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
        expected(&self.config).values().map(values).sum()
    }

    /// Bytes that it takes where its blocks are read one at a time.
    pub fn opened_bytes(&self) -> u64 {
        let (mut ends, mut blocks) = (0, BTreeMap::new());
        for (name, shape) in expected(&self.config) {
            let bytes = self.weights.loaded_bytes(&name, &shape);
            let mut words = name.split('.');
            match (words.next(), words.next()) {
                (Some(kind @ ("blocks" | "vace_blocks")), Some(number)) => {
                    *blocks.entry(format!("{kind}.{number}")).or_insert(0) += bytes;
                }
                _ => ends += bytes,
            }
        }
        ends + blocks.into_values().max().unwrap_or(0)
    }
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: BTreeMap<String, String>,
}

impl Model {
    /// Opens what lies at `path` and reads its headers; no weight is loaded.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let metadata = std::fs::metadata(path).map_err(|e| CheckpointError::Unreadable {
            path: path.to_owned(),
            why: e.to_string(),
        })?;
        if !metadata.is_dir() {
            return Self::file(path);
        }
        if path.join("model_index.json").is_file() {
            return Self::folder(path);
        }
        if path.join("config.json").is_file() {
            // The transformer's own folder.
            return Ok(Self::of(path, vec![part(path, "transformer")?]));
        }
        let why = "it has neither model_index.json nor config.json".to_owned();
        Err(CheckpointError::Foreign {
            path: path.to_owned(),
            why,
        })
    }

    fn of(path: &Path, parts: Vec<Part>) -> Self {
        // Where nothing says it: only one published model has so many channels.
        let channels = parts.first().map(|part| part.config.out_channels);
        Self {
            path: path.to_owned(),
            parts,
            scheduler: None,
            boundary: None,
            expand_timesteps: channels == Some(48),
            others: Vec::new(),
            absent: Vec::new(),
        }
    }

    fn file(path: &Path) -> Result<Self, CheckpointError> {
        let weights = Weights::open(path, &[path.to_owned()])?;
        // Another copy of the configuration overrides what the shapes tell.
        let beside = path.with_extension("json");
        let config = if beside.is_file() {
            config(&beside)?
        } else {
            infer::config(&weights).map_err(|why| CheckpointError::Foreign {
                path: path.to_owned(),
                why,
            })?
        };
        let part = Part {
            name: "transformer",
            config,
            weights: Arc::new(weights),
        };
        Ok(Self::of(path, vec![part]))
    }

    fn folder(path: &Path) -> Result<Self, CheckpointError> {
        let file = path.join("model_index.json");
        let index: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text(&file)?).map_err(|e| broken(&file, e))?;
        let class = index.get("_class_name").and_then(|c| c.as_str());
        if !class.is_some_and(|c| c.starts_with("Wan")) {
            return Err(CheckpointError::Foreign {
                path: path.to_owned(),
                why: format!(
                    "its model_index.json describes a {}",
                    class.unwrap_or("pipeline without a name")
                ),
            });
        }
        // A part that the pipeline does without is named with null.
        let names = |part: &str| {
            let class = index.get(part).and_then(|v| v.get(1));
            class.is_some_and(|c| !c.is_null())
        };
        let mut parts = vec![part(&path.join("transformer"), "transformer")?];
        if names("transformer_2") {
            parts.push(part(&path.join("transformer_2"), "transformer_2")?);
        }
        let boundary = index.get("boundary_ratio").and_then(|b| b.as_f64());
        if parts.len() == 2 && !boundary.is_some_and(|b| (0.0..=1.0).contains(&b)) {
            let why = "two transformers need a boundary_ratio between 0 and 1";
            return Err(broken(&file, why));
        }
        let scheduler = path.join("scheduler").join("scheduler_config.json");
        let scheduler = if scheduler.is_file() {
            let config = SchedulerConfig::from_json(&text(&scheduler)?);
            Some(config.map_err(|source| CheckpointError::Scheduler {
                path: scheduler,
                source,
            })?)
        } else {
            None
        };
        let others = ["vae", "text_encoder", "tokenizer", "image_encoder"];
        let (others, absent): (Vec<_>, Vec<_>) = others
            .into_iter()
            .filter(|part| names(part))
            .map(str::to_owned)
            .partition(|part| path.join(part).is_dir());
        let known = Self::of(path, parts);
        Ok(Self {
            scheduler,
            boundary: boundary.filter(|_| known.parts.len() == 2),
            expand_timesteps: index
                .get("expand_timesteps")
                .and_then(|e| e.as_bool())
                .unwrap_or(known.expand_timesteps),
            others,
            absent,
            ..known
        })
    }

    /// Merges the LoRA at `path` when transformer `part` is loaded; says what becomes
    /// of it.
    pub fn add_lora(
        &mut self,
        part: usize,
        path: &Path,
        strength: f64,
    ) -> Result<Merged, CheckpointError> {
        let weights = self.parts.get_mut(part).map(|p| &mut p.weights);
        match weights.and_then(Arc::get_mut) {
            Some(weights) => weights.add_lora(path, strength),
            None => Err(broken(
                &self.path,
                format!("it has no transformer {part} that a LoRA can be added to"),
            )),
        }
    }

    /// Bytes that all transformers take once they are loaded.
    pub fn loaded_bytes(&self) -> u64 {
        self.parts.iter().map(Part::loaded_bytes).sum()
    }

    /// Values in all transformers' weights.
    pub fn values(&self) -> u64 {
        self.parts.iter().map(Part::values).sum()
    }

    /// Bytes that transformers take at once, where `available` can be had: all of them
    /// or, where these would leave too little to work in, a block at a time.
    pub fn held_bytes(&self, available: Option<u64>) -> u64 {
        let all = self.loaded_bytes();
        match available {
            Some(have) if all > have / 5 * 4 => self.parts.iter().map(Part::opened_bytes).sum(),
            _ => all,
        }
    }

    /// Holds all weights against their configurations.
    pub fn check(&self) -> Result<(), CheckpointError> {
        self.parts
            .iter()
            .try_for_each(|part| part.weights.check(&part.config))
    }

    /// Loads the transformers into memory or, where they do not fit what is `available`,
    /// what they begin and end with: their blocks are read then whenever they are run.
    /// [`check`](Self::check) first: it tells all that is wrong at once.
    pub fn load(&self, available: Option<u64>) -> Result<Experts<Transformer>, CheckpointError> {
        let away = self.held_bytes(available) < self.loaded_bytes();
        self.load_by(|part| {
            let vb = part.weights.builder();
            let loaded = match away {
                true => Transformer::open(&part.config, &vb),
                false => Transformer::load(&part.config, &vb),
            };
            loaded.map_err(|e| broken(part.weights.path(), plainly(&e)))
        })
    }

    /// Loads the transformers onto a GPU that may lend them `most` bytes (none: what is
    /// free), of which an evaluation works in `working`.
    pub fn load_on_gpu(
        &self,
        working: u64,
        most: Option<u64>,
    ) -> Result<Experts<OnGpu>, CheckpointError> {
        self.load_by(|part| {
            let memory = GpuMemory {
                weights: on_gpu(part.values()),
                largest: largest_matrix(&part.config),
                working,
                most: most.unwrap_or(0),
            };
            let loaded = OnGpu::load(&part.config, &part.weights.builder(), memory);
            Ok(loaded?)
        })
    }

    fn load_by<M>(
        &self,
        load: impl Fn(&Part) -> Result<M, CheckpointError>,
    ) -> Result<Experts<M>, CheckpointError> {
        self.check()?;
        let mut loaded = self
            .parts
            .iter()
            .map(load)
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let Some(high) = loaded.next() else {
            return Err(broken(&self.path, "it has no transformer"));
        };
        Ok(Experts {
            high,
            low: loaded.next().zip(self.boundary),
        })
    }
}

/// The transformer in `folder`.
fn part(folder: &Path, name: &'static str) -> Result<Part, CheckpointError> {
    let config = config(&folder.join("config.json"))?;
    let files = files(folder, DIFFUSERS)?;
    Ok(Part {
        name,
        config,
        weights: Arc::new(Weights::open(folder, &files)?),
    })
}

fn config(path: &Path) -> Result<TransformerConfig, CheckpointError> {
    let config = TransformerConfig::from_json(&text(path)?);
    config.map_err(|source| CheckpointError::Config {
        path: path.to_owned(),
        source,
    })
}

/// The files of weights in `folder` that are called `stem`: those of the index, or
/// the only one.
pub(in crate::engine::wan) fn files(
    folder: &Path,
    stem: &str,
) -> Result<Vec<PathBuf>, CheckpointError> {
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if !index.is_file() {
        let single = folder.join(format!("{stem}.safetensors"));
        if single.is_file() {
            return Ok(vec![single]);
        }
        return Err(CheckpointError::Foreign {
            path: folder.to_owned(),
            why: format!("it has neither {stem}.safetensors nor {stem}.safetensors.index.json"),
        });
    }
    let parsed: IndexFile = serde_json::from_str(&text(&index)?).map_err(|e| broken(&index, e))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(broken(&index, "it names no file"));
    }
    let total = names.len();
    names
        .into_iter()
        .map(|name| {
            // An index is not believed about places outside its folder.
            if Path::new(&name).file_name().and_then(|n| n.to_str()) != Some(&name[..]) {
                return Err(broken(&index, format!("it names the file {name:?}")));
            }
            let path = folder.join(name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(CheckpointError::MissingShard { path, total })
            }
        })
        .collect()
}

pub(in crate::engine::wan) fn text(path: &Path) -> Result<String, CheckpointError> {
    let unreadable = |why: String| CheckpointError::Unreadable {
        path: path.to_owned(),
        why,
    };
    let length = std::fs::metadata(path)
        .map_err(|e| unreadable(e.to_string()))?
        .len();
    if length > MOST_TEXT {
        return Err(unreadable(format!("it is {length} bytes long")));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))
}

fn broken(path: &Path, why: impl ToString) -> CheckpointError {
    CheckpointError::Broken {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
