//! The wan engine in a host, with small models of random weights: every mode, against
//! the command line, and what is told where something is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::plate::{Frame, Plate};
use crate::support::{Host, Run};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wan/fixtures")
        .join(name)
}

/// A whole folder of the parts that lie apart among the fixtures.
fn model(own: &str, transformer: &str, vae: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        (own, ""),
        (transformer, "transformer"),
        (&format!("{own}/scheduler"), "scheduler"),
        ("text/text_encoder", "text_encoder"),
        ("text/tokenizer", "tokenizer"),
        (vae, "vae"),
    ] {
        let to = folder.path().join(to);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(fixture(from)).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

fn text() -> TempDir {
    model("whole", "whole/transformer", "vae-2.1")
}

fn vace() -> TempDir {
    model("with_plate/vace", "with_plate/vace/transformer", "vae-2.1")
}

fn tokens() -> TempDir {
    model("with_plate/ti2v", "with_plate/ti2v/transformer", "vae-2.2")
}

/// The host with the engine chosen.
fn wan(host: Host, model: &TempDir) -> Host {
    host.set("engine", "wan")
        .set("model", model.path().to_str().unwrap())
        .set("prompt", "a cat walks")
        .set("steps", 2)
        .set("size", "64x32")
}

fn general(model: &TempDir, plate: &Plate) -> Host {
    let host = Host::longtake("plain")
        .opt("context", "general")
        .clip("Source", plate);
    wan(host, model)
}

/// What the command line makes of the same.
fn by_command(model: &TempDir, more: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_longtake"))
        .args(["generate", "--engine", "wan", "--prompt", "a cat walks"])
        .args(["--steps", "2", "--size", "64x32", "--pixel-type", "float"])
        .args(["--model", model.path().to_str().unwrap()])
        .args(["--out", "out.####.exr"])
        .args(more)
        .current_dir(folder.path())
        .env("LONGTAKE_STORE", folder.path().join("store"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    folder
}

fn frame(folder: &TempDir, number: i32) -> Frame {
    let path = folder.path().join(format!("out.{number:04}.exr"));
    Frame::read(&path).unwrap()
}

fn inside(x: usize, y: usize) -> bool {
    (20..45).contains(&x) && (8..22).contains(&y)
}

fn matte(count: usize) -> Plate {
    let one = Frame::from_fn(64, 32, |x, y| {
        [0., 0., 0., f32::from(u8::from(inside(x, y)))]
    });
    Plate::new(1001, vec![one; count])
}

/// The frames that are told of, and their pixels as the command line's.
fn assert_same(run: &Run, folder: &TempDir, frames: &[i32]) {
    for number in frames {
        let (host, command) = (run.frame("out", *number), frame(folder, *number));
        assert_eq!(host.difference(&command, &[0, 1, 2]), 0., "frame {number}");
    }
}

#[test]
fn a_generator_makes_frames_from_words_in_any_order() {
    let model = text();
    let host = Host::longtake("plain")
        .opt("context", "generator")
        .opt("project", "64,32")
        .opt("timeline", "1001,1009");
    let run = wan(host, &model)
        .set("mode", "generate")
        .set("frames", "1001,1009")
        .flag("time-domain")
        .opt("threads", 3)
        .keep("out", "1007,1002,1009,1001,1002")
        .run()
        .good();
    assert_eq!(run.one("time_domain")["last"], 1009.0);
    let command = by_command(&model, &["--frames", "1001-1009"]);
    assert_same(&run, &command, &[1001, 1002, 1007, 1009]);
    let hashes = run.hashes();
    assert_ne!(hashes[&1001], hashes[&1009], "it moves");
}

#[test]
fn a_matte_is_filled_and_all_else_stays_to_the_bit() {
    let model = vace();
    let (plate, matte) = (Plate::water(64, 32, 1001, 9), matte(9));
    let run = general(&model, &plate)
        .clip("Matte", &matte)
        .set("mode", "fill")
        .keep("out", "1005,1001,1009")
        .run()
        .good();
    for number in [1001, 1005, 1009] {
        let (made, given) = (run.frame("out", number), plate.frame(number));
        let mut changed = 0;
        for y in 0..32 {
            for x in 0..64 {
                let same = made.pixel(x, y) == given.pixel(x, y);
                assert!(same || inside(x, y), "frame {number}: {x},{y}");
                changed += usize::from(!same);
            }
        }
        assert!(
            changed > 300,
            "frame {number}: {changed} pixels were filled"
        );
    }
    let (plate, matte) = (plate.pattern(), matte.pattern());
    let command = by_command(
        &model,
        &["--mode", "fill", "--plate", &plate, "--matte", &matte],
    );
    assert_same(&run, &command, &[1001, 1005, 1009]);
}

#[test]
fn a_plate_goes_on_begins_to_move_and_leads_a_guide() {
    let plate = Plate::water(64, 32, 1001, 5);
    let model = vace();
    let run = general(&model, &plate)
        .set("frames", "1001,1013")
        .set("overlap", 5)
        .keep("out", "1003,1013,1006")
        .run()
        .good();
    assert_eq!(run.frame("out", 1003), *plate.frame(1003));
    let pattern = plate.pattern();
    let command = by_command(
        &model,
        &[
            "--plate",
            &pattern,
            "--frames",
            "1001-1013",
            "--overlap",
            "5",
        ],
    );
    assert_same(&run, &command, &[1003, 1006, 1013]);

    let guide = Plate::water(64, 32, 1003, 3);
    let run = general(&model, &plate)
        .clip("Guide", &guide)
        .set("mode", "match")
        .set("frames", "1003,1005")
        .keep("out", "1005,1003")
        .run()
        .good();
    let pattern = guide.pattern();
    let command = by_command(
        &model,
        &[
            "--mode",
            "match",
            "--guide",
            &pattern,
            "--plate",
            &plate.pattern(),
            "--frames",
            "1003-1005",
        ],
    );
    assert_same(&run, &command, &[1003, 1005]);

    let model = tokens();
    let run = general(&model, &plate)
        .set("mode", "animate")
        .set("frames", "1001,1006")
        .keep("out", "1006,1001,1002")
        .run()
        .good();
    assert_eq!(run.frame("out", 1001), *plate.frame(1001));
    let pattern = plate.pattern();
    let command = by_command(
        &model,
        &[
            "--mode",
            "animate",
            "--plate",
            &pattern,
            "--frames",
            "1001-1006",
        ],
    );
    assert_same(&run, &command, &[1001, 1002, 1006]);
}

#[test]
fn a_subject_s_matte_comes_on_a_clip_as_from_files() {
    let model = text();
    let (plate, matte) = (Plate::water(64, 32, 1001, 5), matte(5));
    let with = |host: Host| {
        host.set("mode", "restyle")
            .set("subject1Prompt", "a red ball")
            .keep("out", "1004,1001")
            .run()
            .good()
    };
    let run = with(general(&model, &plate).clip("Subject1", &matte));
    let (path, subject) = (plate.pattern(), matte.pattern());
    let command = by_command(
        &model,
        &[
            "--mode",
            "restyle",
            "--plate",
            &path,
            "--subject1-matte",
            &subject,
            "--subject1-prompt",
            "a red ball",
        ],
    );
    assert_same(&run, &command, &[1001, 1004]);
    // Another matte, another picture; and a text without a matte says nothing.
    let all = Frame::from_fn(64, 32, |_, _| [0., 0., 0., 1.]);
    let everywhere = Plate::new(1001, vec![all; 5]);
    let other = with(general(&model, &plate).clip("Subject1", &everywhere));
    assert_ne!(other.hashes()[&1004], run.hashes()[&1004]);
    let none = with(general(&model, &plate));
    assert_ne!(none.hashes()[&1004], run.hashes()[&1004]);
    assert_ne!(none.hashes()[&1004], other.hashes()[&1004]);
}

#[test]
fn a_long_and_refined_take_is_the_command_line_s() {
    let model = text();
    let host = Host::longtake("plain")
        .opt("context", "generator")
        .opt("project", "128,64")
        .opt("timeline", "1001,1040");
    let run = wan(host, &model)
        .set("mode", "generate")
        .set("frames", "1001,1040")
        .set("modelFrames", 17)
        .set("overlap", 5)
        .set("refine", "128x64")
        .keep("out", "1033,1002")
        .run()
        .good();
    let command = by_command(
        &model,
        &[
            "--frames",
            "1001-1040",
            "--model-frames",
            "17",
            "--overlap",
            "5",
            "--refine",
            "128x64",
            "--only",
            "1002,1033",
        ],
    );
    assert_same(&run, &command, &[1002, 1033]);
}

#[test]
fn a_proxy_shows_the_same_take_and_a_new_instance_finds_it() {
    let model = text();
    let plate = Plate::water(64, 32, 1001, 9);
    let run = general(&model, &plate)
        .set("mode", "restyle")
        .keep("full", "1004")
        .flag("destroy")
        .flag("create")
        .opt("scale", "0.5")
        .keep("half", "1004,1005")
        .run()
        .good();
    let (half, full) = (run.frame("half", 1004), run.frame("full", 1004));
    let other = run.frame("half", 1005);
    let apart = |half: &Frame| {
        let mut sum = 0f32;
        for (x, y) in (0..16).flat_map(|y| (0..32).map(move |x| (x, y))) {
            let at = |i: usize, j: usize| full.pixel(2 * x + i, 2 * y + j)[1];
            let mean = 0.25 * (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1));
            sum += (half.pixel(x, y)[1] - mean).abs() / 512.;
        }
        sum
    };
    let (same, next) = (apart(&half), apart(&other));
    // A random model's pictures are mostly grain, which two filters treat in two ways.
    assert!(same < 0.5 * next, "{same} apart, the next frame {next}");
}

#[test]
fn what_is_wrong_is_told_in_a_sentence() {
    let plate = Plate::water(64, 32, 1001, 9);
    let told = |host: Host| {
        let run = host.render("1003").run().sound();
        let frames = run.all("frame");
        assert_eq!(frames.last().unwrap()["status"], "Failed", "{run:?}");
        run.messages().join("\n")
    };
    let model = text();
    let text = told(general(&model, &plate).set("mode", "fill"));
    assert!(text.contains("VACE"), "{text}");
    let text = told(general(&model, &plate).set("mode", "loop"));
    assert!(text.contains("engine plate"), "{text}");
    let text = told(
        general(&model, &plate)
            .set("mode", "restyle")
            .set("size", "wide"),
    );
    assert!(text.contains("832x480"), "{text}");
    std::fs::remove_dir_all(model.path().join("vae")).unwrap();
    let text = told(general(&model, &plate).set("mode", "restyle"));
    assert!(text.contains("has no vae"), "{text}");
    let none = general(&model, &plate).set("mode", "restyle");
    let text = told(none.set("model", ""));
    assert!(text.contains("needs a model"), "{text}");
}
