//! The files that a plate's frames lie in, and what their headers have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::header::FrameHeader;
use super::{exr_read, png};
use crate::device;
use crate::frame::sequence::in_words;
use crate::frame::{FrameError, Picture, Sequence, Warning, Window};

/// The files of a plate's frames.
pub struct Files {
    /// All of one kind.
    pub kind: Kind,
    /// As a pattern.
    pub name: String,
    /// By their frames.
    pub paths: BTreeMap<i32, PathBuf>,
    /// What they have in common.
    pub header: FrameHeader,
}

/// What a file of a frame is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenEXR.
    Exr,
    /// PNG.
    Png,
}

impl Kind {
    /// What the files of `sequence` are; none of a movie.
    pub fn of(sequence: &Sequence) -> Option<Self> {
        match sequence.extension().as_str() {
            "exr" | "sxr" => Some(Self::Exr),
            "png" => Some(Self::Png),
            _ => None,
        }
    }
}

impl Files {
    /// The picture of `frame`; `alone` keeps to the calling thread.
    ///
    /// # Errors
    /// Where there is none, or its file cannot be read.
    pub fn read(&self, frame: i32, alone: bool) -> Result<Picture, FrameError> {
        let path = self.paths.get(&frame).ok_or_else(|| FrameError::Missing {
            frame,
            have: has(&self.name, &in_words(self.paths.keys().copied())),
        })?;
        match self.kind {
            Kind::Exr => exr_read::read(path, &self.header, alone),
            Kind::Png => on_canvas(png::read(path, &self.header)?, &self.header, frame),
        }
    }
}

/// What a plate called `name` has, for one who looks for a frame.
pub fn has(name: &str, frames: &str) -> String {
    format!("{name} has {frames}")
}

/// Reads all headers and makes them one.
pub fn headers(
    paths: &BTreeMap<i32, PathBuf>,
    kind: Kind,
    canvas: Option<Window>,
) -> Result<(FrameHeader, Vec<Warning>), FrameError> {
    let list: Vec<PathBuf> = paths.values().cloned().collect();
    let found = device::share(list.len(), move |i| match kind {
        Kind::Exr => exr_read::header(&list[i]),
        Kind::Png => png::header(&list[i]).map(|header| exr_read::Found {
            header,
            notes: Vec::new(),
        }),
    });
    let mut all: Option<FrameHeader> = None;
    let mut warnings = Vec::new();
    for ((&frame, path), found) in paths.iter().zip(found) {
        let found = found.unwrap_or_else(|| {
            Err(FrameError::Damaged {
                path: path.clone(),
                message: "its header makes no sense".to_owned(),
            })
        })?;
        let header = found.header;
        let Some(all) = &mut all else {
            warnings.extend(found.notes.into_iter().map(Warning::Ignored));
            all = Some(FrameHeader {
                time_code: header.time_code.map(|(_, code)| (frame, code)),
                ..header
            });
            continue;
        };
        let size = |w: Window| (w.width(), w.height());
        if header.display_window != all.display_window {
            return Err(FrameError::Size {
                frame,
                found: size(header.display_window),
                expected: size(all.display_window),
            });
        }
        let same = header.channels.len() == all.channels.len()
            && header
                .channels
                .iter()
                .zip(&all.channels)
                .all(|(a, b)| a.name == b.name);
        if !same {
            return Err(exr_read::other_channels(path, all));
        }
        if let (Some(shot), Some(own)) = (&mut all.carried, &header.carried) {
            shot.keep_alike(own);
        }
        let (a, b) = (all.data_window, header.data_window);
        all.data_window = Window {
            x0: a.x0.min(b.x0),
            y0: a.y0.min(b.y0),
            x1: a.x1.max(b.x1),
            y1: a.y1.max(b.y1),
        };
    }
    let mut all = all.ok_or_else(|| FrameError::NotFound {
        path: PathBuf::new(),
        advice: "no frames were given".to_owned(),
    })?;
    if let Some(canvas) = canvas {
        all.data_window = canvas;
    }
    Ok((all, warnings))
}

/// A picture of the display window, on the canvas.
pub fn on_canvas(
    picture: Picture,
    header: &FrameHeader,
    frame: i32,
) -> Result<Picture, FrameError> {
    let (display, canvas) = (header.display_window, header.data_window);
    let found = (picture.width(), picture.height());
    let expected = (display.width(), display.height());
    if found != expected {
        return Err(FrameError::Size {
            frame,
            found,
            expected,
        });
    }
    if display == canvas {
        return Ok(picture);
    }
    let mut placed = Picture::new(canvas.width(), canvas.height(), picture.channels());
    let both = display.intersection(&canvas);
    let n = picture.channels();
    for y in both.y0..both.y1 {
        let from = (both.x0 - display.x0) as usize * n;
        let to = (both.x0 - canvas.x0) as usize * n;
        let length = both.width() * n;
        placed.row_mut((y - canvas.y0) as usize)[to..to + length]
            .copy_from_slice(&picture.row((y - display.y0) as usize)[from..from + length]);
    }
    Ok(placed)
}
