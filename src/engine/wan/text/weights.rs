//! The encoder's weights, read where they lie, a few rows at a time, under the
//! names that transformers gives them.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::TextError;
use crate::device::ops::plainly;
use crate::engine::wan::checkpoint::{TRANSFORMERS, Weights, files};

/// Weights in open files.
pub(super) struct Rows {
    weights: Weights,
    naming: Naming,
}

/// Who named the weights.
#[derive(Clone, Copy)]
pub(super) enum Naming {
    Transformers,
    /// llama.cpp, and so GGUF.
    Llama,
    /// Wan's authors.
    Wan,
}

/// What lies outside the blocks, by each of [`Naming`].
const ENDS: [[&str; 3]; 2] = [
    ["shared", "token_embd", "token_embedding"],
    ["encoder.final_layer_norm", "enc.output_norm", "norm"],
];

/// The same of the parts of a block.
const PARTS: [[&str; 3]; 10] = [
    ["0.layer_norm", "attn_norm", "norm1"],
    ["0.SelfAttention.q", "attn_q", "attn.q"],
    ["0.SelfAttention.k", "attn_k", "attn.k"],
    ["0.SelfAttention.v", "attn_v", "attn.v"],
    ["0.SelfAttention.o", "attn_o", "attn.o"],
    [
        "0.SelfAttention.relative_attention_bias",
        "attn_rel_b",
        "pos_embedding.embedding",
    ],
    ["1.layer_norm", "ffn_norm", "norm2"],
    // The one that the GELU is behind.
    ["1.DenseReluDense.wi_0", "ffn_gate", "ffn.gate.0"],
    ["1.DenseReluDense.wi_1", "ffn_up", "ffn.fc1"],
    ["1.DenseReluDense.wo", "ffn_down", "ffn.fc2"],
];

impl Rows {
    /// Opens a folder with `model.safetensors`, whole or in parts, or a single
    /// file.
    pub(super) fn open(path: &Path) -> Result<Self, TextError> {
        let files = match path.is_dir() {
            true => files(path, TRANSFORMERS)?,
            false => vec![path.to_owned()],
        };
        let weights = Weights::open(path, &files)?;
        let has = |name: &str| weights.shape(name).is_some();
        let naming = match (has("token_embd.weight"), has("token_embedding.weight")) {
            (true, _) => Naming::Llama,
            (_, true) => Naming::Wan,
            _ => Naming::Transformers,
        };
        Ok(Self { weights, naming })
    }

    fn stored<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.naming
            .name(name)
            .map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// The shape of what is called `name`, if it is there.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.weights.shape(&self.stored(name))
    }

    /// Whether what is called `name` is of a kind that can be read.
    pub(super) fn is_readable(&self, name: &str) -> bool {
        self.weights.is_readable(&self.stored(name))
    }

    /// Bytes of the files.
    pub(super) fn bytes(&self) -> u64 {
        self.weights.file_bytes()
    }

    /// Writes rows `rows` of `name` to `out`, which is of their size; a vector
    /// has one.
    pub(super) fn read(
        &self,
        name: &str,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), TextError> {
        let read = self.weights.read_rows(&self.stored(name), rows, out);
        read.map_err(|e| TextError::Weights(plainly(&e)))
    }
}

impl Naming {
    /// The name here of what transformers calls `name`, where that is another one.
    pub(super) fn name(self, name: &str) -> Option<String> {
        let (place, block) = match self {
            Self::Transformers => return None,
            Self::Llama => (1, "enc.blk."),
            Self::Wan => (2, "blocks."),
        };
        let stem = name.strip_suffix(".weight")?;
        let find = |all: &[[&'static str; 3]], part: &str| {
            let names = all.iter().find(|names| names[0] == part)?;
            Some(names[place])
        };
        if let Some(end) = find(&ENDS, stem) {
            return Some(format!("{end}.weight"));
        }
        let (number, part) = stem.strip_prefix("encoder.block.")?.split_once(".layer.")?;
        let part = find(&PARTS, part)?;
        Some(format!("{block}{number}.{part}.weight"))
    }
}
