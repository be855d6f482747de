//! Writes OpenEXR files: scan lines, increasing, one part.

use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use ::exr::block;
use ::exr::block::chunk::{Chunk, CompressedBlock, CompressedScanLineBlock};
use ::exr::block::writer::ChunksWriter;
use ::exr::error::Error as ExrError;
use ::exr::meta::BlockDescription;
use ::exr::meta::attribute::{
    AttributeValue, ChannelDescription, ChannelList, Compression as ExrCompression, IntegerBounds,
    LineOrder, SampleType, Text,
};
use ::exr::meta::header::{Header, ImageAttributes, LayerAttributes};
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::exr_read::TAKE;
use super::header::{FrameHeader, SampleDepth};
use super::time_code;
use super::writer::Compression;
use super::zip;
use crate::device;
use crate::frame::{FrameError, Picture, Window};

/// Writes `picture` (linear, the size of the header's data window) as `path`.
pub(super) fn write(
    path: &Path,
    frame: i32,
    picture: Arc<Picture>,
    header: &FrameHeader,
    compression: Compression,
    take: Option<&str>,
) -> Result<(), FrameError> {
    let header = Arc::new(Layout::new(path, frame, header, compression, take)?);
    super::atomic::write(path, |out| {
        fill(out, picture, header).map_err(|e| match e {
            ExrError::Io(e) => e,
            other => io::Error::other(other.to_string()),
        })
    })
}

/// A file's header and how samples get into its channels.
struct Layout {
    header: [Header; 1],
    /// For each channel of the file, in its order: the place in a pixel of the
    /// picture.
    places: Vec<usize>,
}

impl Layout {
    fn new(
        path: &Path,
        frame: i32,
        plate: &FrameHeader,
        compression: Compression,
        take: Option<&str>,
    ) -> Result<Self, FrameError> {
        let text = |s: &str| {
            Text::new_or_none(s).ok_or_else(|| FrameError::Unsupported {
                path: path.to_owned(),
                message: format!("'{s}' has letters that EXR cannot hold; use plain Latin letters"),
            })
        };
        let mut channels = Vec::new();
        for (place, channel) in plate.channels.iter().enumerate() {
            let kind = match channel.depth {
                SampleDepth::Half | SampleDepth::Bits8 => SampleType::F16,
                SampleDepth::Float | SampleDepth::Bits16 => SampleType::F32,
                SampleDepth::Uint => SampleType::U32,
            };
            channels.push((ChannelDescription::named(text(&channel.name)?, kind), place));
        }
        // The format wants channels in the order of their names.
        channels.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        let places = channels.iter().map(|c| c.1).collect();
        let list = ChannelList::new(channels.into_iter().map(|c| c.0).collect());

        let data = bounds(plate.data_window);
        let (mut shared, mut own) = match &plate.carried {
            Some(carried) => (**carried).clone(),
            None => (
                ImageAttributes::new(data),
                LayerAttributes {
                    layer_name: None,
                    ..LayerAttributes::default()
                },
            ),
        };
        shared.display_window = bounds(plate.display_window);
        shared.pixel_aspect = plate.pixel_aspect as f32;
        shared.time_code = plate.time_code.map(|(first, code)| {
            let past = i64::from(frame) - i64::from(first);
            time_code::advance(code, past, plate.fps.unwrap_or(24.0))
        });
        own.layer_position = data.position;
        own.frames_per_second = plate.fps.map(time_code::rational);
        // True of one plate frame only.
        own.preview = None;
        own.film_key_code = None;
        own.original_data_window = None;
        own.software_name = Some(text(concat!("Longtake ", env!("CARGO_PKG_VERSION")))?);
        if let Some(take) = take {
            own.other
                .insert(text(TAKE)?, AttributeValue::Text(text(take)?));
        }
        let header = Header::new(
            own.layer_name.clone().unwrap_or_default(),
            data.size,
            list.list,
        )
        .with_attributes(own)
        .with_shared_attributes(shared)
        .with_encoding(
            match compression {
                Compression::Zip => ExrCompression::ZIP16,
                Compression::Zips => ExrCompression::ZIP1,
                Compression::None => ExrCompression::Uncompressed,
            },
            BlockDescription::ScanLines,
            LineOrder::Increasing,
        );
        Ok(Self {
            header: [header],
            places,
        })
    }

    /// The block of lines `index` of the file, as it is stored.
    fn chunk(&self, picture: &Picture, index: usize) -> Chunk {
        let header = &self.header[0];
        let lines = header.compression.scan_lines_per_block();
        let first = index * lines;
        let raw = self.samples(picture, first..(first + lines).min(picture.height()));
        let packed = match header.compression {
            ExrCompression::ZIP1 | ExrCompression::ZIP16 => zip::pack(&raw),
            _ => None,
        };
        Chunk {
            layer_index: 0,
            compressed_block: CompressedBlock::ScanLine(CompressedScanLineBlock {
                y_coordinate: header.own_attributes.layer_position.y() + first as i32,
                // What does not shrink is stored as it is.
                compressed_pixels_le: packed.unwrap_or(raw),
            }),
        }
    }

    /// The samples of `rows`, little-endian: for each line, channel by channel.
    fn samples(&self, picture: &Picture, rows: std::ops::Range<usize>) -> Vec<u8> {
        let header = &self.header[0];
        let width = picture.width();
        let mut data = Vec::with_capacity(header.channels.bytes_per_pixel * width * rows.len());
        let mut line = vec![0.0f32; width];
        let mut halves = vec![f16::ZERO; width];
        for y in rows {
            let pixels = picture.row(y).chunks_exact(picture.channels());
            for (channel, &place) in header.channels.list.iter().zip(&self.places) {
                for (sample, pixel) in line.iter_mut().zip(pixels.clone()) {
                    *sample = pixel[place];
                }
                match channel.sample_type {
                    SampleType::F16 => {
                        to_halves(&line, &mut halves);
                        data.extend(halves.iter().flat_map(|h| h.to_le_bytes()));
                    }
                    SampleType::F32 => data.extend(line.iter().flat_map(|s| s.to_le_bytes())),
                    SampleType::U32 => {
                        data.extend(line.iter().flat_map(|s| (s.round() as u32).to_le_bytes()));
                    }
                }
            }
        }
        data
    }
}

/// Rounds to halves. A finite value beyond what a half holds becomes the largest
/// half, not infinity.
fn to_halves(line: &[f32], halves: &mut [f16]) {
    halves.convert_from_f32_slice(line);
    for (half, value) in halves.iter_mut().zip(line) {
        if half.is_infinite() && value.is_finite() {
            *half = if *value > 0.0 { f16::MAX } else { f16::MIN };
        }
    }
}

fn fill(
    out: &mut (impl Write + Seek),
    picture: Arc<Picture>,
    layout: Arc<Layout>,
) -> Result<(), ExrError> {
    let headers = layout.header.iter().cloned().collect();
    block::write(out, headers, true, |_, writer| {
        let count = writer.total_chunks_count();
        let chunks = device::share(count, move |i| layout.chunk(&picture, i));
        for (i, chunk) in chunks.into_iter().enumerate() {
            writer.write_chunk(i, chunk.ok_or(ExrError::Aborted)?)?;
        }
        Ok(())
    })
}

fn bounds(window: Window) -> IntegerBounds {
    IntegerBounds::new((window.x0, window.y0), (window.width(), window.height()))
}
