//! What a report is: measures of a finished sequence, so that an artist sees where it is
//! weak before a supervisor does.
//!
//! Frames come one at a time and are forgotten: what is held is two frames,
//! two numbers for each sample of a frame, and a reduced plate of at most
//! 64 MB. Pictures of more than [`MOST_PIXELS`] pixels are measured at a whole
//! fraction of their size.

mod against;
mod album;
mod coherence;
mod correspondence;
mod curves;
mod drift;
mod encoded;
mod ghost;
mod grain;
mod measures;
mod movie;
mod page;
mod pass;
mod plate;
mod profile;
mod raster;
mod reference;
mod repetition;
mod rhythm;
mod seams;
mod table;
#[cfg(test)]
mod tests;
mod titles;
mod untouched;

use serde::Serialize;

use crate::device::Cancelled;
use crate::engine::plate::{Camera, Exposure};
use crate::frame::{FrameError, FrameRange, PlateInfo, PlateReader, sides};

pub use album::{Album, Slice};
pub use coherence::Steadiness;
pub use correspondence::{Correspondence, Found};
pub use encoded::Encoded;
pub use ghost::{GhostPlate, Ghosts};
pub use grain::GrainLevel;
pub use measures::{Measures, Verdict};
pub use movie::Movie;
pub use page::Page;
pub use pass::{report, report_to};
pub use profile::{Profile, Profiler};
pub use raster::{Colour, LETTER, Raster};
pub use reference::reference;
pub use rhythm::Line;
pub use seams::Borders;
pub use titles::Titles;

/// Larger pictures are reduced before they are measured.
pub const MOST_PIXELS: usize = 1280 * 720;

/// Which plate index (0 is the plate's first frame) every pixel of an output
/// frame shows, for pictures of the given width and height: `(frame number,
/// width, height)` to indices row by row.
pub type SourceMap<'a> = &'a dyn Fn(i32, usize, usize) -> Vec<i32>;

/// What is to be measured.
pub struct Subject<'a> {
    /// The sequence.
    pub output: &'a mut dyn PlateReader,
    /// What it was made from. Without it only curves are had.
    pub plate: Option<&'a mut dyn PlateReader>,
    /// Where the sequence was made inside a matte: above 0 inside.
    pub matte: Option<&'a mut dyn PlateReader>,
    /// The plate as files like the sequence's hold it, where these hold samples otherwise:
    /// bits are compared with it. Numbered as the plate is.
    pub stored: Option<&'a mut dyn PlateReader>,
    /// The plate frame number that an output frame number must show untouched
    /// (see [`Timeline::kept`](crate::engine::Timeline::kept)).
    pub kept: &'a dyn Fn(i32) -> Option<i32>,
    /// Whether the first frame follows the last.
    pub closed: bool,
    /// Where the pixels come from, if that is known.
    pub source: Option<SourceMap<'a>>,
    /// Where the camera of plate and sequence looks, if its motion was taken out
    /// and put back. Both are then measured as a camera at rest would have taken
    /// them, grain and kept pixels apart.
    pub camera: Option<&'a Camera>,
    /// The exposure of plate and sequence, if its drift was taken out and put back. What
    /// is not the course of the light itself is then measured in one light: mean,
    /// sharpness, deviation, ghosts, seams, switches, what optical flow tells.
    pub exposure: Option<&'a Exposure>,
    /// Where pieces meet that were made apart, as far as that is known.
    pub borders: Borders,
    /// What cannot be measured of it. Where `kept` or `outside` are among that, bits are
    /// not compared.
    pub missing: Vec<Missing>,
}

/// Measures that a report lacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// Fields of [`Measures`].
    pub measures: Vec<String>,
    /// Why, in words for a person.
    pub why: String,
}

impl Missing {
    /// Those that compare bits.
    pub fn bits(why: &str) -> Self {
        Self {
            measures: ["kept", "outside"].map(str::to_owned).to_vec(),
            why: why.to_owned(),
        }
    }
}

impl<'a> Subject<'a> {
    /// A sequence made from `plate`, of which no more is known.
    pub fn of(output: &'a mut dyn PlateReader, plate: Option<&'a mut dyn PlateReader>) -> Self {
        Self {
            output,
            plate,
            matte: None,
            stored: None,
            kept: &|_| None,
            closed: false,
            source: None,
            camera: None,
            exposure: None,
            borders: Borders::default(),
            missing: Vec::new(),
        }
    }

    /// Whether `measure` is said not to be measured.
    pub fn lacks(&self, measure: &str) -> bool {
        let mut all = self.missing.iter().flat_map(|m| &m.measures);
        all.any(|m| m == measure)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "not measured: {} ({})",
            self.measures.join(", "),
            self.why
        )
    }
}

/// Why a sequence could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A frame could not be had.
    #[error(transparent)]
    Frame(FrameError),
    /// Output and plate are not of one size.
    #[error(
        "the sequence is {} pixels and the plate {}: give the plate that the sequence was made from, at the same size",
        sides(.output),
        sides(.plate)
    )]
    Size {
        /// Width and height of the sequence.
        output: (usize, usize),
        /// Width and height of the plate.
        plate: (usize, usize),
    },
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A picture of the report could not be written.
    #[error("{path}: {message}")]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// What happened and what to do.
        message: String,
    },
}

impl From<FrameError> for ReportError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Cancelled(c) => Self::Cancelled(c),
            other => Self::Frame(other),
        }
    }
}

/// The facts of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Number of the first frame.
    pub first: i32,
    /// Number of the last frame.
    pub last: i32,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Frames in a second.
    pub fps: f64,
    /// Samples that are not finite numbers.
    pub not_finite: usize,
}

/// Values frame by frame. Absolute, in the display encoding, where nothing
/// else is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// Step from each frame to the next.
    pub steps: Vec<f64>,
    /// Mean of each frame.
    pub luma: Vec<f64>,
    /// Mean gradient of each frame.
    pub gradients: Vec<f64>,
    /// Share of ghosted blocks of each made frame, with the frame's index.
    pub ghosts: Vec<(usize, f64)>,
    /// Spurious gradient of each frame looked at, per mille, with its index.
    pub spurious: Vec<(usize, f64)>,
    /// Gradient across switches over the plate's at the same places, of each frame
    /// looked at, with its index.
    pub switches: Vec<(usize, f64)>,
    /// Step across each border between blocks of frames over those around it, with the
    /// index of the frame after it.
    pub borders: Vec<(usize, f64)>,
    /// Gradient across each column of neighbours over the plate's, against the columns
    /// beside it.
    pub columns: Vec<f64>,
    /// The same of rows.
    pub rows: Vec<f64>,
    /// Lines at which tiles meet, of the full-size picture, where these are known: the
    /// column behind each.
    pub tile_columns: Vec<f64>,
    /// The row behind each.
    pub tile_rows: Vec<f64>,
    /// Copied share of each half second, with the index of its first frame.
    pub copies: Vec<(usize, f64)>,
    /// Spectrum of the mean of the longest stretch of made frames (of all
    /// frames of a plate): frequency in Hz and share of the variance.
    pub spectrum: Vec<(f64, f64)>,
}

/// What was measured of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version of Longtake that measured.
    pub longtake: &'static str,
    /// What sequence and plate are called; empty where nobody said it.
    pub titles: Titles,
    /// The sequence.
    pub output: Facts,
    /// The plate.
    pub plate: Option<Facts>,
    /// The stretches of frames that were made, all others being the plate's own; `None`
    /// where that is not known.
    pub made: Option<Vec<FrameRange>>,
    /// By what whole number pictures were reduced before they were measured.
    pub reduced_by: usize,
    /// The measures.
    pub measures: Measures,
    /// The measures that have limits, against them.
    pub verdicts: Vec<Verdict>,
    /// The measures that are not there, and why.
    pub missing: Vec<Missing>,
    /// What the second half of the plate measures against its first: what to expect of
    /// footage that nobody made (see [`reference()`]). Only where it was asked for.
    pub reference: Option<Measures>,
    /// Frame by frame, of the output.
    pub curves: Curves,
    /// Frame by frame, of the plate.
    pub plate_curves: Option<Curves>,
}

impl Report {
    /// What the plate's own second half measures where this one does, if that is known.
    pub fn referred(&self, verdict: &Verdict) -> Option<f64> {
        let all = self.reference.as_ref()?.verdicts();
        let same = all.iter().find(|v| v.measure == verdict.measure);
        same.map(|v| v.value)
    }

    /// The report as JSON, for people and scripts.
    pub fn json(&self) -> String {
        // A struct of numbers and strings always serialises.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Sees the frames as they are measured, to draw them.
pub trait Viewer {
    /// A frame of the plate, by its number and its index.
    fn plate(&mut self, frame: i32, index: usize, picture: &Encoded);

    /// A frame of the sequence, by its number and its index. All frames of the
    /// plate come before the first.
    fn output(&mut self, frame: i32, index: usize, picture: &Encoded);
}

/// Sees nothing.
impl Viewer for () {
    fn plate(&mut self, _frame: i32, _index: usize, _picture: &Encoded) {}

    fn output(&mut self, _frame: i32, _index: usize, _picture: &Encoded) {}
}

fn facts(info: &PlateInfo, not_finite: usize) -> Facts {
    Facts {
        first: info.range.first,
        last: info.range.last,
        width: info.width,
        height: info.height,
        fps: info.fps,
        not_finite,
    }
}
