//! EXR: what files tell beside their pixels, and what of it goes on to frames made of
//! them.

use std::collections::HashMap;

use ::exr::image::Encoding;
use ::exr::math::Vec2;
use ::exr::meta::attribute::{AttributeValue, Chromaticities, IntegerBounds, Preview};
use ::exr::meta::header::{ImageAttributes, LayerAttributes};
use longtake::frame::{
    FrameHeader, PlateReader, Primaries, SequenceWriter, TimeCode, WriteOptions,
};

use super::exr::{check_foreign, foreign, header_of, read_by_ffmpeg, text};
use super::*;

#[test]
fn chromaticities_are_told_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.####.exr");
    let options = WriteOptions {
        primaries: Some(Primaries::AcesCg),
        ..WriteOptions::default()
    };
    let header = FrameHeader::new(&info(8, 8, &["R", "G", "B"]));
    let writer = SequenceWriter::new(&path, header, options).unwrap();
    let file = writer.write(1, &picture(8, 8, 3, 1)).unwrap();
    let told = header_of(&file).shared_attributes.chromaticities.unwrap();
    assert_eq!(
        (told.red, told.white),
        (Vec2(0.713, 0.293), Vec2(0.32168, 0.33767))
    );
    // Where nobody says otherwise, what the plate says goes on.
    let header = open(&path).unwrap().header().clone();
    let out = folder.path().join("d.####.exr");
    let writer = SequenceWriter::new(&out, header, WriteOptions::default()).unwrap();
    let file = writer.write(1, &picture(8, 8, 3, 1)).unwrap();
    assert_eq!(
        header_of(&file).shared_attributes.chromaticities,
        Some(told)
    );
}

#[test]
fn what_a_plate_tells_about_itself_is_carried_to_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let code = TimeCode {
        hours: 10,
        minutes: 59,
        seconds: 59,
        frame: 20,
        ..TimeCode::default()
    };
    let primaries = Chromaticities {
        red: Vec2(0.713, 0.293),
        green: Vec2(0.165, 0.83),
        blue: Vec2(0.128, 0.044),
        white: Vec2(0.32168, 0.33767),
    };
    let mut shared = ImageAttributes::new(IntegerBounds::new((0, 0), (70, 45)));
    shared.pixel_aspect = 2.0;
    shared.chromaticities = Some(primaries);
    shared.time_code = Some(code);
    let own = LayerAttributes {
        frames_per_second: Some((24000, 1001)),
        owner: Some(text("the show")),
        iso_speed: Some(800.0),
        preview: Some(Preview {
            size: Vec2(1, 1),
            pixel_data: vec![0; 4],
        }),
        other: HashMap::from([
            (text("camera/lens"), AttributeValue::Text(text("50 mm"))),
            (text("take"), AttributeValue::I32(7)),
        ]),
        ..LayerAttributes::default()
    };
    let file = folder.path().join("plate.1001.exr");
    foreign(&file, shared, own, Encoding::FAST_LOSSLESS);

    let mut plate = open(&folder.path().join("plate.####.exr")).unwrap();
    assert_eq!(plate.info().pixel_aspect, 2.0);
    assert!((plate.info().fps - 24000.0 / 1001.0).abs() < 1e-9);
    assert_eq!(plate.header().time_code, Some((1001, code)));
    assert!(plate.take_warnings().is_empty());
    let picture = plate.read(1001).unwrap();
    check_foreign(&picture);

    let out = folder.path().join("out.####.exr");
    let writer =
        SequenceWriter::new(&out, plate.header().clone(), WriteOptions::default()).unwrap();
    for (frame, hours, minutes, seconds, count) in [
        (1001, 10, 59, 59, 20),
        (1005, 11, 0, 0, 0),
        (996, 10, 59, 59, 15),
    ] {
        let header = header_of(&writer.write(frame, &picture).unwrap());
        let found = header.shared_attributes.time_code.unwrap();
        assert_eq!(
            (found.hours, found.minutes, found.seconds, found.frame),
            (hours, minutes, seconds, count)
        );
        assert_eq!(header.shared_attributes.pixel_aspect, 2.0);
        assert_eq!(header.shared_attributes.chromaticities, Some(primaries));
        let own = &header.own_attributes;
        assert_eq!(own.frames_per_second, Some((24000, 1001)));
        assert_eq!(own.owner, Some(text("the show")));
        assert_eq!(own.iso_speed, Some(800.0));
        assert_eq!(
            own.other[&text("camera/lens")],
            AttributeValue::Text(text("50 mm"))
        );
        assert_eq!(own.other[&text("take")], AttributeValue::I32(7));
        assert_eq!(own.preview, None, "a preview of another frame");
        assert!(
            own.software_name
                .as_ref()
                .unwrap()
                .to_string()
                .starts_with("Longtake")
        );
    }
}

/// Writes frame 1 with `provenance`; gives the file.
fn told(folder: &Path, provenance: &str) -> PathBuf {
    let path = folder.join(format!("told{}.####.exr", provenance.len()));
    let header = FrameHeader::new(&info(40, 30, &["R", "G", "B"]));
    let options = WriteOptions {
        take: Some("0123456789abcdef".repeat(5)),
        ..WriteOptions::default()
    };
    let writer = SequenceWriter::new(&path, header, options).unwrap();
    let file = writer.write_told(1, &picture(40, 30, 3, 2), Some(provenance));
    assert!(writer.is_made(1));
    file.unwrap()
}

#[test]
fn long_texts_are_in_attributes_that_every_reader_takes() {
    let folder = tempfile::tempdir().unwrap();
    for length in [200, 251, 618, 780, 4000] {
        let text = format!("{{\"frame\":1,\"more\":\"{}\"}}", "x1,".repeat(length / 3));
        let file = told(folder.path(), &text);
        let header = header_of(&file);
        let texts = header.own_attributes.other.values();
        for value in texts {
            let AttributeValue::Text(text) = value else {
                continue;
            };
            assert!(text.as_slice().len() <= 250);
        }
        assert_eq!(longtake::frame::provenance(&file).unwrap(), Some(text));
        let read = read_by_ffmpeg(&file, 40 * 30);
        for (theirs, pixel) in read.iter().zip(picture(40, 30, 3, 2).data().chunks(3)) {
            assert_eq!(
                theirs.map(f32::to_bits),
                [0, 1, 2].map(|c| pixel[c].to_bits())
            );
        }
        // What is made of it tells nothing of that.
        let plate = open(&file).unwrap();
        let out = folder.path().join("out.####.exr");
        let writer =
            SequenceWriter::new(&out, plate.header().clone(), WriteOptions::default()).unwrap();
        let file = writer.write(1, &picture(40, 30, 3, 2)).unwrap();
        let names = header_of(&file).own_attributes.other.into_keys();
        let names: Vec<String> = names.map(|n| n.to_string()).collect();
        assert!(
            !names.iter().any(|n| n.starts_with("longtake:")),
            "{names:?}"
        );
    }
    // In one attribute, as frames had it before.
    let long = "y".repeat(780);
    let own = LayerAttributes {
        other: HashMap::from([(
            text("longtake:provenance"),
            AttributeValue::Text(text(&long)),
        )]),
        ..LayerAttributes::default()
    };
    let shared = ImageAttributes::new(IntegerBounds::new((0, 0), (70, 45)));
    let file = folder.path().join("old.exr");
    foreign(&file, shared, own, Encoding::FAST_LOSSLESS);
    assert_eq!(longtake::frame::provenance(&file).unwrap(), Some(long));
}

#[test]
fn what_changes_from_frame_to_frame_is_no_other_frame_s() {
    let folder = tempfile::tempdir().unwrap();
    for frame in 1..=3 {
        let shared = ImageAttributes::new(IntegerBounds::new((0, 0), (70, 45)));
        let number = AttributeValue::I32(frame);
        let own = LayerAttributes {
            world_to_camera: Some([frame as f32; 16]),
            capture_date: Some(text("2026:11:27")),
            focus: Some(frame as f32),
            iso_speed: Some(800.0),
            other: HashMap::from([
                (text("imageCounter"), number.clone()),
                (text("camera/distance"), number),
                (text("take"), AttributeValue::I32(7)),
            ]),
            ..LayerAttributes::default()
        };
        let file = folder.path().join(format!("p.{frame:04}.exr"));
        foreign(&file, shared, own, Encoding::FAST_LOSSLESS);
    }
    let (mut plate, writer) = beside(folder.path());
    let picture = plate.read(2).unwrap();
    let made = header_of(&writer.write(9, &picture).unwrap()).own_attributes;
    assert_eq!(made.world_to_camera, None);
    assert_eq!(made.capture_date, None);
    assert_eq!((made.focus, made.iso_speed), (None, Some(800.0)));
    let names: Vec<String> = made.other.into_keys().map(|n| n.to_string()).collect();
    assert_eq!(names, ["take"]);
    let own = plate.frame_headers().read(2).unwrap();
    let kept = writer.write_kept(2, &picture, None, own.as_ref()).unwrap();
    let kept = header_of(&kept).own_attributes;
    assert_eq!(kept.world_to_camera, Some([2.0; 16]));
    assert_eq!(kept.focus, Some(2.0));
    assert_eq!(kept.other[&text("imageCounter")], AttributeValue::I32(2));
    assert_eq!(kept.other[&text("take")], AttributeValue::I32(7));
}

#[test]
fn a_made_frame_has_the_manifests_of_all_frames() {
    let folder = tempfile::tempdir().unwrap();
    for (frame, things) in [
        (1, r#"{"car":"0a","tree":"0b"}"#),
        (2, r#"{"bird":"0c","car":"0a"}"#),
    ] {
        let said = |s: &str| AttributeValue::Text(text(s));
        let own = LayerAttributes {
            other: HashMap::from([
                (text("cryptomatte/ab12cd3/name"), said("Things")),
                (text("cryptomatte/ab12cd3/manifest"), said(things)),
                (text("notes/manifest"), said(things)),
            ]),
            ..LayerAttributes::default()
        };
        let shared = ImageAttributes::new(IntegerBounds::new((0, 0), (70, 45)));
        let file = folder.path().join(format!("p.{frame:04}.exr"));
        foreign(&file, shared, own, Encoding::FAST_LOSSLESS);
    }
    let (mut plate, writer) = beside(folder.path());
    let picture = plate.read(2).unwrap();
    let made = header_of(&writer.write(9, &picture).unwrap())
        .own_attributes
        .other;
    let all = r#"{"bird":"0c","car":"0a","tree":"0b"}"#;
    let found = &made[&text("cryptomatte/ab12cd3/manifest")];
    assert_eq!(*found, AttributeValue::Text(text(all)));
    assert!(made.contains_key(&text("cryptomatte/ab12cd3/name")));
    assert!(!made.contains_key(&text("notes/manifest")));
}

/// The plate `p.####.exr` in `folder`, and a writer of frames beside it.
fn beside(folder: &Path) -> (FilePlate, SequenceWriter) {
    let plate = open(&folder.join("p.####.exr")).unwrap();
    let out = folder.join("o.####.exr");
    let writer = SequenceWriter::new(&out, plate.header().clone(), WriteOptions::default());
    (plate, writer.unwrap())
}
