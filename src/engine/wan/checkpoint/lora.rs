//! LoRA files (Hu et al., 2021): small changes to a model's matrices, merged as the
//! weights are loaded. Layouts: diffusers' and peft's, the community's with original
//! names (`lora_down`, `lora_up`, `alpha`, whole differences), and musubi's with
//! underscores.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Result, Tensor};

use super::error::CheckpointError;
use super::file::File;
use super::names;
use super::stored;
use crate::device::ops::{Activation, Linear, plainly};

/// What stands before the names.
const PREFIXES: [&str; 4] = [
    "transformer.",
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
];

/// The endings by which the parts of a change are told.
const ENDINGS: [(&str, Role); 9] = [
    (".lora_A.weight", Role::Down),
    (".lora_down.weight", Role::Down),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_up.weight", Role::Up),
    (".lora_B.default.weight", Role::Up),
    (".alpha", Role::Alpha),
    (".diff", Role::Weight),
    (".diff_b", Role::Bias),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Down,
    Up,
    Alpha,
    Weight,
    Bias,
}

/// The change to one layer.
#[derive(Default)]
struct Change {
    down: Option<Tensor>,
    up: Option<Tensor>,
    alpha: Option<f32>,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
}

/// A LoRA, in memory, at a strength.
pub struct Lora {
    strength: f64,
    changes: HashMap<String, Change>,
}

impl Lora {
    /// Reads the file at `path` for the model that has tensors `model`, by diffusers'
    /// names. `strength` is how much it counts; 1 as it was trained.
    pub fn open<'a>(
        path: &Path,
        strength: f64,
        model: impl Iterator<Item = (&'a str, &'a [usize])>,
    ) -> std::result::Result<Self, CheckpointError> {
        let file = File::open(path)?;
        let known = Known::new(model);
        let broken = |why: String| CheckpointError::Broken {
            path: path.to_owned(),
            why,
        };
        let mut lora = Self {
            strength,
            changes: HashMap::new(),
        };
        let mut strangers = Vec::new();
        for listed in file.listed() {
            let found = known.find(&listed.name);
            let Some((layer, role)) = found else {
                strangers.push(listed.name.clone());
                continue;
            };
            let value = file
                .bytes(&listed.name)
                .and_then(|b| stored::tensor(b, listed.kind, &listed.shape, None, DType::F32))
                .map_err(|e| broken(plainly(&e)))?;
            let change = lora.changes.entry(layer).or_default();
            match role {
                Role::Down => change.down = Some(value),
                Role::Up => change.up = Some(value),
                Role::Weight => change.weight = Some(value),
                Role::Bias => change.bias = Some(value),
                Role::Alpha => {
                    let values = value.flatten_all().and_then(|v| v.to_vec1::<f32>());
                    let values = values.map_err(|e| broken(plainly(&e)))?;
                    change.alpha = values.first().copied();
                }
            }
        }
        if !strangers.is_empty() || lora.changes.is_empty() {
            return Err(CheckpointError::Lora {
                path: path.to_owned(),
                names: strangers,
            });
        }
        for (layer, change) in &lora.changes {
            change.check(layer, &known.shapes).map_err(broken)?;
        }
        Ok(lora)
    }

    /// Layers that are changed.
    pub fn layers(&self) -> usize {
        self.changes.len()
    }

    /// The tensor `name` with its change, in f32; `None` where there is none.
    pub fn changed(&self, name: &str, value: &Tensor) -> Result<Option<Tensor>> {
        let Some((layer, part)) = name.rsplit_once('.') else {
            return Ok(None);
        };
        let Some(change) = self.changes.get(layer) else {
            return Ok(None);
        };
        let mut by = match part {
            "weight" => change.product()?,
            _ => None,
        };
        let whole = match part {
            "weight" => &change.weight,
            _ => &change.bias,
        };
        if let Some(whole) = whole {
            by = Some(match by {
                Some(by) => (by + whole)?,
                None => whole.clone(),
            });
        }
        by.map(|by| value.to_dtype(DType::F32)? + (by * self.strength)?)
            .transpose()
    }

    /// Whether the tensor `name` is changed.
    pub fn changes(&self, name: &str) -> bool {
        let Some((layer, part)) = name.rsplit_once('.') else {
            return false;
        };
        self.changes.get(layer).is_some_and(|c| match part {
            "weight" => c.down.is_some() || c.weight.is_some(),
            _ => c.bias.is_some(),
        })
    }
}

impl Change {
    /// up · down · alpha / rank.
    fn product(&self) -> Result<Option<Tensor>> {
        let (Some(down), Some(up)) = (&self.down, &self.up) else {
            return Ok(None);
        };
        let rank = down.dim(0)? as f64;
        let by = self.alpha.map_or(1.0, |alpha| f64::from(alpha) / rank);
        // As a layer: the same bits on every processor, which candle's product is not.
        let down = Linear::new(down.t()?.contiguous()?, None, Activation::None)?;
        Ok(Some((down.forward(up)? * by)?))
    }

    /// Whether the parts go with the layer and with one another.
    fn check(
        &self,
        layer: &str,
        shapes: &BTreeMap<String, Vec<usize>>,
    ) -> std::result::Result<(), String> {
        let shape = |part: &str| shapes.get(&format!("{layer}.{part}")).map(|s| &s[..]);
        let fits = match (&self.down, &self.up) {
            (None, None) => true,
            (Some(down), Some(up)) => match (down.dims(), up.dims(), shape("weight")) {
                (&[rank, input], &[output, other], Some(weight)) => {
                    rank == other && rank > 0 && *weight == [output, input]
                }
                _ => false,
            },
            _ => return Err(format!("{layer} has one of two matrices")),
        };
        let same = |value: &Option<Tensor>, part: &str| {
            let value = value.as_ref().map(|v| v.dims());
            value.is_none_or(|v| shape(part) == Some(v))
        };
        if !fits || !same(&self.weight, "weight") || !same(&self.bias, "bias") {
            return Err(format!(
                "the change of {layer} has another shape than the layer; it was made for another model"
            ));
        }
        if self.alpha.is_some_and(|a| !a.is_finite()) {
            return Err(format!("the alpha of {layer} is not a number"));
        }
        Ok(())
    }
}

/// The layers of a model under every name that they go by.
struct Known {
    layers: HashMap<String, String>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Known {
    fn new<'a>(model: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        let mut known = Self {
            layers: HashMap::new(),
            shapes: BTreeMap::new(),
        };
        for (name, shape) in model {
            known.shapes.insert(name.to_owned(), shape.to_vec());
            let Some((layer, "weight" | "bias")) = name.rsplit_once('.') else {
                continue;
            };
            let original = names::to_original(&format!("{layer}."));
            let original = original.trim_end_matches('.').to_owned();
            for form in [layer.to_owned(), original] {
                let underscored = format!("lora_unet_{}", form.replace('.', "_"));
                known.layers.insert(underscored, layer.to_owned());
                known.layers.insert(form, layer.to_owned());
            }
        }
        known
    }

    fn find(&self, name: &str) -> Option<(String, Role)> {
        let (stem, role) = ENDINGS
            .iter()
            .find_map(|(end, role)| Some((name.strip_suffix(end)?, *role)))?;
        let mut stem = stem;
        while let Some(rest) = PREFIXES.iter().find_map(|p| stem.strip_prefix(p)) {
            stem = rest;
        }
        Some((self.layers.get(stem)?.clone(), role))
    }
}
