//! Values of parameters, checked against the manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Manifest, Param, ParamKind};

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of a `bool`.
    Bool(bool),
    /// Of an `int`.
    Int(i64),
    /// Of a `double`.
    Double(f64),
    /// Of a `choice`, `string`, `file` or `folder`.
    Text(String),
    /// Of a `range`.
    Range([i64; 2]),
}

impl std::fmt::Display for Value {
    /// As a person writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(v) => f.write_str(if *v { "on" } else { "off" }),
            Self::Int(v) => write!(f, "{v}"),
            Self::Double(v) => write!(f, "{v}"),
            Self::Text(v) => f.write_str(v),
            Self::Range([a, b]) => write!(f, "{a}-{b}"),
        }
    }
}

impl Value {
    /// What it is, in a sentence.
    fn told(&self) -> String {
        match self {
            Self::Bool(v) => v.to_string(),
            Self::Int(_) | Self::Double(_) => format!("the number {self}"),
            Self::Text(v) => format!("the text '{v}'"),
            Self::Range(_) => format!("the range {self}"),
        }
    }
}

/// A value that its parameter does not take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct ValueError {
    /// The parameter.
    pub name: String,
    /// What is wrong and what to write.
    pub message: String,
}

/// Values of all parameters that have one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, Value>);

impl Values {
    /// The defaults.
    pub fn default_of(manifest: &Manifest) -> Self {
        Self(
            manifest
                .params
                .iter()
                .filter_map(|p| Some((p.name.clone(), p.default.clone()?)))
                .collect(),
        )
    }

    /// Sets parameter `name`, refusing names that the manifest does not have
    /// and values outside the parameter's range.
    pub fn set(&mut self, manifest: &Manifest, name: &str, value: Value) -> Result<(), ValueError> {
        let param = manifest
            .param(name)
            .filter(|p| p.kind.has_value())
            .ok_or_else(|| ValueError {
                name: name.to_owned(),
                message: "there is no such parameter".to_owned(),
            })?;
        let value = check(param, value)?;
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The whole number `name`, 0 where there is none.
    pub fn int(&self, name: &str) -> i64 {
        match self.0.get(name) {
            Some(Value::Int(v)) => *v,
            _ => 0,
        }
    }

    /// The number `name`, 0 where there is none.
    pub fn double(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Value::Double(v)) => *v,
            Some(Value::Int(v)) => *v as f64,
            _ => 0.0,
        }
    }

    /// The switch `name`, off where there is none.
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Bool(true)))
    }

    /// The text `name`, empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Value::Text(v)) => v,
            _ => "",
        }
    }

    /// The two frame numbers `name`; equal numbers mean "not set".
    pub fn range(&self, name: &str) -> Option<[i64; 2]> {
        match self.0.get(name) {
            Some(Value::Range([a, b])) if a != b => Some([*a, *b]),
            _ => None,
        }
    }
}

fn check(param: &Param, value: Value) -> Result<Value, ValueError> {
    let fail = |message: String| ValueError {
        name: param.name.clone(),
        message,
    };
    let within = |v: f64| match (param.min, param.max) {
        (Some(min), Some(max)) if !(min..=max).contains(&v) => {
            Err(fail(format!("{v} is outside {min} to {max}")))
        }
        _ => Ok(()),
    };
    match (param.kind, value) {
        (ParamKind::Bool, Value::Bool(v)) => Ok(Value::Bool(v)),
        (ParamKind::Int, Value::Int(v)) => within(v as f64).map(|()| Value::Int(v)),
        (ParamKind::Double, Value::Int(v)) => within(v as f64).map(|()| Value::Double(v as f64)),
        (ParamKind::Double, Value::Double(v)) => within(v).map(|()| Value::Double(v)),
        (ParamKind::Range, Value::Range([a, b])) if a <= b => {
            within(a as f64)?;
            within(b as f64).map(|()| Value::Range([a, b]))
        }
        (ParamKind::Range, Value::Range([a, b])) => {
            Err(fail(format!("the first frame {a} is after the last, {b}")))
        }
        (ParamKind::Choice, Value::Text(v)) if param.options.contains(&v) => Ok(Value::Text(v)),
        (ParamKind::Choice, Value::Text(v)) => Err(fail(format!(
            "'{v}' is none of {}",
            param.options.join(", ")
        ))),
        (ParamKind::Choice, v) => Err(fail(format!(
            "{} is none of the texts {}: write it in quotes",
            v.told(),
            param.options.join(", ")
        ))),
        (ParamKind::Int | ParamKind::Double, Value::Text(v)) if v.parse::<f64>().is_ok() => {
            let noun = param.kind.noun();
            Err(fail(format!(
                "the text '{v}' is not {noun}: write it without quotes"
            )))
        }
        (ParamKind::String | ParamKind::File | ParamKind::Folder, Value::Text(v)) => {
            Ok(Value::Text(v))
        }
        (kind, v) => Err(fail(format!("{} is not {}", v.told(), kind.noun()))),
    }
}
