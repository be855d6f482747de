//! Frames in and out of real files. Needs ffmpeg (`apt-get install ffmpeg`)
//! for the tests on movies, which fail without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longtake::frame::{
    Compression, FilePlate, FrameError, FrameHeader, FrameRange, Picture, PlateInfo, PlateOptions,
    PlateReader, SampleDepth, SequenceWriter, Transfer, WriteOptions, to_linear,
};

fn stream() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4")
}

fn open(path: &Path) -> Result<FilePlate, FrameError> {
    FilePlate::open(path, &PlateOptions::default())
}

fn open_range(path: &Path, first: i32, last: i32) -> Result<FilePlate, FrameError> {
    let range = FrameRange::new(first, last);
    FilePlate::open(
        path,
        &PlateOptions {
            range,
            ..PlateOptions::default()
        },
    )
}

fn info(width: usize, height: usize, channels: &[&str]) -> PlateInfo {
    PlateInfo {
        range: FrameRange { first: 1, last: 1 },
        width,
        height,
        full_size: (width, height),
        channels: channels.iter().map(|c| c.to_string()).collect(),
        fps: 25.0,
        transfer: Transfer::Linear,
        pixel_aspect: 1.0,
    }
}

/// A picture whose samples are all different, exact as halves, and reach far
/// above 1 and below 0.
fn picture(width: usize, height: usize, channels: usize, seed: usize) -> Arc<Picture> {
    let value = |i: usize| {
        let bits = ((i * 7919 + seed * 104_729) % 0x7bff) as u16;
        let sign = if i.is_multiple_of(5) { 0x8000 } else { 0 };
        half::f16::from_bits(bits | sign).to_f32()
    };
    let data = (0..width * height * channels).map(value).collect();
    Arc::new(Picture::from_data(width, height, channels, data).unwrap())
}

#[test]
fn real_footage_survives_exr_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut movie = open(&stream()).unwrap();
    assert_eq!(movie.info().range, FrameRange { first: 1, last: 90 });
    assert_eq!((movie.info().width, movie.info().height), (480, 360));
    assert!((movie.info().fps - 30000.0 / 1001.0).abs() < 1e-9);
    assert_eq!(movie.info().transfer, Transfer::Display);

    // Frames in any order are those of a straight run.
    let late = movie.read(60).unwrap();
    let early = movie.read(3).unwrap();
    let mut again = open_range(&stream(), 3, 60).unwrap();
    assert_eq!(*again.read(3).unwrap(), *early);
    assert_eq!(*again.read(60).unwrap(), *late);
    assert_ne!(*early, *late);

    for compression in [Compression::Zip, Compression::Zips, Compression::None] {
        for depth in [None, Some(SampleDepth::Float)] {
            let path = folder
                .path()
                .join(format!("{compression:?}{depth:?}.####.exr"));
            let options = WriteOptions {
                depth,
                compression,
                ..WriteOptions::default()
            };
            let writer = SequenceWriter::new(&path, movie.header().clone(), options).unwrap();
            writer.write(3, &early).unwrap();
            writer.write(4, &late).unwrap();
            let mut plate = open(&path).unwrap();
            assert_eq!(plate.info().transfer, Transfer::Linear);
            assert_eq!(plate.info().channels, ["R", "G", "B"]);
            assert!((plate.info().fps - 30000.0 / 1001.0).abs() < 1e-9);
            for (frame, original) in [(3, &early), (4, &late)] {
                let read = plate.read(frame).unwrap();
                for (linear, display) in read.data().iter().zip(original.data()) {
                    let exact = to_linear(*display);
                    let expected = match depth {
                        None => half::f16::from_f32(exact).to_f32(),
                        _ => exact,
                    };
                    assert_eq!(*linear, expected);
                }
            }
            // A plate that is written as it was read is the same file again.
            let copy = folder.path().join("copy.####.exr");
            let options = WriteOptions {
                compression,
                ..WriteOptions::default()
            };
            let writer = SequenceWriter::new(&copy, plate.header().clone(), options).unwrap();
            let first = plate.read(3).unwrap();
            writer.write(3, &first).unwrap();
            assert_eq!(
                fs::read(copy.with_file_name("copy.0003.exr")).unwrap(),
                fs::read(writer_path(&path, 3)).unwrap()
            );
        }
    }
}

fn writer_path(pattern: &Path, frame: i32) -> PathBuf {
    longtake::frame::Sequence::parse(pattern)
        .unwrap()
        .path(frame)
}

#[test]
fn highlights_shadows_and_every_channel_survive_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    for names in [
        &["R", "G", "B", "A"][..],
        &["R", "G", "B"],
        &["Y"],
        &["Y", "A"],
        &["R", "G", "B", "A", "Z", "diffuse.R", "diffuse.G", "id"],
        &["Z"],
    ] {
        for compression in [Compression::Zip, Compression::Zips, Compression::None] {
            let path = folder.path().join("plate.%04d.exr");
            let picture = picture(37, 23, names.len(), names.len());
            let header = FrameHeader::new(&info(37, 23, names));
            let options = WriteOptions {
                compression,
                ..WriteOptions::default()
            };
            let writer = SequenceWriter::new(&path, header, options).unwrap();
            writer.write(1001, &picture).unwrap();
            let mut plate = open(&path).unwrap();
            let read = plate.read(1001).unwrap();
            let mut order: Vec<&str> = names.to_vec();
            // Channels beyond colour and alpha come in the file's order.
            let colour = names.iter().filter(|n| "RGBYA".contains(**n)).count();
            order[colour..].sort();
            assert_eq!(plate.info().channels, order);
            for (i, name) in order.iter().enumerate() {
                let from = names.iter().position(|n| n == name).unwrap();
                for (a, b) in read
                    .data()
                    .chunks(names.len())
                    .zip(picture.data().chunks(names.len()))
                {
                    assert_eq!(a[i].to_bits(), b[from].to_bits(), "{name}");
                }
            }
        }
    }
    assert!(picture(37, 23, 4, 4).data().iter().any(|&v| v > 100.0));
    assert!(picture(37, 23, 4, 4).data().iter().any(|&v| v < -100.0));
}
