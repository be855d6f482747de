//! EXR: which channels are the picture, which name things, and what becomes of either.

use ::exr::image::{AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer};
use ::exr::meta::attribute::IntegerBounds;
use ::exr::meta::header::{ImageAttributes, LayerAttributes};
use ::exr::prelude::WritableImage;
use longtake::frame::{
    PlateReader, SampleDepth, ScaledPlate, SequenceWriter, Warning, WriteOptions,
};

use super::*;

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

/// Writes a file of 4 by 3 pixels with `channels`.
fn channels(file: &Path, channels: Vec<(&str, FlatSamples)>) {
    let channels = channels.into_iter();
    let channels = channels.map(|(name, samples)| AnyChannel::new(name, samples));
    let channels = AnyChannels::sort(channels.collect());
    let own = LayerAttributes::default();
    let layer = Layer::new((4, 3), own, Encoding::SMALL_LOSSLESS, channels);
    Image::from_layer(layer).write().to_file(file).unwrap();
}

fn light(offset: usize) -> FlatSamples {
    FlatSamples::F32((0..12).map(|i| (i + offset) as f32).collect())
}

#[test]
fn names_of_things_are_exact_whatever_else_is_rounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.exr");
    // As floats some of these would be infinite, no numbers, or next to nothing.
    let ids: Vec<u32> = (0..12).map(|i| u32::MAX - i * 0x0155_5557).collect();
    let names: Vec<f32> = ids
        .iter()
        .map(|i| f32::from_bits(i & 0xbf7f_ffff))
        .collect();
    let rgb = ["R", "G", "B"].map(|c| (c, light(1)));
    let more = [
        ("object", FlatSamples::U32(ids.clone())),
        ("CryptoAsset00.R", FlatSamples::F32(names.clone())),
        ("Z", light(3)),
    ];
    channels(&path, rgb.into_iter().chain(more).collect());
    let mut plate = open(&path).unwrap();
    let at = |name: &str| plate.info().channel(name).unwrap();
    let (object, crypto) = (at("object"), at("CryptoAsset00.R"));
    assert_eq!(
        plate.info().id_channels(),
        [crypto.min(object), crypto.max(object)]
    );
    plate.take_warnings();
    let picture = plate.read(1).unwrap();
    assert_eq!(plate.take_warnings(), []);
    let copy = folder.path().join("copy.exr");
    let options = WriteOptions {
        depth: Some(SampleDepth::Half),
        ..WriteOptions::default()
    };
    let writer = SequenceWriter::new(&copy, plate.header().clone(), options).unwrap();
    let file = writer.write(1, &picture).unwrap();
    let back = ::exr::prelude::read_first_flat_layer_from_file(&file).unwrap();
    for channel in back.layer_data.channel_data.list {
        match channel.name.to_string().as_str() {
            "object" => assert_eq!(channel.sample_data, FlatSamples::U32(ids.clone())),
            "CryptoAsset00.R" => {
                assert_eq!(channel.sample_data, FlatSamples::F32(names.clone()));
            }
            name => assert!(matches!(channel.sample_data, FlatSamples::F16(_)), "{name}"),
        }
    }
    // A proxy has one of them, and no mean.
    let mut half = ScaledPlate::new(plate, 2);
    let small = half.read(1).unwrap();
    assert_eq!(small.pixel(0, 0)[object].to_bits(), ids[5]);
    assert_eq!(small.pixel(1, 1)[object].to_bits(), ids[11]);
}

#[test]
fn a_picture_in_a_layer_is_looked_at_and_stays_in_its_layer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.exr");
    let all = [
        "Combined.A",
        "Combined.B",
        "Combined.G",
        "Combined.R",
        "AO.R",
        "AO.G",
        "AO.B",
    ];
    let all = all.map(|c| format!("ViewLayer.{c}"));
    let list = (0..).zip(&all).map(|(k, c)| (c.as_str(), light(100 * k)));
    channels(&path, list.collect());
    let mut plate = open(&path).unwrap();
    assert_eq!(plate.info().channels[..4], ["R", "G", "B", "A"]);
    assert!(plate.info().ids.is_empty());
    let told = plate.take_warnings();
    let told = told
        .iter()
        .any(|w| w.to_string().contains("layer ViewLayer.Combined"));
    assert!(told);
    let picture = plate.read(1).unwrap();
    assert_eq!(picture.pixel(1, 0)[..4], [301.0, 201.0, 101.0, 1.0]);
    let copy = folder.path().join("copy.exr");
    let header = plate.header().clone();
    let writer = SequenceWriter::new(&copy, header, WriteOptions::default()).unwrap();
    writer.write(1, &picture).unwrap();
    let back = open(&copy).unwrap();
    assert_eq!(back.header().channels, plate.header().channels);
    let mut names: Vec<_> = back.header().channels.iter().map(|c| &c.name).collect();
    names.sort();
    let mut due: Vec<_> = all.iter().collect();
    due.sort();
    assert_eq!(names, due);
}
