//! EXR: pixels, packings and windows.

use std::fs;

use ::exr::image::{AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer};
use ::exr::math::Vec2;
use ::exr::meta::attribute::{Compression as ExrCompression, IntegerBounds, Text};
use ::exr::meta::header::{ImageAttributes, LayerAttributes};
use ::exr::meta::{BlockDescription, MetaData};
use ::exr::prelude::WritableImage;
use longtake::frame::{
    Compression, FrameHeader, PlateReader, SampleDepth, SequenceWriter, Transfer, Warning, Window,
    WriteOptions, to_linear,
};

use super::*;

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
            let copier = SequenceWriter::new(&copy, plate.header().clone(), options).unwrap();
            let first = plate.read(3).unwrap();
            copier.write(3, &first).unwrap();
            assert_eq!(
                fs::read(copier.path(3)).unwrap(),
                fs::read(writer.path(3)).unwrap()
            );
        }
    }
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

/// The red, green and blue of each of the `pixels` of a file, as ffmpeg reads it.
pub(super) fn read_by_ffmpeg(file: &Path, pixels: usize) -> Vec<[f32; 3]> {
    let raw = ffmpeg(&[
        "-i",
        file.to_str().unwrap(),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gbrpf32le",
        "-",
    ]);
    assert_eq!(raw.len(), 3 * pixels * 4);
    let samples = raw.as_chunks().0;
    // Plane by plane: green, blue, red.
    let at = |i: usize| f32::from_le_bytes(samples[i]);
    (0..pixels)
        .map(|i| [at(2 * pixels + i), at(i), at(pixels + i)])
        .collect()
}

/// Another program's reading of our files, and ours of its files.
#[test]
fn ffmpeg_agrees_on_every_sample() {
    let folder = tempfile::tempdir().unwrap();
    // Neither side is a multiple of a tile's.
    let (width, height) = (150, 91);
    for (compression, depth, tiles) in [
        (Compression::Zip, SampleDepth::Half, false),
        (Compression::Zips, SampleDepth::Half, false),
        (Compression::Zip, SampleDepth::Float, false),
        (Compression::None, SampleDepth::Float, false),
        (Compression::Piz, SampleDepth::Half, false),
        (Compression::Piz, SampleDepth::Float, true),
        (Compression::Zip, SampleDepth::Half, true),
        (Compression::None, SampleDepth::Half, true),
    ] {
        let picture = picture(width, height, 3, 9);
        let header = FrameHeader::new(&info(width, height, &["R", "G", "B"]));
        let options = WriteOptions {
            compression,
            depth: Some(depth),
            tiles,
            ..WriteOptions::default()
        };
        let path = folder.path().join("ours.####.exr");
        let writer = SequenceWriter::new(&path, header, options).unwrap();
        let file = writer.write(1, &picture).unwrap();
        let is_tiled = matches!(header_of(&file).blocks, BlockDescription::Tiles(_));
        assert_eq!(is_tiled, tiles);
        let read = read_by_ffmpeg(&file, width * height);
        for (theirs, pixel) in read.iter().zip(picture.data().chunks_exact(3)) {
            assert_eq!(
                theirs.map(f32::to_bits),
                [0, 1, 2].map(|c| pixel[c].to_bits()),
                "{compression:?} {depth:?} {tiles}"
            );
        }
        // Theirs, made of ours.
        let copy = folder.path().join("theirs.exr");
        ffmpeg(&[
            "-i",
            file.to_str().unwrap(),
            "-c:v",
            "exr",
            "-compression",
            "zip16",
            "-format",
            "float",
            copy.to_str().unwrap(),
        ]);
        let read = open(&copy).unwrap().read(1).unwrap();
        assert_eq!(bits(&read), bits(&picture));
    }
}

#[test]
fn dwaa_rounds_a_little_and_by_its_level() {
    let folder = tempfile::tempdir().unwrap();
    let (width, height) = (256, 96);
    // Soft forms with some grain, over several stops.
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        let soft = ((x as f32 / 31.0).sin() + (y as f32 / 17.0 + c as f32).cos() + 2.2) / 2.0;
        let grain = ((i * 7919) % 101) as f32 / 101.0 - 0.5;
        half::f16::from_f32(soft * soft + 0.02 * grain).to_f32()
    };
    let data: Vec<f32> = (0..width * height * 3).map(value).collect();
    let picture = Arc::new(Picture::from_data(width, height, 3, data).unwrap());
    let write = |compression: Compression, name: &str| {
        let options = WriteOptions {
            compression,
            ..WriteOptions::default()
        };
        let header = FrameHeader::new(&info(width, height, &["R", "G", "B"]));
        let writer = SequenceWriter::new(&folder.path().join(name), header, options).unwrap();
        writer.write(1, &picture).unwrap()
    };
    let error = |file: &Path| {
        let read = open(file).unwrap().read(1).unwrap();
        let pairs = read.data().iter().zip(picture.data());
        // Root mean square, relative to the value.
        let squares = pairs.map(|(a, b)| f64::from((a - b) / b.max(0.1)).powi(2));
        (squares.sum::<f64>() / read.data().len() as f64).sqrt()
    };
    let size = |file: &Path| fs::metadata(file).unwrap().len();
    let piz = write(Compression::Piz, "piz.exr");
    let (fine, coarse) = (
        write(Compression::Dwaa(45.0), "fine.exr"),
        write(Compression::Dwaa(400.0), "coarse.exr"),
    );
    assert_eq!(error(&piz), 0.0);
    // At the usual level no more is lost than the grain here comes to, .6 %; at nine
    // times that, a little more.
    let (e, f) = (error(&fine), error(&coarse));
    assert!(0.0 < e && e < 0.006 && e < f && f < 0.02, "{e} {f}");
    assert!(size(&coarse) < size(&fine) && size(&fine) < size(&piz));
    assert_eq!(
        header_of(&fine).compression,
        ExrCompression::DWAA(Some(45.0))
    );
    // Another program reads it as we do.
    let theirs = read_by_ffmpeg(&fine, width * height);
    let read = open(&fine).unwrap().read(1).unwrap();
    for (pixel, theirs) in read.data().chunks_exact(3).zip(theirs) {
        for (a, b) in pixel.iter().zip(theirs) {
            // Decoders may differ in the last bits of a half.
            assert!((a - b).abs() <= 0.004 * a.abs().max(0.1), "{a} {b}");
        }
    }
}

fn window(x0: i32, y0: i32, x1: i32, y1: i32) -> Window {
    Window { x0, y0, x1, y1 }
}

pub(super) fn header_of(file: &Path) -> ::exr::meta::header::Header {
    MetaData::read_from_file(file, true).unwrap().headers[0].clone()
}

/// Writes a frame whose pixels tell their own place: R is x, G is y.
fn write_window(path: &Path, frame: i32, display: Window, data: Window) {
    let (width, height) = (data.width(), data.height());
    let mut header = FrameHeader::new(&info(width, height, &["R", "G"]));
    header.display_window = display;
    header.data_window = data;
    let mut samples = Vec::new();
    for y in data.y0..data.y1 {
        for x in data.x0..data.x1 {
            samples.extend([x as f32, y as f32]);
        }
    }
    let picture = Arc::new(Picture::from_data(width, height, 2, samples).unwrap());
    let writer = SequenceWriter::new(path, header, WriteOptions::default()).unwrap();
    writer.write(frame, &picture).unwrap();
}

#[test]
fn data_windows_of_any_place_come_in_and_go_out_as_they_were() {
    let display = window(0, 0, 20, 10);
    for (first, second, canvas) in [
        // Smaller than what is displayed, and elsewhere in each frame.
        (window(3, 2, 9, 7), window(5, 1, 12, 6), window(3, 1, 12, 7)),
        // Overscan.
        (
            window(-4, -3, 24, 13),
            window(-4, -3, 24, 13),
            window(-4, -3, 24, 13),
        ),
        // Beside the display window altogether.
        (
            window(30, -9, 34, -5),
            window(30, -9, 34, -5),
            window(30, -9, 34, -5),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.####.exr");
        write_window(&path, 1, display, first);
        write_window(&path, 2, display, second);
        let mut plate = open(&path).unwrap();
        assert_eq!(plate.header().display_window, display);
        assert_eq!(plate.header().data_window, canvas);
        assert_eq!(
            (plate.info().width, plate.info().height),
            (canvas.width(), canvas.height())
        );
        for (frame, stored) in [(1, first), (2, second)] {
            let picture = plate.read(frame).unwrap();
            for y in canvas.y0..canvas.y1 {
                for x in canvas.x0..canvas.x1 {
                    let inside =
                        (stored.x0..stored.x1).contains(&x) && (stored.y0..stored.y1).contains(&y);
                    let expected = if inside {
                        [x as f32, y as f32]
                    } else {
                        [0.0, 0.0]
                    };
                    let (px, py) = ((x - canvas.x0) as usize, (y - canvas.y0) as usize);
                    assert_eq!(picture.pixel(px, py), expected);
                }
            }
            let out = folder.path().join("out.####.exr");
            let writer =
                SequenceWriter::new(&out, plate.header().clone(), WriteOptions::default()).unwrap();
            let file = writer.write(frame, &picture).unwrap();
            let header = header_of(&file);
            assert_eq!(
                header.shared_attributes.display_window,
                IntegerBounds::new((0, 0), (20, 10))
            );
            assert_eq!(
                header.data_window(),
                IntegerBounds::new((canvas.x0, canvas.y0), (canvas.width(), canvas.height()))
            );
            assert_eq!(*open(&file).unwrap().read(frame).unwrap(), *picture);
        }
    }
}

pub(super) fn text(s: &str) -> Text {
    Text::new_or_panic(s)
}

/// An EXR as a renderer writes it, with `attributes`.
pub(super) fn foreign(
    file: &Path,
    shared: ImageAttributes,
    own: LayerAttributes,
    encoding: Encoding,
) {
    let size = Vec2(70, 45);
    let channel = |name: &str, k: usize| {
        let samples = (0..size.area())
            .map(|i| ((i * k) % 1000) as f32 / 16.0)
            .collect();
        AnyChannel::new(name, FlatSamples::F32(samples))
    };
    let channels = AnyChannels::sort(
        [
            channel("R", 3),
            channel("G", 5),
            channel("B", 7),
            channel("depth.Z", 11),
        ]
        .into_iter()
        .collect(),
    );
    let layer = Layer::new(size, own, encoding, channels);
    let mut image = Image::from_layer(layer);
    image.attributes = shared;
    image.write().to_file(file).unwrap();
}

pub(super) fn check_foreign(picture: &Picture) {
    for (i, pixel) in picture.data().chunks_exact(4).enumerate() {
        let expected = [3, 5, 7, 11].map(|k| ((i * k) % 1000) as f32 / 16.0);
        assert_eq!(pixel, expected, "pixel {i}");
    }
}

#[test]
fn every_lossless_packing_and_tiling_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = 0;
    for compression in [
        ExrCompression::Uncompressed,
        ExrCompression::RLE,
        ExrCompression::ZIP1,
        ExrCompression::ZIP16,
        ExrCompression::PIZ,
    ] {
        for blocks in [
            ::exr::image::Blocks::ScanLines,
            ::exr::image::Blocks::Tiles(Vec2(32, 16)),
        ] {
            file += 1;
            let path = folder.path().join(format!("still{file}x.exr"));
            let shared = ImageAttributes::new(IntegerBounds::new((0, 0), (70, 45)));
            let encoding = Encoding {
                compression,
                blocks,
                line_order: ::exr::meta::attribute::LineOrder::Increasing,
            };
            foreign(&path, shared, LayerAttributes::default(), encoding);
            let tiled = matches!(header_of(&path).blocks, BlockDescription::Tiles(_));
            assert_eq!(tiled, blocks != ::exr::image::Blocks::ScanLines);
            check_foreign(&open(&path).unwrap().read(1).unwrap());
        }
    }
}

#[test]
fn samples_that_are_no_numbers_are_told_of_and_stay_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.####.exr");
    let clean = Picture::from_data(9, 7, 4, vec![0.25; 9 * 7 * 4]).unwrap();
    let mut bad = clean.clone();
    let at = |x: usize, y: usize, c: usize| (y * 9 + x) * 4 + c;
    bad.data_mut()[at(4, 3, 0)] = f32::NAN;
    bad.data_mut()[at(4, 3, 1)] = f32::INFINITY;
    bad.data_mut()[at(0, 0, 2)] = f32::NEG_INFINITY;
    let names = ["R", "G", "B", "A"];
    write(&path, 1, &Arc::new(clean.clone()), &names);
    write(&path, 2, &Arc::new(bad.clone()), &names);
    let mut plate = open(&path).unwrap();
    plate.take_warnings();
    plate.read(1).unwrap();
    assert_eq!(plate.take_warnings(), []);
    assert_eq!(*plate.read(2).unwrap(), clean);
    let warnings = plate.take_warnings();
    let expected = Warning::NotFinite {
        frame: 2,
        nan: 1,
        infinite: 2,
    };
    assert_eq!(warnings, [expected]);
    assert!(warnings[0].to_string().contains("frame 2"));
    // A kept frame goes out as it came in.
    assert_eq!(bits(&plate.read_untouched(2).unwrap()), bits(&bad));
}

#[test]
fn a_half_holds_the_largest_half_and_not_infinity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.exr");
    let picture = Picture::from_data(2, 1, 1, vec![1e6, -1e6]).unwrap();
    write(&path, 1, &Arc::new(picture), &["Y"]);
    assert_eq!(
        open(&path).unwrap().read(1).unwrap().data(),
        [65504.0, -65504.0]
    );
}
