//! The values of a job as they are said again, on the command line of any machine.

use super::super::error::JobError;
use super::super::paths;
use super::super::text::kebab;
use crate::manifest::{Manifest, Param, ParamKind, Value, Values};

/// Said by the tasks themselves, or for the whole sequence.
const OF_TASKS: [&str; 6] = [
    "only",
    "contactSheet",
    "preview",
    "report",
    "page",
    "saveLatents",
];

/// A parameter and what the job says it is.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parameter.
    pub param: &'static Param,
    /// The label of its group.
    pub group: &'static str,
    /// Its value; paths are absolute.
    pub value: Value,
}

impl Setting {
    /// The setting as options, `value` standing for it.
    pub fn options(&self, value: &str) -> [String; 2] {
        [format!("--{}", kebab(&self.param.name)), value.to_owned()]
    }

    /// Whether the value is a path.
    pub fn is_path(&self) -> bool {
        matches!(self.param.kind, ParamKind::File | ParamKind::Folder)
    }
}

/// What `values` say that has a meaning in its mode, in the order of the manifest.
/// What is left empty is left out.
///
/// # Errors
/// Where a path cannot be told in full.
pub fn settings(options: &'static Manifest, values: &Values) -> Result<Vec<Setting>, JobError> {
    let (mode, engine) = (values.text("mode"), values.text("engine"));
    let mut settings = Vec::new();
    for param in &options.params {
        if !param.fits(mode, engine) || OF_TASKS.contains(&param.name.as_str()) {
            continue;
        }
        settings.extend(setting(options, param, values.get(&param.name))?);
    }
    Ok(settings)
}

/// What shows the whole sequence once it is there.
///
/// # Errors
/// As of [`settings`].
pub fn looks(options: &'static Manifest, values: &Values) -> Result<Vec<Setting>, JobError> {
    let mut looks = Vec::new();
    for name in &OF_TASKS[1..] {
        if let Some(param) = options.param(name) {
            looks.extend(setting(options, param, values.get(name))?);
        }
    }
    Ok(looks)
}

/// What `value` of `param` comes to; `None` where nobody said it.
pub fn setting(
    options: &'static Manifest,
    param: &'static Param,
    value: Option<&Value>,
) -> Result<Option<Setting>, JobError> {
    let value = match (param.kind, value) {
        (_, None) => return Ok(None),
        (_, Some(Value::Text(text))) if text.is_empty() => return Ok(None),
        // Equal numbers mean that nobody said it.
        (_, Some(Value::Range([a, b]))) if a == b => return Ok(None),
        (_, Some(Value::Text(text))) => {
            let full = paths::each(param, text, paths::absolute)?;
            Value::Text(full.unwrap_or_else(|| text.clone()))
        }
        (_, Some(value)) => value.clone(),
    };
    let groups = &options.groups;
    let group = groups.iter().find(|g| g.name == param.group);
    Ok(Some(Setting {
        param,
        group: group.map_or("", |g| &g.label),
        value,
    }))
}
