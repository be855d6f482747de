//! How well a plate lends itself to being re-timed, before anybody waits for a
//! render: what is found, and what to do about it.

use serde::{Deserialize, Serialize};

use super::analysis::Analysis;
use super::exposure::Exposure;
use super::features::{Features, NATURAL};
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

/// Judges the frames `range` of an analysed plate, steadied or as they are, and
/// levelled where their exposure is given.
///
/// # Errors
/// Only where the work was asked to stop.
pub fn suitability(
    analysis: &Analysis,
    range: FrameRange,
    steady: bool,
    exposure: Option<&Exposure>,
    task: Task<'_>,
) -> Result<Suitability, EngineError> {
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
        concerns: Vec::new(),
    };
    let mut grave: Vec<(f64, Concern)> = Vec::new();
    if n >= 8 {
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
    grave.push(((2.0 - seconds) / 2.0, Concern::Short));
    let within = |list: &[u32]| {
        let from = (range.first - analysis.info.range.first).max(0) as u32;
        list.iter()
            .filter(|i| (from..from + n as u32).contains(i))
            .count() as f64
            / n as f64
    };
    let same = within(&analysis.duplicates);
    if same > 0.9 {
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
mod tests {
    use super::*;

    use crate::frame::{PlateInfo, Transfer};

    /// A plate of 75 frames whose luma at frame, column, row is `look`.
    fn plate(look: impl Fn(f64, f64, f64) -> f64) -> Suitability {
        let (cols, rows, frames) = (32usize, 24usize, 75usize);
        let mut colour = Vec::new();
        for t in 0..frames {
            for y in 0..rows {
                for x in 0..cols {
                    let v = look(t as f64, x as f64, y as f64);
                    colour.extend([(v * 4096.0) as i16; 3]);
                }
            }
        }
        let analysis = Analysis {
            info: PlateInfo {
                range: FrameRange { first: 1, last: 75 },
                width: cols,
                height: rows,
                full_size: (cols, rows),
                channels: ["R", "G", "B"].map(String::from).to_vec(),
                fps: 25.0,
                transfer: Transfer::Linear,
                pixel_aspect: 1.0,
            },
            cols,
            rows,
            colour,
            matte: Vec::new(),
            fingerprints: Vec::new(),
            duplicates: Vec::new(),
            not_finite: Vec::new(),
            steadied: None,
        };
        let task = Task::quiet();
        suitability(&analysis, analysis.info.range, false, None, task).unwrap()
    }

    fn texture(x: f64, y: f64) -> f64 {
        0.5 + 0.2 * libm::sin(0.9 * x + 0.3 * y) * libm::cos(0.8 * y - 0.2 * x)
    }

    #[test]
    fn the_grade_does_not_contradict_what_stands_in_the_way() {
        let mut s = plate(|t, x, y| texture(x, y) + 0.05 * libm::sin(0.5 * t + x));
        s.score = 0.9;
        s.concerns = vec![Concern::Jumps];
        let says = s.summary();
        assert!(
            says.starts_with("The plate lends itself with care."),
            "{says}"
        );
        s.concerns = vec![Concern::Duplicates];
        let says = s.summary();
        assert!(says.starts_with("The plate lends itself well."), "{says}");
    }

    #[test]
    fn a_plate_that_comes_round_again_lends_itself() {
        let s = plate(|t, x, y| texture(x, y) + 0.05 * libm::sin(0.5 * t + x));
        assert!(s.score > 0.75 && s.concerns.is_empty(), "{s:?}");
    }

    #[test]
    fn a_moving_camera_a_fade_and_a_passer_by_are_told_apart() {
        let pan = plate(|t, x, y| texture(x + 0.25 * t, y + 0.1 * t));
        assert_eq!(pan.concerns.first(), Some(&Concern::Camera), "{pan:?}");
        let fade = plate(|t, x, y| texture(x, y) * (0.3 + 0.02 * t));
        assert!(fade.concerns.contains(&Concern::OneWay), "{fade:?}");
        assert!(!fade.concerns.contains(&Concern::Camera), "{fade:?}");
        assert_eq!(fade.steady_range, None);
        assert!(fade.summary().contains("all along"), "{}", fade.summary());
        let car = plate(|t, x, y| {
            let inside = (x - 0.5 * t + 5.0).abs() < 4.0 && (6.0..18.0).contains(&y);
            if inside { 0.95 } else { texture(x, y) * 0.6 }
        });
        assert!(car.concerns.contains(&Concern::Passing), "{car:?}");
        assert!(car.summary().contains("matte"), "{}", car.summary());
        // A boat among waves, which move in most of the picture.
        let boat = plate(|t, x, y| {
            let inside = (x - t + 20.0).abs() < 3.0 && (11.0..15.0).contains(&y);
            if inside {
                return 0.95;
            }
            0.6 * texture(x, y) + 0.05 * libm::sin(0.5 * t + x)
        });
        assert_eq!(boat.concerns.first(), Some(&Concern::Passing), "{boat:?}");
    }

    #[test]
    fn the_stretch_that_comes_back_is_named() {
        // It grows for a second and a half, then only sways.
        let grown = plate(|t, x, y| {
            let light = 0.3 + 0.7 * (t / 20.0).min(1.0);
            texture(x, y) * light + 0.05 * libm::sin(0.5 * t + x)
        });
        assert_eq!(grown.concerns.first(), Some(&Concern::OneWay), "{grown:?}");
        let range = grown.steady_range.unwrap();
        assert!((10..=24).contains(&range.first), "{range}");
        assert_eq!(range.last, 75);
        let says = grown.summary();
        assert!(says.contains(&format!("frames {range}:")), "{says}");
    }
}
