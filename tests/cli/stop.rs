//! Stopped, killed, and run again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::work::{Work, plate};

/// Enough frames that the job is still at work when it is stopped.
const COUNT: usize = 200;
const LINE: &str = "--frames 1001-1200 --json --threads 1 --plans 1";

fn words(out: &str) -> Vec<String> {
    let mut words = vec!["generate".to_owned(), "--plate".to_owned(), plate()];
    words.extend(LINE.split(' ').map(str::to_owned));
    words.extend(["--out".to_owned(), out.to_owned()]);
    words
}

/// Starts the job and waits until `count` frames are there.
fn start(work: &Work, out: &str, count: usize) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = work
        .command(&words(out))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut frames = 0;
    while frames < count {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "ended too early");
        frames += usize::from(line.contains("\"event\":\"frame\""));
    }
    (child, lines)
}

fn continues(work: &Work) {
    let out = work.run(&words("out/o.####.exr"));
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let done = &out.events_of("done")[0];
    assert!(done["there"].as_u64().unwrap() >= 5, "{done}");
    assert_eq!(out.events_of("frame").len(), COUNT);
    assert_eq!(
        work.files("out").len(),
        COUNT,
        "and nothing else lies there"
    );

    // The same bytes as of a run that nobody stopped.
    let out = work.run(&words("whole/o.####.exr"));
    assert_eq!(out.code, 0);
    for name in work.files("whole") {
        assert!(
            work.bytes(&format!("whole/{name}")) == work.bytes(&format!("out/{name}")),
            "{name}"
        );
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_frames_and_running_again_continues() {
    let work = Work::new();
    let (mut child, lines) = start(&work, "out/o.####.exr", 5);
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let rest: Vec<String> = lines.lines().map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let last: serde_json::Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last["event"], "error");
    assert_eq!(last["kind"], "cancelled");

    let there = work.files("out");
    assert!(there.len() < COUNT);
    for name in there {
        assert!(name.ends_with(".exr") && !name.starts_with('.'), "{name}");
    }
    continues(&work);
}

#[test]
fn a_killed_job_continues() {
    let work = Work::new();
    let (mut child, _) = start(&work, "out/o.####.exr", 5);
    child.kill().unwrap();
    child.wait().unwrap();
    // What it was writing may be left under a hidden name; it is not a frame.
    for name in work.files("out") {
        if name.starts_with('.') {
            std::fs::remove_file(work.path("out").join(name)).unwrap();
        }
    }
    continues(&work);
}

#[test]
fn a_frame_of_another_take_is_made_again() {
    let work = Work::new();
    let line = |seed: u32| {
        format!(
            "--plate {} --frames 1001-1060 --seed {seed} --out o/o.####.png --json",
            plate()
        )
    };
    work.generate(&line(1));
    let out = work.generate(&line(1));
    assert_eq!(out.events_of("done")[0]["there"], 60);
    let out = work.generate(&line(2));
    assert_eq!(out.events_of("done")[0]["there"], 0);
    // A frame that was cut short is not taken for whole.
    let bytes = work.bytes("o/o.1050.png");
    std::fs::write(work.path("o/o.1050.png"), &bytes[..bytes.len() / 2]).unwrap();
    let out = work.generate(&line(2));
    assert_eq!(out.events_of("done")[0]["there"], 59);
    assert_eq!(work.bytes("o/o.1050.png"), bytes);
}

#[test]
fn another_frame_of_the_take_under_a_frame_s_name_is_made_again() {
    let work = Work::new();
    let make = |only: &str, out: &str| {
        let line = format!("--plate {} --frames 1001-1060 --json", plate());
        let out = work.generate(&format!("{line} --only {only} --out {out}"));
        out.events_of("done")[0]["there"].clone()
    };
    for ending in ["exr", "png"] {
        let single = format!("single.{ending}");
        assert_eq!(make("1055", &single), 0);
        assert_eq!(make("1055", &single), 1);
        assert_eq!(make("1056", &single), 0);
        let frames = format!("o/o.####.{ending}");
        assert_eq!(make("1055-1056", &frames), 0);
        let path = |frame: u32| work.path(&format!("o/o.{frame}.{ending}"));
        let right = std::fs::read(path(1056)).unwrap();
        std::fs::copy(path(1055), path(1056)).unwrap();
        assert_eq!(make("1055-1056", &frames), 1);
        assert_eq!(std::fs::read(path(1056)).unwrap(), right);
    }
}
