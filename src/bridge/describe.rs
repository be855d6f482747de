//! What a host is told of the plug-in, from the manifest.

use super::{ffi, guard};
use crate::manifest::{ParamKind, Value, manifest};
use crate::node::PREFERENCES;

/// All that a host is told of the plug-in.
pub(super) fn plugin_spec() -> ffi::PluginSpec {
    let nothing = || ffi::PluginSpec {
        identifier: String::new(),
        label: String::new(),
        grouping: String::new(),
        description: String::new(),
        major: 0,
        minor: 0,
        clips: Vec::new(),
        groups: Vec::new(),
        params: Vec::new(),
        preferences: Vec::new(),
    };
    guard(nothing, || {
        let Ok(m) = manifest() else {
            return nothing();
        };
        ffi::PluginSpec {
            identifier: m.plugin.identifier.clone(),
            label: m.plugin.label.clone(),
            grouping: m.plugin.grouping.clone(),
            description: m.plugin.description.trim().to_owned(),
            major: m.plugin.version[0],
            minor: m.plugin.version[1],
            clips: m.clips.iter().map(clip_spec).collect(),
            groups: m
                .groups
                .iter()
                .map(|g| ffi::GroupSpec {
                    name: g.name.clone(),
                    label: g.label.clone(),
                    open: g.open,
                })
                .collect(),
            params: m.params.iter().map(param_spec).collect(),
            preferences: PREFERENCES.map(str::to_owned).to_vec(),
        }
    })
}

fn clip_spec(clip: &crate::manifest::Clip) -> ffi::ClipSpec {
    let has = |context: &str| clip.contexts.iter().any(|c| c == context);
    let optional = |context: &str| clip.optional.iter().any(|c| c == context);
    ffi::ClipSpec {
        name: clip.name.clone(),
        label: clip.label.clone(),
        hint: clip.hint.clone(),
        in_filter: has("filter"),
        in_general: has("general"),
        optional_in_general: optional("general"),
        optional_in_filter: optional("filter"),
        mask: clip.mask,
    }
}

fn param_spec(p: &crate::manifest::Param) -> ffi::ParamSpec {
    /// Numbers without a range of their own get one that any frame number
    /// fits in: a host clamps numbers that lack either range.
    const WIDE: f64 = 1e7;
    let (mut number, mut second, mut text) = (0.0, 0.0, String::new());
    match &p.default {
        Some(Value::Bool(v)) => number = f64::from(*v),
        Some(Value::Int(v)) => number = *v as f64,
        Some(Value::Double(v)) => number = *v,
        Some(Value::Range([a, b])) => (number, second) = (*a as f64, *b as f64),
        Some(Value::Text(v)) if p.kind == ParamKind::Choice => {
            number = p.options.iter().position(|o| o == v).unwrap_or(0) as f64;
        }
        Some(Value::Text(v)) => text.clone_from(v),
        None => {}
    }
    let (min, max) = (p.min.unwrap_or(-WIDE), p.max.unwrap_or(WIDE));
    let [display_min, display_max] = p.display.unwrap_or([min, max]);
    ffi::ParamSpec {
        name: p.name.clone(),
        group: p.group.clone(),
        label: p.label.clone(),
        hint: p.hint.clone(),
        kind: match p.kind {
            ParamKind::Choice => ffi::Kind::Choice,
            ParamKind::Int => ffi::Kind::Int,
            ParamKind::Double => ffi::Kind::Double,
            ParamKind::Bool => ffi::Kind::Bool,
            ParamKind::Range => ffi::Kind::Range,
            ParamKind::String => ffi::Kind::String,
            ParamKind::File => ffi::Kind::File,
            ParamKind::Folder => ffi::Kind::Folder,
            ParamKind::Button => ffi::Kind::Button,
            ParamKind::Status => ffi::Kind::Status,
        },
        default_text: text,
        default_number: number,
        default_second: second,
        options: p.options.clone(),
        labels: p.labels.clone(),
        min,
        max,
        display_min,
        display_max,
    }
}
