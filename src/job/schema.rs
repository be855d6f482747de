//! The JSON schema of job files, from the manifest.

use serde_json::{Map, Value as Json, json};

use crate::manifest::{Manifest, Param, ParamKind};

/// The schema (JSON Schema 2020-12) of job files with the parameters `options`.
pub fn schema(options: &Manifest) -> Json {
    let mut properties = Map::new();
    properties.insert("$schema".to_owned(), json!({ "type": "string" }));
    for param in &options.params {
        properties.insert(param.name.clone(), property(param));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{} job", options.plugin.label),
        "description": "What 'longtake generate --job FILE' makes. Relative paths are meant from the folder of the job file; options on the command line override it.",
        "type": "object",
        "additionalProperties": false,
        "required": ["plate", "out"],
        "properties": properties,
    })
}

fn property(param: &Param) -> Json {
    let mut p = Map::new();
    p.insert("title".to_owned(), json!(param.label));
    p.insert("description".to_owned(), json!(param.hint));
    if let Some(default) = &param.default {
        p.insert("default".to_owned(), json!(default));
    }
    match param.kind {
        ParamKind::Choice => {
            p.insert("enum".to_owned(), json!(param.options));
        }
        ParamKind::Range => {
            let number = json!({ "type": "integer", "minimum": param.min.map(|v| v as i64), "maximum": param.max.map(|v| v as i64) });
            p.insert(
                "oneOf".to_owned(),
                json!([
                    { "type": "array", "items": number, "minItems": 2, "maxItems": 2 },
                    { "type": "string", "pattern": "^-?[0-9]+--?[0-9]+$" },
                ]),
            );
        }
        kind => {
            let name = match kind {
                ParamKind::Int => "integer",
                ParamKind::Double => "number",
                ParamKind::Bool => "boolean",
                _ => "string",
            };
            p.insert("type".to_owned(), json!(name));
            for (key, bound) in [("minimum", param.min), ("maximum", param.max)] {
                if let Some(v) = bound {
                    let v = if kind == ParamKind::Int {
                        json!(v as i64)
                    } else {
                        json!(v)
                    };
                    p.insert(key.to_owned(), v);
                }
            }
        }
    }
    Json::Object(p)
}
