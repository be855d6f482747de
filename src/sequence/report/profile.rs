//! What is measured of a sequence by itself, its frames coming one at a time.

use super::encoded::Encoded;

/// Frames at which sharpness is looked at.
const SHARP_FRAMES: usize = 40;

/// What is measured of a sequence by itself. Values are those of the display
/// encoding, black 0 and white 1.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// For each frame but the first: mean absolute difference from the frame
    /// before, over all pixels and channels.
    pub steps: Vec<f64>,
    /// For each frame: mean of all samples.
    pub luma: Vec<f64>,
    /// The same of each counted frame, in one light.
    pub level: Vec<f64>,
    /// For each frame: [`Encoded::gradient`].
    pub gradients: Vec<f64>,
    /// Mean gradient of (at most) 40 counted frames, evenly spaced.
    pub sharpness: f64,
    /// Standard deviation over time of each sample, mean over samples; from
    /// every second counted frame.
    pub deviation: f64,
    /// Mean of all samples of the counted frames, in one light.
    pub mean: f64,
    /// Difference of the last frame from the first.
    pub closing: f64,
    /// Largest difference from one counted frame to another, see `steps`, and
    /// from a counted frame to its uncounted neighbour: indices into `steps`.
    counted_steps: Vec<usize>,
    /// Which pixels move: deviation over every third frame, mean of the
    /// channels, above .03. Kept of plates only.
    pub moving: Vec<bool>,
}

impl Profile {
    /// The steps that at least one counted frame has part in.
    pub fn counted_steps(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.counted_steps.iter().map(|&i| (i, self.steps[i]))
    }

    /// Mean of all steps.
    pub fn mean_step(&self) -> f64 {
        mean(self.steps.iter().copied())
    }
}

/// The means of all runs of `frames` of `values`, of all where there are no more: the
/// least and the greatest.
pub(super) fn least_and_most(values: &[f64], frames: usize) -> Option<[f64; 2]> {
    let run = frames.clamp(1, values.len().max(1));
    let means = values.windows(run).map(|w| mean(w.iter().copied()));
    means.fold(None, |found: Option<[f64; 2]>, v| {
        Some(found.map_or([v; 2], |[least, most]| [least.min(v), most.max(v)]))
    })
}

/// Mean absolute second difference of `values` over their mean, in per mille: what
/// changes from frame to frame and back.
pub(super) fn flicker(values: &[f64]) -> Option<f64> {
    let all = mean(values.iter().copied());
    let bends = values.windows(3).map(|v| (v[0] - 2.0 * v[1] + v[2]).abs());
    (values.len() > 2 && all > 1e-6).then(|| 1000.0 * mean(bends) / all)
}

/// The longest run of marked places.
pub(super) fn longest(marked: &[bool]) -> std::ops::Range<usize> {
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

/// Mean of `values`, 0 where there are none.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for v in values {
        sum += v;
        n += 1;
    }
    sum / n.max(1) as f64
}

/// `n` indices evenly spaced over `first..=last`, rounded down, as numpy's
/// `linspace` places them.
pub(super) fn evenly(first: usize, last: usize, n: usize) -> Vec<usize> {
    if n <= 1 {
        return vec![first];
    }
    let step = (last as f64 - first as f64) / (n - 1) as f64;
    let mut places: Vec<usize> = (0..n)
        .map(|i| (i as f64 * step + first as f64) as usize)
        .collect();
    places[n - 1] = last;
    places
}

/// Mean and spread over time of each sample (Welford 1962), 8 bytes a sample.
struct Spread {
    n: f32,
    mean: Vec<f32>,
    squares: Vec<f32>,
}

impl Spread {
    fn new() -> Self {
        Self {
            n: 0.0,
            mean: Vec::new(),
            squares: Vec::new(),
        }
    }

    fn push(&mut self, frame: &Encoded) {
        self.mean.resize(frame.rgb.len(), 0.0);
        self.squares.resize(frame.rgb.len(), 0.0);
        self.n += 1.0;
        let share = 1.0 / self.n;
        for ((&v, mean), squares) in frame.rgb.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let d = v - *mean;
            *mean += d * share;
            *squares += d * (v - *mean);
        }
    }

    fn deviations(&self) -> impl Iterator<Item = f64> + '_ {
        let n = f64::from(self.n.max(1.0));
        self.squares
            .iter()
            .map(move |&s| (f64::from(s.max(0.0)) / n).sqrt())
    }
}

/// Takes frames in order and comes to a [`Profile`]. Holds two frames and two
/// numbers a sample, whatever the length.
pub struct Profiler {
    counted: Vec<bool>,
    sharp_at: Vec<usize>,
    plate: bool,
    index: usize,
    among_counted: usize,
    first: Option<std::sync::Arc<Encoded>>,
    last: Option<std::sync::Arc<Encoded>>,
    spread: Spread,
    thirds: Spread,
    sharp: Vec<f64>,
    profile: Profile,
}

impl Profiler {
    /// For a sequence of `counted.len()` frames, of which those marked count
    /// toward sharpness, deviation and mean.
    pub fn new(counted: Vec<bool>) -> Self {
        let total = counted.iter().filter(|&&c| c).count();
        Self {
            sharp_at: evenly(0, total.saturating_sub(1), SHARP_FRAMES.min(total)),
            counted,
            plate: false,
            index: 0,
            among_counted: 0,
            first: None,
            last: None,
            spread: Spread::new(),
            thirds: Spread::new(),
            sharp: Vec::new(),
            profile: Profile::default(),
        }
    }

    /// For a plate of `frames` frames, all counted; also finds what moves.
    pub fn of_plate(frames: usize) -> Self {
        Self {
            plate: true,
            ..Self::new(vec![true; frames])
        }
    }

    /// The next frame; `level` is the same in the sequence's mean light, where its
    /// exposure drifts.
    pub fn push(&mut self, frame: &std::sync::Arc<Encoded>, level: &Encoded) {
        let i = self.index;
        let counted = self.counted.get(i).copied().unwrap_or(false);
        let luma = frame.mean();
        let gradient = level.gradient();
        self.profile.luma.push(luma);
        self.profile.gradients.push(gradient);
        if counted {
            let k = self.among_counted;
            self.among_counted += 1;
            let times = self.sharp_at.iter().filter(|&&s| s == k).count();
            self.sharp.extend(std::iter::repeat_n(gradient, times));
            if k.is_multiple_of(2) {
                self.spread.push(level);
            }
            self.profile.level.push(level.mean());
        }
        if self.plate && i.is_multiple_of(3) {
            self.thirds.push(level);
        }
        if let Some(last) = &self.last {
            if counted || self.counted.get(i - 1) == Some(&true) {
                self.profile.counted_steps.push(i - 1);
            }
            self.profile.steps.push(last.step(frame));
        }
        if self.first.is_none() {
            self.first = Some(frame.clone());
        }
        self.last = Some(frame.clone());
        self.index += 1;
    }

    /// What was measured.
    pub fn finish(self) -> Profile {
        let mut profile = self.profile;
        profile.sharpness = mean(self.sharp.into_iter());
        profile.deviation = mean(self.spread.deviations());
        profile.mean = mean(profile.level.iter().copied());
        if let (Some(a), Some(b)) = (&self.first, &self.last) {
            profile.closing = a.step(b);
        }
        if self.plate {
            let deviations: Vec<f64> = self.thirds.deviations().collect();
            profile.moving = deviations
                .chunks_exact(3)
                .map(|d| d.iter().sum::<f64>() / 3.0 > 0.03)
                .collect();
            if profile.moving.iter().filter(|&&m| m).count() < 50 {
                profile.moving.fill(true);
            }
        }
        profile
    }
}
