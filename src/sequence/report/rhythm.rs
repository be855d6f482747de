//! Rhythm: lines in the spectrum of a sequence that its plate does not have.
//!
//! A sequence that plays pieces of its plate again and again at one pace beats
//! at that pace, in its mean or in how much it moves, and the eye finds the beat
//! long before it finds the pieces. Natural motion has a spectrum that falls
//! off smoothly; a beat is a line that stands above it.

use serde::Serialize;

/// Frames that are looked at, at most: beyond, the first so many.
const MOST: usize = 16_384;
/// Fewer frames than this have no spectrum to speak of.
const LEAST: usize = 32;
/// A beat that comes fewer times than this in all is none.
const CYCLES: usize = 4;
/// The plate is short: it counts as having a beat that comes this often.
const PLATE_CYCLES: usize = 3;
/// And that stands above the background by this much: far less than is asked of
/// the sequence, so that what may be the plate's own is not held against it.
const PLATE_LIMIT: f64 = 4.0;
/// A line counts where chance alone would make one as strong, in a spectrum
/// without lines, once in this many sequences.
const CHANCE: f64 = 1000.0;

/// A line that the plate does not have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its share of the variance, less what the plate has at that frequency.
    pub share: f64,
    /// Seconds from beat to beat.
    pub every: f64,
}

/// The strongest line of `output` that `plate` lacks, both a value a frame at
/// `fps` frames a second; `None` where there are too few frames to tell.
///
/// The spectrum is the squared discrete Fourier transform of the values less
/// their linear trend, under a Hann window (Harris 1978). Its background at a
/// frequency is the median of its neighbours, after a straight slope in
/// log-log has been taken out. A line is a bin above its background by more
/// than chance allows: the powers of noise are exponentially distributed about
/// it (Scargle 1982), so the greatest of `n` exceeds `ln(n / p)` with
/// probability `p`. Its share is what stands above the background in the bin
/// and its two neighbours (a pure tone has all of it there), over all of the
/// spectrum from [`CYCLES`] cycles on. Of what stands there the plate's own at the same
/// frequency is taken off, in units of light, so that a flicker of the plate is its own
/// in a sequence that is calmer besides: the largest within its resolution; a short
/// plate has a line sooner than the sequence. 0: no line; 1: nothing but a tone.
pub(super) fn rhythm(output: &[f64], plate: &[f64], fps: f64) -> Option<Line> {
    let ours = Spectrum::of(output, CYCLES)?;
    let own = Spectrum::of(plate, PLATE_CYCLES);
    let mut strongest = Line {
        share: 0.0,
        every: 0.0,
    };
    for k in CYCLES..ours.power.len() {
        let peak = ours.power[k] >= ours.power[k - 1]
            && ours.power.get(k + 1).is_none_or(|&p| p <= ours.power[k]);
        if !peak || ours.power[k] <= ours.background[k] * ours.limit() {
            continue;
        }
        let frequency = k as f64 / ours.frames as f64;
        let known = own.as_ref().map_or(0.0, |s| s.line_at(frequency));
        let share = ours.share_of(ours.line(k) - known);
        if share > strongest.share {
            strongest = Line {
                share,
                every: 1.0 / (frequency * fps.max(1e-9)),
            };
        }
    }
    Some(strongest)
}

/// The spectrum of `values`, one a frame at `fps` frames a second, as
/// [`rhythm`] sees it: frequency in Hz and share of the variance, from two
/// cycles on. Empty where there are too few frames.
pub(super) fn spectrum(values: &[f64], fps: f64) -> Vec<(f64, f64)> {
    let Some(found) = Spectrum::of(values, 2) else {
        return Vec::new();
    };
    let unit = found.sum.max(1e-18);
    let at = |k: usize| (k as f64 * fps / found.frames as f64, found.power[k] / unit);
    (2..found.power.len()).map(at).collect()
}

struct Spectrum {
    frames: usize,
    /// By whole cycles in all frames, from 0.
    power: Vec<f64>,
    background: Vec<f64>,
    /// Cycles from which on it is looked at.
    from: usize,
    /// Of all powers from there on.
    sum: f64,
}

impl Spectrum {
    fn of(values: &[f64], from: usize) -> Option<Self> {
        let values = &values[..values.len().min(MOST)];
        if values.len() < LEAST || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let power = power(values);
        let background = background(&power);
        let sum = power.iter().skip(from).sum();
        Some(Self {
            frames: values.len(),
            power,
            background,
            from,
            sum,
        })
    }

    /// How far above its background the greatest of all powers comes by chance.
    fn limit(&self) -> f64 {
        libm::log(self.power.len() as f64 * CHANCE)
    }

    /// What stands above the background at `k` and beside it: for a tone the same in
    /// sequences of any length.
    fn line(&self, k: usize) -> f64 {
        let bins = k.saturating_sub(1).max(1)..(k + 2).min(self.power.len());
        bins.map(|j| (self.power[j] - self.background[j]).max(0.0))
            .sum()
    }

    /// The share of `power` in all.
    fn share_of(&self, power: f64) -> f64 {
        // Below rounding of the values there is nothing to see.
        if self.sum > 1e-18 {
            (power / self.sum).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// The largest line at `frequency`, in cycles a frame, or a bin from it.
    fn line_at(&self, frequency: f64) -> f64 {
        let at = frequency * self.frames as f64;
        let first = ((at - 1.0).ceil().max(0.0) as usize).max(self.from);
        (first..=(at + 1.0) as usize)
            .take_while(|&k| k < self.power.len())
            .filter(|&k| self.power[k] > PLATE_LIMIT * self.background[k])
            .map(|k| self.line(k))
            .fold(0.0, f64::max)
    }
}

/// The power at each whole number of cycles.
fn power(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let middle = (n as f64 - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n as f64;
    let (mut slope, mut moment) = (0.0, 0.0);
    for (i, v) in values.iter().enumerate() {
        slope += (i as f64 - middle) * (v - mean);
        moment += (i as f64 - middle) * (i as f64 - middle);
    }
    let slope = slope / moment.max(1e-12);
    let turn = std::f64::consts::TAU / n as f64;
    let windowed: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let hann = 0.5 - 0.5 * libm::cos(turn * (i as f64 + 0.5));
            hann * (v - mean - slope * (i as f64 - middle))
        })
        .collect();
    (0..=n / 2)
        .map(|k| {
            let (c, s) = (libm::cos(turn * k as f64), libm::sin(turn * k as f64));
            let (mut re, mut im, mut x, mut y) = (0.0, 0.0, 1.0, 0.0);
            for v in &windowed {
                re += v * x;
                im += v * y;
                (x, y) = (x * c - y * s, x * s + y * c);
            }
            (re * re + im * im) / (n * n) as f64
        })
        .collect()
}

/// What the power at each frequency would be without lines.
fn background(power: &[f64]) -> Vec<f64> {
    let floor = power.iter().sum::<f64>() / power.len() as f64 * 1e-9 + 1e-30;
    let log = |k: usize| libm::log(power[k] + floor);
    // A straight slope, every octave counting alike.
    let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for k in 1..power.len() {
        let (x, y, weight) = (libm::log(k as f64), log(k), 1.0 / k as f64);
        w += weight;
        wx += weight * x;
        wy += weight * y;
        wxx += weight * x * x;
        wxy += weight * x * y;
    }
    let slope = (w * wxy - wx * wy) / (w * wxx - wx * wx).max(1e-12);
    let slope = slope.clamp(-4.0, 0.0);
    let flat: Vec<f64> = (0..power.len())
        .map(|k| (power[k] + floor) * libm::pow(k.max(1) as f64, -slope))
        .collect();
    let mut near = Vec::new();
    (0..power.len())
        .map(|k| {
            let reach = (k / 3).max(8);
            near.clear();
            near.extend_from_slice(
                &flat[k.saturating_sub(reach).max(1)..(k + reach + 1).min(flat.len())],
            );
            near.sort_by(f64::total_cmp);
            // The median of an exponential distribution is ln 2 of its mean.
            let mean = near[near.len() / 2] / std::f64::consts::LN_2;
            mean * libm::pow(k.max(1) as f64, slope)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Philox;

    /// Noise whose power falls with the frequency, as that of natural light
    /// does.
    fn natural(seed: u64, frames: usize) -> Vec<f64> {
        let mut rng = Philox::new(seed, [0, 0, 0]);
        let mut state = 0.0;
        (0..frames)
            .map(|_| {
                state = 0.9 * state + 0.001 * rng.normal();
                0.4 + state + 0.0005 * rng.normal()
            })
            .collect()
    }

    #[test]
    fn natural_light_has_no_rhythm() {
        let mut found = 0;
        for seed in 0..40 {
            for frames in [240, 1440] {
                let line = rhythm(&natural(seed, frames), &natural(seed + 99, 90), 24.0).unwrap();
                found += usize::from(line.share > 0.0);
            }
        }
        // One in a thousand would do so by chance; the background is only
        // estimated.
        assert!(found <= 2, "{found} of 80");
    }

    #[test]
    fn a_piece_played_over_and_over_beats_at_its_pace() {
        for (piece, frames) in [(48, 1440), (36, 360), (72, 1440)] {
            let plate = natural(5, 90);
            let output: Vec<f64> = (0..frames).map(|t| plate[10 + t % piece]).collect();
            let line = rhythm(&output, &plate, 24.0).unwrap();
            assert!(line.share > 0.1, "{piece}: {line:?}");
            let beats = piece as f64 / 24.0 / line.every;
            assert!(
                (beats - beats.round()).abs() < 0.1,
                "{line:?} is no overtone of {piece} frames"
            );
        }
    }

    #[test]
    fn a_beat_that_the_plate_has_is_the_plates() {
        let beat = |t: usize| 0.01 * (std::f64::consts::TAU * t as f64 / 12.0).sin();
        let with = |mut v: Vec<f64>| {
            v.iter_mut().enumerate().for_each(|(t, v)| *v += beat(t));
            v
        };
        let output = with(natural(1, 1440));
        let drawn = spectrum(&output, 24.0);
        let highest = drawn.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!((highest.0 - 2.0).abs() < 0.02, "{highest:?}");
        let new = rhythm(&output, &natural(2, 96), 24.0).unwrap();
        assert!(new.share > 0.7 && (new.every - 0.5).abs() < 0.01, "{new:?}");
        let own = rhythm(&output, &with(natural(2, 96)), 24.0).unwrap();
        assert!(own.share < 0.15, "{own:?}");
        // A plate that besides grows brighter by far more than it beats.
        let mut sways = with(natural(2, 96));
        for (t, v) in sways.iter_mut().enumerate() {
            *v += 0.1 * (std::f64::consts::TAU * t as f64 / 32.0).sin();
        }
        let own = rhythm(&output, &sways, 24.0).unwrap();
        assert!(own.share < 0.15, "{own:?}");
    }

    #[test]
    fn odd_series_have_no_rhythm() {
        assert_eq!(rhythm(&[0.5; 20], &[0.5; 90], 24.0), None);
        assert_eq!(rhythm(&[f64::NAN; 90], &[0.5; 90], 24.0), None);
        let still = rhythm(&[0.5; 300], &[0.5; 90], 24.0).unwrap();
        assert_eq!(still.share, 0.0);
    }
}
