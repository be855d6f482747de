//! How much a LoRA counts, where no tensor of it says so: in the header as diffusers
//! saves it, in `adapter_config.json` beside the file as peft does.

use std::path::Path;

use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::engine::wan::checkpoint::error::CheckpointError;
use crate::engine::wan::checkpoint::file::File;
use crate::engine::wan::checkpoint::text;

/// Where diffusers keeps peft's settings in a file's header.
const IN_HEADER: &str = "lora_adapter_metadata";
/// What stands before them there, since a file may be for several parts of a pipeline.
const OF_TRANSFORMER: &str = "transformer.";
/// Where peft keeps them, and what stands before the names in its files.
const BESIDE: &str = "adapter_config.json";
const PEFT: &str = "base_model.model.";

/// peft's settings, as far as they say how much a layer's change counts. The rank is
/// that of the matrices: peft takes no others.
pub struct Scale {
    alpha: f64,
    /// For layers whose names match, in turn.
    patterns: Vec<(Regex, f64)>,
    /// Whether the root of the rank divides it (Kalajdzievski, 2023).
    by_root: bool,
}

impl Scale {
    /// What goes with the LoRA `file` at `path`, if anything does.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn of(file: &File, path: &Path) -> Result<Option<Self>, CheckpointError> {
        let (text, path) = match file.said(IN_HEADER)? {
            Some(text) => (text, path.to_owned()),
            None => {
                let beside = path.with_file_name(BESIDE);
                let by_peft = file.listed().iter().any(|l| l.name.starts_with(PEFT));
                if !by_peft || !beside.is_file() {
                    return Ok(None);
                }
                (text(&beside)?, beside)
            }
        };
        Self::parse(&text).map_err(|why| CheckpointError::LoraScale { path, why })
    }

    fn parse(text: &str) -> Result<Option<Self>, String> {
        let told: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let Some(alpha) = setting(&told, "lora_alpha")? else {
            return Ok(None);
        };
        let patterns: Map<String, Value> = setting(&told, "alpha_pattern")?.unwrap_or_default();
        let pattern = |(name, alpha): (String, Value)| {
            // As peft has it: a name, the end of one, or an expression for either.
            let whole = Regex::new(&format!(r"^(?:.*\.)?(?:{name})$"));
            let whole = whole.map_err(|_| format!("the pattern {name:?} cannot be read"))?;
            let alpha = alpha.as_f64();
            let alpha = alpha.ok_or_else(|| format!("its alpha for {name:?} is no number"))?;
            Ok((whole, alpha))
        };
        Ok(Some(Self {
            alpha,
            patterns: patterns
                .into_iter()
                .map(pattern)
                .collect::<Result<_, String>>()?,
            by_root: setting(&told, "use_rslora")?.unwrap_or(false),
        }))
    }

    /// What the product of the matrices of `layer`, of rank `rank`, is multiplied by.
    pub fn factor(&self, layer: &str, rank: usize) -> f64 {
        let own = self.patterns.iter().find(|(name, _)| name.is_match(layer));
        let alpha = own.map_or(self.alpha, |(_, alpha)| *alpha);
        let rank = rank as f64;
        match self.by_root {
            true => alpha / rank.sqrt(),
            false => alpha / rank,
        }
    }
}

/// The setting `name`, if it is there.
fn setting<T: DeserializeOwned>(
    told: &Map<String, Value>,
    name: &str,
) -> Result<Option<T>, String> {
    let value = told
        .get(&format!("{OF_TRANSFORMER}{name}"))
        .or_else(|| told.get(name));
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|_| format!("its {name} is {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(text: &str, layer: &str, rank: usize) -> f64 {
        Scale::parse(text).unwrap().unwrap().factor(layer, rank)
    }

    #[test]
    fn settings_are_taken_as_peft_takes_them() {
        let plain = r#"{"r": 8, "lora_alpha": 4, "alpha_pattern": {}, "use_rslora": null}"#;
        assert_eq!(factor(plain, "blocks.0.attn1.to_q", 8), 0.5);
        let root = r#"{"transformer.lora_alpha": 6.0, "transformer.use_rslora": true}"#;
        assert_eq!(factor(root, "blocks.0.attn1.to_q", 9), 2.0);
        let patterns = r#"{"lora_alpha": 8, "alpha_pattern":
            {"^proj_out": 16, "attn1.to_q": 2, "blocks.[0-4].attn2\\..*": 4}}"#;
        for (layer, expected) in [
            ("proj_out", 2.0),
            ("vace_blocks.0.proj_out", 1.0),
            ("blocks.11.attn1.to_q", 0.25),
            ("blocks.11.xattn1.to_q", 1.0),
            ("blocks.3.attn2.to_k", 0.5),
            ("blocks.13.attn2.to_k", 1.0),
        ] {
            assert_eq!(factor(patterns, layer, 8), expected, "{layer}");
        }
        // Of another part of a pipeline.
        assert!(
            Scale::parse(r#"{"text_encoder.lora_alpha": 4}"#)
                .unwrap()
                .is_none()
        );
        for text in [
            "no",
            "[]",
            r#"{"lora_alpha": "much"}"#,
            r#"{"lora_alpha": 1, "alpha_pattern": {"(": 1}}"#,
            r#"{"lora_alpha": 1, "alpha_pattern": {"to_q": "1"}}"#,
            r#"{"lora_alpha": 1, "use_rslora": 3}"#,
        ] {
            assert!(Scale::parse(text).is_err(), "{text}");
        }
    }
}
