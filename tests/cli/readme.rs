//! What the README says is what the program does.

use std::fmt::Write;
use std::path::Path;

use longtake::job;
use longtake::manifest::{Manifest, ParamKind};

use crate::work::Work;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Compares the part of the README under `mark` with `now`; with the variable
/// LONGTAKE_WRITE_README set it writes it.
fn assert_current(mark: &str, now: &str) {
    let text = readme();
    let start = text.find(&format!("<!-- {mark}:")).unwrap();
    let from = start + text[start..].find("-->\n").unwrap() + 4;
    let to = from + text[from..].find("<!-- end -->").unwrap();
    if std::env::var_os("LONGTAKE_WRITE_README").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        std::fs::write(path, format!("{}\n{now}\n{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    assert_eq!(
        text[from..to].trim(),
        now.trim(),
        "README.md is behind: run LONGTAKE_WRITE_README=1 cargo test --test cli readme -- --test-threads 1"
    );
}

fn table(options: &Manifest) -> String {
    let mut text = String::from(
        "| parameter | what it does | values | default |\n| --- | --- | --- | --- |\n",
    );
    for group in &options.groups {
        for p in options.params.iter().filter(|p| p.group == group.name) {
            let values = match p.kind {
                ParamKind::Choice => p.options.join(", "),
                ParamKind::Bool => "on, off".to_owned(),
                ParamKind::Range => "first-last".to_owned(),
                ParamKind::Int | ParamKind::Double => {
                    format!("{} to {}", p.min.unwrap(), p.max.unwrap())
                }
                ParamKind::File => "file".to_owned(),
                ParamKind::Folder => "folder".to_owned(),
                _ => "text".to_owned(),
            };
            let default = match (p.kind, &p.default) {
                (ParamKind::Range, _) | (_, None) => String::new(),
                (_, Some(v)) => v.to_string(),
            };
            let place = if longtake::manifest::manifest()
                .unwrap()
                .param(&p.name)
                .is_some()
            {
                ""
            } else {
                " (jobs)"
            };
            writeln!(
                text,
                "| `{}`{place} | {} | {values} | {default} |",
                p.name, p.hint
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn readme_lists_every_parameter() {
    assert_current("parameters", &table(job::options().unwrap()));
}

#[test]
fn readme_lists_every_exit_code() {
    // From the program's own help, which has them from its one table.
    let help = Work::new().run(&["generate", "--help"]).stdout;
    let mut text = String::from("| code | name | meaning |\n| --- | --- | --- |\n");
    let lines = help.split("Exit codes:\n").nth(1).unwrap().lines();
    for line in lines.take_while(|l| !l.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (code, name) = (words.next().unwrap(), words.next().unwrap());
        let meaning = words.collect::<Vec<_>>().join(" ");
        writeln!(text, "| {code} | {name} | {meaning} |").unwrap();
    }
    assert_current("exit codes", &text);
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let work = Work::new();
    let mut count = 0;
    for line in readme().lines().filter(|l| l.starts_with("longtake ")) {
        count += 1;
        let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
        // Only the words are tried: the plates that they name are not there.
        if words.contains(&"examples/shot.json") {
            let at = words
                .iter()
                .position(|w| *w == "examples/shot.json")
                .unwrap();
            words[at] = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shot.json");
            words.extend(["--plate", "missing.####.exr"]);
        }
        let out = work.run(&words);
        assert_eq!(out.code, 3, "{line}\n{}{}", out.stdout, out.stderr);
    }
    assert!(count >= 5);
}

#[test]
fn every_command_and_link_of_the_guides_is_understood() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let work = Work::new();
    let shot = serde_json::json!({ "plate": "no.####.exr", "out": "o.####.exr", "frames": "1-9" });
    std::fs::write(work.path("shot.json"), shot.to_string()).unwrap();
    let mut count = 0;
    for name in ["artist.md", "td.md", "wrangler.md"] {
        let text = std::fs::read_to_string(docs.join(name)).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .map(|l| l.split([')', '#']).next().unwrap())
        {
            assert!(docs.join(link).exists(), "{name}: {link}");
        }
        let text = text.replace("\\\n", " ");
        for line in text.lines().filter_map(|l| l.strip_prefix("    longtake ")) {
            count += 1;
            let line = line.split(" > ").next().unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            let out = work.run(&words);
            // Only the words are tried: the plates that they name are not there.
            let understood = if words[0] == "schema" { 0 } else { 3 };
            assert_eq!(out.code, understood, "{name}: {line}\n{}", out.stderr);
        }
    }
    assert!(count >= 4, "{count}");
}
