//! EXR: pixels, channels, windows and what goes along with them.

use std::collections::HashMap;
use std::fs;

use ::exr::image::{AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer};
use ::exr::math::Vec2;
use ::exr::meta::attribute::{
    AttributeValue, Chromaticities, Compression as ExrCompression, IntegerBounds, Preview, Text,
};
use ::exr::meta::header::{ImageAttributes, LayerAttributes};
use ::exr::meta::{BlockDescription, MetaData};
use ::exr::prelude::WritableImage;
use longtake::frame::{
    Compression, FrameHeader, PlateReader, Primaries, SampleDepth, SequenceWriter, TimeCode,
    Transfer, Warning, Window, WriteOptions, to_linear,
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
fn read_by_ffmpeg(file: &Path, pixels: usize) -> Vec<[f32; 3]> {
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

fn window(x0: i32, y0: i32, x1: i32, y1: i32) -> Window {
    Window { x0, y0, x1, y1 }
}

fn header_of(file: &Path) -> ::exr::meta::header::Header {
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

fn text(s: &str) -> Text {
    Text::new_or_panic(s)
}

/// An EXR as a renderer writes it, with `attributes`.
fn foreign(file: &Path, shared: ImageAttributes, own: LayerAttributes, encoding: Encoding) {
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

fn check_foreign(picture: &Picture) {
    for (i, pixel) in picture.data().chunks_exact(4).enumerate() {
        let expected = [3, 5, 7, 11].map(|k| ((i * k) % 1000) as f32 / 16.0);
        assert_eq!(pixel, expected, "pixel {i}");
    }
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
fn of_several_parts_the_one_with_colour_is_read_and_the_artist_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parts.exr");
    let layer = |name: &str, channels: &[&str], offset: f32| {
        let channel = |c: &&str| {
            let samples = (0..12).map(|i| i as f32 + offset).collect();
            AnyChannel::new(*c, FlatSamples::F32(samples))
        };
        let channels = AnyChannels::sort(channels.iter().map(channel).collect());
        Layer::new(
            (4, 3),
            LayerAttributes::named(name),
            Encoding::SMALL_LOSSLESS,
            channels,
        )
    };
    let image = Image::from_layers(
        ImageAttributes::new(IntegerBounds::new((0, 0), (4, 3))),
        vec![
            layer("depth", &["Z"], 0.0),
            layer("beauty", &["R", "G", "B"], 100.0),
        ],
    );
    image.write().to_file(&path).unwrap();
    let mut plate = open(&path).unwrap();
    assert_eq!(plate.info().channels, ["R", "G", "B"]);
    assert_eq!(plate.read(1).unwrap().pixel(1, 1), [105.0; 3]);
    let warnings = plate.take_warnings();
    assert!(
        warnings.iter().any(|w| w.to_string().contains("2 parts")),
        "{warnings:?}"
    );
}

#[test]
fn whole_numbers_are_read_and_written_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("id.exr");
    let ids = [0, 1, 77, 65_537, 16_777_215, 3];
    let channels = AnyChannels::sort(
        [AnyChannel::new("id", FlatSamples::U32(ids.to_vec()))]
            .into_iter()
            .collect(),
    );
    let layer = Layer::new(
        (3, 2),
        LayerAttributes::default(),
        Encoding::UNCOMPRESSED,
        channels,
    );
    Image::from_layer(layer).write().to_file(&path).unwrap();
    let mut plate = open(&path).unwrap();
    let picture = plate.read(1).unwrap();
    assert_eq!(picture.data(), ids.map(|i| i as f32));
    let copy = folder.path().join("copy.exr");
    let writer =
        SequenceWriter::new(&copy, plate.header().clone(), WriteOptions::default()).unwrap();
    let file = writer.write(1, &picture).unwrap();
    assert_eq!(plate.header().channels[0].depth, SampleDepth::Uint);
    assert_eq!(
        open(&file).unwrap().header().channels,
        plate.header().channels
    );
    assert_eq!(*open(&file).unwrap().read(1).unwrap(), *picture);
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
    let mut plate = open(&folder.path().join("p.####.exr")).unwrap();
    let out = folder.path().join("o.####.exr");
    let writer =
        SequenceWriter::new(&out, plate.header().clone(), WriteOptions::default()).unwrap();
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
fn whole_numbers_that_a_float_does_not_hold_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, largest: u32| {
        let channel = AnyChannel::new("id", FlatSamples::U32(vec![7, largest]));
        let channels = AnyChannels::sort([channel].into_iter().collect());
        let own = LayerAttributes::default();
        let layer = Layer::new((2, 1), own, Encoding::UNCOMPRESSED, channels);
        let path = folder.path().join(name);
        Image::from_layer(layer).write().to_file(path).unwrap();
    };
    write("small.0001.exr", 16_777_215);
    write("large.0001.exr", 0xdead_beef);
    write("large.0002.exr", 0xdead_beef);
    let warnings = |name: &str, frames: std::ops::RangeInclusive<i32>| {
        let mut plate = open(&folder.path().join(name)).unwrap();
        frames.for_each(|f| drop(plate.read(f).unwrap()));
        let mut told = plate.take_warnings();
        told.retain(|w| matches!(w, Warning::Rounded { .. }));
        told
    };
    assert_eq!(warnings("small.####.exr", 1..=1), []);
    let told = warnings("large.####.exr", 1..=2);
    assert_eq!(told.len(), 1);
    assert!(told[0].to_string().contains("channel id"), "{}", told[0]);
}
