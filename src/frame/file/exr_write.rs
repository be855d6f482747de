//! Writes OpenEXR files: scan lines, increasing, or tiles; one part.

use std::io::{self, Seek, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ::exr::block;
use ::exr::block::chunk::{Chunk, CompressedBlock, CompressedScanLineBlock, CompressedTileBlock};
use ::exr::block::writer::ChunksWriter;
use ::exr::block::{BlockIndex, UncompressedBlock};
use ::exr::error::Error as ExrError;
use ::exr::math::{RoundingMode, Vec2};
use ::exr::meta::attribute::{
    AttributeValue, ChannelDescription, ChannelList, Chromaticities, Compression as ExrCompression,
    IntegerBounds, LevelMode, LineOrder, SampleType, Text, TileDescription,
};
use ::exr::meta::header::{Header, ImageAttributes, LayerAttributes};
use ::exr::meta::{BlockDescription, TileIndices};
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::exr_head::OrderedHead;
use super::header::{Carried, FrameHeader, SampleDepth};
use super::time_code;
use super::told::{self, PROVENANCE, TAKE};
use super::writer::{Compression, Primaries, WriteOptions};
use super::zip;
use crate::device;
use crate::frame::{FrameError, Picture, Window};

/// Width and height of a tile.
const TILE: usize = 64;

/// Writes `picture` (linear, the size of the header's data window) as `path`.
/// `provenance` tells where the frame comes from; `own` is what the plate frame carries
/// that it is, where it is one.
pub(super) fn write(
    path: &Path,
    frame: i32,
    picture: Arc<Picture>,
    header: &FrameHeader,
    options: &WriteOptions,
    provenance: Option<&str>,
    own: Option<&Carried>,
) -> Result<(), FrameError> {
    let header = Layout::new(path, frame, header, options, provenance, own)?;
    let header = Arc::new(header);
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
    /// picture, and whether a sample there has the bits of a whole number.
    places: Vec<(usize, bool)>,
    /// The blocks of the file, in its order.
    blocks: Vec<TileIndices>,
}

impl Layout {
    fn new(
        path: &Path,
        frame: i32,
        plate: &FrameHeader,
        options: &WriteOptions,
        provenance: Option<&str>,
        own: Option<&Carried>,
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
                SampleDepth::Uint | SampleDepth::Bits32 => SampleType::U32,
            };
            let exact = channel.depth == SampleDepth::Bits32;
            let described = ChannelDescription::named(text(&channel.name)?, kind);
            channels.push((described, (place, exact)));
        }
        // The format wants channels in the order of their names.
        channels.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        let places = channels.iter().map(|c| c.1).collect();
        let list = ChannelList::new(channels.into_iter().map(|c| c.0).collect());

        let data = bounds(plate.data_window);
        let carried = match (own, &plate.carried) {
            (Some(own), _) => own.clone(),
            (None, Some(shot)) => shot.without_moments(),
            (None, None) => Carried {
                shared: ImageAttributes::new(data),
                own: LayerAttributes {
                    layer_name: None,
                    ..LayerAttributes::default()
                },
            },
        };
        let Carried {
            mut shared,
            mut own,
        } = carried;
        shared.display_window = bounds(plate.display_window);
        shared.pixel_aspect = plate.pixel_aspect as f32;
        shared.time_code = plate.time_code.map(|(first, code)| {
            let past = i64::from(frame) - i64::from(first);
            time_code::advance(code, past, plate.fps.unwrap_or(24.0))
        });
        own.layer_position = data.position;
        own.frames_per_second = plate.fps.map(time_code::rational);
        // The window is the plate's.
        own.original_data_window = None;
        own.software_name = Some(text(concat!("Longtake ", env!("CARGO_PKG_VERSION")))?);
        if let Some(primaries) = options.primaries {
            shared.chromaticities = Some(chromaticities(primaries));
        } else if options.colour.is_some() {
            shared.chromaticities = None;
        }
        let told = [(TAKE, options.take.as_deref()), (PROVENANCE, provenance)];
        for (name, said) in told {
            // What a plate that Longtake wrote says is not true of this frame.
            own.other
                .retain(|n, _| !told::is_part(&n.to_string(), name));
            for (name, part) in told::parts(name, said.unwrap_or_default()) {
                let part = AttributeValue::Text(text(&part)?);
                own.other.insert(text(&name)?, part);
            }
        }
        let header = Header::new(
            own.layer_name.clone().unwrap_or_default(),
            data.size,
            list.list,
        )
        .with_attributes(own)
        .with_shared_attributes(shared)
        .with_encoding(
            match options.compression {
                Compression::Zip => ExrCompression::ZIP16,
                Compression::Zips => ExrCompression::ZIP1,
                Compression::None => ExrCompression::Uncompressed,
                Compression::Piz => ExrCompression::PIZ,
                Compression::Dwaa(level) => ExrCompression::DWAA(Some(level)),
            },
            match options.tiles {
                false => BlockDescription::ScanLines,
                true => BlockDescription::Tiles(TileDescription {
                    tile_size: Vec2(TILE, TILE),
                    level_mode: LevelMode::Singular,
                    rounding_mode: RoundingMode::Down,
                }),
            },
            LineOrder::Increasing,
        );
        let blocks = header.blocks_increasing_y_order().collect();
        Ok(Self {
            header: [header],
            places,
            blocks,
        })
    }

    /// The block `index` of the file, as it is stored.
    fn chunk(&self, picture: &Picture, index: usize) -> Result<Chunk, ExrError> {
        let header = &self.header[0];
        let place = self.blocks.get(index).ok_or(ExrError::Aborted)?;
        let most = header.max_block_pixel_size();
        let Vec2(x, y) = place.location.tile_index * most;
        // The library's own size of the last blocks reaches beyond the picture.
        let width = most.width().min(picture.width() - x);
        let height = most.height().min(picture.height() - y);
        let raw = self.samples(picture, x..x + width, y..y + height);
        let packed = match header.compression {
            ExrCompression::ZIP1 | ExrCompression::ZIP16 => zip::pack(&raw),
            ExrCompression::Uncompressed => None,
            _ => {
                // The EXR library packs from samples in the machine's own order.
                if cfg!(target_endian = "big") {
                    let what = "this packing on a big-endian machine";
                    return Err(ExrError::NotSupported(what.into()));
                }
                let block = UncompressedBlock {
                    index: BlockIndex {
                        layer: 0,
                        pixel_position: Vec2(x, y),
                        pixel_size: Vec2(width, height),
                        level: Vec2(0, 0),
                    },
                    data: raw,
                };
                return block.compress_to_chunk(&self.header);
            }
        };
        // What does not shrink is stored as it is.
        let compressed_pixels_le = packed.unwrap_or(raw);
        Ok(Chunk {
            layer_index: 0,
            compressed_block: match header.blocks {
                BlockDescription::ScanLines => CompressedBlock::ScanLine(CompressedScanLineBlock {
                    y_coordinate: header.own_attributes.layer_position.y() + y as i32,
                    compressed_pixels_le,
                }),
                BlockDescription::Tiles(_) => CompressedBlock::Tile(CompressedTileBlock {
                    coordinates: place.location,
                    compressed_pixels_le,
                }),
            },
        })
    }

    /// The samples of `rows` from `columns`, little-endian: for each line, channel
    /// by channel.
    fn samples(&self, picture: &Picture, columns: Range<usize>, rows: Range<usize>) -> Vec<u8> {
        let header = &self.header[0];
        let width = columns.len();
        let mut data = Vec::with_capacity(header.channels.bytes_per_pixel * width * rows.len());
        let mut line = vec![0.0f32; width];
        let mut halves = vec![f16::ZERO; width];
        for y in rows {
            let channels = picture.channels();
            let row = &picture.row(y)[columns.start * channels..columns.end * channels];
            let pixels = row.chunks_exact(channels);
            for (channel, &(place, exact)) in header.channels.list.iter().zip(&self.places) {
                for (sample, pixel) in line.iter_mut().zip(pixels.clone()) {
                    *sample = pixel[place];
                }
                match channel.sample_type {
                    SampleType::F16 => {
                        to_halves(&line, &mut halves);
                        data.extend(halves.iter().flat_map(|h| h.to_le_bytes()));
                    }
                    SampleType::U32 if exact => {
                        data.extend(line.iter().flat_map(|s| s.to_bits().to_le_bytes()));
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
    block::write(OrderedHead::new(out), headers, true, |_, writer| {
        let count = writer.total_chunks_count();
        let chunks = device::share(count, move |i| layout.chunk(&picture, i));
        for (i, chunk) in chunks.into_iter().enumerate() {
            writer.write_chunk(i, chunk.ok_or(ExrError::Aborted)??)?;
        }
        Ok(())
    })
}

fn bounds(window: Window) -> IntegerBounds {
    IntegerBounds::new((window.x0, window.y0), (window.width(), window.height()))
}

/// The corners of `primaries` and the white point, in CIE xy, as their standards
/// have them.
fn chromaticities(primaries: Primaries) -> Chromaticities {
    let [red, green, blue, white] = primaries.corners();
    let xy = |(x, y): (f32, f32)| Vec2(x, y);
    Chromaticities {
        red: xy(red),
        green: xy(green),
        blue: xy(blue),
        white: xy(white),
    }
}
