//! What a transformer is made like: the `config.json` of a diffusers folder.

use serde::Deserialize;

/// Why a configuration cannot be used; each text says what was found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is no JSON, or a field is of the wrong kind.
    #[error("the configuration cannot be read: {0}; take config.json from the model's own folder")]
    Unreadable(String),
    /// The file describes something else.
    #[error(
        "the configuration describes a {0}; a WanTransformer3DModel or a WanVACETransformer3DModel is needed"
    )]
    Class(String),
    /// Fields that do not go together, or that no Wan model has.
    #[error(
        "the configuration says {field} = {value}, {why}; take config.json from the model's own folder"
    )]
    Value {
        /// Name as in the file.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The control branch of a VACE model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaceConfig {
    /// The transformer blocks behind which a hint is added, rising, from 0.
    pub layers: Vec<usize>,
    /// Channels of the control latents.
    pub in_channels: usize,
}

/// The shape of a Wan transformer. Names are those of the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Latent frames, rows and columns that make one token.
    pub patch_size: [usize; 3],
    /// Heads of every attention.
    pub num_attention_heads: usize,
    /// Channels of a head.
    pub attention_head_dim: usize,
    /// Channels of the latents that go in, condition included.
    pub in_channels: usize,
    /// Channels of the velocity that comes out.
    pub out_channels: usize,
    /// Width of a text embedding.
    pub text_dim: usize,
    /// Sines and cosines that tell the time.
    pub freq_dim: usize,
    /// Width of the feed-forward layer.
    pub ffn_dim: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Whether the cross-attention's input is normalised.
    pub cross_attn_norm: bool,
    /// Added to variances.
    pub eps: f64,
    /// Width of a CLIP image embedding, where the model takes one.
    pub image_dim: Option<usize>,
    /// Width of what the image branch of the cross-attention reads.
    pub added_kv_proj_dim: Option<usize>,
    /// The most positions along one axis, in tokens.
    pub rope_max_seq_len: usize,
    /// Image tokens that have a position of their own (first and last frame).
    pub pos_embed_seq_len: Option<usize>,
    /// The control branch, for VACE.
    pub vace: Option<VaceConfig>,
}

/// The file as it is; the defaults are the reference's.
#[derive(Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "_class_name")]
    class: String,
    patch_size: Vec<usize>,
    num_attention_heads: usize,
    attention_head_dim: usize,
    in_channels: usize,
    out_channels: Option<usize>,
    text_dim: usize,
    freq_dim: usize,
    ffn_dim: usize,
    num_layers: usize,
    cross_attn_norm: bool,
    qk_norm: Option<String>,
    eps: f64,
    image_dim: Option<usize>,
    added_kv_proj_dim: Option<usize>,
    rope_max_seq_len: usize,
    pos_embed_seq_len: Option<usize>,
    vace_layers: Vec<usize>,
    vace_in_channels: usize,
}

impl Default for File {
    fn default() -> Self {
        Self {
            class: String::new(),
            patch_size: vec![1, 2, 2],
            num_attention_heads: 40,
            attention_head_dim: 128,
            in_channels: 16,
            out_channels: Some(16),
            text_dim: 4096,
            freq_dim: 256,
            ffn_dim: 13824,
            num_layers: 40,
            cross_attn_norm: true,
            qk_norm: Some("rms_norm_across_heads".to_owned()),
            eps: 1e-6,
            image_dim: None,
            added_kv_proj_dim: None,
            rope_max_seq_len: 1024,
            pos_embed_seq_len: None,
            vace_layers: vec![0, 5, 10, 15, 20, 25, 30, 35],
            vace_in_channels: 96,
        }
    }
}

/// Sizes above this are no model's; a hostile file is told before it is believed.
const MOST: usize = 1 << 20;

impl TransformerConfig {
    /// Reads the text of a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let file: File =
            serde_json::from_str(text).map_err(|e| ConfigError::Unreadable(e.to_string()))?;
        let vace = match file.class.as_str() {
            "WanTransformer3DModel" => None,
            "WanVACETransformer3DModel" => Some(VaceConfig {
                layers: file.vace_layers,
                in_channels: file.vace_in_channels,
            }),
            "" => return Err(ConfigError::Class("model without a _class_name".to_owned())),
            other => return Err(ConfigError::Class(other.to_owned())),
        };
        let patch_size =
            <[usize; 3]>::try_from(file.patch_size).map_err(|p| ConfigError::Value {
                field: "patch_size",
                value: format!("{p:?}"),
                why: "which should be three numbers",
            })?;
        if file.qk_norm.as_deref() != Some("rms_norm_across_heads") {
            return Err(ConfigError::Value {
                field: "qk_norm",
                value: format!("{:?}", file.qk_norm),
                why: "where Wan has rms_norm_across_heads",
            });
        }
        let config = Self {
            patch_size,
            num_attention_heads: file.num_attention_heads,
            attention_head_dim: file.attention_head_dim,
            in_channels: file.in_channels,
            out_channels: file.out_channels.unwrap_or(file.in_channels),
            text_dim: file.text_dim,
            freq_dim: file.freq_dim,
            ffn_dim: file.ffn_dim,
            num_layers: file.num_layers,
            cross_attn_norm: file.cross_attn_norm,
            eps: file.eps,
            image_dim: file.image_dim,
            added_kv_proj_dim: file.added_kv_proj_dim,
            rope_max_seq_len: file.rope_max_seq_len,
            pos_embed_seq_len: file.pos_embed_seq_len,
            vace,
        };
        config.check()?;
        Ok(config)
    }

    /// As a text that [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> String {
        let class = match self.vace {
            None => "WanTransformer3DModel",
            Some(_) => "WanVACETransformer3DModel",
        };
        let mut told = serde_json::json!({
            "_class_name": class,
            "patch_size": self.patch_size,
            "num_attention_heads": self.num_attention_heads,
            "attention_head_dim": self.attention_head_dim,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "text_dim": self.text_dim,
            "freq_dim": self.freq_dim,
            "ffn_dim": self.ffn_dim,
            "num_layers": self.num_layers,
            "cross_attn_norm": self.cross_attn_norm,
            "eps": self.eps,
            "image_dim": self.image_dim,
            "added_kv_proj_dim": self.added_kv_proj_dim,
            "rope_max_seq_len": self.rope_max_seq_len,
            "pos_embed_seq_len": self.pos_embed_seq_len,
        });
        if let Some(vace) = &self.vace {
            told["vace_layers"] = vace.layers.clone().into();
            told["vace_in_channels"] = vace.in_channels.into();
        }
        told.to_string()
    }

    /// Channels inside the transformer: all heads together.
    pub fn dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Values of one token's patch in `channels` channels.
    pub fn patch_values(&self, channels: usize) -> usize {
        self.patch_size.iter().product::<usize>() * channels
    }

    /// Fails where the fields do not go together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let image = [
            ("image_dim", self.image_dim),
            ("added_kv_proj_dim", self.added_kv_proj_dim),
            ("pos_embed_seq_len", self.pos_embed_seq_len),
        ];
        let sizes = [
            ("num_attention_heads", Some(self.num_attention_heads)),
            ("attention_head_dim", Some(self.attention_head_dim)),
            ("in_channels", Some(self.in_channels)),
            ("out_channels", Some(self.out_channels)),
            ("text_dim", Some(self.text_dim)),
            ("freq_dim", Some(self.freq_dim)),
            ("ffn_dim", Some(self.ffn_dim)),
            ("num_layers", Some(self.num_layers)),
            ("rope_max_seq_len", Some(self.rope_max_seq_len)),
            ("patch_size", self.patch_size.iter().min().copied()),
            ("patch_size", self.patch_size.iter().max().copied()),
            (
                "vace_in_channels",
                self.vace.as_ref().map(|v| v.in_channels),
            ),
        ];
        for (field, value) in sizes.into_iter().chain(image) {
            if let Some(value) = value.filter(|v| !(1..=MOST).contains(v)) {
                return Err(ConfigError::Value {
                    field,
                    value: value.to_string(),
                    why: "which no Wan model has",
                });
            }
        }
        let fails = |field, value: String, why| Err(ConfigError::Value { field, value, why });
        if self.attention_head_dim < 6 || !self.attention_head_dim.is_multiple_of(2) {
            let why = "where time, rows and columns each need pairs of channels";
            return fails(
                "attention_head_dim",
                self.attention_head_dim.to_string(),
                why,
            );
        }
        if !self.freq_dim.is_multiple_of(2) {
            return fails(
                "freq_dim",
                self.freq_dim.to_string(),
                "which should be even",
            );
        }
        if !(self.eps > 0.0 && self.eps < 1.0) {
            return fails("eps", self.eps.to_string(), "which should be small");
        }
        if self.image_dim.is_some() != self.added_kv_proj_dim.is_some() {
            let why = "where image_dim and added_kv_proj_dim come together";
            return fails(
                "added_kv_proj_dim",
                format!("{:?}", self.added_kv_proj_dim),
                why,
            );
        }
        if self.added_kv_proj_dim.is_some_and(|d| d != self.dim()) {
            let why = "where the image embedder gives as many channels as all heads have";
            return fails(
                "added_kv_proj_dim",
                format!("{:?}", self.added_kv_proj_dim),
                why,
            );
        }
        if self.num_layers > 4096 {
            let why = "which no Wan model has";
            return fails("num_layers", self.num_layers.to_string(), why);
        }
        if let Some(vace) = &self.vace {
            let rising = vace.layers.windows(2).all(|p| p[0] < p[1]);
            let bounds = (vace.layers.first(), vace.layers.last());
            if !rising || !matches!(bounds, (Some(0), Some(&last)) if last < self.num_layers) {
                let why = "which should rise from 0 and stay below num_layers";
                return fails("vace_layers", format!("{:?}", vace.layers), why);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_values_is_the_reference_s_default() {
        let c =
            TransformerConfig::from_json(r#"{"_class_name": "WanTransformer3DModel"}"#).unwrap();
        assert_eq!((c.dim(), c.num_layers, c.vace.is_none()), (5120, 40, true));
    }

    #[test]
    fn what_is_told_is_read_as_it_was() {
        for text in [
            r#"{"_class_name": "WanTransformer3DModel", "image_dim": 1280, "added_kv_proj_dim": 5120, "out_channels": 16, "in_channels": 36, "eps": 3e-7}"#,
            r#"{"_class_name": "WanVACETransformer3DModel", "vace_layers": [0, 7], "vace_in_channels": 96, "patch_size": [1, 4, 4]}"#,
        ] {
            let config = TransformerConfig::from_json(text).unwrap();
            let again = TransformerConfig::from_json(&config.to_json()).unwrap();
            assert_eq!(again, config);
        }
    }

    #[test]
    fn what_cannot_be_is_said_by_name() {
        let says = |text: &str| TransformerConfig::from_json(text).unwrap_err().to_string();
        assert!(says("{").contains("cannot be read"));
        assert!(says(r#"{"_class_name": "FluxTransformer2DModel"}"#).contains("Flux"));
        assert!(says("{}").contains("_class_name"));
        let with = |rest: &str| {
            says(&format!(
                r#"{{"_class_name": "WanVACETransformer3DModel", {rest}}}"#
            ))
        };
        assert!(with(r#""vace_layers": [0, 99]"#).contains("vace_layers"));
        assert!(with(r#""vace_layers": []"#).contains("vace_layers"));
        assert!(with(r#""num_layers": 99999999"#).contains("num_layers"));
        assert!(with(r#""num_attention_heads": 0"#).contains("num_attention_heads"));
        assert!(with(r#""attention_head_dim": 7"#).contains("attention_head_dim"));
        assert!(with(r#""image_dim": 1280"#).contains("added_kv_proj_dim"));
        assert!(with(r#""qk_norm": "layer_norm""#).contains("qk_norm"));
        assert!(with(r#""patch_size": [2, 2]"#).contains("patch_size"));
    }
}
