//! PNG: depths, kinds, and the way from and to light.

use longtake::frame::{
    FrameHeader, PlateReader, SampleDepth, SequenceWriter, Transfer, WriteOptions, to_linear,
};

use super::*;

/// Display values that `bits` bits hold exactly.
fn display(width: usize, height: usize, channels: usize, most: f32) -> Arc<Picture> {
    let value = |i: usize| (i * 7919 % (most as usize + 1)) as f32 / most;
    let data = (0..width * height * channels).map(value).collect();
    Arc::new(Picture::from_data(width, height, channels, data).unwrap())
}

#[test]
fn all_kinds_survive_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for names in [
        &["R", "G", "B"][..],
        &["R", "G", "B", "A"],
        &["Y"],
        &["Y", "A"],
    ] {
        for (depth, most) in [(SampleDepth::Bits8, 255.0), (SampleDepth::Bits16, 65535.0)] {
            let picture = display(33, 21, names.len(), most);
            let mut header = FrameHeader::new(&PlateInfo {
                transfer: Transfer::Display,
                pixel_aspect: 1.5,
                ..info(33, 21, names)
            });
            for channel in &mut header.channels {
                channel.depth = depth;
            }
            header.premultiplied = false;
            let path = folder
                .path()
                .join(format!("{}{most}.####.png", names.len()));
            let writer = SequenceWriter::new(&path, header, WriteOptions::default()).unwrap();
            writer.write(5, &picture).unwrap();
            let mut plate = open(&path).unwrap();
            assert_eq!(plate.info().channels, names);
            assert_eq!(plate.info().transfer, Transfer::Display);
            assert!((plate.info().pixel_aspect - 1.5).abs() < 1e-4);
            assert_eq!(plate.header().channels[0].depth, depth);
            assert_eq!(*plate.read(5).unwrap(), *picture);

            // Through a linear EXR, which has colours multiplied by alpha, and back: the
            // same codes, but for colours that nothing covers.
            let exr = folder.path().join("linear.####.exr");
            let writer = SequenceWriter::new(&exr, plate.header().clone(), WriteOptions::default());
            let file = writer.unwrap().write(5, &picture).unwrap();
            let mut linear = open(&file).unwrap();
            let alpha = names.len().is_multiple_of(2);
            for (i, value) in linear.read(5).unwrap().data().iter().enumerate() {
                let original = picture.data()[i];
                let is_alpha = alpha && i % names.len() == names.len() - 1;
                let covered = match alpha {
                    true => picture.data()[i / names.len() * names.len() + names.len() - 1],
                    false => 1.0,
                };
                let expected = if is_alpha {
                    original
                } else {
                    to_linear(original) * covered
                };
                assert!((value - expected).abs() <= expected / 2048.0 + 1e-7);
            }
            let back = folder.path().join("back.####.png");
            let options = WriteOptions {
                depth: Some(depth),
                ..WriteOptions::default()
            };
            let writer = SequenceWriter::new(&back, linear.header().clone(), options).unwrap();
            let file = writer.write(5, &linear.read(5).unwrap()).unwrap();
            let mut expected = (*picture).clone();
            for pixel in expected.data_mut().chunks_exact_mut(names.len()) {
                if alpha && pixel[names.len() - 1] == 0.0 {
                    pixel.fill(0.0);
                }
            }
            assert_eq!(*open(&file).unwrap().read(5).unwrap(), expected);
        }
    }
}

#[test]
fn a_linear_picture_is_encoded_for_the_display() {
    let folder = tempfile::tempdir().unwrap();
    let data = vec![0.0, 0.215_861, 1.0, 37.5, -2.0, f32::NAN];
    let picture = Arc::new(Picture::from_data(6, 1, 1, data).unwrap());
    let path = folder.path().join("look.png");
    write(&path, 1, &picture, &["Y"]);
    let read = open(&path).unwrap().read(1).unwrap();
    let codes: Vec<f32> = read.data().iter().map(|v| v * 255.0).collect();
    assert_eq!(codes, [0.0, 128.0, 255.0, 255.0, 0.0, 0.0]);
}

#[test]
fn palettes_and_few_bits_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (format, channels) in [("pal8", 4), ("monob", 1), ("gray", 1), ("rgb48be", 3)] {
        let file = folder.path().join(format!("{format}x.png"));
        let name = file.to_str().unwrap();
        ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=40x30:d=1",
            "-frames:v",
            "1",
            "-pix_fmt",
            format,
            name,
        ]);
        let mut plate = open(&file).unwrap();
        let picture = plate.read(1).unwrap();
        assert_eq!((picture.width(), picture.height()), (40, 30), "{format}");
        assert!(plate.info().channels.len() <= channels);
        let theirs = ffmpeg(&["-i", name, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
        for (pixel, theirs) in picture
            .data()
            .chunks(picture.channels())
            .zip(theirs.chunks(3))
        {
            let red = (pixel[0] * 255.0).round();
            assert!(
                (red - f32::from(theirs[0])).abs() <= 1.0,
                "{format}: {red} {theirs:?}"
            );
        }
    }
}

#[test]
fn what_a_plate_tells_of_its_colours_goes_on_and_is_srgb_else() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let reader = ::png::Decoder::new(file).read_info().unwrap();
        let info = reader.info();
        let profile = info.icc_profile.as_ref().map(|p| p.to_vec());
        (info.gama_chunk, profile, info.srgb.is_some())
    };
    let plate = folder.path().join("p.png");
    let mut info = ::png::Info::with_size(2, 1);
    info.icc_profile = Some(vec![7; 300].into());
    let file = std::fs::File::create(&plate).unwrap();
    let mut encoder = ::png::Encoder::with_info(file, info).unwrap();
    encoder.set_color(::png::ColorType::Rgb);
    let gamma = ::png::ScaledFloat::new(1.0);
    encoder.set_source_gamma(gamma);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    writer.finish().unwrap();

    let mut read = open(&plate).unwrap();
    let picture = read.read(1).unwrap();
    let written = |name: &str, header: FrameHeader| {
        let path = folder.path().join(name);
        let writer = SequenceWriter::new(&path, header, WriteOptions::default()).unwrap();
        told(&writer.write(1, &picture).unwrap())
    };
    let header = read.header().clone();
    let (found, profile, srgb) = written("same.png", header.clone());
    assert_eq!(
        (found, profile, srgb),
        (Some(gamma), Some(vec![7; 300]), false)
    );
    // Light that is encoded for a display is sRGB's whatever it came from.
    let mut linear = header;
    linear.transfer = Transfer::Linear;
    let (_, profile, srgb) = written("bent.png", linear);
    assert!(srgb && profile.is_none());
}
