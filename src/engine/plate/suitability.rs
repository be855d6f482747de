//! How well a plate lends itself to being re-timed, before anybody waits for a
//! render: what is found, and what to do about it.

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

/// Something about a plate that stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Concern {
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
            Some(Concern::OneWay) if let Some(range) = self.steady_range => format!(
                "{grade} The plate changes one way and does not come back, but for frames \
                 {range}: set the plate range to these, or expect visible resets."
            ),
            Some(c) => format!("{grade} {}", c.advice()),
        }
    }
}

/// Rows of the grid that this is judged on.
const ROWS: usize = 24;

/// Where a plate begins to be one that does not come back, see
/// [`Suitability::one_way`].
const ONE_WAY: f64 = 1.5;

/// Share of [`Suitability::passing`] from which something passes: of water, flames,
/// flags and steam it is at most .013, of a boat that crosses a lake .21.
const PASSING: f64 = 0.1;

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
        one_way: 1.0,
        steady_range: None,
        passing: 0.0,
        hidden: 0.0,
        concerns: Vec::new(),
    };
    let mut grave: Vec<(f64, Concern)> = Vec::new();
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
                first: range.first + r.start as i32,
                last: range.first + r.end as i32 - 1,
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

/// Shift of the whole picture from frame to frame, of its height, where it is
/// liveliest: the
/// shift that explains the change of each block best (Lucas and Kanade, 1981),
/// the median over blocks, so that a locked-off camera before moving water has
/// none.
fn camera(f: &Features) -> f64 {
    let cells = f.cells();
    if f.frames < 2 || f.cols < 8 || f.rows < 8 {
        return 0.0;
    }
    let at = |t: usize, x: usize, y: usize| f64::from(f.luma[t * cells + y * f.cols + x]);
    // Several frames apart, so that slow moves are told from noise.
    let apart = (f.frames / 8).clamp(1, 4);
    let mut shifts = Vec::new();
    let mut t = 0;
    while t + apart < f.frames {
        let (mut us, mut vs) = (Vec::new(), Vec::new());
        for by in (1..f.rows - 5).step_by(4) {
            for bx in (1..f.cols - 5).step_by(4) {
                let (mut xx, mut xy, mut yy, mut xt, mut yt) = (0.0, 0.0, 0.0, 0.0, 0.0);
                for y in by..by + 5 {
                    for x in bx..bx + 5 {
                        if x + 1 >= f.cols || y + 1 >= f.rows {
                            continue;
                        }
                        let both = |x: usize, y: usize| at(t, x, y) + at(t + apart, x, y);
                        let gx = (both(x + 1, y) - both(x - 1, y)) / 4.0;
                        let gy = (both(x, y + 1) - both(x, y - 1)) / 4.0;
                        let d = at(t + apart, x, y) - at(t, x, y);
                        xx += gx * gx;
                        xy += gx * gy;
                        yy += gy * gy;
                        xt += gx * d;
                        yt += gy * d;
                    }
                }
                // Blocks without corners say nothing of the camera.
                let det = xx * yy - xy * xy;
                let trace = xx + yy;
                if det > 0.02 * trace * trace && trace > 25.0 * 60.0 * 60.0 {
                    us.push(-(yy * xt - xy * yt) / det);
                    vs.push(-(xx * yt - xy * xt) / det);
                }
            }
        }
        if us.len() >= 6 {
            let middle = |v: &mut Vec<f64>| {
                v.sort_by(f64::total_cmp);
                v[v.len() / 2]
            };
            let pairs: Vec<(f64, f64)> = us.iter().copied().zip(vs.iter().copied()).collect();
            let (u, v) = (middle(&mut us), middle(&mut vs));
            let shift = libm::sqrt(u * u + v * v);
            // A camera moves all blocks alike; a flame does not.
            let with = |p: &&(f64, f64)| {
                let (a, b) = (p.0 - u, p.1 - v);
                libm::sqrt(a * a + b * b) < 0.4 * shift
            };
            let alike = pairs.iter().filter(with).count() * 5 >= pairs.len() * 3;
            shifts.push(if alike { shift / apart as f64 } else { 0.0 });
        }
        t += apart;
    }
    // The liveliest fifth: a camera may move for a moment only.
    shifts.sort_by(|a, b| b.total_cmp(a));
    shifts.truncate(shifts.len().div_ceil(5));
    let mean = shifts.iter().sum::<f64>() / shifts.len().max(1) as f64;
    mean / f.rows as f64
}

/// How the distance of frames grows with their distance in time: the mean
/// difference of the first and the last sixth of the frames `of` the plate over the
/// mean difference of frames at most a sixth apart.
fn one_way(f: &Features, of: std::ops::Range<usize>) -> f64 {
    let n = of.len();
    let part = (n / 6).max(1);
    let cells = f.cells();
    let apart = |a: usize, b: usize| -> f64 {
        let (a, b) = (
            &f.luma[(of.start + a) * cells..],
            &f.luma[(of.start + b) * cells..],
        );
        (0..cells)
            .map(|c| f64::from((i32::from(a[c]) - i32::from(b[c])).abs()))
            .sum()
    };
    let step = (part / 6).max(1);
    let (mut ends, mut m) = (0.0, 0.0);
    for a in (0..part).step_by(step) {
        for b in (n - part..n).step_by(step) {
            ends += apart(a, b);
            m += 1.0;
        }
    }
    ends /= m;
    // Several distances, since what swings may be back after one of them.
    let near = [1, 2, 3, 4]
        .map(|k| {
            let lag = (part * k / 4).max(1);
            let starts = (0..n - lag).step_by(step);
            let m = starts.len() as f64;
            starts.map(|a| apart(a, a + lag)).sum::<f64>() / m
        })
        .into_iter()
        .fold(0.0, f64::max);
    if near < 1.0 { 1.0 } else { ends / near }
}

/// The longest stretch of a plate that changes one way, of two seconds and more, that
/// comes back; of equally long ones that which does so most.
fn steadiest(f: &Features, fps: f64) -> Option<std::ops::Range<usize>> {
    let n = f.frames;
    let least = (libm::rint(2.0 * fps) as usize).max(12);
    // Tenths of the plate are told apart.
    let step = (n / 10).max(1);
    let mut length = n.saturating_sub(step);
    while length >= least {
        let starts = (0..n - length).step_by(step).chain([n - length]);
        let best = starts
            .map(|s| (one_way(f, s..s + length), s))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|b| b.0 < ONE_WAY);
        if let Some((_, start)) = best {
            return Some(start..start + length);
        }
        length = if length > least {
            length.saturating_sub(step).max(least)
        } else {
            0
        };
    }
    None
}

/// Share of the moving cells that mostly rest and depart from rest once, far
/// and for a while: what passes through, in contrast to what plays. Of a plate that
/// changes `one_way`, what is away at an end of it is a part of that change.
fn passing(f: &Features, fps: f64, one_way: bool) -> f64 {
    let cells = f.cells();
    let n = f.frames;
    let (mut once, mut moving) = (0usize, 0usize);
    let mut values = vec![0i32; n];
    for c in 0..cells {
        for t in 0..n {
            values[t] = i32::from(f.luma[t * cells + c]);
        }
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let rest = sorted[n / 2];
        let reach = (sorted[n - 1] - rest).max(rest - sorted[0]);
        if reach < 160 {
            continue;
        }
        moving += 1;
        let away: Vec<bool> = values
            .iter()
            .map(|v| (v - rest).abs() * 3 > reach)
            .collect();
        let visits = away.chunk_by(|a, b| a == b).filter(|r| r[0]).count();
        let long = away.iter().filter(|a| **a).count();
        let at_end = away[0] || away[n - 1];
        if visits == 1 && !(one_way && at_end) && long as f64 > 0.12 * fps && long * 2 < n {
            once += 1;
        }
    }
    if moving * 50 < cells {
        0.0
    } else {
        once as f64 / moving as f64
    }
}

#[cfg(test)]
mod tests;
