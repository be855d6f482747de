//! How well a plate lends itself to being re-timed, before anybody waits for a
//! render: what is found, and what to do about it.

mod camera;
mod cuts;
mod one_way;
mod passing;

use serde::{Deserialize, Serialize};

use super::analysis::Analysis;
use super::edit_list::EditList;
use super::exposure::Exposure;
use super::features::{Features, NATURAL};
use super::fill::never_left;
use super::jumps::Jumps;
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::engine::EngineError;
use crate::frame::FrameRange;
use camera::camera;
use cuts::{cuts, longest_shot};
use one_way::{ONE_WAY, one_way, steadiest};
use passing::{PASSING, passing};

/// Something about a plate that stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Concern {
    /// The plate is of more than one shot.
    Cuts,
    /// Fewer than two seconds of frames.
    Short,
    /// The whole picture moves: the camera is not locked off.
    Camera,
    /// What happens does not happen again: growth, a sunset, a fade.
    OneWay,
    /// Something large passes through once: people, cars.
    Passing,
    /// No frame follows another well; changes will be seen.
    Jumps,
    /// Frames are repeated: footage of a lower rate.
    Duplicates,
    /// Some values are not finite.
    NotFinite,
    /// Nothing moves.
    Still,
    /// What the matte of a fill covers is never seen.
    Hidden,
}

impl Concern {
    /// Whether it is about what the plate shows, not about its files.
    fn is_of_motion(self) -> bool {
        !matches!(self, Self::Duplicates | Self::NotFinite)
    }

    /// What was found and what to do, in a sentence for the artist.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Cuts => "The plate cuts to another shot: set the plate range to one of them.",
            Self::Short => {
                "The plate is short: a handle of three seconds or more gives better and more varied changes."
            }
            Self::Camera => {
                "The camera moves: stabilise the plate first and put the move back afterwards."
            }
            Self::OneWay => {
                "The plate changes one way all along and does not come back: resets will be seen, the smaller the shorter the plate range is; try two seconds at the end that goes on."
            }
            Self::Passing => {
                "Something large passes through: matte it out (fill), or give a stretch without it."
            }
            Self::Jumps => {
                "No two moments of the plate follow each other well: give a longer handle, or a mask for what must move as one."
            }
            Self::Duplicates => {
                "Some frames repeat the one before: remove them, or set the plate to its true frame rate."
            }
            Self::NotFinite => {
                "Some frames hold values that are not finite (NaN or infinity): they are ignored in decisions but kept in pixels; repair them before the render."
            }
            Self::Still => "Nothing moves in the plate: a held frame would do.",
            Self::Hidden => {
                "The matte never leaves some places, or for a moment only, so the plate does not show what is behind and they stay as they are: tighten the matte (its alpha counts, where it has one), give a longer plate, or fill with the wan engine."
            }
        }
    }
}

/// How well a plate lends itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suitability {
    /// From 0 (not at all) to 1 (as made for it).
    pub score: f64,
    /// The typical best jump over the plate's own step: below 1.5 is unseen,
    /// above 3 is seen.
    pub jump: f64,
    /// Shift of the whole picture from frame to frame where it is liveliest, of
    /// its height; what is left of it where the plate is steadied.
    pub camera: f64,
    /// How far the camera goes from where it looks in the mean, of the picture's
    /// height, where that is taken out and put back; else 0.
    pub steadied: f64,
    /// How much more light the plate's brightest exposure has than its darkest, as a
    /// share of that, where a drift is taken out and put back; else 0.
    pub levelled: f64,
    /// The frames that begin another shot.
    #[serde(default)]
    pub cuts: Vec<i32>,
    /// The longest shot of a plate that has several.
    #[serde(default)]
    pub longest_shot: Option<FrameRange>,
    /// How much farther apart the ends of the plate are than its frames are in
    /// general; 1 for a plate that comes back.
    pub one_way: f64,
    /// The longest stretch that comes back, of a plate that changes one way; none
    /// where it does so all along.
    #[serde(default)]
    pub steady_range: Option<FrameRange>,
    /// Share of the moving cells whose greatest event happens only once.
    pub passing: f64,
    /// Share of what the matte of a fill covers at some time that it never leaves, or for
    /// a moment only; 0 where nothing is filled.
    #[serde(default)]
    pub hidden: f64,
    /// What stands in the way, the gravest first.
    pub concerns: Vec<Concern>,
}

impl Suitability {
    /// One sentence for a status line.
    pub fn summary(&self) -> String {
        // With a reservation about the motion itself, "well" would contradict it.
        let plain = self.concerns.iter().all(|c| !c.is_of_motion());
        let grade = match self.score {
            s if s >= 0.75 && plain => "The plate lends itself well.",
            s if s >= 0.45 => "The plate lends itself with care.",
            _ => "The plate does not lend itself well.",
        };
        match self.concerns.first() {
            None if self.steadied > 0.0 || self.levelled > 0.0 => {
                let what = match (self.steadied > 0.0, self.levelled > 0.0) {
                    (true, true) => "Its camera moves and its exposure drifts: both are",
                    (true, false) => "Its camera moves: that is",
                    _ => "Its exposure drifts: that is",
                };
                format!("{grade} {what} taken out first and put back on what is made.")
            }
            None => grade.to_owned(),
            Some(Concern::Cuts) if let Some(range) = self.longest_shot => {
                let named = self.cuts.iter().take(NAMED).map(i32::to_string);
                let mut cuts = named.collect::<Vec<_>>().join(", ");
                if self.cuts.len() > NAMED {
                    cuts += &format!(" and {} more", self.cuts.len() - NAMED);
                }
                format!(
                    "{grade} It cuts to another shot at frame {cuts}: set the plate range to one \
                     shot; the longest is {range}."
                )
            }
            Some(Concern::OneWay) if let Some(range) = self.steady_range => format!(
                "{grade} The plate changes one way and does not come back, but for frames \
                 {range}: set the plate range to these, or expect visible resets."
            ),
            Some(c) => format!("{grade} {}", c.advice()),
        }
    }
}

/// Cuts that a sentence names.
const NAMED: usize = 3;

/// Rows of the grid that this is judged on.
const ROWS: usize = 24;

/// What is done with a plate that is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use<'a> {
    /// Whether its camera's motion is taken out.
    pub steadied: bool,
    /// Its exposure, where that is levelled.
    pub exposure: Option<&'a Exposure>,
    /// Whether only what its matte covers is made.
    pub filled: bool,
}

impl<'a> Use<'a> {
    /// What `edit` does with its plate.
    pub fn of(edit: &'a EditList) -> Self {
        Self {
            steadied: edit.camera.is_some(),
            exposure: edit.exposure.as_ref(),
            filled: edit.matted,
        }
    }
}

/// Judges the frames `range` of an analysed plate for a `purpose`.
///
/// # Errors
/// Only where the work was asked to stop.
pub fn suitability(
    analysis: &Analysis,
    range: FrameRange,
    purpose: Use<'_>,
    task: Task<'_>,
) -> Result<Suitability, EngineError> {
    let (steady, exposure) = (purpose.steadied, purpose.exposure);
    let level = exposure.map(|e| analysis.levelled(e, range, steady));
    let analysis = level.as_ref().unwrap_or(analysis);
    let fps = analysis.info.fps.clamp(1.0, 1000.0);
    let range = range
        .intersection(&analysis.info.range)
        .unwrap_or(analysis.info.range);
    let steadied = analysis.steadied.as_ref().filter(|_| steady);
    let f = Features::coarser(analysis, range, ROWS, steadied.is_some());
    let n = f.frames;
    let camera = camera(&f);
    let mut s = Suitability {
        score: 1.0,
        jump: 0.0,
        camera,
        steadied: steadied.map_or(0.0, |s| s.travel),
        levelled: exposure.map_or(0.0, Exposure::span),
        cuts: Vec::new(),
        longest_shot: None,
        one_way: 1.0,
        steady_range: None,
        passing: 0.0,
        hidden: 0.0,
        concerns: Vec::new(),
    };
    let mut grave: Vec<(f64, Concern)> = Vec::new();
    let frame = |t: usize| range.first + t as i32;
    let starts = cuts(&f);
    if !starts.is_empty() {
        let shot = longest_shot(&starts, n);
        s.longest_shot = Some(FrameRange {
            first: frame(shot.start),
            last: frame(shot.end) - 1,
        });
        s.cuts = starts.into_iter().map(frame).collect();
        grave.push((f64::INFINITY, Concern::Cuts));
    }
    if purpose.filled {
        // The rest of the picture stays as it is, whatever happens there.
        s.hidden = hidden(analysis, range, steady);
        grave.push((2.0 * s.hidden, Concern::Hidden));
    } else if n >= 8 {
        let window = (libm::rint(0.9 * fps) as usize)
            .clamp(4, (n / 3).max(4))
            .min(n - 2);
        let jumps = Jumps::new(&f, window, fps, &[], None, Choice::Cpu, task)?;
        s.jump = libm::sqrt(jumps.natural / f64::from(NATURAL));
        s.one_way = one_way(&f, 0..n);
        task.check()?;
        if s.one_way > ONE_WAY {
            s.steady_range = steadiest(&f, fps).map(|r| FrameRange {
                first: frame(r.start),
                last: frame(r.end) - 1,
            });
        }
        s.passing = passing(&f, fps, s.one_way > ONE_WAY);
        grave.push(((s.jump - 1.6) / 2.0, Concern::Jumps));
        grave.push(((s.one_way - ONE_WAY) / 1.5, Concern::OneWay));
        grave.push(((s.passing - PASSING) * 3.0, Concern::Passing));
    }
    grave.push(((camera - 0.002) / 0.006, Concern::Camera));
    let seconds = n as f64 / fps;
    if !purpose.filled {
        grave.push(((2.0 - seconds) / 2.0, Concern::Short));
    }
    let within = |list: &[u32]| {
        let from = (range.first - analysis.info.range.first).max(0) as u32;
        list.iter()
            .filter(|i| (from..from + n as u32).contains(i))
            .count() as f64
            / n as f64
    };
    let same = within(&analysis.duplicates);
    if same > 0.9 && !purpose.filled {
        grave.push((0.9, Concern::Still));
    } else {
        grave.push(((same - 0.05).min(0.3), Concern::Duplicates));
    }
    grave.push((within(&analysis.not_finite).min(0.2), Concern::NotFinite));
    grave.retain(|g| g.0 > 0.0);
    grave.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (weight, _) in &grave {
        s.score *= 1.0 - weight.min(0.8);
    }
    s.concerns = grave.into_iter().map(|g| g.1).collect();
    Ok(s)
}

/// The share of [`Suitability::hidden`], of the frames `range`.
fn hidden(analysis: &Analysis, range: FrameRange, steady: bool) -> f64 {
    let cells = analysis.cells();
    let first = (range.first - analysis.info.range.first).max(0) as usize * cells;
    let matte = analysis.matte(steady);
    matte
        .get(first..first + range.count() * cells)
        .map_or(0.0, |matte| never_left(matte, analysis.cols, analysis.rows))
}

#[cfg(test)]
mod tests;
