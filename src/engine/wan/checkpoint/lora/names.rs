//! Which part of a model a tensor of a LoRA changes, and how.

use std::collections::{BTreeMap, HashMap};

use crate::engine::wan::checkpoint::names;

/// What stands before the names, in turn: diffusers' and peft's, ComfyUI's, DiffSynth's.
const PREFIXES: [&str; 6] = [
    "transformer.",
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "pipe.dit.",
    "dit.",
];

/// What stands before names with underscores for dots: VideoX-Fun's, musubi's and
/// LyCORIS's.
const UNDERSCORED: [&str; 3] = ["lora_unet__", "lora_unet_", "lycoris_"];

/// The endings by which the parts of a change are told.
const ENDINGS: [(&str, Role); 27] = [
    (".lora_A.weight", Role::Down),
    (".lora_down.weight", Role::Down),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_up.weight", Role::Up),
    (".lora_B.default.weight", Role::Up),
    (".lora_B.bias", Role::UpBias),
    (".lora_B.default.bias", Role::UpBias),
    (".alpha", Role::Alpha),
    (".diff", Role::Weight),
    (".diff_b", Role::Bias),
    (".diff_m", Role::Modulation),
    (".hada_w1_a", Role::Hadamard(Operand::First, Half::Up)),
    (".hada_w1_b", Role::Hadamard(Operand::First, Half::Down)),
    (".hada_w2_a", Role::Hadamard(Operand::Second, Half::Up)),
    (".hada_w2_b", Role::Hadamard(Operand::Second, Half::Down)),
    (".lokr_w1", Role::Kronecker(Operand::First, Half::Whole)),
    (".lokr_w1_a", Role::Kronecker(Operand::First, Half::Up)),
    (".lokr_w1_b", Role::Kronecker(Operand::First, Half::Down)),
    (".lokr_w2", Role::Kronecker(Operand::Second, Half::Whole)),
    (".lokr_w2_a", Role::Kronecker(Operand::Second, Half::Up)),
    (".lokr_w2_b", Role::Kronecker(Operand::Second, Half::Down)),
    (".dora_scale", Role::DoraScale),
    (".lora_magnitude_vector", Role::Magnitude),
    (".lora_magnitude_vector.weight", Role::Magnitude),
    (".lora_magnitude_vector.default", Role::Magnitude),
    (".lora_magnitude_vector.default.weight", Role::Magnitude),
];

/// What only models that look at images have in their blocks, by the ends of names.
const OF_IMAGES: [&str; 7] = [
    "_k_img",
    "_v_img",
    "_norm_k_img",
    "_add_k_proj",
    "_add_v_proj",
    "_norm_added_k",
    "_norm_added_q",
];

/// What a tensor of a LoRA is to the part that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The matrix that comes first.
    Down,
    /// The matrix behind it.
    Up,
    /// What is added behind both.
    UpBias,
    /// What the product is multiplied by, times its rank.
    Alpha,
    /// The whole difference of a weight, or of a tensor that is no layer's.
    Weight,
    /// The whole difference of a bias.
    Bias,
    /// The whole difference of the modulation beside the layers so named.
    Modulation,
    /// A part of two matrices that are multiplied place by place (LoHa).
    Hadamard(Operand, Half),
    /// A part of two matrices whose every two values are multiplied (LoKr).
    Kronecker(Operand, Half),
    /// The lengths of a matrix's rows (DoRA), as peft has them.
    Magnitude,
    /// The lengths of its rows, or of its columns, as LyCORIS has them.
    DoraScale,
}

/// Which of two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operand {
    First,
    Second,
}

/// All of a matrix, or one of the two whose product it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Half {
    Whole,
    Down,
    Up,
}

/// Where a tensor of a LoRA belongs.
pub enum Place {
    /// To this layer, or to this tensor that is no layer's, by diffusers' name.
    Here(String, Role),
    /// To a part that other Wan models have and this one lacks.
    Elsewhere,
    /// Nowhere that is known.
    Nowhere,
    /// It is a part of no change that is known, wherever it belongs.
    Unknown,
}

/// The parts of a model under every name that they go by.
pub struct Known {
    parts: HashMap<String, String>,
    /// The sides of every tensor.
    pub shapes: BTreeMap<String, Vec<usize>>,
    images: bool,
    vace: bool,
}

impl Known {
    /// Of a model that has these tensors, by diffusers' names.
    pub fn new<'a>(model: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        let mut known = Self {
            parts: HashMap::new(),
            shapes: BTreeMap::new(),
            images: false,
            vace: false,
        };
        for (name, shape) in model {
            known.shapes.insert(name.to_owned(), shape.to_vec());
            known.images |= name.contains(".image_embedder.") || name.contains(".add_k_proj.");
            known.vace |= name.starts_with("vace_");
            let part = match name.rsplit_once('.') {
                Some((layer, "weight" | "bias")) => layer,
                _ => name,
            };
            let original = names::to_original(&format!("{part}."));
            let original = original.trim_end_matches('.').to_owned();
            for form in [part.to_owned(), original] {
                known.parts.insert(form.replace('.', "_"), part.to_owned());
                known.parts.insert(form, part.to_owned());
            }
        }
        known
    }

    /// Where the tensor `name` of a LoRA belongs.
    pub fn find(&self, name: &str) -> Place {
        let Some((stem, role)) = split(name) else {
            return Place::Unknown;
        };
        let stem = bare(stem);
        let (part, role) = match role {
            Role::Modulation => {
                let forms = [format!("{stem}.modulation"), format!("{stem}_modulation")];
                let part = forms.iter().find_map(|form| self.parts.get(form));
                (part, Role::Weight)
            }
            role => (self.parts.get(stem), role),
        };
        match part {
            Some(part) => Place::Here(part.clone(), role),
            None if self.lacks(stem) => Place::Elsewhere,
            None => Place::Nowhere,
        }
    }

    /// Whether `stem` names what other Wan models have and this one has none of.
    fn lacks(&self, stem: &str) -> bool {
        let stem = stem.replace('.', "_");
        let of_images = stem.starts_with("img_emb_")
            || stem.starts_with("condition_embedder_image_embedder_")
            || stem.starts_with("blocks_") && OF_IMAGES.iter().any(|end| stem.ends_with(end));
        of_images && !self.images || stem.starts_with("vace_") && !self.vace
    }
}

/// The name of the part that `name` is of, as the file has it.
pub fn part(name: &str) -> &str {
    split(name).map_or(name, |(stem, _)| bare(stem))
}

/// Whether `name` is that of an alpha.
pub fn is_alpha(name: &str) -> bool {
    split(name).is_some_and(|(_, role)| role == Role::Alpha)
}

fn split(name: &str) -> Option<(&str, Role)> {
    ENDINGS
        .iter()
        .find_map(|(end, role)| Some((name.strip_suffix(end)?, *role)))
}

/// `stem` without what may stand before it.
fn bare(mut stem: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|p| stem.strip_prefix(p)) {
        stem = rest;
    }
    let underscored = UNDERSCORED.iter().find_map(|p| stem.strip_prefix(p));
    underscored.unwrap_or(stem)
}
