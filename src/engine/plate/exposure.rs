//! Plates whose exposure or white balance drifts: the drift is found, channel by
//! channel, taken out before anything is decided, and put back on what is made.
//!
//! A drift is slow, and shared by the whole picture: the median over cells of how
//! much more light than usual each has, smoothed in time. What only a part of the
//! picture does, a flame or a cloud, is no drift. As with the camera, a pixel of the
//! output is read from the plate once, by the exposure of its output frame over that
//! of its plate frame; where both are one it is the plate's own bits.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::analysis::Analysis;
use super::cells::UNIT;
use super::steadied::Steadied;
use crate::device::install;
use crate::engine::{Span, Timeline};
use crate::frame::{FrameRange, Picture, PlateInfo, Transfer, to_display, to_linear};

/// What is slower than this is drift, in seconds (deviation of a Gaussian).
const SLOW: f64 = 0.2;
/// Time in which a drift that goes on comes to rest, as a damped spring does, in
/// seconds.
const REST: f64 = 0.7;
/// Time over which it leaves the plate's own course, in seconds: the frames next to
/// a kept one are the plate's, too, as a rule.
const LEAVES: f64 = 0.5;
/// Time in which the exposure then comes back to the plate's mean, in seconds
/// (deviation of a Gaussian): a long take is as bright as its plate.
const HOME: f64 = 2.0;
/// How far an exposure must drift to count, and what can be told from nothing, as
/// natural logarithms of light.
const DRIFTS: f64 = 0.06;
const TOLD: f64 = 0.005;
/// Areas across and down that are asked whether they drift alike, the share of them
/// that must, and the share of the drift (of its squares) that must be gone from an
/// area once the picture's is taken out.
const AREAS: (usize, usize) = (4, 3);
const ALIKE: f64 = 0.75;
const EXPLAINED: f64 = 0.5;
/// Cells that an area must have to be asked.
const FEWEST: usize = 12;
/// Median light of a cell that tells anything, and the encoded value above which a
/// display-referred one may be clipped.
const DARKEST: f64 = 0.004;
const CLIPPED: f32 = 0.97;

/// When a plate is levelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Where its exposure drifts, all over the picture alike.
    #[default]
    Auto,
    /// Wherever any drift is found.
    On,
    /// Never.
    Off,
}

/// The exposure of frames: their red, green and blue light over that of the plate in the
/// mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Of each plate frame.
    pub plate: Vec<[f32; 3]>,
    /// Of each output frame.
    pub out: Vec<[f32; 3]>,
}

impl Exposure {
    /// That of the plate frames and the output frames of `timeline`, if the plate is
    /// to be levelled; the cells of `analysis` as they are or steadied.
    pub(super) fn of(
        analysis: &Analysis,
        timeline: &Timeline,
        level: Level,
        steady: bool,
    ) -> Option<Self> {
        let fps = analysis.info.fps.clamp(1.0, 1000.0);
        if level == Level::Off {
            return None;
        }
        // The picture's light, and each channel by itself: a white balance may drift
        // where the exposure does not.
        let drift = |of| Drift::of(analysis, timeline.plate, steady, fps, of);
        let whole = drift(Of::Light)?;
        let channels = [0, 1, 2].map(|c| drift(Of::Channel(c)));
        let all = channels.iter().flatten().chain([&whole]);
        let counts = |d: &Drift| match level {
            Level::Auto => d.span() >= DRIFTS && d.alike >= ALIKE,
            _ => d.span() >= TOLD,
        };
        if !all.into_iter().any(counts) {
            return None;
        }
        // A channel that cannot be told by itself, as one that is all dark, goes with
        // the picture.
        let slow = channels.map(|own| match own {
            Some(own) if own.alike >= ALIKE || level == Level::On => own.slow,
            _ if counts(&whole) => whole.slow.clone(),
            _ => vec![0.0; whole.slow.len()],
        });
        let light = |logs: [Vec<f64>; 3]| {
            let at = |i: usize| [0, 1, 2].map(|c| libm::exp(logs[c][i]) as f32);
            (0..logs[0].len()).map(at).collect()
        };
        Some(Self {
            out: light([0, 1, 2].map(|c| course(&slow[c], timeline, fps))),
            plate: light(slow),
        })
    }

    /// How much more light the brightest exposure of the plate has than the darkest, as
    /// a share of that, in the channel that drifts most.
    pub fn span(&self) -> f64 {
        let of = |c: usize| {
            let most = self.plate.iter().map(|p| p[c]).fold(f32::MIN, f32::max);
            let least = self.plate.iter().map(|p| p[c]).fold(f32::MAX, f32::min);
            f64::from((most / least.max(1e-6) - 1.0).max(0.0))
        };
        (0..3).map(of).fold(0.0, f64::max)
    }

    /// What the light of plate index `index` is multiplied by in output index `t`.
    pub(super) fn gain(&self, index: i32, t: i32) -> [f32; 3] {
        let of = |list: &[[f32; 3]], i: i32| {
            let last = list.len().saturating_sub(1) as i32;
            let at = list.get(i.clamp(0, last) as usize);
            at.copied().unwrap_or([1.0; 3])
        };
        over(of(&self.out, t), of(&self.plate, index))
    }

    /// What the light of plate index `lender` is multiplied by where it stands for what
    /// plate index `own` would have shown.
    pub(super) fn between(&self, lender: usize, own: usize) -> [f32; 3] {
        match (self.plate.get(own), self.plate.get(lender)) {
            (Some(own), Some(lender)) => over(*own, *lender),
            _ => [1.0; 3],
        }
    }

    /// `picture`, plate index `index` of a plate like `info`, in the plate's mean light;
    /// itself where it has that.
    pub fn level_plate(
        &self,
        picture: &Arc<Picture>,
        index: usize,
        info: &PlateInfo,
    ) -> Arc<Picture> {
        lit(picture.clone(), inverse(self.plate.get(index)), info)
    }

    /// The same of `picture`, which is output index `t`.
    pub fn level_output(&self, picture: &Arc<Picture>, t: usize, info: &PlateInfo) -> Arc<Picture> {
        lit(picture.clone(), inverse(self.out.get(t)), info)
    }

    /// `cells` of plate index `index` in the perceptual encoding, levelled.
    pub(super) fn level(&self, cells: &[i16], index: i32, transfer: Transfer) -> Vec<i16> {
        let gain = inverse(self.plate.get(index.max(0) as usize));
        cells
            .iter()
            .zip(gain.iter().cycle())
            .map(|(&c, gain)| {
                let light = light(f32::from(c) / UNIT, transfer) * gain;
                let e = encoded(light, transfer) * UNIT;
                e.round().clamp(-32_767.0, 32_767.0) as i16
            })
            .collect()
    }
}

fn over(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [0, 1, 2].map(|c| a[c] / b[c])
}

/// What levels a frame of this exposure.
fn inverse(exposure: Option<&[f32; 3]>) -> [f32; 3] {
    exposure.map_or([1.0; 3], |of| over([1.0; 3], *of))
}

impl Analysis {
    /// The same of a plate whose frames `range` were levelled, as decisions are made on it:
    /// of its cells and matte those as they are or steadied, and nothing of the other.
    pub fn levelled(&self, exposure: &Exposure, range: FrameRange, steady: bool) -> Self {
        let first = range.first - self.info.range.first;
        let (width, transfer) = (self.cells() * 3, self.info.transfer);
        let mut colour = self.colour(steady).to_vec();
        install(|| {
            let frames = colour.par_chunks_exact_mut(width).enumerate();
            frames.for_each(|(i, cells)| {
                let index = i as i32 - first;
                if (0..exposure.plate.len() as i32).contains(&index) {
                    cells.copy_from_slice(&exposure.level(cells, index, transfer));
                }
            });
        });
        let matte = self.matte(steady).to_vec();
        let (plain, steadied) = match &self.steadied {
            Some(s) if steady => {
                let steadied = Steadied {
                    poses: s.poses.clone(),
                    travel: s.travel,
                    colour,
                    matte,
                };
                (Default::default(), Some(steadied))
            }
            _ => ((colour, matte), None),
        };
        Self {
            info: self.info.clone(),
            cols: self.cols,
            rows: self.rows,
            colour: plain.0,
            matte: plain.1,
            fingerprints: self.fingerprints.clone(),
            duplicates: self.duplicates.clone(),
            not_finite: self.not_finite.clone(),
            steadied,
        }
    }
}

/// `picture`, of a plate like `info`, in `gain` times the light, red, green and blue;
/// itself where that is one. Grey goes with green. Alpha and channels that are no colour
/// stay.
pub(super) fn lit(picture: Arc<Picture>, gain: [f32; 3], info: &PlateInfo) -> Arc<Picture> {
    let channels = picture.channels();
    let mut colour: Vec<(usize, Gain)> = ["R", "G", "B"]
        .iter()
        .zip(gain)
        .filter_map(|(name, gain)| Some((info.channel(name)?, gain)))
        .map(|(c, gain)| (c, Gain::of(gain, info.transfer)))
        .collect();
    if colour.is_empty() {
        let grey = info.channel("Y").unwrap_or(0);
        colour.push((grey, Gain::of(gain[1], info.transfer)));
    }
    // Names of things have no light.
    let ids = info.id_channels();
    colour.retain(|(c, gain)| *c < channels && gain.light != 1.0 && !ids.contains(c));
    if colour.is_empty() {
        return picture;
    }
    let mut made = Picture::clone(&picture);
    let row = made.width() * channels;
    if row > 0 {
        install(|| {
            made.data_mut().par_chunks_mut(row).for_each(|row| {
                for pixel in row.chunks_exact_mut(channels) {
                    for (c, gain) in &colour {
                        pixel[*c] = gain.of_value(pixel[*c]);
                    }
                }
            });
        });
    }
    Arc::new(made)
}

/// A gain in light as it works on samples. On the sRGB curve (IEC 61966-2-1), whose
/// upper part is `1.055 l^(1/2.4) - .055`, it is a gain in `e + .055`, and on the straight
/// part below one in `e`: only samples that go from the one to the other take the way
/// through light.
struct Gain {
    light: f32,
    /// What `e + .055` is multiplied by; none of a linear plate.
    encoded: Option<f32>,
    /// Values up to this stay on the straight part; values from `high` on stay off it.
    low: f32,
    high: f32,
}

impl Gain {
    fn of(light: f32, transfer: Transfer) -> Self {
        let knee = to_linear(KNEE);
        // A little to spare on either side, since the two parts of the curve do not
        // quite meet.
        let (down, up) = (light.max(1.0), light.min(1.0));
        Self {
            light,
            encoded: (transfer == Transfer::Display).then(|| libm::powf(light, 1.0 / 2.4)),
            low: 12.92 * 0.999 * knee / down,
            high: to_display(1.001 * knee / up),
        }
    }

    fn of_value(&self, value: f32) -> f32 {
        let Some(encoded) = self.encoded else {
            return value * self.light;
        };
        let a = value.abs();
        let e = if a >= self.high {
            encoded * (a + 0.055) - 0.055
        } else if a <= self.low {
            a * self.light
        } else {
            // What is no number ends here, and stays none.
            to_display(to_linear(a) * self.light)
        };
        e.copysign(value)
    }
}

/// Where the two parts of the sRGB curve meet, encoded.
const KNEE: f32 = 0.040_45;

/// The light of an encoded value: the inverse of [`encoded`].
fn light(e: f32, transfer: Transfer) -> f32 {
    let a = e.abs();
    let value = match transfer {
        _ if a <= 1.0 => to_linear(a),
        Transfer::Linear => libm::expf((a - 1.0) * 2.4 / 1.055),
        Transfer::Display => to_linear(libm::expf(a - 1.0)),
    };
    value.copysign(e)
}

/// Light in the perceptual encoding of a plate's values.
fn encoded(light: f32, transfer: Transfer) -> f32 {
    match transfer {
        Transfer::Linear => transfer.perceptual(light),
        Transfer::Display => transfer.perceptual(to_display(light)),
    }
}

/// How the exposure of a plate drifts.
struct Drift {
    /// Frame by frame the logarithm of its light over the mean.
    slow: Vec<f64>,
    /// Share of the areas of the picture that drift like the whole.
    alike: f64,
}

/// Of what the drift is asked.
#[derive(Clone, Copy)]
enum Of {
    /// Of the mean of the channels.
    Light,
    /// Of one of them.
    Channel(usize),
}

impl Drift {
    fn of(analysis: &Analysis, range: FrameRange, steady: bool, fps: f64, of: Of) -> Option<Self> {
        let (cols, rows) = (analysis.cols, analysis.rows);
        let cells = cols * rows;
        let first = (range.first - analysis.info.range.first).max(0) as usize;
        let frames = range.count();
        let colour = analysis.colour(steady);
        let colour = colour.get(first * cells * 3..(first + frames) * cells * 3)?;
        let transfer = analysis.info.transfer;
        // Every other cell tells enough.
        let asked: Vec<usize> = (0..cells)
            .filter(|c| (c % cols + c / cols).is_multiple_of(2))
            .collect();
        let series = |c: usize| -> Option<Vec<f64>> {
            let mut clipped = false;
            let logs: Vec<f64> = (0..frames)
                .map(|t| {
                    let at = (t * cells + c) * 3;
                    let rgb = &colour[at..at + 3];
                    let e = match of {
                        Of::Light => rgb.iter().map(|v| f32::from(*v)).sum::<f32>() / 3.0,
                        Of::Channel(c) => f32::from(rgb[c]),
                    };
                    let e = e / UNIT;
                    clipped |= transfer == Transfer::Display && e > CLIPPED;
                    libm::log(f64::from(light(e, transfer)).max(1e-4))
                })
                .collect();
            let usual = middle(logs.clone());
            let tells = !clipped && usual >= libm::log(DARKEST);
            tells.then(|| logs.into_iter().map(|l| l - usual).collect())
        };
        let told: Vec<(usize, Vec<f64>)> = install(|| {
            asked
                .into_par_iter()
                .filter_map(|c| Some((c, series(c)?)))
                .collect()
        });
        let all = |within: &dyn Fn(usize) -> bool| -> Option<Vec<f64>> {
            let of: Vec<&Vec<f64>> = told.iter().filter(|t| within(t.0)).map(|t| &t.1).collect();
            let median = |t: usize| middle(of.iter().map(|s| s[t]).collect());
            (of.len() >= FEWEST).then(|| slow(&(0..frames).map(median).collect::<Vec<_>>(), fps))
        };
        let whole = all(&|_| true)?;
        let (mut areas, mut alike) = (0usize, 0usize);
        for area in 0..AREAS.0 * AREAS.1 {
            let here = |c: usize| {
                let (x, y) = (c % cols * AREAS.0 / cols, c / cols * AREAS.1 / rows);
                y * AREAS.0 + x == area
            };
            if let Some(own) = all(&here) {
                let left: f64 = own.iter().zip(&whole).map(|(a, b)| (a - b) * (a - b)).sum();
                let had: f64 = whole.iter().map(|b| b * b).sum();
                areas += 1;
                alike += usize::from(left <= (1.0 - EXPLAINED) * had);
            }
        }
        Some(Self {
            slow: whole,
            alike: alike as f64 / areas.max(1) as f64,
        })
    }

    /// How far it goes, from the darkest to the brightest.
    fn span(&self) -> f64 {
        let most = self.slow.iter().copied().fold(f64::MIN, f64::max);
        most - self.slow.iter().copied().fold(f64::MAX, f64::min)
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let k = values.len() / 2;
    *values.select_nth_unstable_by(k, f64::total_cmp).1
}

/// `values` smoothed in time and about their mean. What smoothing takes off is
/// smoothed and added once more (twicing; Tukey 1977), so that a drift of some
/// seconds is found in full.
fn slow(values: &[f64], fps: f64) -> Vec<f64> {
    let once = smooth(values, fps);
    let left: Vec<f64> = values.iter().zip(&once).map(|(v, s)| v - s).collect();
    let more = smooth(&left, fps);
    let mean = (once.iter().sum::<f64>() + more.iter().sum::<f64>()) / values.len().max(1) as f64;
    once.iter().zip(more).map(|(s, m)| s + m - mean).collect()
}

/// `values` under a Gaussian in time. Beyond the ends the course goes on as it was,
/// turned about the end.
fn smooth(values: &[f64], fps: f64) -> Vec<f64> {
    let n = values.len() as i64;
    let sigma = SLOW * fps;
    let reach = (libm::ceil(3.0 * sigma) as i64).min(n - 1);
    let at = |i: i64| -> f64 {
        let (first, last) = (values[0], values[values.len() - 1]);
        match i {
            i if i < 0 => 2.0 * first - values[(-i).min(n - 1) as usize],
            i if i >= n => 2.0 * last - values[(2 * (n - 1) - i).max(0) as usize],
            i => values[i as usize],
        }
    };
    let weight = |d: i64| libm::exp(-((d * d) as f64) / (2.0 * sigma * sigma));
    let total: f64 = (-reach..=reach).map(weight).sum();
    (0..n)
        .map(|i| (-reach..=reach).map(|d| weight(d) * at(i + d)).sum::<f64>() / total)
        .collect()
}

/// The logarithm of each output frame's exposure: the plate's own where a frame of it
/// shows; from there on the drift comes to rest, about within what the plate has; between
/// two such the one leads over to the other; where nothing is given it is the mean.
fn course(plate: &[f64], timeline: &Timeline, fps: f64) -> Vec<f64> {
    let most = plate.iter().copied().fold(f64::MIN, f64::max);
    let least = plate.iter().copied().fold(f64::MAX, f64::min);
    let rest = (REST * fps).max(1.0);
    let last = plate.len() as i32 - 1;
    let at = |i: i32| plate[i.clamp(0, last) as usize];
    let index = |frame: i32, offset: i32| frame + offset - timeline.plate.first;
    // From plate index `i` on for `k` frames, away from the side that lies `toward`.
    let on = |i: i32, toward: i32, k: usize| {
        let speed = (at(i) - at(i + 4 * toward)) / 4.0;
        let aim = (at(i) + speed * rest).clamp(least, most);
        let away = at(i) - aim;
        let own = i - toward * k as i32;
        let (k, home) = (k as f64, k as f64 / (HOME * fps));
        let runs_on = aim + (away + (speed + away / rest) * k) * libm::exp(-k / rest);
        let runs_on = runs_on * libm::exp(-0.5 * home * home);
        if !(0..=last).contains(&own) {
            return runs_on;
        }
        let u = (k / (LEAVES * fps)).min(1.0);
        at(own) + (runs_on - at(own)) * u * u * (3.0 - 2.0 * u)
    };
    let shown = |span: Option<&Span>, end: bool| match span {
        Some(Span::Kept { out, offset } | Span::Matted { out, offset }) => {
            Some(index(if end { out.last } else { out.first }, *offset))
        }
        _ => None,
    };
    let mut logs = Vec::with_capacity(timeline.out.count());
    for (s, span) in timeline.spans.iter().enumerate() {
        match *span {
            Span::Kept { out, offset } | Span::Matted { out, offset } => {
                logs.extend(out.iter().map(|f| at(index(f, offset))));
            }
            Span::Free { out } => {
                let before = s.checked_sub(1).and_then(|s| timeline.spans.get(s));
                let before = shown(before, true);
                let after = shown(timeline.spans.get(s + 1), false);
                let n = out.count();
                logs.extend((1..=n).map(|k| {
                    let from = before.map(|i| on(i, -1, k));
                    let to = after.map(|i| on(i, 1, n + 1 - k));
                    match (from, to) {
                        (Some(a), Some(b)) => {
                            let u = k as f64 / (n + 1) as f64;
                            let w = u * u * (3.0 - 2.0 * u);
                            a * (1.0 - w) + b * w
                        }
                        (Some(a), None) | (None, Some(a)) => a,
                        (None, None) => 0.0,
                    }
                }));
            }
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_values_are_light_and_back() {
        for transfer in [Transfer::Linear, Transfer::Display] {
            for e in [-0.7f32, 0.0, 0.02, 0.4, 1.0, 1.3, 2.0] {
                let back = encoded(light(e, transfer), transfer);
                assert!((back - e).abs() < 1e-4, "{transfer:?} {e}: {back}");
            }
        }
    }

    #[test]
    fn a_gain_in_light_needs_no_way_through_light() {
        for light in [0.7f32, 0.93, 1.0 / 1.0003, 1.02, 1.6] {
            let gain = Gain::of(light, Transfer::Display);
            for code in 0..=70_000u32 {
                for value in [code as f32 / 65_535.0, -(code as f32) / 65_535.0] {
                    let due = to_display(to_linear(value) * light);
                    let got = gain.of_value(value);
                    // The two parts of the curve are 2e-7 apart where they meet.
                    assert!(
                        (got - due).abs() < 1e-6,
                        "{value} times {light}: {got} for {due}"
                    );
                }
            }
            assert!(gain.of_value(f32::NAN).is_nan());
            assert_eq!(gain.of_value(f32::INFINITY), f32::INFINITY);
            assert_eq!(
                Gain::of(light, Transfer::Linear).of_value(-3.0),
                -3.0 * light
            );
        }
    }

    #[test]
    fn a_drift_goes_on_smoothly_from_what_is_kept_and_leads_to_it() {
        let plate: Vec<f64> = (0..60).map(|t| 0.004 * (t as f64 - 29.5)).collect();
        let range = |first, last| FrameRange { first, last };
        let kept = |first, last| Span::Kept {
            out: range(first, last),
            offset: 0,
        };
        let timeline = |spans: Vec<Span>| Timeline {
            plate: range(1, 60),
            out: range(spans[0].out().first, spans[spans.len() - 1].out().last),
            spans,
            closed: false,
        };
        let free = |first, last| Span::Free {
            out: range(first, last),
        };
        for spans in [
            vec![kept(1, 40), free(41, 200)],
            vec![free(-160, 0), kept(1, 60)],
            vec![kept(1, 10), free(11, 50), kept(51, 60)],
        ] {
            let t = timeline(spans);
            let out = course(&plate, &t, 25.0);
            assert_eq!(out.len(), t.out.count());
            for (f, log) in t.out.iter().zip(&out) {
                if let Some(k) = t.kept(f) {
                    assert_eq!(*log, plate[k as usize - 1]);
                }
            }
            let steps: Vec<f64> = out.windows(2).map(|p| p[1] - p[0]).collect();
            assert!(steps.iter().all(|s| s.abs() < 0.009), "{steps:?}");
            assert!(
                steps.windows(2).all(|p| (p[1] - p[0]).abs() < 0.002),
                "{steps:?}"
            );
            // A hundred frames on it is that of the plate in the mean.
            let far = t
                .out
                .iter()
                .zip(&out)
                .filter(|(f, _)| !(-100..=140).contains(f));
            assert!(far.into_iter().all(|(_, log)| log.abs() < 0.02), "{out:?}");
        }
        let closed = timeline(vec![free(1, 30)]);
        assert!(course(&plate, &closed, 25.0).iter().all(|l| *l == 0.0));
    }
}
