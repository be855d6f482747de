//! LoRA files (Hu et al., 2021): small changes to a model's matrices, merged as the
//! weights are loaded. Layouts: diffusers' and peft's, the community's with original
//! names (`lora_down`, `lora_up`, `alpha`, whole differences), and those of musubi and
//! VideoX-Fun with underscores.

mod names;
mod scale;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::{DType, Result, Tensor};

use self::names::{Known, Place, Role};
use self::scale::Scale;
use super::error::CheckpointError;
use super::file::File;
use super::stored;
use crate::device::ops::{Activation, Linear, plainly};

/// The first layer: how many channels it takes differs between models of one shape.
const FIRST: &str = "patch_embedding";

/// The change to one layer, or to one tensor that is no layer's.
#[derive(Default)]
struct Change {
    /// As the file names it.
    called: String,
    down: Option<Tensor>,
    up: Option<Tensor>,
    up_bias: Option<Tensor>,
    alpha: Option<f32>,
    /// What both matrices count, by what goes with the file.
    scale: Option<f64>,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
}

/// Which of a layer's tensors.
#[derive(Clone, Copy)]
enum Side {
    Weight,
    Bias,
}

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
            };
            let value = file
                .bytes(&listed.name)
                .and_then(|b| stored::tensor(b, listed.kind, &listed.shape, None, DType::F32))
                .map_err(|e| broken(plainly(&e)))?;
            let change = changes.entry(part).or_default();
            change.called = names::part(&listed.name).to_owned();
            match role {
                Role::Down => change.down = Some(value),
                Role::Up => change.up = Some(value),
                Role::UpBias => change.up_bias = Some(value),
                Role::Weight | Role::Modulation => change.weight = Some(value),
                Role::Bias => change.bias = Some(value),
                Role::Alpha => {
                    let values = value.flatten_all().and_then(|v| v.to_vec1::<f32>());
                    let values = values.map_err(|e| broken(plainly(&e)))?;
                    change.alpha = values.first().copied();
                }
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
                let rank = change.rank();
                change.scale = rank.map(|rank| scale.factor(&change.called, rank));
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
        let by = (by * self.strength)?.reshape(value.shape())?;
        (value.to_dtype(DType::F32)? + by).map(Some)
    }

    /// Whether the tensor `name` is changed.
    pub fn changes(&self, name: &str) -> bool {
        self.of(name).is_some_and(|(c, side)| match side {
            Side::Weight => c.down.is_some() || c.weight.is_some(),
            Side::Bias => c.bias.is_some() || c.up_bias.is_some(),
        })
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

impl Change {
    /// What is to be added to the weight or the bias.
    fn difference(&self, side: Side) -> Result<Option<Tensor>> {
        let (by, whole) = match side {
            Side::Weight => (self.product()?, &self.weight),
            Side::Bias => (
                self.up_bias
                    .as_ref()
                    .map(|b| b * self.factor())
                    .transpose()?,
                &self.bias,
            ),
        };
        match (by, whole) {
            (Some(by), Some(whole)) => {
                let whole = whole.reshape(by.shape())?;
                Ok(Some((by + whole)?))
            }
            (by, whole) => Ok(by.or_else(|| whole.clone())),
        }
    }

    /// up · down · factor.
    fn product(&self) -> Result<Option<Tensor>> {
        let (Some(down), Some(up)) = (&self.down, &self.up) else {
            return Ok(None);
        };
        // A convolution whose kernels do not overlap is a matrix too.
        let (down, up) = (down.flatten_from(1)?, up.flatten_from(1)?);
        // As a layer: the same bits on every processor, which candle's product is not.
        let down = Linear::new(down.t()?.contiguous()?, None, Activation::None)?;
        Ok(Some((down.forward(&up)? * self.factor())?))
    }

    /// What the product counts: alpha / rank where the file has an alpha.
    fn factor(&self) -> f64 {
        match (self.alpha, self.rank()) {
            (Some(alpha), Some(rank)) => f64::from(alpha) / rank as f64,
            _ => self.scale.unwrap_or(1.),
        }
    }

    fn rank(&self) -> Option<usize> {
        self.down.as_ref().and_then(|down| down.dim(0).ok())
    }

    /// Whether neither of the two matrices lacks the other.
    fn is_whole(&self) -> bool {
        self.down.is_some() == self.up.is_some()
    }

    /// Whether the parts have the shapes of the layer, or of the tensor, `part`.
    fn fits(&self, part: &str, known: &Known) -> bool {
        let shape = |side: &str| {
            let tensor = known.shapes.get(&format!("{part}.{side}"));
            tensor.map(|shape| &shape[..])
        };
        let weight = shape("weight").or(known.shapes.get(part).map(|s| &s[..]));
        let pair = match (&self.down, &self.up, weight) {
            (None, None, _) => true,
            (Some(down), Some(up), Some([output, input @ ..])) => {
                let ([rank, from], [to, other]) = (sides(down), sides(up));
                let input = input.iter().product();
                rank == other && rank > 0 && [to, from] == [*output, input]
            }
            _ => false,
        };
        let same = |value: &Option<Tensor>, shape: Option<&[usize]>| match value {
            Some(value) => shape.is_some_and(|s| trimmed(s) == trimmed(value.dims())),
            None => true,
        };
        pair && same(&self.weight, weight)
            && same(&self.bias, shape("bias"))
            && same(&self.up_bias, shape("bias"))
    }

    /// Whether the parts go with `part` and with one another.
    fn check(&self, part: &str, known: &Known) -> std::result::Result<(), String> {
        if !self.is_whole() {
            return Err(format!("{part} has one of two matrices"));
        }
        if !self.fits(part, known) {
            return Err(format!(
                "the change of {part} has another shape than the layer; it was made for another model"
            ));
        }
        if self.alpha.is_some_and(|a| !a.is_finite()) {
            return Err(format!("the alpha of {part} is not a number"));
        }
        Ok(())
    }
}

/// The sides of `tensor` as a matrix: its rows, and all else.
fn sides(tensor: &Tensor) -> [usize; 2] {
    match tensor.dims() {
        [rows, rest @ ..] if !rest.is_empty() => [*rows, rest.iter().product()],
        _ => [0; 2],
    }
}

/// `shape` without the sides of 1 before others, which GGUF loses.
fn trimmed(shape: &[usize]) -> &[usize] {
    let lead = shape.iter().take_while(|n| **n == 1).count();
    &shape[lead..]
}
