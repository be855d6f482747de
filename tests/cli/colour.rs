//! Colour spaces by OpenColorIO: what is fed and what is returned.

use std::path::Path;
use std::sync::Arc;

use longtake::frame::{FilePlate, Picture, PlateOptions, PlateReader, to_linear};

use crate::work::{Work, plate};

const TAKE: &str = "--frames 1001-1060 --mode extend";

/// Two spaces, the second of twice the values.
const STUDIO: &str = r#"
ocio_profile_version: 2
search_path: ""
roles: {default: lin, scene_linear: lin}
file_rules:
  - !<Rule> {name: Default, colorspace: default}
displays:
  screen:
    - !<View> {name: plain, colorspace: lin}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace>
    name: lin
    encoding: scene-linear
  - !<ColorSpace>
    name: twice
    encoding: scene-linear
    from_scene_reference: !<MatrixTransform> {matrix: [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]}
"#;

fn frame(path: &Path, frame: i32) -> Arc<Picture> {
    let mut plate = FilePlate::open(path, &PlateOptions::default()).unwrap();
    assert_eq!(plate.info().channels, ["R", "G", "B"]);
    plate.read(frame).unwrap()
}

/// What the chromaticities of an EXR file say of red.
fn red(path: &Path) -> Option<(f32, f32)> {
    let meta = exr::meta::MetaData::read_from_file(path, false).unwrap();
    let told = meta.headers[0].shared_attributes.chromaticities?;
    Some((told.red.0, told.red.1))
}

#[test]
fn a_plate_is_converted_on_the_way_in_and_the_frames_on_the_way_out() {
    let work = Work::new();
    let plate = plate();
    let out = work.generate(&format!(
        "--plate {plate} {TAKE} --input-colorspace sRGB --output-colorspace ACEScg --pixel-type float --out cg/o.####.exr --json"
    ));
    let done = &out.events_of("done")[0];
    assert_eq!((&done["kept"], &done["made"]), (&32.into(), &28.into()));
    // Rec.709 to AP1 with the Bradford adaptation from D65 to the ACES white.
    let matrix = [
        [0.613_097, 0.339_523, 0.047_379],
        [0.070_194, 0.916_354, 0.013_452],
        [0.020_616, 0.109_570, 0.869_815],
    ];
    let (fed, made) = (
        frame(plate.as_ref(), 1007),
        frame(&work.path("cg/o.####.exr"), 1007),
    );
    for (a, b) in fed.data().chunks_exact(3).zip(made.data().chunks_exact(3)) {
        for (row, b) in matrix.iter().zip(b) {
            let sum: f32 = row.iter().zip(a).map(|(m, a)| m * to_linear(*a)).sum();
            assert!((sum - b).abs() < 1e-4, "{a:?} came out as {b}, not {sum}");
        }
    }
    // A made frame is as bright as the plate, in the same space.
    let mean = |p: &Picture| p.data().iter().sum::<f32>() / p.data().len() as f32;
    let ratio = mean(&frame(&work.path("cg/o.####.exr"), 1055)) / mean(&made);
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
    assert_eq!(red(&work.path("cg/o.1055.exr")), Some((0.713, 0.293)));

    // And back: every 8-bit value is the plate's again.
    work.generate(
        "--plate cg/o.####.exr --mode extend --frames 1001-1070 --input-colorspace ACEScg --output-colorspace sRGB --pixel-type 8bit --out back/o.####.png",
    );
    for at in [1001, 1020, 1030] {
        let back = frame(&work.path("back/o.####.png"), at);
        assert_eq!(back, frame(plate.as_ref(), at), "frame {at}");
    }
}

/// All numbers of `json`, in its order.
fn numbers(json: &serde_json::Value, out: &mut Vec<f64>) {
    match json {
        serde_json::Value::Number(n) => out.extend(n.as_f64()),
        serde_json::Value::Array(all) => all.iter().for_each(|j| numbers(j, out)),
        serde_json::Value::Object(all) => all.values().for_each(|j| numbers(j, out)),
        _ => {}
    }
}

#[test]
fn a_report_alone_measures_plate_and_sequence_in_one_space() {
    let work = Work::new();
    let plate = plate();
    for space in ["ACEScct", "ACEScg"] {
        work.generate(&format!(
            "--plate {plate} {TAKE} --input-colorspace sRGB --output-colorspace {space} --pixel-type float --out {space}/o.####.exr"
        ));
    }
    let measures = |name: &str, more: &str| {
        let line = format!("report {name}/o.####.exr --plate {plate} --report r.json{more}");
        let out = work.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(out.code, 0, "{}", out.stderr);
        let report: serde_json::Value = serde_json::from_slice(&work.bytes("r.json")).unwrap();
        let mut found = Vec::new();
        numbers(&report["measures"], &mut found);
        found
    };
    let spaces = |out: &str| format!(" --input-colorspace sRGB --output-colorspace {out}");
    let log = measures("ACEScct", &spaces("ACEScct"));
    let light = measures("ACEScg", &spaces("ACEScg"));
    assert!(log.len() > 10 && log.len() == light.len(), "{log:?}");
    let apart = |a: &[f64], b: &[f64]| {
        let pairs = a.iter().zip(b);
        pairs
            .map(|(a, b)| (a - b).abs() / (b.abs() + 0.05))
            .fold(0.0, f64::max)
    };
    assert!(apart(&log, &light) < 0.01, "{log:?} {light:?}");
    // Its frames tell in which space they are.
    assert!(apart(&measures("ACEScct", ""), &light) < 0.01);
    // Where they do not, logs taken for light are another sequence.
    for name in work.files("ACEScct") {
        let path = work.path("ACEScct").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let ours: Vec<usize> = (0..bytes.len() - 9)
            .filter(|at| bytes[*at..].starts_with(b"longtake:"))
            .collect();
        assert!(!ours.is_empty());
        for at in ours {
            bytes[at..at + 9].copy_from_slice(b"somebody:");
        }
        std::fs::write(path, bytes).unwrap();
    }
    let line = format!("report ACEScct/o.####.exr --plate {plate} --report r.json");
    let out = work.run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(out.code, 0, "{}", out.stderr);
    let report: serde_json::Value = serde_json::from_slice(&work.bytes("r.json")).unwrap();
    assert!(report["measures"]["luma"].as_f64().unwrap() > 1.2);
}

#[test]
fn in_one_space_kept_frames_stay_bit_for_bit() {
    let work = Work::new();
    let plate = plate();
    work.generate(&format!(
        "--plate {plate} {TAKE} --input-colorspace sRGB --output-colorspace ACEScct --pixel-type float --out log/o.####.exr"
    ));
    // ACEScct has no primaries of a file in light, but those of AP1.
    let log = "--plate log/o.####.exr --mode extend --frames 1001-1070";
    for (n, spaces) in [
        "--input-colorspace ACEScct --output-colorspace ACEScct",
        "--input-colorspace ACEScct --output-colorspace acescct_ap1",
        "--input-colorspace compositing_log",
    ]
    .iter()
    .enumerate()
    {
        work.generate(&format!("{log} {spaces} --out same{n}/o.####.exr"));
        for at in [1001, 1030] {
            let same = frame(&work.path(&format!("same{n}/o.####.exr")), at);
            let fed = frame(&work.path("log/o.####.exr"), at);
            assert!(same == fed, "{spaces}: frame {at}");
        }
        assert_eq!(
            red(&work.path(&format!("same{n}/o.1065.exr"))),
            red(&work.path("log/o.1001.exr")),
        );
    }
}

#[test]
fn the_studios_own_config_is_used_by_option_and_by_variable() {
    let work = Work::new();
    let plate = plate();
    work.generate(&format!(
        "--plate {plate} --mode loop --frames 1001-1040 --pixel-type float --out p/o.####.exr"
    ));
    std::fs::write(work.path("studio.ocio"), STUDIO).unwrap();
    let line = "generate --plate p/o.####.exr --mode extend --frames 1001-1060 --plans 1 --input-colorspace lin --output-colorspace twice";
    let run = |more: &str, variable: bool| {
        let words: Vec<&str> = line.split(' ').chain(more.split(' ')).collect();
        let mut command = work.command(&words);
        if variable {
            command.env("OCIO", work.path("studio.ocio"));
        }
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, text) = run("--ocio-config studio.ocio --out a/o.####.exr", false);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run("--out b/o.####.exr", true);
    assert_eq!(code, Some(0), "{text}");
    let fed = frame(&work.path("p/o.####.exr"), 1009);
    let made = frame(&work.path("a/o.####.exr"), 1009);
    for (a, b) in fed.data().iter().zip(made.data()) {
        assert_eq!(2.0 * a, *b);
    }
    assert!(made == frame(&work.path("b/o.####.exr"), 1009));
    // Whose primaries "twice" has is not known, and the plate's would be a guess.
    assert_eq!(red(&work.path("a/o.1055.exr")), None);

    let (code, text) = run("--ocio-config none.ocio --out c/o.####.exr", false);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("none.ocio") && text.contains("does not exist"),
        "{text}"
    );
}

#[test]
fn unknown_spaces_are_refused_with_those_near() {
    let work = Work::new();
    let plate = plate();
    for (spaces, told) in [
        ("--input-colorspace ACESgc", &["'ACESgc'", "'ACEScg'"][..]),
        (
            "--input-colorspace sRGB --output-colorspace logc",
            &["'logc'", "'ARRI LogC4'", "'ARRI LogC3 (EI800)'"],
        ),
        ("--input-colorspace Raw", &["'Raw'", "data"]),
        (
            "--output-colorspace ACEScg",
            &["--input-colorspace", "what the plate is in"],
        ),
    ] {
        let line = format!("generate --plate {plate} {TAKE} --out o/o.####.exr {spaces}");
        let out = work.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(out.code, 2, "{}", out.stderr);
        for word in told {
            assert!(out.stderr.contains(word), "{word}: {}", out.stderr);
        }
    }
    assert!(work.files("o").is_empty());
}
