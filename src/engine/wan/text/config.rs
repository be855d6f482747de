//! What a text encoder's `config.json` says.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::TextError;
use super::weights::Rows;

/// The settings of a UMT5 encoder, as transformers writes them.
#[derive(Clone, Debug, Deserialize)]
pub struct TextConfig {
    #[serde(default)]
    model_type: Option<String>,
    /// Tokens that have an embedding.
    pub vocab_size: usize,
    /// Numbers that stand for a token.
    pub d_model: usize,
    /// Numbers that a head works with.
    pub d_kv: usize,
    /// Numbers between the two linear layers of a block.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Heads of a block.
    pub num_heads: usize,
    /// Kinds of distance between two tokens that are told apart.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// From this distance on all are alike.
    #[serde(default = "distance")]
    pub relative_attention_max_distance: usize,
    /// Added to the mean square before its root is taken.
    #[serde(default = "epsilon")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "gated_gelu")]
    feed_forward_proj: String,
    /// The token that ends a text.
    #[serde(default = "end")]
    pub eos_token_id: u32,
}

fn buckets() -> usize {
    32
}
fn distance() -> usize {
    128
}
fn epsilon() -> f64 {
    1e-6
}
fn gated_gelu() -> String {
    "gated-gelu".into()
}
fn end() -> u32 {
    1
}

impl TextConfig {
    /// Reads the text of a `config.json`; refuses what cannot be built, in a
    /// sentence.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let config: Self = serde_json::from_str(text).map_err(|e| {
            TextError::Config(format!("is not what UMT5's settings look like: {e}"))
        })?;
        config.checked()
    }

    fn checked(self) -> Result<Self, TextError> {
        let refuse = |text: String| Err(TextError::Config(text));
        let config = self;
        if let Some(other) = config.model_type.as_deref().filter(|m| *m != "umt5") {
            return refuse(format!("is of the kind {other}; only umt5 can be read"));
        }
        if config.feed_forward_proj != "gated-gelu" {
            return refuse(format!(
                "asks for {}; only gated-gelu can be run",
                config.feed_forward_proj
            ));
        }
        for (name, value, most) in [
            ("vocab_size", config.vocab_size, 1 << 24),
            ("d_model", config.d_model, 1 << 16),
            ("d_kv", config.d_kv, 1 << 12),
            ("d_ff", config.d_ff, 1 << 18),
            ("num_layers", config.num_layers, 256),
            ("num_heads", config.num_heads, 1024),
        ] {
            if !(1..=most).contains(&value) {
                return refuse(format!("says {name} {value}; 1 to {most} can be run"));
            }
        }
        let (count, far) = (
            config.relative_attention_num_buckets,
            config.relative_attention_max_distance,
        );
        if count < 4 || count % 4 != 0 || count > 4096 || far <= count / 4 {
            return refuse(format!(
                "tells {count} kinds of distance up to {far} apart, which cannot be"
            ));
        }
        if config.layer_norm_epsilon.is_nan() || config.layer_norm_epsilon <= 0. {
            return refuse("has a layer_norm_epsilon that is not above 0".into());
        }
        Ok(config)
    }

    /// What the shapes of a file without settings tell; the rest is as in the
    /// published UMT5 models.
    pub(super) fn told_by(weights: &Rows) -> Result<Self, TextError> {
        let layer = "encoder.block.0.layer";
        let matrix = |name: &str| match weights.shape(name) {
            Some(&[rows, columns]) => Ok((rows, columns)),
            _ => Err(TextError::Weights(format!("{name} is missing"))),
        };
        let (vocab_size, d_model) = matrix("shared.weight")?;
        let name = format!("{layer}.0.SelfAttention.relative_attention_bias.weight");
        let (relative_attention_num_buckets, num_heads) = matrix(&name)?;
        let (inner, _) = matrix(&format!("{layer}.0.SelfAttention.q.weight"))?;
        let (d_ff, _) = matrix(&format!("{layer}.1.DenseReluDense.wi_0.weight"))?;
        let has = |i: &usize| {
            let name = format!("encoder.block.{i}.layer.0.layer_norm.weight");
            weights.shape(&name).is_some()
        };
        let config = Self {
            model_type: None,
            vocab_size,
            d_model,
            d_kv: inner / num_heads.max(1),
            d_ff,
            num_layers: (0..1000).take_while(has).count(),
            num_heads,
            relative_attention_num_buckets,
            relative_attention_max_distance: distance(),
            layer_norm_epsilon: epsilon(),
            feed_forward_proj: gated_gelu(),
            eos_token_id: end(),
        };
        config.checked()
    }

    /// Numbers that all heads of a block work with.
    pub fn inner(&self) -> usize {
        self.d_kv * self.num_heads
    }

    /// The name and shape of every weight.
    pub fn expected(&self) -> BTreeMap<String, Vec<usize>> {
        let (model, inner, ff) = (self.d_model, self.inner(), self.d_ff);
        let mut all = BTreeMap::from([
            ("shared.weight".into(), vec![self.vocab_size, model]),
            ("encoder.final_layer_norm.weight".into(), vec![model]),
        ]);
        let distances = vec![self.relative_attention_num_buckets, self.num_heads];
        for i in 0..self.num_layers {
            for (name, shape) in [
                ("0.layer_norm", vec![model]),
                ("0.SelfAttention.q", vec![inner, model]),
                ("0.SelfAttention.k", vec![inner, model]),
                ("0.SelfAttention.v", vec![inner, model]),
                ("0.SelfAttention.o", vec![model, inner]),
                ("0.SelfAttention.relative_attention_bias", distances.clone()),
                ("1.layer_norm", vec![model]),
                ("1.DenseReluDense.wi_0", vec![ff, model]),
                ("1.DenseReluDense.wi_1", vec![ff, model]),
                ("1.DenseReluDense.wo", vec![model, ff]),
            ] {
                all.insert(format!("encoder.block.{i}.layer.{name}.weight"), shape);
            }
        }
        all
    }
}
