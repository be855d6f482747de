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
    /// `G`, `B` (a grey plate: `Y`), `A` come first where they exist, the
    /// others follow by name.
    pub channels: Vec<String>,
    /// Those of them whose samples name things, as object numbers and Cryptomatte layers
    /// do: never mixed with others.
    // What is learned of a plate is stored with it and knows nothing of these.
    #[serde(skip)]
    pub ids: Vec<String>,
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

    /// Positions of the channels whose samples are never mixed.
    pub fn id_channels(&self) -> Vec<usize> {
        let named = |c: &usize| self.ids.contains(&self.channels[*c]);
        (0..self.channels.len()).filter(named).collect()
    }
}

/// Why a frame could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The plate has no such frame.
    #[error("frame {frame} is missing; {have}: mend the range or supply the frame")]
    Missing {
        /// The frame that was asked for.
        frame: i32,
        /// What there is and where, in words: `plate.####.exr has 1001-1100`.
        have: String,
    },
    /// A frame is not of the size of the others.
    #[error(
        "frame {frame} is {} pixels where the plate is {}: all frames of a plate must have one size",
        sides(.found),
        sides(.expected)
    )]
    Size {
        /// The frame in question.
        frame: i32,
        /// Its width and height.
        found: (usize, usize),
        /// Width and height of the plate.
        expected: (usize, usize),
    },
    /// A file could not be read: permissions, a network disk that is away.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened and what to do.
        message: String,
    },
    /// No file answers to a path or pattern.
    #[error("{path}: {advice}")]
    NotFound {
        /// The path or pattern as it was given.
        path: PathBuf,
        /// What was looked for and what to do.
        advice: String,
    },
    /// A path is no file name that frames can be read from or written to.
    #[error("{path}: {advice}")]
    Pattern {
        /// The path or pattern as it was given.
        path: PathBuf,
        /// What is wrong and how to write it.
        advice: String,
    },
    /// A file is cut short or broken.
    #[error("{path} is damaged ({message}): copy or render it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// A file is whole but of a kind that cannot be used.
    #[error("{path}: {message}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is and what to use in its place.
        message: String,
    },
    /// The matte does not lie over the plate.
    #[error(
        "the matte is {} pixels where the plate is {}: make the matte in the plate's format",
        sides(.found),
        sides(.expected)
    )]
    MatteSize {
        /// Width and height of the matte.
        found: (usize, usize),
        /// Width and height of the plate.
        expected: (usize, usize),
    },
    /// A program that is needed is not installed.
    #[error(
        "{path} is a movie, and {program} is needed to read it but was not found: install ffmpeg, or give the plate as EXR or PNG frames"
    )]
    NoProgram {
        /// The file that needs it.
        path: PathBuf,
        /// The program.
        program: &'static str,
    },
    /// A frame could not be written. Frames that were written before stay.
    #[error("{path} could not be written ({source}): {advice}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What the system said.
        source: std::io::Error,
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

/// Width and height as people write them: `1920x1080`.
pub(crate) fn sides(size: &(usize, usize)) -> String {
    let (width, height) = size;
    format!("{width}x{height}")
}

/// Reads frames of a plate. Not shared between threads: an engine asks for the
/// frames it needs, then works on them in parallel.
pub trait PlateReader: Send {
    /// What is known of the plate.
    fn info(&self) -> &PlateInfo;

    /// Frame `frame` whole, in the size and channels that [`info`](Self::info)
    /// tells.
    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError>;

    /// Tells that `frames` will be read soon, in this order, so that they can
    /// be got ready meanwhile. A reader may ignore it, and frames that are
    /// never read after all cost only time.
    fn prefetch(&mut self, _frames: &[i32]) {}

    /// What the artist should know of the frames read so far; each warning is
    /// given out once.
    fn take_warnings(&mut self) -> Vec<Warning> {
        Vec::new()
    }
}

impl<R: PlateReader + ?Sized> PlateReader for Box<R> {
    fn info(&self) -> &PlateInfo {
        (**self).info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        (**self).read(frame)
    }

    fn prefetch(&mut self, frames: &[i32]) {
        (**self).prefetch(frames);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        (**self).take_warnings()
    }
}

/// Something about a plate that does not stop the work but that the artist
/// should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Samples that are no numbers: made frames have their neighbours' mean there.
    NotFinite {
        /// The frame.
        frame: i32,
        /// Samples that were not a number.
        nan: usize,
        /// Samples that were infinite.
        infinite: usize,
    },
    /// Nothing tells the plate's frame rate.
    NoRate,
    /// A channel has whole numbers that a float does not hold.
    Rounded {
        /// The channel.
        channel: String,
    },
    /// The movie has two moments in each frame.
    Interlaced(PathBuf),
    /// A file has more in it than is used.
    Ignored(String),
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFinite {
                frame,
                nan,
                infinite,
            } => write!(
                f,
                "frame {frame} of the plate has {nan} samples that are not a number and {infinite} that are infinite; made frames have the mean of their neighbours there, frames that are kept as they are keep them"
            ),
            Self::NoRate => write!(
                f,
                "the plate does not name its frame rate; 24 frames a second are assumed"
            ),
            Self::Rounded { channel } => write!(
                f,
                "channel {channel} of the plate has whole numbers of 2^24 and more, which are rounded to what a 32-bit float holds, in kept frames too: take that channel from the plate's own files, or render it with smaller numbers"
            ),
            Self::Interlaced(path) => write!(
                f,
                "{} is interlaced and its fields are taken for whole frames: deinterlace it first",
                path.display()
            ),
            Self::Ignored(what) => f.write_str(what),
        }
    }
}
