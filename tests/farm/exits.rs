//! How a task ends: exit codes and the last lines that queues read.

use std::process::Command;

use crate::work::{Work, plate};

const LINE: &str = "--frames 1001-1060 --plans 1 --threads 1 --out o/o.####.exr --plate";

fn words(command: &str, more: &[&str]) -> Vec<String> {
    let words = command.split(' ').chain(LINE.split(' '));
    let words = words.map(str::to_owned).chain([plate()]);
    words.chain(more.iter().map(|&m| m.to_owned())).collect()
}

#[test]
fn another_version_is_refused_before_anything_is_read() {
    let work = Work::new();
    let more = [
        "--plan-version",
        "plate 0, longtake 0.0.9",
        "--unknown-option",
    ];
    let style = ["--progress-style", "openjd"];
    let out = work.run(&words(
        "block --level frames",
        &[&more[..], &style].concat(),
    ));
    assert_eq!(out.code, 13, "{}{}", out.stdout, out.stderr);
    for told in [
        "another version",
        "0.0.9",
        env!("CARGO_PKG_VERSION"),
        "one version",
    ] {
        assert!(out.stderr.contains(told), "{told}: {}", out.stderr);
    }
    assert!(
        out.stdout.starts_with("openjd_fail: the plan was laid"),
        "{}",
        out.stdout
    );
    assert!(work.files("").is_empty());
}

#[test]
fn each_queue_reads_how_a_task_ended() {
    let work = Work::new();
    let bad = ["--plate", "missing.####.png"];
    let mut missing = words("block --level frames", &[]);
    missing.truncate(missing.len() - 2);
    missing.extend(bad.map(str::to_owned));
    for (style, told) in [
        ("alf", "TR_EXIT_STATUS 3\n"),
        ("openjd", "openjd_fail: "),
        ("plain", ""),
    ] {
        let style = ["--progress-style", style].map(str::to_owned);
        let out = work.run(&[&missing[..], &style].concat());
        assert_eq!(out.code, 3, "{}", out.stderr);
        assert!(out.stdout.starts_with(told), "{}", out.stdout);
    }
    let done = work.run(&words(
        "block --level analysis",
        &["--progress-style", "alf"],
    ));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stdout.contains("ALF_PROGRESS 100%\n"),
        "{}",
        done.stdout
    );
    assert!(
        done.stdout.ends_with("TR_EXIT_STATUS 0\n"),
        "{}",
        done.stdout
    );
    let plain = work.run(&words(
        "block --level frames",
        &["--progress-style", "plain"],
    ));
    assert!(
        plain.stdout.contains("Progress: 100%\n"),
        "{}",
        plain.stdout
    );
}

#[test]
fn a_level_that_is_not_there_is_told_with_those_that_are() {
    let work = Work::new();
    for (command, told) in [
        ("block --level fills", "analysis, edit-list, frames"),
        ("block --level frames --nth 9", "4 blocks"),
        ("block --level frames --only 1", "1001-1060"),
        ("block", "BLOCK"),
    ] {
        let more: &[&str] = if command == "block" {
            &[]
        } else {
            &["--block-frames", "16"]
        };
        let out = work.run(&words(command, more));
        assert_eq!(out.code, 2, "{command}: {}", out.stderr);
        assert!(out.stderr.contains(told), "{command}: {}", out.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_memory_is_told_from_a_fault() {
    let work = Work::new();
    // A picture of 12,000 x 9,000 samples of 3 channels in float is 1.3 GB.
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi"])
        .args(["-i", "color=gray:size=12000x9000:rate=24", "-frames:v", "8"])
        .arg(work.path("large.%04d.png"))
        .status();
    assert!(made.unwrap().success());
    let out = Command::new("sh")
        .args(["-c", "ulimit -v 1500000; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_longtake"))
        .args(["generate", "--plate", "large.####.png", "--mode", "loop"])
        .args(["--frames", "1-8", "--out", "o/o.####.exr", "--threads", "1"])
        // Memory is what is asked about, on a machine of any disk.
        .args(["--check-space", "off"])
        .current_dir(work.path(""))
        .env("LONGTAKE_STORE", work.path("store"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(12), "{told}");
    assert!(told.contains("out of memory"), "{told}");
}
