//! Parameters are a promise: what projects and job files of a released version
//! say must mean the same in every later one.
//!
//! `VERSION.tsv` beside this file lists the parameters that a version has: name,
//! kind, choices, default. Lists of released versions are never edited; the list
//! of the version at work is added to as parameters are.

use std::path::Path;

use longtake::job;
use longtake::manifest::{Manifest, Param, manifest};

fn line(p: &Param) -> String {
    let default = p.default.as_ref().map(|d| format!("{d}"));
    [
        p.name.clone(),
        format!("{:?}", p.kind).to_lowercase(),
        p.options.join(","),
        default.unwrap_or_default(),
    ]
    .join("\t")
    .trim_end()
    .to_owned()
}

fn all() -> (&'static Manifest, &'static Manifest) {
    (manifest().unwrap(), job::options().unwrap())
}

fn param(name: &str) -> Option<&'static Param> {
    let (node, job) = all();
    node.param(name).or_else(|| job.param(name))
}

#[test]
fn parameters_of_every_version_are_still_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifest");
    let mut lists = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "tsv") {
            continue;
        }
        lists += 1;
        for was in std::fs::read_to_string(&path).unwrap().lines() {
            let mut fields = was.split('\t');
            let name = fields.next().unwrap();
            let Some(p) = param(name) else {
                panic!("{} has {name}, which is gone", path.display());
            };
            let now = line(p);
            let mut now = now.split('\t').skip(1);
            assert_eq!(fields.next(), now.next(), "kind of {name}");
            // Hosts save a choice as its position: new ones come at the end.
            let choices = fields.next().unwrap_or_default();
            assert!(
                now.next().unwrap_or_default().starts_with(choices),
                "choices of {name}: {choices} were there"
            );
            assert_eq!(
                fields.next().unwrap_or_default(),
                now.next().unwrap_or_default(),
                "the default of {name}: a project that does not say it would change"
            );
        }
    }
    assert!(lists > 0);
}

#[test]
fn the_list_of_this_version_is_complete() {
    let version = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/manifest/{version}.tsv"));
    let (node, job) = all();
    let mut expected: Vec<String> = node.params.iter().map(line).collect();
    expected.extend(
        job.params
            .iter()
            .filter(|p| node.param(&p.name).is_none())
            .map(line),
    );
    let listed = std::fs::read_to_string(&path).unwrap_or_default();
    let missing: Vec<_> = expected
        .iter()
        .filter(|e| !listed.lines().any(|l| l == **e))
        .collect();
    assert!(
        missing.is_empty(),
        "add to {}:\n{}",
        path.display(),
        missing
            .iter()
            .map(|s| s.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    );
}
