//! What the command line takes, and tells of it before any work.

use std::sync::Arc;

use longtake::frame::{
    FrameHeader, FrameRange, Picture, PlateInfo, SequenceWriter, Transfer, WriteOptions,
};

use crate::work::{Work, plate};

#[test]
fn texts_may_begin_with_a_dash_and_a_forgotten_one_is_told() {
    let work = Work::new();
    let line = "generate --engine wan --frames 1-9 --out o/o.####.exr --prompt";
    let run = |prompt: &[&str]| work.run(&[&line.split(' ').collect::<Vec<_>>(), prompt].concat());
    for prompt in ["-no people", "-", "--- a title", "--a --b"] {
        let out = run(&[prompt]);
        assert!(out.stderr.contains("needs a model"), "{}", out.stderr);
    }
    assert_eq!(run(&["--seed", "3"]).code, 2);
    let out = run(&["--seed=3"]);
    assert_eq!(out.code, 2, "{}", out.stderr);
    assert!(out.stderr.contains("--seed is an option"), "{}", out.stderr);
}

#[test]
fn a_plan_tells_the_warnings_of_the_job() {
    let work = Work::new();
    let plate = plate();
    let line = "plan --frames 1001-1060 --only 1050-2000 --out o/o.####.png --json --plate";
    let words: Vec<&str> = line.split(' ').chain([plate.as_str()]).collect();
    let out = work.run(&words);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let told = out.events_of("warning");
    let has = |text: &str| {
        told.iter()
            .any(|w| w["message"].as_str().unwrap().contains(text))
    };
    assert!(has("goes beyond the take"), "{told:?}");
    assert!(has("does not name its frame rate"), "{told:?}");
    assert_eq!(out.events_of("plan").len(), 1);
}

#[test]
fn names_of_things_are_not_rounded_by_dwaa() {
    let work = Work::new();
    let ids = vec!["CryptoObject00.R".to_owned()];
    let info = PlateInfo {
        range: FrameRange::new(1, 30).unwrap(),
        width: 32,
        height: 24,
        full_size: (32, 24),
        channels: ["R", "G", "B"]
            .map(String::from)
            .into_iter()
            .chain(ids.clone())
            .collect(),
        ids,
        fps: 24.0,
        transfer: Transfer::Linear,
        pixel_aspect: 1.0,
    };
    let header = FrameHeader::new(&info);
    let path = work.path("p.####.exr");
    let writer = SequenceWriter::new(&path, header, WriteOptions::default()).unwrap();
    for frame in 1..=30 {
        let data = (0..32 * 24 * 4).map(|i| ((i * 7 + frame * 13) % 50) as f32 / 50.0);
        let picture = Picture::from_data(32, 24, 4, data.collect()).unwrap();
        writer.write(frame, &Arc::new(picture)).unwrap();
    }
    let line = "generate --plate p.####.exr --frames 1-40 --compression dwaa --out o/o.####.exr";
    let out = work.run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(out.code, 2);
    assert!(out.stderr.contains("CryptoObject00.R"), "{}", out.stderr);
    assert!(work.files("o").is_empty());
}

#[test]
fn one_of_several_jpegs_is_told_to_be_one_picture() {
    let work = Work::new();
    for frame in 1..=3 {
        std::fs::write(work.path(&format!("p.100{frame}.jpg")), b"").unwrap();
    }
    let movie = crate::work::FOOTAGE;
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i", movie, "-frames:v", "1"])
        .arg(work.path("p.1001.jpg"))
        .status();
    assert!(made.unwrap().success());
    let line = "plan --plate p.1001.jpg --frames 1-60 --out o/o.####.exr";
    let out = work.run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(out.code, 6, "{}", out.stderr);
    assert!(
        out.stderr.contains("read as .exr or .png"),
        "{}",
        out.stderr
    );
}
