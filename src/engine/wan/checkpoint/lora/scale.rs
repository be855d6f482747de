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
/// that of the matrices where they tell one: peft takes no others.
pub struct Scale {
    alpha: Setting,
    rank: Option<Setting>,
    /// Whether the root of the rank divides it (Kalajdzievski, 2023).
    by_root: bool,
}

/// A number for all layers, and others for layers whose names match, in turn.
struct Setting {
    general: f64,
    own: Vec<(Regex, f64)>,
}

impl Setting {
    fn parse(general: f64, patterns: Option<Map<String, Value>>) -> Result<Self, String> {
        let pattern = |(name, value): (String, Value)| {
            // As peft has it: a name, the end of one, or an expression for either.
            let whole = Regex::new(&format!(r"^(?:.*\.)?(?:{name})$"));
            let whole = whole.map_err(|_| format!("the pattern {name:?} cannot be read"))?;
            let value = value.as_f64();
            let value = value.ok_or_else(|| format!("its value for {name:?} is no number"))?;
            Ok((whole, value))
        };
        let own = patterns.unwrap_or_default().into_iter().map(pattern);
        Ok(Self {
            general,
            own: own.collect::<Result<_, String>>()?,
        })
    }

    fn of(&self, layer: &str) -> f64 {
        let own = self.own.iter().find(|(name, _)| name.is_match(layer));
        own.map_or(self.general, |(_, value)| *value)
    }
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
        // LoHa's and LoKr's settings have the shorter name.
        let alpha = match setting(&told, "lora_alpha")? {
            None => setting(&told, "alpha")?,
            alpha => alpha,
        };
        let Some(alpha) = alpha else {
            return Ok(None);
        };
        let rank = setting(&told, "r")?.filter(|rank| *rank > 0.);
        let ranks = setting(&told, "rank_pattern")?;
        Ok(Some(Self {
            alpha: Setting::parse(alpha, setting(&told, "alpha_pattern")?)?,
            rank: rank.map(|rank| Setting::parse(rank, ranks)).transpose()?,
            by_root: setting(&told, "use_rslora")?.unwrap_or(false),
        }))
    }

    /// What the product of the matrices of `layer` is multiplied by. They are of rank
    /// `rank`, if they tell one.
    pub fn factor(&self, layer: &str, rank: Option<usize>) -> Option<f64> {
        let told = || self.rank.as_ref().map(|ranks| ranks.of(layer));
        let rank = rank.map(|rank| rank as f64).or_else(told)?;
        let alpha = self.alpha.of(layer);
        Some(match self.by_root {
            true => alpha / rank.sqrt(),
            false => alpha / rank,
        })
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
        let scale = Scale::parse(text).unwrap().unwrap();
        scale.factor(layer, Some(rank)).unwrap()
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
        // Matrices that tell no rank.
        let whole = r#"{"r": 4, "alpha": 2, "rank_pattern": {"to_q": 8}}"#;
        let whole = Scale::parse(whole).unwrap().unwrap();
        let layers = ["blocks.0.attn1.to_q", "blocks.0.attn1.to_k"];
        let found = layers.map(|layer| whole.factor(layer, None));
        assert_eq!(found, [Some(0.25), Some(0.5)]);
        assert_eq!(whole.factor(layers[0], Some(1)), Some(2.));
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
            r#"{"alpha": 1, "r": 4, "rank_pattern": {"to_q": null}}"#,
        ] {
            assert!(Scale::parse(text).is_err(), "{text}");
        }
    }
}
