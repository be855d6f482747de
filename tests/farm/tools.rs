//! The queues' public tools, in a Python environment under `target`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value as Json;

use crate::work::{Outcome, Work};

/// The program `name` of the environment that `.ci/farm-tools` makes; `None` only
/// where LONGTAKE_WITHOUT_FARM_TOOLS says that there shall be none.
pub fn tool(name: &str) -> Option<PathBuf> {
    static BIN: OnceLock<Option<PathBuf>> = OnceLock::new();
    let bin = BIN.get_or_init(|| {
        if std::env::var_os("LONGTAKE_WITHOUT_FARM_TOOLS").is_some() {
            eprintln!("not run: LONGTAKE_WITHOUT_FARM_TOOLS is set");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/farm-tools");
        let made = Command::new(script).output().unwrap();
        assert!(
            made.status.success(),
            "the farm tools could not be installed: run .ci/farm-tools where pip reaches a package index, or set LONGTAKE_WITHOUT_FARM_TOOLS=1 to go without these tests\n{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let bin = String::from_utf8(made.stdout).unwrap();
        Some(PathBuf::from(bin.trim()))
    });
    Some(bin.as_ref()?.join(name))
}

/// Runs a program with `args` in the folder of `work`.
pub fn run(work: &Work, program: &std::path::Path, args: &[&str]) -> Outcome {
    let output = Command::new(program)
        .args(args)
        .current_dir(work.path(""))
        .env("HOME", work.path("home"))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The job of these tests: sixty frames of the plate, 32 of them its own.
pub const LINE: &str =
    "--frames 1001-1060 --block-frames 16 --plans 1 --threads 1 --out o/o.####.exr";

/// The words of [`LINE`] with `more`, which takes the place of what it says anew.
pub fn words(more: &str) -> Vec<String> {
    let more: Vec<&str> = more.split_whitespace().collect();
    let mut words: Vec<String> = Vec::new();
    for pair in LINE.split(' ').collect::<Vec<_>>().chunks(2) {
        if !more.contains(&pair[0]) {
            words.extend(pair.iter().map(|&w| w.to_owned()));
        }
    }
    if !more.contains(&"--plate") {
        words.extend(["--plate".to_owned(), crate::work::plate()]);
    }
    words.extend(more.into_iter().map(str::to_owned));
    words
}

/// `longtake submit` of [`LINE`] with `more`, into `folder`; gives the event.
pub fn submit(work: &Work, to: &str, folder: &str, more: &str) -> Json {
    let start = ["submit", "--json", "--to", to, "--out-dir", folder];
    let program = ["--program", env!("CARGO_BIN_EXE_longtake")];
    let mut words: Vec<String> = start
        .iter()
        .chain(&program)
        .map(|&w| w.to_owned())
        .collect();
    words.extend(self::words(more));
    let out = work.run(&words);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    out.events_of("submission")[0].clone()
}

/// The frames of one process that made all of [`LINE`] with `more`.
pub fn alone(more: &str) -> Work {
    let work = Work::new();
    let mut words = vec!["generate".to_owned()];
    words.extend(self::words(more));
    let out = work.run(&words);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    work
}

/// Asserts that `work` has the frames that `whole` has, byte for byte, and no
/// others.
pub fn assert_same_frames(work: &Work, whole: &Work) {
    // What a killed worker was writing may be left under a hidden name; it is no
    // frame.
    let mut files = work.files("o");
    files.retain(|n| !n.starts_with('.'));
    assert_eq!(files, whole.files("o"));
    for name in files {
        let name = format!("o/{name}");
        assert!(work.bytes(&name) == whole.bytes(&name), "{name}");
    }
}
