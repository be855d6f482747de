//! The configuration of a single file, from the shapes of its tensors.

use super::weights::Weights;
use crate::engine::wan::config::{TransformerConfig, VaceConfig};

/// Channels of a head in every published Wan model.
const HEAD: usize = 128;

/// What the transformer in `weights` is like, if it is one of Wan. What shapes do not
/// tell (heads, positions, the variance's epsilon) is as in the published models.
pub fn config(weights: &Weights) -> Result<TransformerConfig, String> {
    let shape = |name: &str| {
        let shape = weights.shape(name);
        shape.ok_or_else(|| format!("it has no {name}"))
    };
    let patch = shape("patch_embedding.weight")?;
    let &[dim, in_channels, t, h, w] = patch else {
        return Err(format!("its patch_embedding.weight is {patch:?}"));
    };
    let second = |name: &str| -> Result<usize, String> {
        let shape = shape(name)?;
        let second = shape.get(1).copied();
        second.ok_or_else(|| format!("its {name} is {shape:?}"))
    };
    let first = |name: &str| -> Result<usize, String> {
        let shape = shape(name)?;
        let first = shape.first().copied();
        first.ok_or_else(|| format!("its {name} is {shape:?}"))
    };
    let blocks = |stem: &str| {
        let number = |name: &str| -> Option<usize> {
            let (number, _) = name.strip_prefix(stem)?.split_once('.')?;
            number.parse().ok()
        };
        weights
            .names()
            .filter_map(number)
            .max()
            .map_or(0, |n| n.saturating_add(1))
    };
    if dim == 0 || dim % HEAD != 0 {
        let beside = weights.path().with_extension("json");
        return Err(format!(
            "it is {dim} channels wide, which heads of {HEAD} do not divide; put the model's config.json beside it, as {}",
            beside.display()
        ));
    }
    let values = t.saturating_mul(h).saturating_mul(w);
    let out = first("proj_out.weight")?;
    if values == 0 || !out.is_multiple_of(values) {
        return Err(format!("its proj_out.weight gives {out} values"));
    }
    let image_dim = weights
        .shape("condition_embedder.image_embedder.norm1.weight")
        .and_then(|s| s.first().copied());
    let layers = blocks("blocks.");
    let hints = blocks("vace_blocks.");
    let vace = if hints == 0 {
        None
    } else {
        let every = layers.div_ceil(hints).max(1);
        Some(VaceConfig {
            layers: (0..hints.min(4096)).map(|i| i * every).collect(),
            in_channels: second("vace_patch_embedding.weight")?,
        })
    };
    let config = TransformerConfig {
        patch_size: [t, h, w],
        num_attention_heads: dim / HEAD,
        attention_head_dim: HEAD,
        in_channels,
        out_channels: out / values,
        text_dim: second("condition_embedder.text_embedder.linear_1.weight")?,
        freq_dim: second("condition_embedder.time_embedder.linear_1.weight")?,
        ffn_dim: first("blocks.0.ffn.net.0.proj.weight")?,
        num_layers: layers,
        cross_attn_norm: weights.shape("blocks.0.norm2.weight").is_some(),
        eps: 1e-6,
        image_dim,
        added_kv_proj_dim: weights
            .shape("blocks.0.attn2.add_k_proj.weight")
            .and_then(|s| s.get(1).copied()),
        rope_max_seq_len: 1024,
        pos_embed_seq_len: weights
            .shape("condition_embedder.image_embedder.pos_embed")
            // [1, tokens, channels]; GGUF loses the first.
            .and_then(|s| s.iter().rev().nth(1).copied()),
        vace,
    };
    config.check().map_err(|e| e.to_string())?;
    Ok(config)
}
