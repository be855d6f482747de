//! Job files: a JSON object with a job's parameters by name.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use super::{paths, text};
use crate::manifest::{Manifest, Param, ParamKind, Value, ValueError, nearest};

/// Why a job file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It could not be read.
    #[error("the job file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The job file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not a JSON object.
    #[error("the job file {} is not a JSON object: {message}", path.display())]
    Json {
        /// The job file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A key is no parameter's name.
    #[error(
        "the job file {} has the unknown key '{key}'{}: 'longtake schema' prints all keys",
        path.display(),
        near.as_ref().map(|n| format!("; did you mean '{n}'?")).unwrap_or_default()
    )]
    Key {
        /// The job file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The known key that is like it.
        near: Option<String>,
    },
    /// A key is there twice.
    #[error("the job file {} has the key '{key}' twice: keep one of them", path.display())]
    Twice {
        /// The job file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value is none that its parameter takes.
    #[error("the job file {}: {source}", path.display())]
    Value {
        /// The job file.
        path: PathBuf,
        /// What is wrong with it.
        source: ValueError,
    },
}

/// The keys and values of a JSON object, in the order of the file, also where a key is
/// there twice.
struct Pairs(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ \"plate\": ..., \"out\": ... }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Object)
    }
}

/// Reads the job file at `path`: names and values, in the order of the file.
/// Relative paths in it are meant from the folder that it lies in.
///
/// # Errors
/// Where the file cannot be read, is not a JSON object, or holds an unknown key,
/// a key twice or a value of the wrong kind.
pub fn read(path: &Path, options: &Manifest) -> Result<Vec<(String, Value)>, FileError> {
    let bytes = std::fs::read(path).map_err(|source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let Pairs(pairs) = serde_json::from_slice(&bytes).map_err(|e| FileError::Json {
        path: path.to_owned(),
        message: e.to_string(),
    })?;
    let mut seen = BTreeSet::new();
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !seen.insert(key)) {
        return Err(FileError::Twice {
            path: path.to_owned(),
            key: key.clone(),
        });
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let mut values = Vec::new();
    for (key, json) in pairs {
        // Editors find the schema by this key.
        if key == "$schema" {
            continue;
        }
        let Some(param) = options.param(&key) else {
            let names = options.params.iter().map(|p| p.name.as_str());
            return Err(FileError::Key {
                path: path.to_owned(),
                near: nearest(&key, names).map(str::to_owned),
                key,
            });
        };
        let value = value(param, &json, base).map_err(|source| FileError::Value {
            path: path.to_owned(),
            source,
        })?;
        values.push((key, value));
    }
    Ok(values)
}

fn value(param: &Param, json: &Json, base: &Path) -> Result<Value, ValueError> {
    let whole = |j: &Json| j.as_i64();
    let found = match (param.kind, json) {
        (ParamKind::Range, Json::Array(two)) if two.len() == 2 => whole(&two[0])
            .zip(whole(&two[1]))
            .map(|(a, b)| Value::Range([a, b])),
        (ParamKind::Range, Json::String(s)) => return text::value(param, s),
        (ParamKind::File | ParamKind::Folder, Json::String(s)) if !s.is_empty() => {
            let path = base.join(s);
            path.to_str().map(|s| Value::Text(s.to_owned()))
        }
        (_, Json::String(s)) => {
            let joined = paths::each(param, s, |path| Ok(base.join(path)));
            let joined = joined.ok().flatten();
            Some(Value::Text(joined.unwrap_or_else(|| s.clone())))
        }
        (_, Json::Bool(b)) => Some(Value::Bool(*b)),
        (_, Json::Number(n)) => n
            .as_i64()
            .map(Value::Int)
            .or_else(|| n.as_f64().map(Value::Double)),
        _ => None,
    };
    found.ok_or_else(|| ValueError {
        name: param.name.clone(),
        message: format!("{json} is not {}", param.kind.noun()),
    })
}
