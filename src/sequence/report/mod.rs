//! Measures of a finished sequence, so that an artist sees where it is weak
//! before a supervisor does.
//!
//! Frames come one at a time and are forgotten: what is held is two frames,
//! two numbers for each sample of a frame, and a reduced plate of at most
//! 64 MB. Pictures of more than [`MOST_PIXELS`] pixels are measured at a whole
//! fraction of their size.

mod album;
mod coherence;
mod correspondence;
mod curves;
mod encoded;
mod ghost;
mod grain;
mod measures;
mod movie;
mod page;
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

use serde::Serialize;

use crate::device::{Cancelled, Task};
use crate::engine::plate::{Camera, Exposure};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Warning, sides};

use coherence::Coherence;
use grain::Grain;
use plate::{Of, Plate, PlateCache, TakenOut};
use repetition::Pairings;
use seams::{LinesInTime, Seams, Steps};

pub use album::{Album, Slice};
pub use coherence::Steadiness;
pub use correspondence::{Correspondence, Found};
pub use encoded::Encoded;
pub use ghost::{GhostPlate, Ghosts};
pub use grain::GrainLevel;
pub use measures::{Measures, Verdict};
pub use movie::Movie;
pub use page::Page;
pub use profile::{Profile, Profiler};
pub use raster::{Colour, LETTER, Raster};
pub use reference::reference;
pub use rhythm::Line;
pub use seams::Borders;

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

impl<'a> Subject<'a> {
    /// A sequence made from `plate`, of which no more is known.
    pub fn of(output: &'a mut dyn PlateReader, plate: Option<&'a mut dyn PlateReader>) -> Self {
        Self {
            output,
            plate,
            matte: None,
            kept: &|_| None,
            closed: false,
            source: None,
            camera: None,
            exposure: None,
            borders: Borders::default(),
            missing: Vec::new(),
        }
    }

    fn lacks(&self, measure: &str) -> bool {
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
    /// The sequence.
    pub output: Facts,
    /// The plate.
    pub plate: Option<Facts>,
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

/// Measures a sequence, see [`report_to`].
pub fn report(subject: &mut Subject<'_>, task: Task<'_>) -> Result<Report, ReportError> {
    report_to(subject, &mut (), task)
}

/// Measures a sequence and shows its frames to `viewer`. Reads each output frame once, each plate frame once
/// and, where the correspondence is given, a few plate frames again for each
/// output frame.
pub fn report_to(
    subject: &mut Subject<'_>,
    viewer: &mut dyn Viewer,
    task: Task<'_>,
) -> Result<Report, ReportError> {
    let info = subject.output.info().clone();
    let factor = reduction(info.width, info.height);
    let taken = TakenOut {
        camera: subject.camera,
        exposure: subject.exposure,
    };
    let mut plate = match &mut subject.plate {
        None => None,
        Some(plate) => {
            let p = plate.info().clone();
            if (p.width, p.height) != (info.width, info.height) {
                return Err(ReportError::Size {
                    output: (info.width, info.height),
                    plate: (p.width, p.height),
                });
            }
            let made = info.range.iter().filter(|&f| (subject.kept)(f).is_none());
            Some(Plate::measure(
                &mut **plate,
                taken,
                factor,
                made.count(),
                viewer,
                task,
            )?)
        }
    };
    let frames: Vec<i32> = info.range.iter().collect();
    let made: Vec<bool> = frames
        .iter()
        .map(|&f| (subject.kept)(f).is_none())
        .collect();
    let first_made = made.iter().position(|&m| m).unwrap_or(0);
    let end_made = made.iter().rposition(|&m| m).map_or(0, |i| i + 1);
    let mut profiler = Profiler::new(made.clone());
    let mut found = plate.as_ref().map(|p| {
        Correspondence::new(
            first_made..end_made,
            info.fps,
            p.profile.luma.len(),
            p.profile.moving.clone(),
        )
    });
    let mut cache = PlateCache::new(factor, taken);
    let mut coherence = Coherence::new(made.clone());
    let mut grain = Grain::new(made.iter().filter(|&&m| m).count());
    let mut colours = Vec::new();
    let mut lines = LinesInTime::new(made.iter().filter(|&&m| m).count());
    let mut coarse = Steps::default();
    let mut pairings = plate.as_ref().map(|p| {
        let width = info.width.div_ceil(factor);
        Pairings::new(info.fps, &p.profile.moving, width)
    });
    let to_the_bit = ["kept", "outside"].map(|name| !subject.lacks(name));
    let mut curves = Curves::default();
    let (mut not_finite, mut not_finite_made) = (0, 0);
    let mut unexplained = 0.0f64;
    let (mut kept, mut outside) = (None::<f64>, None::<f64>);
    for (i, &frame) in frames.iter().enumerate() {
        task.step("Measuring the sequence", i, frames.len())?;
        let picture = subject.output.read(frame)?;
        let (encoded, bad) = Encoded::of(&picture, &info, factor);
        let bad = bad + replaced(&subject.output.take_warnings());
        not_finite += bad;
        if made[i] {
            not_finite_made += bad;
        }
        viewer.output(frame, i, &encoded);
        let seen = taken.seen((Of::Output, i), &picture, encoded, &info, factor);
        let (encoded, level) = (seen.still, seen.level);
        profiler.push(&encoded, &level);
        coarse.push(&encoded);
        let (Some(plate), Some(reader)) = (&mut plate, &mut subject.plate) else {
            continue;
        };
        coherence.push(&level);
        if made[i] {
            grain.push(&picture, &info);
            lines.push(&level);
            colours.push(encoded.channel_means());
            plate.diversity.output(i, &level);
            if let (Some(map), Some(pairings)) = (subject.source, &mut pairings) {
                let (across, down) = Pairings::SIZE;
                pairings.push(i, &map(frame, across, down));
            }
            let seen = plate.ghosts.look(&level);
            unexplained = unexplained.max(seen.unexplained);
            curves.ghosts.push((i, seen.share));
        }
        if let Some(map) = subject.source
            && let Some(found) = &mut found
        {
            let source = map(frame, encoded.width, encoded.height);
            if made[i] {
                plate.lines.show(&source, encoded.width);
            }
            found.push(&level, source, &mut |k| cache.get(&mut **reader, k))?;
        }
        if let Some(number) = (subject.kept)(frame).filter(|_| to_the_bit[0]) {
            let original = reader.read(number)?;
            kept = Some(
                kept.unwrap_or(0.0)
                    .max(difference(&picture, &original, |_| true)),
            );
        }
        if let Some(matte) = subject.matte.as_mut().filter(|_| to_the_bit[1])
            && reader.info().range.contains(frame)
        {
            let original = reader.read(frame)?;
            let matte = matte.read(frame)?;
            let n = matte.channels();
            let free = |i: usize| matte.data().get(i * n).is_some_and(|&m| m <= 0.0);
            outside = Some(
                outside
                    .unwrap_or(0.0)
                    .max(difference(&picture, &original, free)),
            );
        }
    }
    let profile = profiler.finish();
    let mut measures = Measures::default();
    let first = info.range.first;
    curves.borders = coarse.at(&profile.steps, &subject.borders, first, &made);
    if let Some(plate) = &plate {
        let index = |frame: &i32| {
            let number = (subject.kept)(*frame)?;
            usize::try_from(i64::from(number) - i64::from(plate.facts.first)).ok()
        };
        let keeps: Vec<Option<usize>> = frames.iter().map(index).collect();
        measures = Measures::new(&profile, &plate.profile, &keeps, subject.closed);
        measures.drift = drift(&profile, &made, info.fps, plate.profile.mean);
        let coherent = coherence.finish();
        let over = |a: Option<f64>, b: Option<f64>| Some(a? / b.filter(|b| *b > 1e-12)?);
        measures.smoothness = over(coherent.bend, plate.coherent.bend);
        measures.warping_error = over(coherent.warp, plate.coherent.warp);
        measures.motion = over(coherent.motion, plate.coherent.motion);
        let width = info.width.div_ceil(factor);
        measures.steadiness = coherent.steadiness(&plate.coherent, &plate.profile.moving, width);
        measures.plate_colour_drift =
            own_colour_drift(&plate.colours, info.fps, plate.profile.mean);
        // The longest stretch that nobody kept, as for the spectrum.
        measures.flicker = profile::flicker(&profile.luma[longest(&made)]);
        measures.plate_flicker = profile::flicker(&plate.profile.luma);
        measures.colour_drift = colour_drift(&colours, info.fps, plate.profile.mean);
        (measures.grain, measures.grain_levels) = grain.over(&plate.grain);
        measures.nnfdiv = plate.diversity.finish();
        if let (Some(_), Some(pairings)) = (subject.source, pairings) {
            (measures.pairings_back, measures.jumps_back) = pairings.finish();
        }
        // The longest stretch of made frames: a spectrum wants one without gaps.
        let stretch = longest(&made);
        let steps = stretch.start..stretch.end.saturating_sub(1).max(stretch.start);
        let own = &plate.profile;
        measures.set_rhythm(
            rhythm::rhythm(&profile.luma[stretch], &own.luma, info.fps),
            rhythm::rhythm(&profile.steps[steps], &own.steps, info.fps),
        );
        let n = curves.ghosts.len().max(1) as f64;
        measures.ghosts = Some(1000.0 * curves.ghosts.iter().map(|g| g.1).sum::<f64>() / n);
        measures.ghosts_worst = Some(1000.0 * curves.ghosts.iter().fold(0.0, |m, g| g.1.max(m)));
        measures.unexplained_worst = Some(1000.0 * unexplained);
        if let Some(seams) = Seams::of(&lines, &plate.lines) {
            measures.set_lines(&seams, &subject.borders, factor);
            (curves.columns, curves.rows) = (seams.columns, seams.rows);
            curves.tile_columns = subject.borders.columns.clone();
            curves.tile_rows = subject.borders.rows.clone();
        }
        measures.kept = kept;
        measures.outside = outside;
        measures.not_finite = Some(not_finite_made as f64);
        measures.within = subject.matte.is_some();
        if subject.source.is_some()
            && let Some(found) = found
        {
            let found = found.finish();
            measures.add(&found);
            curves.switches = found.switches_at;
            curves.spurious = found.spurious_at;
            curves.copies = found.copies;
        }
    }
    measures.set_borders(&curves.borders);
    curves.spectrum = rhythm::spectrum(&profile.luma[longest(&made)], info.fps);
    curves.steps = profile.steps;
    curves.luma = profile.luma;
    curves.gradients = profile.gradients;
    Ok(Report {
        output: facts(&info, not_finite),
        reduced_by: factor,
        verdicts: measures.verdicts(),
        missing: subject.missing.clone(),
        reference: None,
        measures,
        curves,
        plate_curves: plate.as_ref().map(|p| Curves {
            steps: p.profile.steps.clone(),
            luma: p.profile.luma.clone(),
            gradients: p.profile.gradients.clone(),
            spectrum: rhythm::spectrum(&p.profile.luma, p.facts.fps),
            ..Curves::default()
        }),
        plate: plate.map(|p| p.facts),
    })
}

/// Samples that a reader replaced because they are no finite numbers.
fn replaced(warnings: &[Warning]) -> usize {
    let count = |w: &Warning| match w {
        Warning::NotFinite { nan, infinite, .. } => nan + infinite,
        _ => 0,
    };
    warnings.iter().map(count).sum()
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

/// The smallest whole number by which a picture must be reduced to be
/// measured.
fn reduction(width: usize, height: usize) -> usize {
    let mut factor = 1;
    while width.div_ceil(factor) * height.div_ceil(factor) > MOST_PIXELS {
        factor += 1;
    }
    factor
}

/// Largest absolute difference of any sample of the pixels that `which`
/// picks by their place; samples of equal bits differ by 0, and a picture of
/// another shape or a sample that is no number differs by infinity.
fn difference(a: &Picture, b: &Picture, which: impl Fn(usize) -> bool) -> f64 {
    let n = a.channels();
    if (a.width(), a.height(), n) != (b.width(), b.height(), b.channels()) {
        return f64::INFINITY;
    }
    let mut worst = 0.0f64;
    for (i, (a, b)) in a
        .data()
        .chunks_exact(n)
        .zip(b.data().chunks_exact(n))
        .enumerate()
    {
        if which(i) {
            for (a, b) in a.iter().zip(b) {
                if a.to_bits() != b.to_bits() {
                    let d = f64::from((a - b).abs());
                    worst = worst.max(if d.is_finite() { d } else { f64::INFINITY });
                }
            }
        }
    }
    worst
}

/// Largest difference of any channel's mean over a second from that over the
/// first, over `unit`.
fn colour_drift(means: &[[f64; 3]], fps: f64, unit: f64) -> Option<f64> {
    let second = (fps.round() as usize).max(1);
    let mean = |s: &[[f64; 3]], c: usize| profile::mean(s.iter().map(|m| m[c]));
    let first = means.chunks_exact(second).next()?;
    let furthest = means
        .chunks_exact(second)
        .flat_map(|s| (0..3).map(move |c| (mean(s, c) - mean(first, c)).abs()))
        .fold(0.0, f64::max);
    (unit > 0.0).then(|| furthest / unit)
}

/// The largest difference of any channel's mean over one second of a plate from that over
/// another, over `unit`.
fn own_colour_drift(means: &[[f64; 3]], fps: f64, unit: f64) -> Option<f64> {
    let second = (fps.round() as usize).max(1);
    let channels = (0..3).filter_map(|c| {
        let of: Vec<f64> = means.iter().map(|m| m[c]).collect();
        profile::least_and_most(&of, second).map(|[least, most]| most - least)
    });
    let furthest = channels.reduce(f64::max)?;
    (unit > 0.0).then(|| furthest / unit)
}

/// The longest run of marked places.
fn longest(marked: &[bool]) -> std::ops::Range<usize> {
    let mut best = 0..0;
    let mut start = 0;
    for i in 0..=marked.len() {
        if marked.get(i) != Some(&true) {
            if i - start > best.len() {
                best = start..i;
            }
            start = i + 1;
        }
    }
    best
}

/// Largest difference of a second's mean from the mean of the first made
/// second, over `unit`.
fn drift(profile: &Profile, made: &[bool], fps: f64, unit: f64) -> Option<f64> {
    let lumas: Vec<f64> = profile
        .luma
        .iter()
        .zip(made)
        .filter(|m| *m.1)
        .map(|m| *m.0)
        .collect();
    let second = (fps.round() as usize).max(1);
    let means: Vec<f64> = lumas
        .chunks_exact(second)
        .map(|s| profile::mean(s.iter().copied()))
        .collect();
    let first = *means.first()?;
    (unit > 0.0).then(|| {
        means
            .iter()
            .map(|m| (m - first).abs() / unit)
            .fold(0.0, f64::max)
    })
}
