//! `longtake provenance`: where a frame comes from, and the frame made again.

use crate::work::{Work, copied_plate, plate};

#[test]
fn a_frame_tells_where_it_comes_from_and_is_made_again_from_that() {
    let work = Work::new();
    let plate = plate();
    for ending in ["exr", "png"] {
        work.generate(&format!(
            "--plate {plate} --frames 1001-1060 --seed 4 --novelty .7 --out o/o.####.{ending}"
        ));
        let made = format!("o/o.1055.{ending}");
        let out = work.run(&["provenance", &made, "--json"]);
        assert_eq!(out.code, 0, "{}", out.stderr);
        let told = &out.events_of("provenance")[0]["provenance"];
        assert_eq!(told["generated"], true);
        assert_eq!(told["frame"], 1055);
        assert_eq!(told["seed"], 4);
        assert_eq!(told["longtake"], env!("CARGO_PKG_VERSION"));
        assert_eq!(told["parameters"]["novelty"], 0.7);
        assert_eq!(
            told["parameters"]["frames"],
            serde_json::json!([1001, 1060])
        );
        // Where it was made and on how many threads is nobody's business.
        for name in ["threads", "store", "memory", "out"] {
            assert!(told["parameters"][name].is_null(), "{name}");
        }
        let kept = work.run(&["provenance", &format!("o/o.1010.{ending}"), "--json"]);
        let told = &kept.events_of("provenance")[0]["provenance"];
        assert_eq!(told["generated"], false);
        assert_eq!(told["keptFrom"], 1010);

        let again = format!("again.{ending}");
        let out = work.run(&["provenance", &made, "--remake", &again, "--json"]);
        assert_eq!(out.code, 0, "{}", out.stderr);
        assert_eq!(out.events_of("remade")[0]["same"], "bytes");
        assert!(work.bytes(&again) == work.bytes(&made));
    }
    // For a person.
    let out = work.run(&["provenance", "o/o.1055.exr"]);
    assert!(out.stdout.contains("1055: generated"), "{}", out.stdout);
    assert!(out.stdout.contains("levelExposure auto"), "{}", out.stdout);
}

#[test]
fn a_plate_that_moved_is_known_again_and_another_is_not() {
    let work = Work::new();
    let first = copied_plate(&work, "first");
    let line = "--frames 1001-1060 --pixel-type float --compression piz --out o/o.####.exr";
    work.generate(&format!("--plate {first} {line}"));
    std::fs::rename(work.path("first"), work.path("second")).unwrap();
    let remake = |plate: &str| {
        let words = [
            "provenance",
            "o/o.1055.exr",
            "--remake",
            "r.exr",
            "--json",
            "--plate",
        ];
        work.run(&[&words[..], &[plate]].concat())
    };
    let out = remake("second/plate.####.png");
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("remade")[0]["same"], "pixels");

    let file = work.path("second/plate.1033.png");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(0);
    std::fs::write(&file, bytes).unwrap();
    let out = remake("second/plate.####.png");
    assert_eq!(out.code, 5, "{}", out.stderr);
    assert!(out.stderr.contains("plate are others"), "{}", out.stderr);
}

/// A still matte of the plate's size, white left of column `edge`.
fn matte(work: &Work, name: &str, edge: usize) {
    let plate = crate::work::plate().replace("####", "1001");
    let reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(plate).unwrap()));
    let info = reader.read_info().unwrap();
    let (w, h) = (info.info().width, info.info().height);
    let file = std::fs::File::create(work.path(name)).unwrap();
    let mut encoder = png::Encoder::new(file, w, h);
    encoder.set_color(png::ColorType::Grayscale);
    let row = (0..w as usize).map(|x| if x < edge { 255 } else { 0 });
    let data = row.collect::<Vec<u8>>().repeat(h as usize);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&data).unwrap();
}

#[test]
fn the_mattes_of_hold_outs_and_regions_are_told_and_looked_at() {
    let work = Work::new();
    for (name, edge) in [("hold.png", 20), ("region.png", 30)] {
        matte(&work, name, edge);
    }
    let plate = crate::work::plate();
    work.generate(&format!(
        "--plate {plate} --frames 1001-1160 --hold-out hold.png --region1-matte region.png \
         --only 1155 --out o.####.exr"
    ));
    let told = || {
        let out = work.run(&["provenance", "o.1155.exr", "--json"]);
        out.events_of("provenance")[0]["provenance"]["fileHashes"].clone()
    };
    let hashes = told();
    let names: Vec<&String> = hashes.as_object().unwrap().keys().collect();
    assert_eq!(names, ["holdOut", "region1Matte"]);
    let remake = || work.run(&["provenance", "o.1155.exr", "--remake", "r.exr", "--json"]);
    let out = remake();
    assert_eq!(out.code, 0, "{}", out.stderr);
    // Another matte of the same name.
    matte(&work, "region.png", 31);
    let out = remake();
    assert_eq!(out.code, 5, "{}", out.stderr);
    assert!(out.stderr.contains("region1Matte"), "{}", out.stderr);
}

#[test]
fn what_tells_nothing_is_refused_with_a_sentence() {
    let work = Work::new();
    let plate = copied_plate(&work, "p").replace("####", "1001");
    let out = work.run(&["provenance", &plate]);
    assert_eq!(out.code, 4, "{}", out.stderr);
    assert!(
        out.stderr.contains("not written by Longtake"),
        "{}",
        out.stderr
    );
    let out = work.run(&["provenance", "missing.exr"]);
    assert_eq!(out.code, 3, "{}", out.stderr);
    // By another version.
    let line = "--frames 1001-1052 --only 1050 --out o/o.####.exr";
    work.generate(&format!("--plate {} {line}", crate::work::plate()));
    let mut bytes = work.bytes("o/o.1050.exr");
    let version = format!("\"longtake\":\"{}", env!("CARGO_PKG_VERSION"));
    let found = bytes
        .windows(version.len())
        .position(|w| w == version.as_bytes());
    bytes[found.unwrap() + 12] = b'9';
    std::fs::write(work.path("other.exr"), bytes).unwrap();
    let out = work.run(&["provenance", "other.exr", "--remake", "r.exr"]);
    assert_eq!(out.code, 13, "{}", out.stderr);
    assert!(out.stderr.contains("with that one"), "{}", out.stderr);
    assert!(!work.path("r.exr").exists());
}

#[test]
fn a_frame_under_another_number_is_held_against_itself() {
    let work = Work::new();
    let plate = copied_plate(&work, "p");
    work.generate(&format!(
        "--plate {plate} --frames 1001-1060 --only 1050-1056 --out o/o.####.png"
    ));
    std::fs::rename(work.path("o/o.1055.png"), work.path("o/o.1052.png")).unwrap();
    let words = ["provenance", "o/o.1052.png", "--json", "--remake"];
    // In another folder, with another beside it that bears its old number.
    std::fs::create_dir(work.path("r")).unwrap();
    std::fs::copy(work.path("o/o.1050.png"), work.path("r/f.1055.png")).unwrap();
    let out = work.run(&[&words[..], &["r/f.1057.png"]].concat());
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(work.bytes("r/f.1057.png") == work.bytes("o/o.1052.png"));
}

#[test]
fn kept_frames_carry_what_their_own_plate_frame_does() {
    use ::exr::prelude::*;
    let work = Work::new();
    let line = format!("--plate {} --mode loop --frames 1-48", crate::work::plate());
    work.generate(&format!("{line} --out p/p.####.exr"));
    for frame in 1..=48u8 {
        let path = work.path(&format!("p/p.{frame:04}.exr"));
        let mut image = read_first_flat_layer_from_file(&path).unwrap();
        let own = &mut image.layer_data.attributes;
        let mut camera = [0.0; 16];
        camera[0] = f32::from(frame);
        own.world_to_camera = Some(camera);
        own.owner = Some(Text::from("the show"));
        own.other.insert(
            Text::from("imageCounter"),
            AttributeValue::I32(frame.into()),
        );
        own.other
            .insert(Text::from("lens"), AttributeValue::I32(50));
        image.write().to_file(&path).unwrap();
    }
    work.generate("--plate p/p.####.exr --frames 1-60 --only 1,9,58 --out o/o.####.exr");
    for (frame, kept) in [(1, Some(1)), (9, Some(9)), (58, None)] {
        let path = work.path(&format!("o/o.{frame:04}.exr"));
        let meta = MetaData::read_from_file(path, true).unwrap();
        let own = &meta.headers[0].own_attributes;
        assert_eq!(own.world_to_camera.map(|m| m[0]), kept.map(|f| f as f32));
        let counter = own.other.get(&Text::from("imageCounter")).cloned();
        assert_eq!(counter, kept.map(AttributeValue::I32), "{frame}");
        assert_eq!(own.owner, Some(Text::from("the show")));
        assert_eq!(own.other[&Text::from("lens")], AttributeValue::I32(50));
    }
}
