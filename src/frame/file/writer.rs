//! Writes the frames of a sequence.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{FrameHeader, SampleDepth};
use super::{atomic, exr_read, exr_write, png};
use crate::frame::{FrameError, Picture, Sequence, Transfer, to_display, to_linear};

/// How EXR files are packed; all of these are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// ZIP over 16 lines.
    #[default]
    Zip,
    /// ZIP over single lines, which Nuke reads fastest.
    Zips,
    /// None: large files, written and read fast.
    None,
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

    /// Whether the file of `frame` is whole and was made from what
    /// [`WriteOptions::take`] names. Looks at the header and the end only.
    pub fn is_made(&self, frame: i32) -> bool {
        let path = self.path(frame);
        let take = match self.kind {
            Kind::Exr => exr_read::take(&path),
            Kind::Png => png::take(&path),
        };
        take.is_some() && take == self.options.take
    }

    /// Writes `picture`, of the size and channels of the header, as `frame`.
    /// Returns the file.
    pub fn write(&self, frame: i32, picture: &Arc<Picture>) -> Result<PathBuf, FrameError> {
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
        let picture = self.converted(picture, file_transfer);
        let take = self.options.take.as_deref();
        match self.kind {
            Kind::Exr => {
                let header = self.with_depth();
                let packing = self.options.compression;
                exr_write::write(&path, frame, picture, &header, packing, take)?;
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
                png::write(&path, &picture, &self.header, depth, take)?;
            }
        }
        Ok(path)
    }

    fn with_depth(&self) -> Cow<'_, FrameHeader> {
        match self.options.depth {
            None => Cow::Borrowed(&self.header),
            Some(depth) => {
                let mut header = self.header.clone();
                for channel in &mut header.channels {
                    channel.depth = depth;
                }
                Cow::Owned(header)
            }
        }
    }

    fn converted(&self, picture: &Arc<Picture>, to: Transfer) -> Arc<Picture> {
        let curve = match (self.header.transfer, to) {
            (Transfer::Linear, Transfer::Display) => to_display,
            (Transfer::Display, Transfer::Linear) => to_linear,
            _ => return picture.clone(),
        };
        let names = self.header.channels.iter().map(|c| c.name.as_str());
        let colour: Vec<bool> = names.map(|n| matches!(n, "R" | "G" | "B" | "Y")).collect();
        let mut picture = (**picture).clone();
        for pixel in picture.data_mut().chunks_exact_mut(colour.len()) {
            for (value, &is_colour) in pixel.iter_mut().zip(&colour) {
                if is_colour {
                    *value = curve(*value);
                }
            }
        }
        Arc::new(picture)
    }
}
