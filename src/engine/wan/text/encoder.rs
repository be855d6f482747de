//! UMT5's encoder: blocks of attention and gated linear layers.
//!
//! The reference runs all 512 tokens, hides those beyond the prompt from
//! attention and throws their results away. What is hidden changes nothing, so
//! here only the tokens of the prompt are run, to the same result. Weights are
//! read where they lie, 96 rows at a time, and widened just before use.

use std::path::Path;

use rayon::prelude::*;

use super::weights::Rows;
use super::{TextConfig, TextError};
use crate::device::ops::activation::{gelu_product, root_mean_square, softmax_rows};
use crate::device::ops::product::Packed;
use crate::device::{Task, install};
use crate::engine::wan::checkpoint::text;

/// Rows of weights that a thread widens at a time.
const ROWS: usize = 96;

/// An encoder whose weights stay where they are.
pub struct TextEncoder {
    config: TextConfig,
    weights: Rows,
}

/// Numbers for each of some tokens, a token after the other.
pub(super) struct Tokens {
    count: usize,
    width: usize,
    pub(super) data: Vec<f32>,
}

impl TextEncoder {
    /// Opens a folder as transformers saves it (`config.json`,
    /// `model.safetensors` whole or in parts), or a single safetensors or GGUF
    /// file, whose settings are told by its shapes. Whatever is missing or of
    /// another shape is named now, and what is of a kind that cannot be read.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        if path.is_dir() {
            let config = TextConfig::parse(&text(&path.join("config.json"))?)?;
            Self::new(config, Rows::open(path)?)
        } else {
            let weights = Rows::open(path)?;
            Self::new(TextConfig::told_by(&weights)?, weights)
        }
    }

    pub(super) fn new(config: TextConfig, weights: Rows) -> Result<Self, TextError> {
        for (name, shape) in config.expected() {
            match weights.shape(&name) {
                Some(found) if found == shape => {
                    if !weights.is_readable(&name) {
                        return Err(TextError::Weights(format!("{name} is of an unknown kind")));
                    }
                }
                Some(found) => {
                    return Err(TextError::Weights(format!(
                        "{name} is of the shape {found:?}, not {shape:?}"
                    )));
                }
                None => return Err(TextError::Weights(format!("{name} is missing"))),
            }
        }
        Ok(Self { config, weights })
    }

    /// Its settings.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Bytes of its weights in their files.
    pub fn bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// The embeddings of each of `texts`, given as token numbers: `d_model`
    /// numbers for each token. All texts pass a block before the next block is
    /// read.
    pub fn encode(&self, texts: &[Vec<u32>], task: Task<'_>) -> Result<Vec<Vec<f32>>, TextError> {
        let stage = "Reading the prompt";
        let mut states = Vec::with_capacity(texts.len());
        for ids in texts {
            states.push(self.embed(ids)?);
        }
        for layer in 0..self.config.num_layers {
            task.step(stage, layer, self.config.num_layers)?;
            self.block(layer, &mut states, task)?;
        }
        let gain = self.vector("encoder.final_layer_norm")?;
        let states = states.iter().map(|s| self.norm(s, &gain).data).collect();
        task.step(stage, 1, 1)?;
        Ok(states)
    }

    pub(super) fn embed(&self, ids: &[u32]) -> Result<Tokens, TextError> {
        let (vocab, width) = (self.config.vocab_size, self.config.d_model);
        let mut data = vec![0.; ids.len() * width];
        for (id, out) in ids.iter().zip(data.chunks_exact_mut(width)) {
            let row = *id as usize;
            if row >= vocab {
                return Err(TextError::Weights(format!(
                    "there is no token {id} among the encoder's {vocab}"
                )));
            }
            self.weights.read("shared.weight", row..row + 1, out)?;
        }
        Ok(Tokens {
            count: ids.len(),
            width,
            data,
        })
    }

    /// One block, for all texts.
    pub(super) fn block(
        &self,
        layer: usize,
        states: &mut [Tokens],
        task: Task<'_>,
    ) -> Result<(), TextError> {
        let name = |part: &str| format!("encoder.block.{layer}.layer.{part}");
        let gain = self.vector(&name("0.layer_norm"))?;
        let normed: Vec<_> = states.iter().map(|s| self.norm(s, &gain)).collect();
        let linear = |part: &str, x: &[Tokens]| self.linear(&name(part), x, task);
        let q = linear("0.SelfAttention.q", &normed)?;
        let k = linear("0.SelfAttention.k", &normed)?;
        let v = linear("0.SelfAttention.v", &normed)?;
        let distances = self.distances(&name("0.SelfAttention.relative_attention_bias"))?;
        let mixed: Vec<_> = q
            .iter()
            .zip(&k)
            .zip(&v)
            .map(|((q, k), v)| self.attend(q, k, v, &distances))
            .collect();
        drop((q, k, v));
        add(states, &linear("0.SelfAttention.o", &mixed)?);

        let gain = self.vector(&name("1.layer_norm"))?;
        let normed: Vec<_> = states.iter().map(|s| self.norm(s, &gain)).collect();
        let mut gate = linear("1.DenseReluDense.wi_0", &normed)?;
        let up = linear("1.DenseReluDense.wi_1", &normed)?;
        for (gate, up) in gate.iter_mut().zip(&up) {
            gelu_product(&mut gate.data, &up.data);
        }
        drop(up);
        add(states, &linear("1.DenseReluDense.wo", &gate)?);
        Ok(())
    }

    /// `x · wᵀ`, the rows of `w` read once for all texts.
    fn linear(
        &self,
        name: &str,
        texts: &[Tokens],
        task: Task<'_>,
    ) -> Result<Vec<Tokens>, TextError> {
        task.check()?;
        let name = format!("{name}.weight");
        let Some(&[outputs, inputs]) = self.weights.shape(&name) else {
            return Err(TextError::Weights(format!("{name} is no matrix")));
        };
        let blocks = outputs.div_ceil(ROWS);
        // Each thread keeps the memory that it widens into.
        let parts: Vec<Result<Vec<Vec<f32>>, TextError>> = install(|| {
            (0..blocks)
                .into_par_iter()
                .map_init(Default::default, |(wide, packed), block| {
                    task.check()?;
                    let rows = block * ROWS..outputs.min((block + 1) * ROWS);
                    let count = rows.len();
                    let wide: &mut Vec<f32> = wide;
                    let packed: &mut Packed = packed;
                    wide.resize(count * inputs, 0.);
                    self.weights.read(&name, rows, wide)?;
                    packed.refill(inputs, count, wide);
                    Ok(texts
                        .iter()
                        .map(|x| {
                            let mut out = vec![0.; x.count * count];
                            packed.multiply(&x.data, x.width, x.count, &mut out, count);
                            out
                        })
                        .collect())
                })
                .collect()
        });
        let mut out: Vec<_> = texts
            .iter()
            .map(|x| Tokens {
                count: x.count,
                width: outputs,
                data: vec![0.; x.count * outputs],
            })
            .collect();
        for (block, part) in parts.into_iter().enumerate() {
            for (out, part) in out.iter_mut().zip(part?) {
                let width = ROWS.min(outputs - block * ROWS);
                for (row, part) in out
                    .data
                    .chunks_exact_mut(outputs)
                    .zip(part.chunks_exact(width))
                {
                    row[block * ROWS..][..width].copy_from_slice(part);
                }
            }
        }
        Ok(out)
    }

    /// `softmax(q·kᵀ + distance)·v` of each head; the scores are not scaled.
    fn attend(&self, q: &Tokens, k: &Tokens, v: &Tokens, distances: &[f32]) -> Tokens {
        let (heads, size, inner) = (self.config.num_heads, self.config.d_kv, q.width);
        let count = q.count;
        // By distance, from the farthest behind; the same for all heads.
        let kinds: Vec<usize> = (1..2 * count)
            .map(|i| self.kind(i as isize - count as isize))
            .collect();
        let parts: Vec<Vec<f32>> = install(|| {
            (0..heads)
                .into_par_iter()
                .map(|head| {
                    let from = head * size;
                    let keys = Packed::new(size, count, |o, i| k.data[o * inner + from + i]);
                    let values = Packed::new(count, size, |o, i| v.data[i * inner + from + o]);
                    let mut scores = vec![0.; count * count];
                    let mut out = vec![0.; count * size];
                    if count > 0 {
                        keys.multiply(&q.data[from..], inner, count, &mut scores, count);
                        let near: Vec<f32> = kinds
                            .iter()
                            .map(|kind| distances[kind * heads + head])
                            .collect();
                        for (at, row) in scores.chunks_exact_mut(count).enumerate() {
                            for (score, near) in row.iter_mut().zip(&near[count - 1 - at..]) {
                                *score += near;
                            }
                        }
                        softmax_rows(&mut scores, count);
                        values.multiply(&scores, count, count, &mut out, size);
                    }
                    out
                })
                .collect()
        });
        let mut data = vec![0.; count * inner];
        for (head, part) in parts.iter().enumerate() {
            for (row, part) in data.chunks_exact_mut(inner).zip(part.chunks_exact(size)) {
                row[head * size..][..size].copy_from_slice(part);
            }
        }
        Tokens {
            count,
            width: inner,
            data,
        }
    }

    /// Which kind of distance a token at `apart` (behind is above 0) is at: near
    /// ones each their own, far ones by the logarithm (as T5).
    fn kind(&self, apart: isize) -> usize {
        let half = self.config.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let far = self.config.relative_attention_max_distance;
        let side = if apart > 0 { half } else { 0 };
        let apart = apart.unsigned_abs();
        if apart < exact {
            return side + apart;
        }
        // In f32, as the reference: at the borders it matters.
        let ratio = libm::logf(apart as f32 / exact as f32)
            / libm::log(far as f64 / exact as f64) as f32
            * (half - exact) as f32;
        side + (exact + ratio as usize).min(half - 1)
    }

    fn distances(&self, name: &str) -> Result<Vec<f32>, TextError> {
        let kinds = self.config.relative_attention_num_buckets;
        let mut out = vec![0.; kinds * self.config.num_heads];
        self.weights
            .read(&format!("{name}.weight"), 0..kinds, &mut out)?;
        Ok(out)
    }

    /// The gain of a norm.
    fn vector(&self, name: &str) -> Result<Vec<f32>, TextError> {
        let mut out = vec![0.; self.config.d_model];
        self.weights
            .read(&format!("{name}.weight"), 0..1, &mut out)?;
        Ok(out)
    }

    fn norm(&self, x: &Tokens, gain: &[f32]) -> Tokens {
        let mut data = vec![0.; x.data.len()];
        let epsilon = self.config.layer_norm_epsilon as f32;
        root_mean_square(&x.data, gain, epsilon, &mut data);
        Tokens { data, ..*x }
    }
}

fn add(to: &mut [Tokens], what: &[Tokens]) {
    for (to, what) in to.iter_mut().zip(what) {
        for (to, what) in to.data.iter_mut().zip(&what.data) {
            *to += what;
        }
    }
}
