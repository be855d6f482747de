//! Deadline 10, Tractor and lists of commands.

use std::process::Command;

use crate::tools::{alone, assert_same_frames, submit};
use crate::work::Work;

/// Runs the lines of `script` on two workers.
fn lines(work: &Work, script: &str) {
    let done = Command::new("xargs")
        .args(["-d", "\\n", "-P", "2", "-n", "1", "-a", script, "sh", "-c"])
        .current_dir(work.path(""))
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn commands_line_by_line_make_what_one_process_makes() {
    let work = Work::new();
    let event = submit(&work, "commands", "q", "");
    let files = event["files"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{event}");
    for file in files {
        lines(&work, file.as_str().unwrap());
    }
    assert_same_frames(&work, &alone(""));
}

#[test]
fn tractor_reads_the_job_as_tcl_and_its_commands_make_the_frames() {
    let work = Work::new();
    submit(&work, "tractor", "q", "");
    // The language's own interpreter; each command on a line, as a shell reads it.
    let script = r##"
proc Job args { eval [dict get $args -subtasks] }
proc Task {title args} {
    if {[dict exists $args -subtasks]} { puts $::out "# $title"; eval [dict get $args -subtasks] }
    if {[dict exists $args -cmds]} { eval [dict get $args -cmds] }
}
proc RemoteCmd {words args} {
    if {[dict get $args -retryrc] != 13} { error "retry" }
    set line ""
    foreach word $words { append line " '$word'" }
    puts $::out [string trim $line]
}
set out [open commands w]
source q/job.alf
close $out
"##;
    std::fs::write(work.path("read.tcl"), script).unwrap();
    let read = Command::new("tclsh")
        .arg("read.tcl")
        .current_dir(work.path(""))
        .output()
        .expect("tclsh is needed: ./test.sh installs it");
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    let commands = String::from_utf8(work.bytes("commands")).unwrap();
    let levels: Vec<&str> = commands.split("# ").skip(1).collect();
    let counts: Vec<usize> = levels.iter().map(|l| l.lines().count() - 1).collect();
    assert_eq!(counts, [1, 1, 4], "{commands}");
    for level in levels {
        let (_, tasks) = level.split_once('\n').unwrap();
        std::fs::write(work.path("level"), tasks).unwrap();
        lines(&work, "level");
    }
    assert_same_frames(&work, &alone(""));
}

/// What Deadline's CommandLine plug-in does with a job, in a few lines: frames in
/// chunks, tokens filled in, the arguments parted at spaces and quotes.
const STAND_IN: &str = r#"#!/usr/bin/env python3
import os, shlex, subprocess, sys
read = lambda p: dict(l.split("=", 1) for l in open(p).read().splitlines())
job, plugin = read(sys.argv[1]), read(sys.argv[2])
done = os.environ["DONE"]
made = open(done).read().split() if os.path.exists(done) else []
for need in filter(None, job.get("JobDependencies", "").split(",")):
    assert need in made, need
first, _, last = job["Frames"].partition("-")
first, last, chunk = int(first), int(last or first), int(job["ChunkSize"])
for start in range(first, last + 1, chunk):
    line = plugin["Arguments"].replace("<STARTFRAME>", str(start))
    line = line.replace("<ENDFRAME>", str(min(start + chunk - 1, last))).replace("<QUOTE>", '"')
    out = subprocess.run([plugin["Executable"]] + shlex.split(line, comments=False),
                         check=True, stdout=subprocess.PIPE, universal_newlines=True)
    assert "Progress: " in out.stdout, out.stdout
name = "id%d" % len(made)
open(done, "a").write(name + "\n")
print("Result=Success\nJobID=" + name)
"#;

#[test]
fn deadline_jobs_are_submitted_in_order_and_make_the_frames() {
    let work = Work::new();
    submit(&work, "deadline", "q", "");
    std::fs::write(work.path("deadlinecommand"), STAND_IN).unwrap();
    let done = Command::new("sh")
        .args(["-c", "chmod +x deadlinecommand; exec python3 q/submit.py"])
        .current_dir(work.path(""))
        .env("DEADLINECOMMAND", work.path("deadlinecommand"))
        .env("DONE", work.path("done"))
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(work.bytes("done"), b"id0\nid1\nid2\n");
    assert_same_frames(&work, &alone(""));
}

/// A whole small model of random weights, as `model` in the folder of `work`.
fn small_model(work: &Work) {
    let parts = [
        ("whole", "model"),
        ("whole/transformer", "model/transformer"),
        ("whole/scheduler", "model/scheduler"),
        ("text/text_encoder", "model/text_encoder"),
        ("text/tokenizer", "model/tokenizer"),
        ("vae-2.1", "model/vae"),
    ];
    for (from, to) in parts {
        let from = format!("{}/tests/wan/fixtures/{from}", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(work.path(to)).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                std::fs::copy(&file, work.path(to).join(file.file_name().unwrap())).unwrap();
            }
        }
    }
}

#[test]
fn the_wan_engine_s_takes_are_handed_out_too() {
    let line = "--engine wan --model model --prompt steam --steps 2 --guidance 1 --size 48x32 \
                --frames 1001-1009 --block-frames 4 --threads 1 --out o/o.####.exr";
    let line: Vec<&str> = line.split_whitespace().collect();
    let (farm, alone) = (Work::new(), Work::new());
    small_model(&farm);
    small_model(&alone);
    let start = ["submit", "--json", "--to", "commands", "--out-dir", "q"];
    let program = ["--program", env!("CARGO_BIN_EXE_longtake")];
    let out = farm.run(&[&start[..], &program, &line].concat());
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let event = &out.events_of("submission")[0];
    let files: Vec<&str> = event["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f.as_str().unwrap())
        .collect();
    assert_eq!(
        files,
        ["q/1-conditions.sh", "q/2-latents.sh", "q/3-frames.sh"]
    );
    for file in files {
        lines(&farm, file);
    }
    let out = alone.run(&[&["generate"][..], &line].concat());
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    assert_eq!(farm.files("o").len(), 9);
    // Each has a copy of the model of its own.
    assert_same_frames(&farm, &alone);
    let told = farm.run(&["provenance", "--json", "o/o.1004.exr"]);
    let told = &told.events_of("provenance")[0]["provenance"];
    assert_eq!(told["engine"], longtake::engine::wan::VERSION);
    assert!(
        told["weights"].as_str().is_some_and(|w| w.len() == 32),
        "{told}"
    );
    assert_eq!(told["parameters"]["prompt"], "steam");
    let out = farm.run(&["provenance", "o/o.1004.exr", "--remake", "r.exr", "--json"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("remade")[0]["same"], "bytes");
}

/// A copy of the plate, numbered from -20 as printf does; gives its pattern.
fn below_zero(work: &Work) -> String {
    std::fs::create_dir(work.path("n")).unwrap();
    for frame in -20..28 {
        let from = crate::work::plate().replace("####", &(frame + 1021).to_string());
        std::fs::copy(from, work.path(&format!("n/n.{frame:04}.png"))).unwrap();
    }
    format!("{}/n.####.png", work.path("n").display())
}

#[test]
fn frames_below_zero_are_frames_like_others() {
    let work = Work::new();
    let plate = below_zero(&work);
    let more = format!(
        "--plate {plate} --frames -80-27 --leave-out -3--1 --remake -76--30=3 --block-frames 24"
    );
    let event = submit(&work, "commands", "q", &more);
    for file in event["files"].as_array().unwrap() {
        lines(&work, file.as_str().unwrap());
    }
    let mut words = vec!["generate".to_owned()];
    words.extend(crate::tools::words(&more));
    let at = words.iter().position(|w| w == "o/o.####.exr").unwrap();
    words[at] = "alone/o.####.exr".to_owned();
    let out = work.run(&words);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(work.files("o").len(), 108);
    for name in work.files("alone") {
        let made = work.bytes(&format!("o/{name}"));
        assert!(made == work.bytes(&format!("alone/{name}")), "{name}");
    }
    assert!(work.path("o/o.-040.exr").exists());
    // A chunk as Deadline tells it, and a part.
    let event = submit(&work, "deadline", "d", &more);
    let files = event["files"].as_array().unwrap();
    let text = |end: &str| {
        let named = |f: &&serde_json::Value| f.as_str().unwrap().ends_with(end);
        let file = files.iter().find(named).unwrap();
        std::fs::read_to_string(work.path(file.as_str().unwrap())).unwrap()
    };
    assert!(text("frames.job").contains("Frames=-80-27\n"));
    assert!(text("frames.plugin").contains("--only <STARTFRAME>-<ENDFRAME>"));
    let mut words = vec!["generate".to_owned()];
    words.extend(crate::tools::words(&format!("{more} --only -38--36")));
    let out = work.run(&words);
    assert_eq!(out.code, 0, "{}", out.stderr);
}
