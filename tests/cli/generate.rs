//! Takes in all modes, from options and from job files.

use longtake::frame::{FilePlate, PlateOptions, PlateReader};

use crate::work::{FOOTAGE, Work, plate};

#[test]
fn extend_keeps_plate_frames_and_makes_the_rest() {
    let work = Work::new();
    let plate = plate();
    let out = work.generate(&format!(
        "--plate {plate} --frames 1001-1080 --mode extend --out out/o.####.png --json"
    ));
    let names: Vec<String> = (1001..=1080).map(|f| format!("o.{f}.png")).collect();
    assert_eq!(work.files("out"), names);

    let frames = out.events_of("frame");
    assert_eq!(frames.len(), 80);
    let kept: Vec<i64> = frames
        .iter()
        .filter(|e| e["state"] == "kept")
        .map(|e| e["frame"].as_i64().unwrap())
        .collect();
    // The plate has 48 frames; a third of it is left as a handle.
    let mut sorted = kept.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1001..=1032).collect::<Vec<_>>());
    let mut made = FilePlate::open(&work.path("out/o.####.png"), &PlateOptions::default()).unwrap();
    let mut source = FilePlate::open(plate.as_ref(), &PlateOptions::default()).unwrap();
    for frame in kept {
        let frame = frame as i32;
        assert_eq!(
            made.read(frame).unwrap(),
            source.read(frame).unwrap(),
            "kept frame {frame} is the plate's"
        );
    }
    // Nor does the picture stand still where the plate has run out.
    let mut last = made.read(1001).unwrap();
    for frame in 1002..=1080 {
        let next = made.read(frame).unwrap();
        let moved = last.data().iter().zip(next.data()).filter(|(a, b)| a != b);
        let share = moved.count() as f64 / next.data().len() as f64;
        assert!(share > 0.1, "frame {frame}: {share} of the samples change");
        last = next;
    }
    let done = &out.events_of("done")[0];
    assert_eq!((&done["kept"], &done["made"]), (&32.into(), &48.into()));
}

#[test]
fn parts_of_the_picture_are_held_out_and_made_again() {
    let work = Work::new();
    let plate = plate();
    // A matte: the left third.
    let status = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg("color=white:40x90,pad=120:90:0:0:black")
        .args(["-frames:v", "1"])
        .arg(work.path("left.png"))
        .status()
        .unwrap();
    assert!(status.success());
    let line = format!("--plate {plate} --frames 1001-1120 --steady off");
    let held = format!("{line} --hold-out left.png");
    work.generate(&format!("{held} --out held/o.####.png"));
    work.generate(&format!("{line} --out all/o.####.png"));
    work.generate(&format!(
        "{line} --region1-matte left.png --region1-seed 4 --remake 1050-1110=2 --out part/o.####.png"
    ));
    let open = |path: &str| FilePlate::open(&work.path(path), &PlateOptions::default()).unwrap();
    let (mut made, mut all) = (open("held/o.####.png"), open("all/o.####.png"));
    let mut part = open("part/o.####.png");
    let mut source = FilePlate::open(plate.as_ref(), &PlateOptions::default()).unwrap();
    let frames: Vec<_> = (1001..=1048).map(|f| source.read(f).unwrap()).collect();
    let mut others = 0;
    for frame in 1033..=1120 {
        let picture = made.read(frame).unwrap();
        let rows = 0..90usize;
        let shown = frames.iter().any(|plate| {
            rows.clone()
                .all(|y| (0..40).all(|x| picture.pixel(x, y) == plate.pixel(x, y)))
        });
        assert!(shown, "frame {frame} shows one plate frame at the left");
        others += usize::from(all.read(frame).unwrap() != part.read(frame).unwrap());
    }
    assert!(others > 30, "{others} frames are others");
    let words = [
        "generate",
        "--plate",
        &plate,
        "--frames",
        "1001-1120",
        "--remake",
        "1050-1060",
        "--out",
        "x/o.####.png",
    ];
    let out = work.run(&words);
    assert_eq!(out.code, 2, "{}", out.stderr);
    assert!(out.stderr.contains("1100-1140=3"), "{}", out.stderr);
}

#[test]
fn every_mode_makes_what_was_asked() {
    let work = Work::new();
    let plate = plate();
    work.generate(&format!(
        "--plate {plate} --mode loop --frames 1-40 --out loop/o.####.exr"
    ));
    assert_eq!(work.files("loop").len(), 40);
    work.generate(&format!(
        "--plate {plate} --mode vary --frames 1001-1048 --out vary/o.####.exr"
    ));
    assert_eq!(work.files("vary").len(), 48);
}

#[test]
fn a_job_file_and_options_make_the_same_bytes() {
    let work = Work::new();
    let plate = plate();
    let threads = ["1", "3"];
    work.generate(&format!(
        "--plate {plate} --frames 1001-1060 --seed 5 --novelty .8 --warp off --plate-range 1001-1040 \
         --pixel-type float --out a/o.####.exr --threads {}",
        threads[0]
    ).replace("         ", ""));
    std::fs::write(
        work.path("job.json"),
        serde_json::json!({
            "$schema": "./schema.json",
            "plate": plate,
            "frames": [1001, 1060],
            "plateRange": "1001-1040",
            "seed": 5,
            "novelty": 0.8,
            "warp": false,
            "pixelType": "float",
            "out": "nowhere/o.####.exr",
        })
        .to_string(),
    )
    .unwrap();
    // Options go before the file; another store, another number of threads.
    work.generate(&format!(
        "--job job.json --out b/o.####.exr --store other --threads {}",
        threads[1]
    ));
    assert_eq!(work.files("a").len(), 60);
    assert_eq!(work.files("a"), work.files("b"));
    for name in work.files("a") {
        assert_eq!(
            work.bytes(&format!("a/{name}")),
            work.bytes(&format!("b/{name}")),
            "{name}"
        );
    }
    assert!(work.files("nowhere").is_empty());
}

#[test]
fn another_seed_is_another_take() {
    let work = Work::new();
    let plate = plate();
    for seed in [1, 2] {
        work.generate(&format!(
            "--plate {plate} --frames 1001-1080 --seed {seed} --out {seed}/o.####.png"
        ));
    }
    let differ = work
        .files("1")
        .iter()
        .filter(|n| work.bytes(&format!("1/{n}")) != work.bytes(&format!("2/{n}")))
        .count();
    assert!(differ > 10, "{differ} of 48 made frames differ");
}

#[test]
fn a_movie_is_a_plate() {
    let work = Work::new();
    let out = work.generate(&format!(
        "--plate {FOOTAGE} --plate-range 1-30 --frames 1-40 --scale 1/4 --out o.%04d.exr --json"
    ));
    let start = &out.events_of("start")[0];
    assert_eq!(start["plate"]["width"], 480);
    let mut made = FilePlate::open(&work.path("o.%04d.exr"), &PlateOptions::default()).unwrap();
    assert_eq!((made.info().width, made.info().height), (120, 90));
    assert_eq!(made.info().range.count(), 40);
    assert!(
        (made.info().fps - 29.97).abs() < 0.01,
        "the rate is carried"
    );
    assert!(made.read(40).is_ok());
}

#[test]
fn a_part_of_a_take_is_the_same_take() {
    let work = Work::new();
    let plate = plate();
    work.generate(&format!(
        "--plate {plate} --frames 1001-1060 --out all/o.####.png"
    ));
    work.generate(&format!(
        "--plate {plate} --frames 1001-1060 --only 1010,1050-1052 --out part/o.####.png"
    ));
    assert_eq!(
        work.files("part"),
        ["o.1010.png", "o.1050.png", "o.1051.png", "o.1052.png"]
    );
    for name in work.files("part") {
        assert_eq!(
            work.bytes(&format!("all/{name}")),
            work.bytes(&format!("part/{name}"))
        );
    }
}

#[test]
fn json_lines_tell_the_whole_story() {
    let work = Work::new();
    let out = work.generate(&format!(
        "--plate {} --frames 1001-1060 --keep 20 --mode loop --out o.####.png --json",
        plate()
    ));
    let events = out.events();
    let names: Vec<&str> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    for name in ["start", "progress", "take", "frame", "done"] {
        assert!(names.contains(&name), "{name} is told");
    }
    assert_eq!(names.last(), Some(&"done"));
    let warnings = out.events_of("warning");
    assert!(
        warnings
            .iter()
            .any(|w| w["message"].as_str().unwrap().contains("keep")),
        "an option without effect is told: {warnings:?}"
    );
}

#[test]
fn the_schema_takes_the_example_and_knows_every_parameter() {
    let work = Work::new();
    let out = work.run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    for p in &longtake::job::options().unwrap().params {
        assert!(properties.contains_key(&p.name), "{}", p.name);
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shot.json");
    let example: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(example).unwrap()).unwrap();
    for key in example.as_object().unwrap().keys() {
        assert!(properties.contains_key(key), "{key}");
    }
}
