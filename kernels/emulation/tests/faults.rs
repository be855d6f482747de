//! The emulation shows the faults that it is there to show.

use std::path::Path;
use std::process::Command;

#[test]
fn faults_of_kernels_are_seen() {
    if longtake_emulation::folder().is_none() {
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
    let status = Command::new(compiler)
        .args([
            "-std=c++17",
            "-O1",
            "-Wno-unknown-pragmas",
            "-Wno-unused-function",
        ])
        .args(["-fno-strict-aliasing", "-DLONGTAKE_EMULATION", "-I"])
        .arg(here.join(".."))
        .arg(here.join("tests/faults.cpp"))
        .arg(here.join("grid.cpp"))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(status.success());
    let output = Command::new(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<(&str, Vec<u32>)> = text
        .lines()
        .filter_map(|l| l.split_once(' '))
        .map(|(name, counts)| {
            (
                name,
                counts.split(' ').map(|c| c.parse().unwrap()).collect(),
            )
        })
        .collect();
    // Of eight runs: those that ended, that were right, that read what nobody wrote.
    assert_eq!(found[0], ("sound", vec![8, 8, 0]));
    let (name, counts) = &found[1];
    assert_eq!((*name, counts[0]), ("racing", 8));
    assert!(counts[1] < 8, "a missing barrier shows: {text}");
    assert_eq!((found[2].0, found[2].1[0]), ("stuck", 0));
    assert_eq!((found[3].0, found[3].1[2]), ("unwritten", 8));
}
