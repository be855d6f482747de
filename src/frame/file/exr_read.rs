//! Reads OpenEXR files: the header alone, or the picture on a given canvas.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ::exr::block::chunk::{Chunk, CompressedBlock};
use ::exr::block::reader::ChunksReader;
use ::exr::block::{self, UncompressedBlock};
use ::exr::error::Error as ExrError;
use ::exr::meta::MetaData;
use ::exr::meta::attribute::{AttributeValue, IntegerBounds, SampleType, Text};
use ::exr::meta::header::Header;
use half::slice::HalfFloatSliceExt;
use parking_lot::Mutex;

use super::header::{Carried, FrameHeader, SampleDepth};
use super::told::{self, PROVENANCE, TAKE, Told};
use super::{MAX_SAMPLES, exr_channels};
use crate::device;
use crate::frame::{FrameError, Picture, Transfer, Window};

/// What is said of a file of deep pictures alone.
const DEEP: &str = "this is a deep EXR; flatten it first, and give the flat frames";

/// The header of a file, and what of the file it leaves out or takes for something.
pub(super) struct Found {
    pub(super) header: FrameHeader,
    /// In words, for the artist.
    pub(super) notes: Vec<String>,
}

/// Reads the header of the part that pictures are read from: the first flat
/// part with colour in it, else the first flat part.
pub(super) fn header(path: &Path) -> Result<Found, FrameError> {
    let meta = guarded(path, || {
        let file = File::open(path)?;
        Ok(block::read(BufReader::new(file), false)?.into_meta_data())
    })?;
    let part = part(path, &meta)?;
    let header = &meta.headers[part];
    let (channels, layer) = exr_channels::of(header);
    let shared = header.shared_attributes.clone();
    let own = header.own_attributes.clone();
    let header = FrameHeader {
        display_window: window(shared.display_window),
        data_window: window(header.data_window()),
        channels,
        pixel_aspect: f64::from(shared.pixel_aspect),
        fps: own
            .frames_per_second
            .filter(|&(n, d)| n > 0 && d > 0)
            .map(|(n, d)| f64::from(n) / f64::from(d)),
        time_code: shared.time_code.map(|code| (0, code)),
        transfer: Transfer::Linear,
        premultiplied: true,
        carried: Some(Box::new(Carried { shared, own })),
        png_colours: None,
    };
    let count = meta.headers.len();
    let parts = (count > 1).then(|| {
        format!(
            "{} has {count} parts; only part {} is read and written",
            path.display(),
            part + 1
        )
    });
    let layer = layer.filter(|l| !l.is_empty()).map(|layer| {
        format!(
            "{} has no channels R, G and B outside of layers; layer {layer} is looked at as the picture, and all layers are carried along",
            path.display()
        )
    });
    Ok(Found {
        header,
        notes: parts.into_iter().chain(layer).collect(),
    })
}

/// What [`write`](super::exr_write::write) left in the header of a
/// file, if it did and the file is whole. Reads only the header and the last
/// chunk's place.
pub(super) fn told_whole(path: &Path) -> Option<Told> {
    let length = std::fs::metadata(path).ok()?.len();
    let told = guarded(path, || {
        let reader = block::read(BufReader::new(File::open(path)?), false)?;
        let header = &reader.headers()[0];
        let Some(take) = text(header, TAKE) else {
            return Ok(None);
        };
        let told = Told::of(take, text(header, PROVENANCE).as_deref());
        // The last chunk can only be read where the file goes on to its end.
        let blocks = reader.headers()[0].chunk_count;
        let mut index = 0;
        let chunks = reader.filter_chunks(true, |_, _, _| {
            index += 1;
            index == blocks
        })?;
        let whole = length > 0 && chunks.into_iter().all(|c| c.is_ok());
        Ok(whole.then_some(told))
    });
    told.ok().flatten()
}

/// The text `name` in the header of a file, if it has one.
pub(super) fn told(path: &Path, name: &str) -> Result<Option<String>, FrameError> {
    guarded(path, || {
        let reader = block::read(BufReader::new(File::open(path)?), false)?;
        Ok(reader.headers().iter().find_map(|h| text(h, name)))
    })
}

/// The text `name` of `header`, in one attribute or in several.
fn text(header: &Header, name: &str) -> Option<String> {
    told::joined(name, |part| {
        match header.own_attributes.other.get(&Text::new_or_none(part)?) {
            Some(AttributeValue::Text(text)) => Some(text.to_string()),
            _ => None,
        }
    })
}

/// Reads the picture of `path` with the channels that `plate` names, in that
/// order, on the canvas `plate.data_window`; zero where the file has no
/// pixels. `alone` keeps to the calling thread.
pub(super) fn read(path: &Path, plate: &FrameHeader, alone: bool) -> Result<Picture, FrameError> {
    let (meta, chunks) = guarded(path, || {
        let reader = block::read(BufReader::with_capacity(1 << 20, File::open(path)?), false)?;
        let part = match part(path, reader.meta_data()) {
            Ok(part) => part,
            Err(e) => return Err(ExrError::NotSupported(e.to_string().into())),
        };
        let one = reader.headers().len() == 1 && !reader.headers()[0].blocks.has_tiles();
        if one {
            collect(reader.all_chunks(false)?, part)
        } else {
            // Parts and mipmap levels that are not wanted are never read.
            let wanted = reader.filter_chunks(false, |_, tile, block| {
                block.layer == part && tile.is_largest_resolution_level()
            })?;
            collect(wanted, part)
        }
    })?;
    let part = part(path, &meta)?;
    let layout = Arc::new(Layout::new(path, &meta.headers[part], plate)?);
    let canvas = plate.data_window;
    let mut picture = Picture::new(canvas.width(), canvas.height(), plate.channels.len());

    let count = chunks.len();
    let chunks: Vec<_> = chunks.into_iter().map(|c| Mutex::new(Some(c))).collect();
    let decode = {
        let layout = layout.clone();
        move |i: usize| {
            let chunk = chunks[i].lock().take();
            let chunk = chunk.ok_or(ExrError::Aborted)?;
            layout.interleave(UncompressedBlock::decompress_chunk(chunk, &meta, false)?)
        }
    };
    let mut failure = None;
    let mut place = |block: Option<Result<Pixels, ExrError>>| match block {
        Some(Ok(block)) => block.place(&mut picture, canvas),
        Some(Err(e)) => failure = Some(error(path, e)),
        None => failure = Some(damaged(path, "its pixel data make no sense")),
    };
    if alone {
        for i in 0..count {
            place(catch_unwind(AssertUnwindSafe(|| decode(i))).ok());
        }
    } else {
        device::share_each(count, decode, |_, block| place(block));
    }
    match failure {
        Some(e) => Err(e),
        None => Ok(picture),
    }
}

fn collect<R: ChunksReader>(reader: R, part: usize) -> Result<(MetaData, Vec<Chunk>), ExrError> {
    let meta = reader.meta_data().clone();
    let mut chunks = Vec::with_capacity(reader.expected_chunk_count().min(1 << 16));
    for chunk in reader {
        let chunk = chunk?;
        let deep = matches!(
            chunk.compressed_block,
            CompressedBlock::DeepScanLine(_) | CompressedBlock::DeepTile(_)
        );
        if chunk.layer_index == part && !deep {
            chunks.push(chunk);
        }
    }
    Ok((meta, chunks))
}

/// Where the samples of a file's blocks go.
struct Layout {
    /// Position of the data window.
    origin: (i32, i32),
    /// For each channel of the file: kind, and the place in a pixel of the picture, with
    /// whether the bits of a whole number go there.
    channels: Vec<(SampleType, Option<(usize, bool)>)>,
    /// Samples in a pixel of the picture.
    samples: usize,
}

impl Layout {
    fn new(path: &Path, header: &Header, plate: &FrameHeader) -> Result<Self, FrameError> {
        let place = |name: &Text| {
            let place = plate.channels.iter().position(|c| name.eq(&c.name))?;
            Some((place, plate.channels[place].depth == SampleDepth::Bits32))
        };
        let channels: Vec<_> = header
            .channels
            .list
            .iter()
            .map(|c| (c.sample_type, place(&c.name)))
            .collect();
        if channels.iter().filter(|c| c.1.is_some()).count() != plate.channels.len() {
            return Err(other_channels(path, plate));
        }
        let origin = header.own_attributes.layer_position;
        Ok(Self {
            origin: (origin.0, origin.1),
            channels,
            samples: plate.channels.len(),
        })
    }

    fn interleave(&self, block: UncompressedBlock) -> Result<Pixels, ExrError> {
        let (x, y) = (block.index.pixel_position.0, block.index.pixel_position.1);
        let (width, height) = (block.index.pixel_size.0, block.index.pixel_size.1);
        let mut samples = vec![0.0; width * height * self.samples];
        let mut line = vec![0.0f32; width];
        let mut halves = vec![half::f16::ZERO; width];
        let mut bytes = block.data.as_slice();
        for row in samples.chunks_exact_mut((width * self.samples).max(1)) {
            for &(kind, place) in &self.channels {
                let (head, rest) = bytes
                    .split_at_checked(width * kind.bytes_per_sample())
                    .ok_or(ExrError::Invalid("a block is too short".into()))?;
                bytes = rest;
                let Some((place, exact)) = place else {
                    continue;
                };
                match kind {
                    SampleType::F16 => {
                        for (h, b) in halves.iter_mut().zip(head.as_chunks().0) {
                            *h = half::f16::from_ne_bytes(*b);
                        }
                        halves.convert_to_f32_slice(&mut line);
                    }
                    SampleType::F32 => {
                        for (f, b) in line.iter_mut().zip(head.as_chunks().0) {
                            *f = f32::from_ne_bytes(*b);
                        }
                    }
                    SampleType::U32 => {
                        for (f, b) in line.iter_mut().zip(head.as_chunks().0) {
                            let whole = u32::from_ne_bytes(*b);
                            *f = match exact {
                                true => f32::from_bits(whole),
                                false => whole as f32,
                            };
                        }
                    }
                }
                if exact && kind != SampleType::U32 {
                    // Another frame of the plate has them as floats.
                    line.iter_mut()
                        .for_each(|f| *f = f32::from_bits(f.round() as u32));
                }
                for (pixel, f) in row.chunks_exact_mut(self.samples).zip(&line) {
                    pixel[place] = *f;
                }
            }
        }
        Ok(Pixels {
            x: i64::from(self.origin.0) + x as i64,
            y: i64::from(self.origin.1) + y as i64,
            width,
            samples,
        })
    }
}

/// Interleaved pixels and where in the plate's coordinates they lie.
struct Pixels {
    x: i64,
    y: i64,
    width: usize,
    samples: Vec<f32>,
}

impl Pixels {
    /// Copies what lies on the canvas into `picture`.
    fn place(&self, picture: &mut Picture, canvas: Window) {
        let n = picture.channels();
        let x0 = self.x.max(i64::from(canvas.x0));
        let x1 = (self.x + self.width as i64).min(i64::from(canvas.x1));
        if x0 >= x1 {
            return;
        }
        let from = (x0 - self.x) as usize * n;
        let to = (x0 - i64::from(canvas.x0)) as usize * n;
        let length = (x1 - x0) as usize * n;
        for (i, row) in self.samples.chunks_exact(self.width * n).enumerate() {
            let y = self.y + i as i64 - i64::from(canvas.y0);
            if (0..picture.height() as i64).contains(&y) {
                picture.row_mut(y as usize)[to..to + length]
                    .copy_from_slice(&row[from..from + length]);
            }
        }
    }
}

/// The part that is read.
fn part(path: &Path, meta: &MetaData) -> Result<usize, FrameError> {
    let flat = || meta.headers.iter().enumerate().filter(|(_, h)| !h.deep);
    // The first of those that serve best.
    let best = flat().map(|(_, h)| exr_channels::picture(h)).max();
    let index = flat()
        .find(|(_, h)| Some(exr_channels::picture(h)) == best)
        .map(|(index, _)| index)
        .ok_or_else(|| FrameError::Unsupported {
            path: path.to_owned(),
            message: DEEP.to_owned(),
        })?;
    let header = &meta.headers[index];
    let unsupported = |message: String| FrameError::Unsupported {
        path: path.to_owned(),
        message,
    };
    if header.channels.list.iter().any(|c| c.sampling.area() != 1) {
        return Err(unsupported(
            "its chroma is subsampled; write it with full R, G and B channels".to_owned(),
        ));
    }
    let size = header.layer_size;
    let samples = size
        .0
        .checked_mul(size.1)
        .and_then(|n| n.checked_mul(header.channels.list.len()));
    if samples.is_none_or(|n| n == 0 || n > MAX_SAMPLES) {
        return Err(unsupported(format!(
            "a picture of {} by {} pixels and {} channels cannot be held; write it smaller or with fewer channels",
            size.0,
            size.1,
            header.channels.list.len()
        )));
    }
    Ok(index)
}

/// The error of a frame whose channels are not the plate's.
pub(super) fn other_channels(path: &Path, plate: &FrameHeader) -> FrameError {
    let names: Vec<_> = plate.channels.iter().map(|c| c.name.as_str()).collect();
    FrameError::Unsupported {
        path: path.to_owned(),
        message: format!(
            "its channels are not those of the plate's first frame ({}); render all frames with the same channels",
            names.join(", ")
        ),
    }
}

fn window(bounds: IntegerBounds) -> Window {
    let end = bounds.end();
    Window {
        x0: bounds.position.0,
        y0: bounds.position.1,
        x1: end.0,
        y1: end.1,
    }
}

/// Runs the library on a file that may hold anything; should it panic on one,
/// that file is damaged, and nothing else is the matter.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ExrError>) -> Result<T, FrameError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| error(path, e)),
        Err(_) => Err(damaged(path, "its header makes no sense")),
    }
}

fn damaged(path: &Path, message: &str) -> FrameError {
    FrameError::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn error(path: &Path, error: ExrError) -> FrameError {
    match error {
        ExrError::Io(e) => super::unreadable(path, &e),
        ExrError::NotSupported(what) if what.starts_with("deep data") => FrameError::Unsupported {
            path: path.to_owned(),
            message: DEEP.to_owned(),
        },
        ExrError::NotSupported(what) => FrameError::Unsupported {
            path: path.to_owned(),
            message: format!(
                "this kind of EXR cannot be read ({what}); write it as plain ZIP scan lines"
            ),
        },
        ExrError::Invalid(what) if what == "reference to missing bytes" => {
            damaged(path, "the file ends too early")
        }
        ExrError::Invalid(what) => damaged(path, &what),
        ExrError::Aborted => damaged(path, "reading was broken off"),
    }
}
