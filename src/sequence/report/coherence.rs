//! How well a sequence hangs together in time: steadiness over short and long
//! distances, smoothness, and what optical flow tells.
//!
//! All of it on a picture of at most [`WIDTH`] pixels across, so that what is
//! held does not depend on the sequence's size or length.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use super::encoded::Encoded;
use super::profile::evenly;
use crate::engine::plate::optical_flow;

/// Width of the pictures that are compared, at most.
const WIDTH: usize = 160;
/// Distances in frames over which steadiness is measured.
pub(super) const LAGS: [usize; 6] = [1, 2, 5, 10, 20, 50];
/// Pairs of neighbouring frames between which flow is found.
const PAIRS: usize = 12;

/// Steadiness over one distance in time, over the plate's own at the same
/// distance: the mean absolute difference of frames so far apart. Near 1 is
/// right; above, what should hold still wanders; below, what should change
/// does not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Steadiness {
    /// The distance in frames.
    pub frames: usize,
    /// Where the plate moves.
    pub subject: Option<f64>,
    /// Where it does not.
    pub background: Option<f64>,
}

/// Takes frames in order.
pub(super) struct Coherence {
    counted: Vec<bool>,
    pairs: Vec<usize>,
    index: usize,
    /// The frames before, the last one first, with whether each counts.
    before: VecDeque<(bool, Arc<Encoded>)>,
    size: (usize, usize),
    /// For each lag, summed over pairs of frames: the difference of each pixel.
    maps: Vec<Vec<f64>>,
    seen: [usize; LAGS.len()],
    bend: (f64, usize),
    warp: (f64, f64),
    motion: (f64, usize),
}

/// What was measured of one sequence by itself.
pub(super) struct Coherent {
    size: (usize, usize),
    maps: Vec<Option<Vec<f64>>>,
    /// Mean absolute second difference.
    pub(super) bend: Option<f64>,
    /// Warping error.
    pub(super) warp: Option<f64>,
    /// Mean length of the flow, in widths of the picture.
    pub(super) motion: Option<f64>,
}

impl Coherence {
    /// For frames of which those marked count: differences and flow are taken
    /// between frames that both do.
    pub(super) fn new(counted: Vec<bool>) -> Self {
        let both: Vec<usize> = (1..counted.len())
            .filter(|&i| counted[i - 1] && counted[i])
            .collect();
        let mut pairs: Vec<usize> = match both.len() {
            0 => Vec::new(),
            n => evenly(0, n - 1, PAIRS.min(n)),
        };
        pairs.iter_mut().for_each(|p| *p = both[*p]);
        pairs.dedup();
        Self {
            counted,
            pairs,
            index: 0,
            before: VecDeque::new(),
            size: (0, 0),
            maps: vec![Vec::new(); LAGS.len()],
            seen: [0; LAGS.len()],
            bend: (0.0, 0),
            warp: (0.0, 0.0),
            motion: (0.0, 0),
        }
    }

    pub(super) fn push(&mut self, frame: &Encoded) {
        let i = self.index;
        self.index += 1;
        let counted = self.counted.get(i).copied().unwrap_or(false);
        let small = Arc::new(frame.reduced(WIDTH));
        self.size = (small.width, small.height);
        if counted {
            for (k, lag) in LAGS.into_iter().enumerate() {
                if let Some((true, other)) = self.before.get(lag - 1) {
                    add_differences(&mut self.maps[k], &small, other);
                    self.seen[k] += 1;
                }
            }
            if let (Some((true, a)), Some((true, b))) = (self.before.get(1), self.before.front()) {
                self.bend.0 += bend(a, b, &small);
                self.bend.1 += 1;
            }
            if self.pairs.binary_search(&i).is_ok()
                && let Some((_, last)) = self.before.front()
            {
                let found = Warped::between(last, &small);
                self.warp.0 += found.error;
                self.warp.1 += found.weight;
                self.motion.0 += found.motion;
                self.motion.1 += 1;
            }
        }
        self.before.push_front((counted, small));
        self.before.truncate(LAGS[LAGS.len() - 1]);
    }

    pub(super) fn finish(self) -> Coherent {
        let mean = |(sum, n): (f64, usize)| (n > 0).then(|| sum / n as f64);
        Coherent {
            size: self.size,
            maps: self
                .maps
                .into_iter()
                .zip(self.seen)
                .map(|(map, n)| (n > 0).then(|| map.iter().map(|v| v / n as f64).collect()))
                .collect(),
            bend: mean(self.bend),
            warp: (self.warp.1 > 0.0).then(|| self.warp.0 / self.warp.1),
            motion: mean(self.motion),
        }
    }
}

impl Coherent {
    /// Steadiness against `plate`, of which `moving` marks the pixels of a
    /// picture `width` pixels across that move.
    pub(super) fn steadiness(
        &self,
        plate: &Self,
        moving: &[bool],
        width: usize,
    ) -> Vec<Steadiness> {
        let (w, h) = self.size;
        let rows = moving.len() / width.max(1);
        // A small pixel moves where most of what it covers does.
        let subject: Vec<bool> = (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                let xs = x * width / w..((x + 1) * width).div_ceil(w).min(width);
                let ys = y * rows / h..((y + 1) * rows).div_ceil(h).min(rows);
                let all = xs.len() * ys.len();
                let moves = ys
                    .flat_map(|y| xs.clone().map(move |x| y * width + x))
                    .filter(|&i| moving[i])
                    .count();
                2 * moves > all
            })
            .collect();
        LAGS.into_iter()
            .enumerate()
            .map(|(k, frames)| {
                let ratio = |inside: bool| -> Option<f64> {
                    let (a, b) = (self.maps[k].as_ref()?, plate.maps[k].as_ref()?);
                    let sum = |map: &[f64]| -> f64 {
                        let marked = map.iter().zip(&subject);
                        marked.filter(|m| *m.1 == inside).map(|m| *m.0).sum()
                    };
                    let unit = sum(b);
                    (a.len() == b.len() && unit > 1e-9).then(|| sum(a) / unit)
                };
                Steadiness {
                    frames,
                    subject: ratio(true),
                    background: ratio(false),
                }
            })
            .collect()
    }
}

fn add_differences(map: &mut Vec<f64>, a: &Encoded, b: &Encoded) {
    map.resize(a.width * a.height, 0.0);
    let pixels = a.rgb.chunks_exact(3).zip(b.rgb.chunks_exact(3));
    for (sum, (a, b)) in map.iter_mut().zip(pixels) {
        let d = (a[0] - b[0]).abs() + (a[1] - b[1]).abs() + (a[2] - b[2]).abs();
        *sum += f64::from(d) / 3.0;
    }
}

/// Mean absolute second difference: how far `b` is from lying between its
/// neighbours.
fn bend(a: &Encoded, b: &Encoded, c: &Encoded) -> f64 {
    let sum: f64 = a
        .rgb
        .iter()
        .zip(&b.rgb)
        .zip(&c.rgb)
        .map(|((a, b), c)| f64::from((a - 2.0 * b + c).abs()))
        .sum();
    sum / a.rgb.len().max(1) as f64
}

/// What flow tells of two neighbouring frames.
struct Warped {
    /// Squared difference of the first frame from the second one brought back
    /// along the flow, summed over pixels that are not occluded.
    error: f64,
    /// Those pixels.
    weight: f64,
    /// Mean length of the flow, in widths of the picture.
    motion: f64,
}

impl Warped {
    fn between(a: &Encoded, b: &Encoded) -> Self {
        let (w, h) = (a.width, a.height);
        let (la, lb) = (a.luma(), b.luma());
        let there = optical_flow(&la, &lb, w);
        let back = optical_flow(&lb, &la, w);
        let mut out = Self {
            error: 0.0,
            weight: 0.0,
            motion: 0.0,
        };
        let length = |f: [f32; 2]| f[0] * f[0] + f[1] * f[1];
        for y in 0..h {
            for x in 0..w {
                let i = y * w + x;
                let f = there[i];
                out.motion += f64::from(length(f).sqrt());
                let (tx, ty) = (x as f32 + f[0], y as f32 + f[1]);
                let inside = tx >= 0.0 && ty >= 0.0 && tx <= (w - 1) as f32 && ty <= (h - 1) as f32;
                if !inside {
                    continue;
                }
                let [u, v] = [0, 1].map(|c| bilinear(w, h, tx, ty, |j| back[j][c]));
                let sum = [f[0] + u, f[1] + v];
                // Occluded where there and back do not meet, and not to be
                // trusted where motion breaks off (Ruder et al. 2016).
                let occluded = length(sum) > 0.01 * (length(f) + u * u + v * v) + 0.5;
                let edge = |c: usize| {
                    let right = there[i + usize::from(x + 1 < w)][c] - f[c];
                    let down = there[if y + 1 < h { i + w } else { i }][c] - f[c];
                    right * right + down * down
                };
                let broken = edge(0) + edge(1) > 0.01 * length(f) + 0.002;
                if occluded || broken {
                    continue;
                }
                for c in 0..3 {
                    let d = a.rgb[3 * i + c] - bilinear(w, h, tx, ty, |j| b.rgb[3 * j + c]);
                    out.error += f64::from(d * d) / 3.0;
                }
                out.weight += 1.0;
            }
        }
        out.motion /= (w * w * h).max(1) as f64;
        out
    }
}

fn bilinear(w: usize, h: usize, x: f32, y: f32, at: impl Fn(usize) -> f32) -> f32 {
    let (i, j) = (x as usize, y as usize);
    let (fx, fy) = (x - i as f32, y - j as f32);
    let (i1, j1) = ((i + 1).min(w - 1), (j + 1).min(h - 1));
    let row = |j: usize| (1.0 - fx) * at(j * w + i) + fx * at(j * w + i1);
    (1.0 - fy) * row(j) + fy * row(j1)
}
