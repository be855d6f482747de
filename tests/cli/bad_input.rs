//! Bad input: one clear sentence with what to do, an exit code of its kind, and
//! nothing lost that was made.

use std::fs;
use std::process::Command;

use crate::work::{FOOTAGE, Outcome, Work, copied_plate, plate};

/// `out` failed with `code` and one sentence with all of `words`.
#[track_caller]
fn refused(out: &Outcome, code: i32, words: &[&str]) {
    let text = &out.stderr;
    assert_eq!(out.code, code, "{text}");
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| !l.starts_with("longtake: warning: "))
        .collect();
    assert_eq!(lines.len(), 1, "one sentence: {text}");
    assert!(lines[0].starts_with("longtake: "), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

fn generate(work: &Work, line: &str) -> Outcome {
    let words: Vec<&str> = ["generate"].into_iter().chain(line.split(' ')).collect();
    work.run(&words)
}

#[test]
fn a_missing_frame_is_named() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    fs::remove_file(work.path("p/plate.1020.png")).unwrap();
    let out = generate(
        &work,
        &format!("--plate {plate} --frames 1001-1060 --out o/o.####.png"),
    );
    refused(&out, 3, &["1020", "missing"]);
}

#[test]
fn a_plate_that_is_not_there_is_named() {
    let work = Work::new();
    let out = generate(
        &work,
        "--plate no/such.####.exr --frames 1-60 --out o/o.####.png",
    );
    refused(&out, 3, &["no/such.####.exr"]);
}

#[test]
fn frames_of_differing_size_are_told() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-y", "-i"])
        .arg(work.path("p/plate.1019.png"))
        .args(["-vf", "scale=100:90"])
        .arg(work.path("p/plate.1020.png"))
        .status()
        .unwrap();
    assert!(status.success());
    let out = generate(
        &work,
        &format!("--plate {plate} --frames 1001-1060 --out o/o.####.png"),
    );
    refused(&out, 5, &["1020", "100x90", "120x90"]);
}

#[test]
fn a_matte_of_another_size_is_told() {
    let work = Work::new();
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi"])
        .args([
            "-i",
            "color=white:60x90",
            "-frames:v",
            "48",
            "-start_number",
            "1001",
        ])
        .arg(work.path("matte.%04d.png"))
        .status()
        .unwrap();
    assert!(status.success());
    let out = generate(
        &work,
        &format!(
            "--plate {} --matte matte.####.png --mode fill --out o/o.####.png",
            plate()
        ),
    );
    refused(&out, 5, &["matte", "60x90", "120x90"]);
}

#[test]
fn ranges_without_frames_are_refused() {
    let work = Work::new();
    for (range, word) in [
        ("1240-1001", "after the last"),
        ("1001-1001", "single frame"),
        ("1001", "1001-1240"),
        ("ten-20", "1001-1240"),
        ("0-99999999999", "outside"),
    ] {
        let out = generate(
            &work,
            &format!("--plate {} --frames {range} --out o/o.####.png", plate()),
        );
        refused(&out, 2, &["--frames", word]);
    }
    let out = generate(
        &work,
        &format!("--plate {} --frames 1-9000000 --out o/o.####.png", plate()),
    );
    refused(&out, 6, &["parts"]);
}

#[test]
fn ranges_that_do_not_go_with_the_plate_are_refused() {
    let work = Work::new();
    let plate = plate();
    for (line, code, word) in [
        ("--frames 5001-5100", 6, "touch the plate"),
        ("--frames 1001-1100 --plate-range 1001-1200", 3, "1001-1048"),
    ] {
        let out = generate(&work, &format!("--plate {plate} {line} --out o/o.####.png"));
        refused(&out, code, &[word]);
    }
}

#[test]
fn a_plate_of_one_frame_is_refused() {
    let work = Work::new();
    let from = plate().replace("####", "1001");
    fs::copy(from, work.path("one.1001.png")).unwrap();
    for mode in ["extend", "loop", "vary"] {
        let out = generate(
            &work,
            &format!("--plate one.####.png --mode {mode} --frames 1001-1060 --out o/o.####.png"),
        );
        refused(&out, 6, &["1 frame", "longer plate"]);
    }
}

#[test]
fn a_plate_of_one_pixel_is_refused() {
    let work = Work::new();
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-start_number"])
        .args(["1001", "-i", &plate().replace("####", "%04d")])
        .args(["-vf", "crop=1:1", "-start_number", "1001"])
        .arg(work.path("dot.%04d.png"))
        .status()
        .unwrap();
    assert!(status.success());
    let out = generate(
        &work,
        "--plate dot.####.png --frames 1001-1100 --out o/o.####.png",
    );
    refused(&out, 6, &["1x1"]);
}

#[test]
fn a_plate_longer_than_memory_makes_the_same_pixels() {
    let work = Work::new();
    // 90 frames of 480 by 360 are 187 MB; 64 MB may be held.
    for memory in [64, 2048] {
        work.generate(&format!(
            "--plate {FOOTAGE} --frames 1-100 --only 95-98 --memory {memory} --out {memory}/o.####.exr"
        ));
    }
    for name in work.files("64") {
        assert!(work.bytes(&format!("64/{name}")) == work.bytes(&format!("2048/{name}")));
    }
    assert_eq!(work.files("64").len(), 4);
}

#[test]
fn a_file_that_is_cut_short_is_named() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    let bytes = work.bytes("p/plate.1020.png");
    fs::write(work.path("p/plate.1020.png"), &bytes[..bytes.len() / 2]).unwrap();
    let out = generate(
        &work,
        &format!("--plate {plate} --frames 1001-1060 --out o/o.####.png"),
    );
    refused(&out, 4, &["plate.1020.png"]);

    // The same as EXR.
    work.generate(&format!(
        "--plate {} --mode loop --frames 1-30 --out e/e.####.exr",
        crate::work::plate()
    ));
    let bytes = work.bytes("e/e.0012.exr");
    fs::write(work.path("e/e.0012.exr"), &bytes[..bytes.len() / 2]).unwrap();
    let out = generate(
        &work,
        "--plate e/e.####.exr --frames 1-60 --out o/o.####.exr",
    );
    refused(&out, 4, &["e.0012.exr"]);
}

#[test]
fn a_file_that_is_no_picture_is_named() {
    let work = Work::new();
    for frame in 1..20 {
        fs::write(work.path(&format!("t.{frame:04}.exr")), "no picture").unwrap();
    }
    let out = generate(&work, "--plate t.####.exr --frames 1-60 --out o/o.####.exr");
    refused(&out, 4, &["t.0001.exr"]);
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_the_work() {
    let work = Work::new();
    fs::write(work.path("taken"), "a file").unwrap();
    let out = generate(
        &work,
        &format!(
            "--plate {} --frames 1001-1060 --out taken/o.####.png --json",
            plate()
        ),
    );
    assert_eq!(out.code, 7, "{}", out.stderr);
    assert!(out.events_of("progress").is_empty(), "nothing was begun");
    let error = &out.events_of("error")[0];
    assert_eq!(
        (&error["kind"], &error["code"]),
        (&"output".into(), &7.into())
    );
    assert_eq!(work.bytes("taken"), b"a file");
}

/// Runs only where a small disk can be mounted (as root, or with user name
/// spaces); elsewhere it says that it did not.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_frames_that_were_made_stay() {
    let work = Work::new();
    fs::create_dir(work.path("disk")).unwrap();
    let script = "mount -t tmpfs -o size=400k tmpfs disk 2>/dev/null || exit 77
        \"$0\" \"$@\"; code=$?
        ls -A disk > listing; exit $code";
    let plate = plate();
    let words = [
        "generate",
        "--plate",
        &plate,
        "--frames",
        "1001-1060",
        "--compression",
        "none",
        "--out",
        "disk/o.####.exr",
        "--threads",
        "1",
        "--check-space",
        "off",
    ];
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_longtake"))
        .args(words)
        .current_dir(work.path(""))
        .env("LONGTAKE_STORE", work.path("store"))
        .output()
        .unwrap();
    let code = output.status.code().unwrap_or(-1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    if code == 77 || stderr.contains("unshare") {
        eprintln!("not run: no disk can be mounted here");
        return;
    }
    let out = Outcome {
        code,
        stdout: String::new(),
        stderr,
    };
    refused(&out, 8, &["full", "run again"]);
    let listing = String::from_utf8(work.bytes("listing")).unwrap();
    assert!(listing.lines().count() >= 2, "frames stay: {listing}");
    assert!(
        listing
            .lines()
            .all(|l| l.starts_with("o.") && l.ends_with(".exr")),
        "and nothing else: {listing}"
    );
}

#[test]
fn parameters_out_of_range_are_refused() {
    let work = Work::new();
    for (line, words) in [
        ("--novelty 1.5", ["--novelty", "0 to 1"]),
        ("--novelty NaN", ["--novelty", "0 to 1"]),
        ("--novelty much", ["--novelty", "number"]),
        ("--seed -1", ["--seed", "0 to"]),
        ("--seed 1.5", ["--seed", "whole number"]),
        ("--plans 0", ["--plans", "1 to 64"]),
        ("--warp maybe", ["--warp", "on or off"]),
        ("--mode stretch", ["--mode", "extend, loop"]),
        ("--scale 1/3", ["--scale", "1/2"]),
        ("--threads 100000", ["--threads", "1024"]),
        ("--only x", ["--only", "1001-1100"]),
        ("--leave-out abc", ["--leave-out", "1001-1100"]),
        ("--pixel-type 8bit", ["exr", "half"]),
    ] {
        let out = generate(
            &work,
            &format!(
                "--plate {} --frames 1001-1060 --out o/o.####.exr {line}",
                plate()
            ),
        );
        refused(&out, 2, &words);
    }
    assert!(work.files("o").is_empty());
}

#[test]
fn options_that_do_not_exist_are_refused() {
    let out = generate(&Work::new(), "--sede 7");
    assert_eq!(out.code, 2);
    assert!(out.stderr.contains("--seed"), "{}", out.stderr);
}

#[test]
fn what_is_needed_and_not_given_is_asked_for() {
    let work = Work::new();
    refused(&generate(&work, "--frames 1-60"), 2, &["--plate"]);
    refused(
        &generate(&work, &format!("--plate {}", plate())),
        2,
        &["--out"],
    );
    refused(
        &generate(&work, &format!("--plate {} --out o.####.png", plate())),
        2,
        &["--frames"],
    );
    refused(
        &generate(
            &work,
            &format!("--plate {} --out o.####.png --mode fill", plate()),
        ),
        2,
        &["--matte"],
    );
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_utf8_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let work = Work::new();
    let words = [
        OsStr::new("generate"),
        OsStr::new("--plate"),
        OsStr::from_bytes(b"pl\xffate.####.exr"),
    ];
    refused(&work.run(&words), 2, &["UTF-8", "rename"]);
}

#[test]
fn job_files_with_faults_are_refused() {
    let work = Work::new();
    for (text, words) in [
        (
            r#"{"plate": "p.####.exr", "plate_rnage": [1, 20]}"#,
            ["plate_rnage", "'plateRange'"],
        ),
        (r#"{"codec": "exr"}"#, ["codec", "longtake schema"]),
        (r#"{"seed": "seven"}"#, ["seed", "whole number"]),
        (r#"{"seed": -1}"#, ["seed", "outside"]),
        (r#"{"frames": [20, 10]}"#, ["frames", "after the last"]),
        (r#"{"frames": [7, 7]}"#, ["frames", "single frame"]),
        (r#"{"frames": null}"#, ["frames", "frame range"]),
        (r#"{"warp": 3}"#, ["warp", "true or false"]),
        (r#"{"scale": 1}"#, ["the number 1", "in quotes"]),
        (r#"{"seed": "4"}"#, ["the text '4'", "without quotes"]),
        (r#"{"seed": 4, "keep": 1, "seed": 5}"#, ["'seed'", "twice"]),
        (r#"{"plate": "#, ["job.json", "line 1"]),
        (r#"[1, 2]"#, ["job.json", "object"]),
        ("\u{0}", ["job.json", "line 1"]),
    ] {
        fs::write(work.path("job.json"), text).unwrap();
        refused(&generate(&work, "--job job.json"), 2, &words);
    }
    fs::write(work.path("job.json"), b"{\"plate\": \"\xff\"}").unwrap();
    refused(&generate(&work, "--job job.json"), 2, &["job.json"]);
    refused(&generate(&work, "--job nothing.json"), 2, &["nothing.json"]);
}

#[test]
fn the_plate_is_never_written_over() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    let before = work.bytes("p/plate.1010.png");
    for out in ["p/plate.####.png", "./p/../p/plate.%04d.png"] {
        let out = generate(
            &work,
            &format!("--plate {plate} --frames 1001-1060 --out {out}"),
        );
        refused(&out, 2, &["plate", "another"]);
    }
    assert_eq!(work.bytes("p/plate.1010.png"), before);
}

#[test]
fn outputs_that_are_no_sequence_are_refused() {
    let work = Work::new();
    for out in ["o.mov", "o.exr", "o.##.##.exr", "o/"] {
        let out = generate(
            &work,
            &format!("--plate {} --frames 1001-1060 --out {out}", plate()),
        );
        refused(&out, 2, &["o"]);
    }
}

#[test]
fn a_movie_without_ffmpeg_is_told() {
    let work = Work::new();
    let output = work
        .command(&[
            "generate",
            "--plate",
            FOOTAGE,
            "--frames",
            "1-120",
            "--out",
            "o.####.exr",
        ])
        .env("PATH", work.path("empty"))
        .output()
        .unwrap();
    let out = Outcome {
        code: output.status.code().unwrap(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    refused(&out, 10, &["ffmpeg", "install"]);
}

#[test]
fn a_store_that_cannot_be_used_costs_only_time() {
    let work = Work::new();
    fs::write(work.path("taken"), "a file").unwrap();
    let out = work.generate(&format!(
        "--plate {} --frames 1001-1060 --only 1050 --store taken --out o/o.####.png --json",
        plate()
    ));
    assert_eq!(work.files("o"), ["o.1050.png"]);
    let warnings = out.events_of("warning");
    assert!(
        warnings
            .iter()
            .any(|w| w["message"].as_str().unwrap().contains("taken")),
        "{warnings:?}"
    );
}

#[test]
fn nothing_that_is_read_or_made_is_written_over() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    fs::copy(work.path("p/plate.1001.png"), work.path("hold.png")).unwrap();
    let before = work.bytes("p/plate.1010.png");
    let line = format!("--plate {plate} --frames 1001-1060 --only 1050");
    for rest in [
        // No number collides, but made frames would count as the plate's.
        "--out p/plate.####.png",
        "--out hold.png --hold-out hold.png",
        "--out o/o.####.png --report p/plate.1010.png",
        "--out o/o.####.png --page p/plate.1010.png",
        "--out o/o.####.png --preview p/plate.1010.png",
        "--out o/o.####.png --contact-sheet p/../p/plate.1010.png",
        "--out o/o.####.png --contact-sheet o/o.1050.png",
        "--out o/o.####.png --report r.json --page r.json",
    ] {
        let out = generate(&work, &format!("{line} {rest}"));
        refused(&out, 2, &["another name"]);
    }
    assert!(!work.path("o").exists(), "refused before work");
    let words = format!("plan {line} --out o/o.####.png --picture p/plate.1010.png");
    let run = |line: &str| work.run(&line.split(' ').collect::<Vec<_>>());
    refused(&run(&words), 2, &["another name"]);

    work.generate(&format!("{line}-1051 --out o/o.####.png"));
    let made = work.bytes("o/o.1051.png");
    for out in ["p/plate.1010.png", "o/o.1050.png", "o/o.1051.png"] {
        let out = run(&format!("provenance o/o.1050.png --remake {out}"));
        refused(&out, 2, &["another name"]);
    }
    for look in ["--report o/o.1051.png", "--contact-sheet p/plate.1010.png"] {
        let out = run(&format!("report o/o.####.png --plate {plate} {look}"));
        refused(&out, 2, &["another name"]);
    }
    assert_eq!(work.bytes("p/plate.1010.png"), before);
    assert_eq!(work.bytes("o/o.1051.png"), made);
}

#[test]
fn a_hole_is_told_where_it_is() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    copied_plate(&work, "gap");
    fs::remove_file(work.path("gap/plate.1018.png")).unwrap();
    let out = work.run(&["report", "gap/plate.####.png", "--plate", &plate]);
    refused(&out, 3, &["1018", "gap/plate.####.png has"]);
    let line = format!("--plate {plate} --frames 1001-1060 --out o/o.####.png");
    let out = generate(&work, &format!("{line} --hold-out gap/plate.####.png"));
    refused(&out, 3, &["1018", "gap/plate.####.png has"]);
}

#[test]
fn frames_of_only_that_are_none_of_the_take_are_told() {
    let work = Work::new();
    let line = format!("--plate {} --frames 1001-1060 --json", plate());
    let told = |only: &str| {
        let out = work.generate(&format!("{line} --only {only} --out o/o.####.png"));
        let warnings = out.events_of("warning");
        let said = |w: &serde_json::Value| w["message"].as_str().unwrap().contains("goes beyond");
        warnings.iter().any(said)
    };
    assert!(told("1005,1059-1070"));
    assert!(!told("1005,1059-1060"));
}

/// A disk that is full takes what is printed no more than a reader that is gone.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_no_fault() {
    let work = Work::new();
    for command in ["schema", "store"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = work.command(&[command]);
        let output = command.stdout(full.unwrap()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert_eq!(told, "");
    }
}
