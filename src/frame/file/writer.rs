//! Writes the frames of a sequence.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{ChannelFormat, FrameHeader, SampleDepth};
use super::told::{PROVENANCE, TAKE};
use super::{atomic, exr_read, exr_write, png};
use crate::frame::alpha::{Alpha, around};
use crate::frame::colour::rgb;
use crate::frame::{Conversion, FrameError, Picture, Sequence, Transfer, recoded};

/// How EXR files are packed; all but DWAA are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Compression {
    /// ZIP over 16 lines.
    #[default]
    Zip,
    /// ZIP over single lines, which Nuke reads fastest.
    Zips,
    /// None: large files, written and read fast.
    None,
    /// PIZ, wavelets: small for grain, slower.
    Piz,
    /// DWAA at a level, 45 by custom, higher for smaller: rounds colour as a JPEG
    /// does.
    Dwaa(f32),
}

/// The colours that values 1,0,0 and so on stand for, told in EXR files. A label:
/// no value is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primaries {
    /// ITU-R BT.709, D65; also sRGB's.
    Rec709,
    /// SMPTE EG 432-1, D65.
    P3,
    /// ITU-R BT.2020, D65.
    Rec2020,
    /// AP1 with the white of ACES: ACEScg.
    AcesCg,
    /// AP0 with the white of ACES: ACES2065-1.
    Aces,
}

impl Primaries {
    /// Red, green, blue and white in CIE xy.
    pub(super) fn corners(self) -> [(f32, f32); 4] {
        const D65: (f32, f32) = (0.3127, 0.3290);
        const ACES: (f32, f32) = (0.32168, 0.33767);
        match self {
            Self::Rec709 => [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65],
            Self::P3 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65],
            Self::Rec2020 => [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65],
            Self::AcesCg => [(0.713, 0.293), (0.165, 0.830), (0.128, 0.044), ACES],
            Self::Aces => [(0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.077), ACES],
        }
    }
}

/// How frames are written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Depth of all samples; by default that of the plate.
    pub depth: Option<SampleDepth>,
    /// How EXR files are packed.
    pub compression: Compression,
    /// How the samples in the file relate to light; by default EXR is linear
    /// and PNG for display. Colour is converted where the picture differs.
    pub transfer: Option<Transfer>,
    /// A short text left in each frame that names what it was made from, so
    /// that [`SequenceWriter::is_made`] can tell. Latin letters.
    pub take: Option<String>,
    /// EXR files in tiles of 64 by 64, not in scan lines.
    pub tiles: bool,
    /// What EXR files tell of their colours; by default what the plate's did.
    pub primaries: Option<Primaries>,
    /// From the pictures' colour space to that of the files, before anything else;
    /// the plate's chromaticities are then not carried over.
    pub colour: Option<Conversion>,
}

/// Writes frames as EXR or PNG, each whole or not at all. Shared by threads.
#[derive(Debug)]
pub struct SequenceWriter {
    sequence: Sequence,
    header: FrameHeader,
    options: WriteOptions,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exr,
    Png,
}

impl SequenceWriter {
    /// A writer of the sequence `path` (see [`Sequence::parse`]), which ends in
    /// `.exr` or `.png`. Nothing is written yet, but parts that a killed writer
    /// left behind are removed.
    pub fn new(
        path: &Path,
        header: FrameHeader,
        options: WriteOptions,
    ) -> Result<Self, FrameError> {
        let sequence = Sequence::parse(path)?;
        let kind = match sequence.extension().as_str() {
            "exr" => Kind::Exr,
            "png" => Kind::Png,
            _ => {
                return Err(FrameError::Pattern {
                    path: path.to_owned(),
                    advice: "frames are written as .exr or .png; end the name in one of them"
                        .to_owned(),
                });
            }
        };
        atomic::remove_stale(sequence.folder(), sequence.stem());
        Ok(Self {
            sequence,
            header,
            options,
            kind,
        })
    }

    /// The file of `frame`.
    pub fn path(&self, frame: i32) -> PathBuf {
        self.sequence.path(frame)
    }

    /// Whether the file of `frame` is whole, was made from what
    /// [`WriteOptions::take`] names, and is that frame: not another of the take under its
    /// name. Looks at the header and the end only.
    pub fn is_made(&self, frame: i32) -> bool {
        let path = self.path(frame);
        let told = match self.kind {
            Kind::Exr => exr_read::told_whole(&path),
            Kind::Png => png::told_whole(&path),
        };
        told.is_some_and(|told| {
            Some(told.take) == self.options.take && told.frame.is_none_or(|own| own == frame)
        })
    }

    /// Writes `picture`, of the size and channels of the header, as `frame`.
    /// Returns the file.
    pub fn write(&self, frame: i32, picture: &Arc<Picture>) -> Result<PathBuf, FrameError> {
        self.write_told(frame, picture, None)
    }

    /// As [`write`](Self::write), with a text in the file that tells where the
    /// frame comes from, for [`provenance`]. Latin letters.
    pub fn write_told(
        &self,
        frame: i32,
        picture: &Arc<Picture>,
        provenance: Option<&str>,
    ) -> Result<PathBuf, FrameError> {
        self.write_kept(frame, picture, provenance, None)
    }

    /// As [`write_told`](Self::write_told), with the attributes that `own` has in place of
    /// those of the shot: for a frame that is a plate frame, whose header `own` is.
    pub fn write_kept(
        &self,
        frame: i32,
        picture: &Arc<Picture>,
        provenance: Option<&str>,
        own: Option<&FrameHeader>,
    ) -> Result<PathBuf, FrameError> {
        let path = self.path(frame);
        let window = self.header.data_window;
        let expected = (window.width(), window.height());
        let found = (picture.width(), picture.height());
        if found != expected || picture.channels() != self.header.channels.len() {
            return Err(FrameError::Size {
                frame,
                found,
                expected,
            });
        }
        let file_transfer = self.options.transfer.unwrap_or(match self.kind {
            Kind::Exr => Transfer::Linear,
            Kind::Png => Transfer::Display,
        });
        let picture = self.as_file(frame, picture, file_transfer)?;
        match self.kind {
            Kind::Exr => {
                let header = self.with_depth();
                let own = own.and_then(|own| own.carried.as_deref());
                let options = &self.options;
                exr_write::write(&path, frame, picture, &header, options, provenance, own)?;
            }
            Kind::Png => {
                let depth = self.options.depth.unwrap_or_else(|| {
                    let deep = self.header.channels.first().map(|c| c.depth);
                    deep.unwrap_or(SampleDepth::Bits8)
                });
                // A PNG of float pixels is one to look at.
                let depth = match depth {
                    SampleDepth::Bits16 => depth,
                    _ => SampleDepth::Bits8,
                };
                let take = self.options.take.as_deref();
                let texts = [(TAKE, take), (PROVENANCE, provenance)];
                let texts = texts
                    .into_iter()
                    .filter_map(|(name, text)| Some((name, text?)));
                let texts: Vec<_> = texts.collect();
                // Of values that are changed it would not be true.
                let same = self.options.colour.is_none() && self.header.transfer == file_transfer;
                let colours = self.header.png_colours.as_ref().filter(|_| same);
                png::write(&path, &picture, &self.header, depth, colours, &texts)?;
            }
        }
        Ok(path)
    }

    fn with_depth(&self) -> Cow<'_, FrameHeader> {
        match self.options.depth {
            None => Cow::Borrowed(&self.header),
            Some(depth) => {
                let mut header = self.header.clone();
                // A rounded name names something else.
                for channel in header.channels.iter_mut().filter(|c| !c.is_id) {
                    channel.depth = depth;
                }
                Cow::Owned(header)
            }
        }
    }

    /// `picture` in the colours of the file, multiplied by alpha where its kind has
    /// them so.
    fn as_file(
        &self,
        frame: i32,
        picture: &Arc<Picture>,
        transfer: Transfer,
    ) -> Result<Arc<Picture>, FrameError> {
        let names = || self.header.channels.iter().map(ChannelFormat::called);
        let failed = || FrameError::Unsupported {
            path: self.path(frame),
            message: "OpenColorIO failed at its colours: choose another output colour space"
                .to_owned(),
        };
        let straight = self.kind == Kind::Png;
        let alpha = self.header.alpha().map(|channel| Alpha {
            channel,
            before: self.header.premultiplied,
            after: !straight,
        });
        let bends = self.header.transfer != transfer;
        let colour = self.options.colour.as_ref();
        match alpha.filter(|a| a.before != a.after || a.before && bends) {
            None => {
                let coloured = match colour {
                    None => picture.clone(),
                    Some(colour) => {
                        let by = self.header.multiplied_by();
                        let made = rgb(names()).and_then(|at| colour.apply(picture, at, by));
                        Arc::new(made.ok_or_else(failed)?)
                    }
                };
                Ok(self.converted(&coloured, transfer))
            }
            Some(alpha) => {
                let is_colour = |name: &str| matches!(name, "R" | "G" | "B" | "Y");
                let colours: Vec<usize> = (0..)
                    .zip(names())
                    .filter_map(|(c, name)| is_colour(name).then_some(c))
                    .collect();
                let made = around(picture, &colours, alpha, |straight| {
                    let coloured = match colour {
                        None => straight.clone(),
                        Some(colour) => Arc::new(colour.apply(straight, rgb(names())?, None)?),
                    };
                    Some((*self.converted(&coloured, transfer)).clone())
                });
                Ok(Arc::new(made.ok_or_else(failed)?))
            }
        }
    }

    fn converted(&self, picture: &Arc<Picture>, to: Transfer) -> Arc<Picture> {
        let names = self.header.channels.iter().map(ChannelFormat::called);
        recoded(picture, names, self.header.transfer, to)
    }
}

/// The text that [`SequenceWriter::write_told`] left in the frame `path`, if any.
///
/// # Errors
/// Where the file is missing, damaged, or neither EXR nor PNG.
pub fn provenance(path: &Path) -> Result<Option<String>, FrameError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    match extension.to_ascii_lowercase().as_str() {
        "exr" => exr_read::told(path, PROVENANCE),
        "png" => png::told(path, PROVENANCE),
        _ => Err(FrameError::Unsupported {
            path: path.to_owned(),
            message: "only .exr and .png frames tell where they come from; name one".to_owned(),
        }),
    }
}
