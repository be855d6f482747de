//! LoRA files (Hu et al., 2021): small changes to a model's matrices, merged as the
//! weights are loaded. Layouts: diffusers' and peft's, the community's with original
//! names (`lora_down`, `lora_up`, `alpha`, whole differences), and those of musubi,
//! VideoX-Fun and LyCORIS with underscores. Beside products of two matrices there are
//! those of LyCORIS (LoHa and LoKr), and lengths that are given anew (DoRA).

mod change;
mod magnitude;
mod names;
mod scale;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::{DType, Result, Tensor};

use self::change::{Change, Side};
use self::names::{Known, Place, Role};
use self::scale::Scale;
use super::error::CheckpointError;
use super::file::File;
use super::stored;
use crate::device::ops::plainly;

/// The first layer: how many channels it takes differs between models of one shape.
const FIRST: &str = "patch_embedding";

/// What became of a LoRA's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Parts of the model that are changed.
    pub layers: usize,
    /// Parts that the file changes too and that this model lacks, or has in another
    /// shape.
    pub left_out: usize,
}

/// A LoRA, in memory, at a strength.
pub struct Lora {
    strength: f64,
    /// By the name of the layer, or of the tensor that is no layer's.
    changes: HashMap<String, Change>,
    left_out: usize,
}

impl Lora {
    /// Reads the file at `path` for the model that has tensors `model`, by diffusers'
    /// names. `strength` is how much it counts; 1 as it was trained.
    ///
    /// What it changes of parts that other Wan models have and this one lacks is left
    /// out: one file is often meant for several models.
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
        let mut changes: HashMap<String, Change> = HashMap::new();
        let (mut strangers, mut elsewhere) = (Vec::new(), BTreeSet::new());
        for listed in file.listed() {
            let (part, role) = match known.find(&listed.name) {
                Place::Here(part, role) => (part, role),
                Place::Elsewhere => {
                    elsewhere.insert(names::part(&listed.name));
                    continue;
                }
                Place::Nowhere => {
                    strangers.push(listed.name.clone());
                    continue;
                }
                Place::Unknown => {
                    return Err(CheckpointError::LoraKind {
                        path: path.to_owned(),
                        name: listed.name.clone(),
                    });
                }
            };
            let value = file
                .bytes(&listed.name)
                .and_then(|b| stored::tensor(b, listed.kind, &listed.shape, None, DType::F32))
                .map_err(|e| broken(plainly(&e)))?;
            let change = changes.entry(part).or_default();
            change.called = names::part(&listed.name).to_owned();
            if role == Role::Alpha {
                let values = value.flatten_all().and_then(|v| v.to_vec1::<f32>());
                let values = values.map_err(|e| broken(plainly(&e)))?;
                change.alpha = values.first().copied();
            } else {
                change.parts.insert(role, value);
            }
        }
        let mut left_out = elsewhere.len();
        let first = changes.get(FIRST);
        if first.is_some_and(|c| c.is_whole() && !c.fits(FIRST, &known)) {
            changes.remove(FIRST);
            left_out += 1;
        }
        if !strangers.is_empty() || changes.is_empty() {
            return Err(CheckpointError::Lora {
                path: path.to_owned(),
                names: strangers,
            });
        }
        for (part, change) in &changes {
            change.check(part, &known).map_err(broken)?;
        }
        // As in the reference, one or the other says it.
        let told = file.listed().iter().any(|l| names::is_alpha(&l.name));
        if !told && let Some(scale) = Scale::of(&file, path)? {
            for change in changes.values_mut() {
                change.scale = scale.factor(&change.called, change.rank());
            }
        }
        for (part, change) in &changes {
            if !change.factor().is_finite() {
                return Err(broken(format!("the alpha of {part} is not a number")));
            }
        }
        Ok(Self {
            strength,
            changes,
            left_out,
        })
    }

    /// What became of the file.
    pub fn merged(&self) -> Merged {
        Merged {
            layers: self.changes.len(),
            left_out: self.left_out,
        }
    }

    /// The tensor `name` with its change, in f32; `None` where there is none.
    pub fn changed(&self, name: &str, value: &Tensor) -> Result<Option<Tensor>> {
        let Some((change, side)) = self.of(name) else {
            return Ok(None);
        };
        let Some(by) = change.difference(side)? else {
            return Ok(None);
        };
        let value = value.to_dtype(DType::F32)?;
        let Some(lengths) = change.lengths(side, value.dims())? else {
            let by = (by * self.strength)?.reshape(value.shape())?;
            return (value + by).map(Some);
        };
        // Where lengths are given, the strength is a share of what all of it changes.
        let whole = lengths.given_to((&value + by.reshape(value.shape())?)?)?;
        match self.strength {
            1. => Ok(Some(whole)),
            strength => (&value + ((whole - &value)? * strength)?).map(Some),
        }
    }

    /// Whether the tensor `name` is changed.
    pub fn changes(&self, name: &str) -> bool {
        self.of(name).is_some_and(|(c, side)| c.changes(side))
    }

    /// The change that the tensor `name` belongs to.
    fn of(&self, name: &str) -> Option<(&Change, Side)> {
        if let Some(change) = self.changes.get(name) {
            return Some((change, Side::Weight));
        }
        let (layer, side) = name.rsplit_once('.')?;
        let side = match side {
            "weight" => Side::Weight,
            "bias" => Side::Bias,
            _ => return None,
        };
        self.changes.get(layer).map(|change| (change, side))
    }
}
