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
    /// Whether they are named as llama.cpp does.
    llama: bool,
}

impl Rows {
    /// Opens a folder with `model.safetensors`, whole or in parts, or a single
    /// file.
    pub(super) fn open(path: &Path) -> Result<Self, TextError> {
        let files = match path.is_dir() {
            true => files(path, TRANSFORMERS)?,
            false => vec![path.to_owned()],
        };
        let weights = Weights::open(path, &files)?;
        let llama = weights.shape("token_embd.weight").is_some();
        Ok(Self { weights, llama })
    }

    fn stored<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.llama {
            true => llama(name).map_or(Cow::Borrowed(name), Cow::Owned),
            false => Cow::Borrowed(name),
        }
    }

    /// The shape of what is called `name`, if it is there.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.weights.shape(&self.stored(name))
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

/// The name that llama.cpp (and so GGUF) has for what transformers calls `name`.
pub(super) fn llama(name: &str) -> Option<String> {
    match name {
        "shared.weight" => return Some("token_embd.weight".into()),
        "encoder.final_layer_norm.weight" => return Some("enc.output_norm.weight".into()),
        _ => {}
    }
    let (block, rest) = name.strip_prefix("encoder.block.")?.split_once(".layer.")?;
    let part = match rest.strip_suffix(".weight")? {
        "0.layer_norm" => "attn_norm",
        "0.SelfAttention.q" => "attn_q",
        "0.SelfAttention.k" => "attn_k",
        "0.SelfAttention.v" => "attn_v",
        "0.SelfAttention.o" => "attn_o",
        "0.SelfAttention.relative_attention_bias" => "attn_rel_b",
        "1.layer_norm" => "ffn_norm",
        "1.DenseReluDense.wi_0" => "ffn_gate",
        "1.DenseReluDense.wi_1" => "ffn_up",
        "1.DenseReluDense.wo" => "ffn_down",
        _ => return None,
    };
    Some(format!("enc.blk.{block}.{part}.weight"))
}
