//! The names of tensors: the published single files have other ones than diffusers.

/// What single files may have before every name.
const PREFIXES: [&str; 3] = ["model.diffusion_model.", "diffusion_model.", "model."];

/// `name` without what a whole-program file has before the transformer's names.
pub fn bare(name: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|p| name.strip_prefix(p))
        .unwrap_or(name)
}

/// Whether names (bare ones) are the original ones. Both kinds have tensors of the
/// same name with another meaning, so it must be known of the whole file.
pub fn are_original<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|n| n.starts_with("head.") || n.contains(".self_attn.") || n.contains(".cross_attn."))
}

/// Whole stems: what comes before `weight`, `bias` or further parts.
const STEMS: [(&str, &str); 16] = [
    (
        "time_embedding.0.",
        "condition_embedder.time_embedder.linear_1.",
    ),
    (
        "time_embedding.2.",
        "condition_embedder.time_embedder.linear_2.",
    ),
    (
        "text_embedding.0.",
        "condition_embedder.text_embedder.linear_1.",
    ),
    (
        "text_embedding.2.",
        "condition_embedder.text_embedder.linear_2.",
    ),
    ("time_projection.1.", "condition_embedder.time_proj."),
    (
        "img_emb.proj.0.",
        "condition_embedder.image_embedder.norm1.",
    ),
    (
        "img_emb.proj.1.",
        "condition_embedder.image_embedder.ff.net.0.proj.",
    ),
    (
        "img_emb.proj.3.",
        "condition_embedder.image_embedder.ff.net.2.",
    ),
    (
        "img_emb.proj.4.",
        "condition_embedder.image_embedder.norm2.",
    ),
    (
        "img_emb.emb_pos",
        "condition_embedder.image_embedder.pos_embed",
    ),
    ("head.modulation", "scale_shift_table"),
    ("head.head.", "proj_out."),
    ("patch_embedding.", "patch_embedding."),
    ("vace_patch_embedding.", "vace_patch_embedding."),
    ("blocks.", "blocks."),
    ("vace_blocks.", "vace_blocks."),
];

/// Parts of a block.
const PARTS: [(&str, &str); 8] = [
    ("self_attn.", "attn1."),
    ("cross_attn.", "attn2."),
    ("ffn.0.", "ffn.net.0.proj."),
    ("ffn.2.", "ffn.net.2."),
    // The norm before the cross-attention; the others have no weights.
    ("norm3.", "norm2."),
    ("modulation", "scale_shift_table"),
    ("before_proj.", "proj_in."),
    ("after_proj.", "proj_out."),
];

/// Parts of an attention.
const ATTENTION: [(&str, &str); 9] = [
    ("q.", "to_q."),
    ("k.", "to_k."),
    ("v.", "to_v."),
    ("o.", "to_out.0."),
    ("k_img.", "add_k_proj."),
    ("v_img.", "add_v_proj."),
    ("norm_k_img.", "norm_added_k."),
    ("norm_q.", "norm_q."),
    ("norm_k.", "norm_k."),
];

/// The name that diffusers has for the original `name` (bare). Names that no Wan
/// model has are given back as they are.
pub fn from_original(name: &str) -> String {
    let Some((stem, rest)) = replaced(name, &STEMS) else {
        return name.to_owned();
    };
    if stem != "blocks." && stem != "vace_blocks." {
        return format!("{stem}{rest}");
    }
    let block = || {
        let (number, rest) = rest.split_once('.')?;
        let (part, rest) = replaced(rest, &PARTS)?;
        let rest = match part {
            "attn1." | "attn2." => {
                let (part, rest) = replaced(rest, &ATTENTION)?;
                format!("{part}{rest}")
            }
            _ => rest.to_owned(),
        };
        Some(format!("{stem}{number}.{part}{rest}"))
    };
    block().unwrap_or_else(|| name.to_owned())
}

/// The original name of diffusers' `name`: the other way of [`from_original`].
pub fn to_original(name: &str) -> String {
    let Some((stem, rest)) = restored(name, &STEMS) else {
        return name.to_owned();
    };
    if stem != "blocks." && stem != "vace_blocks." {
        return format!("{stem}{rest}");
    }
    let block = || {
        let (number, rest) = rest.split_once('.')?;
        let (part, rest) = restored(rest, &PARTS)?;
        let rest = match part {
            "self_attn." | "cross_attn." => {
                let (part, rest) = restored(rest, &ATTENTION)?;
                format!("{part}{rest}")
            }
            _ => rest.to_owned(),
        };
        Some(format!("{stem}{number}.{part}{rest}"))
    };
    block().unwrap_or_else(|| name.to_owned())
}

fn restored<'a>(name: &'a str, map: &[(&'static str, &str)]) -> Option<(&'static str, &'a str)> {
    map.iter()
        .find_map(|(to, from)| Some((*to, name.strip_prefix(from)?)))
}

fn replaced<'a>(name: &'a str, map: &[(&str, &'static str)]) -> Option<(&'static str, &'a str)> {
    map.iter()
        .find_map(|(from, to)| Some((*to, name.strip_prefix(from)?)))
}
