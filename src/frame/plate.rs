//! A plate as engines see it: frames that can be read, one at a time, in any
//! order. Files, movies and hosts each stand behind [`PlateReader`].

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FrameRange, Picture, Transfer};

/// What is known of a plate before any frame is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateInfo {
    /// The frames that can be read.
    pub range: FrameRange,
    /// Width of the frames as read, in pixels.
    pub width: usize,
    /// Height of the frames as read, in pixels.
    pub height: usize,
    /// Size at render scale 1, in pixels: what grids are laid out by, so that
    /// a proxy and the full size decide alike.
    pub full_size: (usize, usize),
    /// Names of the channels in the order in which a pixel holds them; `R`,
    /// `G`, `B`, `A` come first where they exist.
    pub channels: Vec<String>,
    /// Frames in a second.
    pub fps: f64,
    /// How sample values relate to light.
    pub transfer: Transfer,
    /// Width of a pixel over its height.
    pub pixel_aspect: f64,
}

impl PlateInfo {
    /// Position of the channel called `name`.
    pub fn channel(&self, name: &str) -> Option<usize> {
        self.channels.iter().position(|c| c == name)
    }
}

/// Why a frame could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The plate has no such frame.
    #[error(
        "frame {frame} of the plate is missing; the plate has {have}: mend the range or supply the frame"
    )]
    Missing {
        /// The frame that was asked for.
        frame: i32,
        /// What there is, in words.
        have: String,
    },
    /// A frame is not of the size of the others.
    #[error(
        "frame {frame} is {found:?} pixels where the plate is {expected:?}: all frames of a plate must have one size"
    )]
    Size {
        /// The frame in question.
        frame: i32,
        /// Its width and height.
        found: (usize, usize),
        /// Width and height of the plate.
        expected: (usize, usize),
    },
    /// A file could not be read or written.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened and what to do.
        message: String,
    },
    /// The host did not hand over a frame.
    #[error("the host gave no picture for frame {frame}: {message}")]
    Host {
        /// The frame that was asked for.
        frame: i32,
        /// What happened and what to do.
        message: String,
    },
    /// The work was asked to stop while a frame was waited for.
    #[error(transparent)]
    Cancelled(#[from] crate::device::Cancelled),
}

/// Reads frames of a plate. Not shared between threads: an engine asks for the
/// frames it needs, then works on them in parallel.
pub trait PlateReader: Send {
    /// What is known of the plate.
    fn info(&self) -> &PlateInfo;

    /// Frame `frame` whole, in the size and channels that [`info`](Self::info)
    /// tells.
    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError>;
}
