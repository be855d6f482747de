//! Reads and writes PNG: 8 and 16 bits, grey or RGB, with alpha or not.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use ::png::{
    BitDepth, ColorType, Decoder, DecodingError, Encoder, Info, ScaledFloat, SourceChromaticities,
    Transformations,
};

use super::MAX_SAMPLES;
use super::header::{ChannelFormat, FrameHeader, SampleDepth};
use super::told::{PROVENANCE, TAKE, Told};
use crate::frame::{FrameError, Picture, Transfer, Window};

/// What a file tells of its colours other than that they are sRGB's; carried to the
/// files that hold the same values.
#[derive(Clone, Debug)]
pub(super) struct PngColours {
    gamma: Option<ScaledFloat>,
    primaries: Option<SourceChromaticities>,
    profile: Option<Arc<[u8]>>,
}

impl PngColours {
    fn of(info: &Info<'_>) -> Option<Self> {
        let told = info.gama_chunk.is_some() || info.icc_profile.is_some();
        (told && info.srgb.is_none()).then(|| Self {
            gamma: info.gama_chunk,
            primaries: info.chrm_chunk,
            profile: info.icc_profile.as_deref().map(Arc::from),
        })
    }
}

/// Reads the header of a file.
pub(super) fn header(path: &Path) -> Result<FrameHeader, FrameError> {
    let reader = open(path)?;
    let info = reader.info();
    let aspect = info
        .pixel_dims
        .filter(|d| d.xppu > 0 && d.yppu > 0)
        .map_or(1.0, |d| f64::from(d.yppu) / f64::from(d.xppu));
    let (width, height) = (info.width as usize, info.height as usize);
    let (color, bits) = reader.output_color_type();
    let depth = match bits {
        BitDepth::Sixteen => SampleDepth::Bits16,
        _ => SampleDepth::Bits8,
    };
    let names: &[&str] = match color {
        ColorType::Grayscale => &["Y"],
        ColorType::GrayscaleAlpha => &["Y", "A"],
        ColorType::Rgb | ColorType::Indexed => &["R", "G", "B"],
        ColorType::Rgba => &["R", "G", "B", "A"],
    };
    let samples = width.checked_mul(height).and_then(|n| n.checked_mul(4));
    if samples.is_none_or(|n| n > MAX_SAMPLES) {
        return Err(FrameError::Unsupported {
            path: path.to_owned(),
            message: format!(
                "a picture of {width} by {height} pixels cannot be held; write it smaller"
            ),
        });
    }
    let window = Window::whole(width, height);
    Ok(FrameHeader {
        channels: names
            .iter()
            .map(|&name| ChannelFormat::new(name, depth))
            .collect(),
        display_window: window,
        data_window: window,
        pixel_aspect: aspect,
        fps: None,
        time_code: None,
        transfer: Transfer::Display,
        premultiplied: false,
        carried: None,
        png_colours: PngColours::of(info),
    })
}

/// Reads the picture of `path`, which has the size and channels of `plate`.
pub(super) fn read(path: &Path, plate: &FrameHeader) -> Result<Picture, FrameError> {
    let mut reader = open(path)?;
    let (color, bits) = reader.output_color_type();
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let samples = color.samples();
    if samples != plate.channels.len() {
        return Err(super::exr_read::other_channels(path, plate));
    }
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| damaged(path, "its size makes no sense"))?;
    let mut bytes = vec![0; size];
    reader.next_frame(&mut bytes).map_err(|e| error(path, e))?;
    let data: Vec<f32> = match bits {
        BitDepth::Sixteen => {
            let pairs = bytes.as_chunks::<2>().0.iter();
            pairs
                .map(|b| f32::from(u16::from_be_bytes(*b)) / 65535.0)
                .collect()
        }
        _ => bytes.iter().map(|&b| f32::from(b) / 255.0).collect(),
    };
    Picture::from_data(width, height, samples, data)
        .ok_or_else(|| damaged(path, "its size makes no sense"))
}

/// Writes `picture` (display values) with its grey or colour channels and its
/// alpha; other channels have no place in a PNG. Its colours are told to be `colours`,
/// else sRGB's. `texts` are names and texts that
/// are left in the file, in Latin letters.
pub(super) fn write(
    path: &Path,
    picture: &Picture,
    header: &FrameHeader,
    depth: SampleDepth,
    colours: Option<&PngColours>,
    texts: &[(&str, &str)],
) -> Result<(), FrameError> {
    let place = |name: &str| header.channels.iter().position(|c| c.called() == name);
    let colour = [place("R"), place("G"), place("B")];
    let (mut places, mut color) = match colour {
        [Some(r), Some(g), Some(b)] => (vec![r, g, b], ColorType::Rgb),
        _ => (vec![place("Y").unwrap_or(0)], ColorType::Grayscale),
    };
    if let Some(alpha) = place("A").filter(|a| !places.contains(a)) {
        places.push(alpha);
        color = match color {
            ColorType::Rgb => ColorType::Rgba,
            _ => ColorType::GrayscaleAlpha,
        };
    }
    let deep = depth == SampleDepth::Bits16;
    let mut bytes = Vec::with_capacity(
        picture.width() * picture.height() * places.len() * (1 + usize::from(deep)),
    );
    for pixel in picture.data().chunks_exact(picture.channels()) {
        for &place in &places {
            // A value that is no number becomes 0 in the conversion.
            let value = pixel[place].clamp(0.0, 1.0);
            if deep {
                bytes.extend(((value * 65535.0).round() as u16).to_be_bytes());
            } else {
                bytes.push((value * 255.0).round() as u8);
            }
        }
    }
    super::atomic::write(path, |out| {
        let dimension = |n: usize| u32::try_from(n).map_err(io::Error::other);
        let (width, height) = (dimension(picture.width())?, dimension(picture.height())?);
        let mut info = Info::with_size(width, height);
        info.icc_profile = colours.and_then(|c| Some(c.profile.as_deref()?.into()));
        let mut encoder = Encoder::with_info(out, info).map_err(to_io)?;
        encoder.set_color(color);
        encoder.set_depth(if deep {
            BitDepth::Sixteen
        } else {
            BitDepth::Eight
        });
        encoder.set_compression(::png::Compression::Fast);
        match colours {
            None => encoder.set_source_srgb(::png::SrgbRenderingIntent::RelativeColorimetric),
            Some(told) => {
                if let Some(gamma) = told.gamma {
                    encoder.set_source_gamma(gamma);
                }
                if let Some(primaries) = told.primaries {
                    encoder.set_source_chromaticities(primaries);
                }
            }
        }
        if (header.pixel_aspect - 1.0).abs() > 1e-6 {
            encoder.set_pixel_dims(Some(::png::PixelDimensions {
                xppu: 100_000,
                yppu: (100_000.0 * header.pixel_aspect).round() as u32,
                unit: ::png::Unit::Unspecified,
            }));
        }
        for (name, text) in texts {
            encoder
                .add_text_chunk((*name).to_owned(), (*text).to_owned())
                .map_err(io::Error::other)?;
        }
        let mut writer = encoder.write_header().map_err(to_io)?;
        writer.write_image_data(&bytes).map_err(to_io)?;
        writer.finish().map_err(to_io)
    })
}

/// What [`write`] left in a file, if it did and the file is whole.
pub(super) fn told_whole(path: &Path) -> Option<Told> {
    let mut file = File::open(path).ok()?;
    let mut end = [0; 8];
    file.seek(SeekFrom::End(-8)).ok()?;
    file.read_exact(&mut end).ok()?;
    // A PNG ends in an empty chunk of this name and its check sum.
    if end != *b"IEND\xae\x42\x60\x82" {
        return None;
    }
    let text = |name: &str| told(path, name).ok().flatten();
    Some(Told::of(text(TAKE)?, text(PROVENANCE).as_deref()))
}

/// The text called `name` before the pixels of a file, if it has one.
pub(super) fn told(path: &Path, name: &str) -> Result<Option<String>, FrameError> {
    let reader = open(path)?;
    let texts = &reader.info().uncompressed_latin1_text;
    let found = texts.iter().find(|t| t.keyword == name);
    Ok(found.map(|t| t.text.clone()))
}

fn open(path: &Path) -> Result<::png::Reader<BufReader<File>>, FrameError> {
    let file = File::open(path).map_err(|e| super::unreadable(path, &e))?;
    let mut decoder = Decoder::new(BufReader::with_capacity(1 << 18, file));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.read_info().map_err(|e| error(path, e))
}

fn damaged(path: &Path, message: &str) -> FrameError {
    FrameError::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn error(path: &Path, error: DecodingError) -> FrameError {
    match error {
        DecodingError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(path, "the file ends too early")
        }
        DecodingError::IoError(e) => super::unreadable(path, &e),
        DecodingError::Format(e) => damaged(path, &e.to_string()),
        other => FrameError::Unsupported {
            path: path.to_owned(),
            message: format!("this PNG cannot be read ({other}); write it smaller or as EXR"),
        },
    }
}

fn to_io(error: ::png::EncodingError) -> io::Error {
    match error {
        ::png::EncodingError::IoError(e) => e,
        other => io::Error::other(other.to_string()),
    }
}
