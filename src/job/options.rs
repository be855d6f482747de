//! What a job can say: the node's parameters and those of
//! `plugin_manifest/job.toml`, as one list.

use once_cell::sync::Lazy;
use serde::Deserialize;

use crate::manifest::{Group, Manifest, Param, manifest};

static OPTIONS: Lazy<Result<Manifest, String>> = Lazy::new(|| {
    let node = manifest().map_err(str::to_owned)?;
    let more: More = toml::from_str(include_str!("../../plugin_manifest/job.toml"))
        .map_err(|e| e.to_string())?;
    let mut all = node.clone();
    all.params.retain(|p| p.kind.has_value());
    all.params.extend(more.params);
    all.groups.extend(more.groups);
    Ok(all)
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    #[serde(rename = "group")]
    groups: Vec<Group>,
    #[serde(rename = "param")]
    params: Vec<Param>,
}

/// The parameters of a job, groups in the order in which help shows them.
///
/// # Errors
/// Where a manifest is not well formed, which a test rules out.
pub fn options() -> Result<&'static Manifest, &'static str> {
    OPTIONS.as_ref().map_err(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Values;

    #[test]
    fn every_option_has_a_value_a_group_and_a_name_of_its_own() {
        let all = options().unwrap();
        for (i, p) in all.params.iter().enumerate() {
            assert!(p.default.is_some(), "{}", p.name);
            assert!(all.groups.iter().any(|g| g.name == p.group), "{}", p.name);
            assert!(
                all.params[..i].iter().all(|q| q.name != p.name),
                "{}",
                p.name
            );
            let mut values = Values::default_of(all);
            values
                .set(all, &p.name, p.default.clone().unwrap())
                .unwrap();
        }
    }
}
