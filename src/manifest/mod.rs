//! The one list of clips and parameters, `plugin_manifest/node.toml`, read by
//! the node's panel, the command line and the job files alike.

mod near;
mod values;

use once_cell::sync::Lazy;
use serde::{Deserialize, Serialize};

pub use near::{near, nearest};
pub use values::{Value, ValueError, Values};

/// The manifest, read once.
static MANIFEST: Lazy<Result<Manifest, String>> = Lazy::new(|| {
    toml::from_str(include_str!("../../plugin_manifest/node.toml")).map_err(|e| e.to_string())
});

/// The manifest that this build carries.
///
/// # Errors
/// Where `node.toml` is not well formed, which a test rules out.
pub fn manifest() -> Result<&'static Manifest, &'static str> {
    MANIFEST.as_ref().map_err(String::as_str)
}

/// All of `node.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What a host lists the node as.
    pub plugin: Plugin,
    /// The inputs.
    #[serde(rename = "clip")]
    pub clips: Vec<Clip>,
    /// Groups of the panel, in order.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// The parameters, in order.
    #[serde(rename = "param")]
    pub params: Vec<Param>,
}

impl Manifest {
    /// The parameter called `name`.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }
}

/// What a host lists the node as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// Reverse-domain identifier, never changed.
    pub identifier: String,
    /// Name in menus.
    pub label: String,
    /// Menu path.
    pub grouping: String,
    /// Major and minor version.
    pub version: [u32; 2],
    /// A paragraph for the artist.
    pub description: String,
}

/// An input of the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Name of the clip in OpenFX.
    pub name: String,
    /// Name in the panel.
    pub label: String,
    /// What it is for.
    pub hint: String,
    /// OpenFX contexts that have it: `filter`, `general`.
    pub contexts: Vec<String>,
    /// The contexts in which the node works without it.
    pub optional: Vec<String>,
    /// Whether it is a mask.
    pub mask: bool,
}

/// A group of parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name that parameters refer to.
    pub name: String,
    /// Name in the panel.
    pub label: String,
    /// Whether it starts unfolded.
    pub open: bool,
}

/// A parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Name in projects, scripts and job files; never changed.
    pub name: String,
    /// Group in the panel.
    pub group: String,
    /// Name in the panel.
    pub label: String,
    /// What it does, for the artist and for `--help`.
    pub hint: String,
    /// What kind of value it takes.
    pub kind: ParamKind,
    /// Value where nobody says otherwise; none for buttons and status lines.
    pub default: Option<Value>,
    /// Names of a choice, as scripts write them.
    #[serde(default)]
    pub options: Vec<String>,
    /// Names of a choice, as the panel shows them.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Smallest value taken.
    pub min: Option<f64>,
    /// Largest value taken.
    pub max: Option<f64>,
    /// Range of a slider.
    pub display: Option<[f64; 2]>,
    /// Modes that use it; empty means all.
    #[serde(default)]
    pub modes: Vec<String>,
    /// Engines that use it; empty means all.
    #[serde(default)]
    pub engines: Vec<String>,
    /// Whether another value can make other frames or other files of them.
    #[serde(default = "yes", rename = "changesFrames")]
    pub changes_frames: bool,
}

fn yes() -> bool {
    true
}

impl Param {
    /// Whether it has a meaning in mode `mode` of engine `engine`.
    pub fn fits(&self, mode: &str, engine: &str) -> bool {
        let has = |list: &[String], word: &str| list.is_empty() || list.iter().any(|w| w == word);
        has(&self.modes, mode) && has(&self.engines, engine)
    }
}

/// Kinds of parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamKind {
    /// One of `options`.
    Choice,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// Yes or no.
    Bool,
    /// Two frame numbers, first and last.
    Range,
    /// A text.
    String,
    /// A file or a frame sequence.
    File,
    /// A folder.
    Folder,
    /// Does something when pressed; has no value.
    Button,
    /// A line that the node writes; has no value in files.
    Status,
}

impl ParamKind {
    /// Whether scripts and job files can set it.
    pub fn has_value(self) -> bool {
        !matches!(self, Self::Button | Self::Status)
    }

    /// What a value of this kind is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Choice => "one of the choices",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::Bool => "true or false",
            Self::Range => "a frame range",
            Self::String => "a text",
            Self::File => "the path of a file",
            Self::Folder => "the path of a folder",
            Self::Button | Self::Status => "a value",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_well_formed() {
        let m = manifest().unwrap();
        for p in &m.params {
            assert!(
                m.groups.iter().any(|g| g.name == p.group),
                "{} is in no group",
                p.name
            );
            assert_eq!(p.kind.has_value(), p.default.is_some(), "{}", p.name);
            assert_eq!(p.options.len(), p.labels.len(), "{}", p.name);
            // Resolve clamps numbers that lack either range.
            if matches!(p.kind, ParamKind::Int | ParamKind::Double) {
                assert!(
                    p.min.is_some() && p.max.is_some() && p.display.is_some(),
                    "{}",
                    p.name
                );
            }
        }
        Values::default_of(m);
    }
}
