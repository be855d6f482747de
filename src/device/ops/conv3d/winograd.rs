//! Kernels of 3 × 3 by Winograd's minimal filtering F(2 × 2, 3 × 3) (Lavin and Gray,
//! "Fast Algorithms for Convolutional Neural Networks", 2016): four outputs from 16
//! products for each input, not 36.
//!
//! A tile of 2 × 2 outputs reads 4 × 4 positions `d`. What is multiplied are the 16
//! points `Bᵀ d B` with those of the kernel, `G g Gᵀ`; the outputs are `Aᵀ m A` of the
//! sums `m` over inputs and frames. Tiles lie on even positions, and no output reads a
//! position that its kernel does not: a part of a picture that begins at even positions
//! gives the bits of the whole.

use std::array::from_fn;

use super::{Kernel, Target};
use crate::device::isa::{Isa, vectorised};
use crate::device::ops::feature_map::FeatureMap;
use crate::device::ops::tile::{LANES, MAX_LANES, POSITIONS, accumulate, panels};

/// Positions that a tile reads down and across.
const SIDE: usize = 4;
/// Points of a tile.
const POINTS: usize = SIDE * SIDE;
/// Points, of all inputs, that are worked on at once, in numbers.
const AT_ONCE: usize = 1 << 20;
/// Inputs after which the next tiles take their turn: their weights then come from the
/// second cache.
const RUN: usize = 576;
/// Channels below which what is spared does not pay for the points.
const FEWEST: usize = 16;

/// One output position's numbers of a panel.
type Panel = [f32; MAX_LANES * LANES];

/// A kernel of 3 × 3 as its points.
pub(super) struct Winograd {
    inputs: usize,
    outputs: usize,
    frames: usize,
    /// `[point][panel][frame][input][output of the panel]`.
    weights: Vec<f32>,
}

/// What a thread works in.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[point][tile][frame that is there][input]`.
    points: Vec<f32>,
    /// `[point][panel][tile][output of the panel]`.
    sums: Vec<f32>,
}

impl Winograd {
    /// Whether it is quicker than the plain sums.
    pub(super) fn pays(kernel: &Kernel) -> bool {
        (kernel.rows, kernel.columns) == (3, 3) && kernel.inputs.min(kernel.outputs) >= FEWEST
    }

    pub(super) fn new(kernel: &Kernel) -> Self {
        let (inputs, frames) = (kernel.inputs, kernel.frames);
        let filled = kernel.outputs.next_multiple_of(LANES);
        let each = frames * inputs * filled;
        let mut weights = vec![0.; POINTS * each];
        let mut first = 0;
        for lanes in panels(kernel.outputs) {
            let width = lanes * LANES;
            for t in 0..frames {
                for i in 0..inputs {
                    for o in 0..width.min(kernel.outputs - first) {
                        let taps = |y, x| kernel.get(first + o, i, t, y, x);
                        let at = first * frames * inputs + (t * inputs + i) * width + o;
                        for (p, value) in points_of(taps).into_iter().enumerate() {
                            weights[p * each + at] = value;
                        }
                    }
                }
            }
            first += width;
        }
        Self {
            inputs,
            outputs: kernel.outputs,
            frames,
            weights,
        }
    }

    /// Tiles that are worked on at once.
    fn at_once(&self) -> usize {
        let each = POINTS * self.frames * self.inputs;
        (AT_ONCE / each / POSITIONS * POSITIONS).clamp(64, 512)
    }

    /// Rows of a picture of `width` columns that a thread takes.
    pub(super) fn rows(&self, width: usize) -> usize {
        2 * (self.at_once() / width.div_ceil(2)).max(1)
    }

    /// The rows of `to`, which begin at an even one, `width` columns wide, of `bias` and
    /// of `frames`. Stops early where `stop` says so.
    pub(super) fn make(
        &self,
        frames: &[Option<&FeatureMap>],
        bias: &[f32],
        to: &mut Target<'_>,
        width: usize,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
    ) {
        let height = to.out.len() / (width * self.outputs);
        let across = width.div_ceil(2);
        let count = height.div_ceil(2) * across;
        let size = count.div_ceil(count.div_ceil(self.at_once()));
        for first in (0..count).step_by(size) {
            if stop() {
                return;
            }
            let tiles: Vec<(usize, usize)> = (first..(first + size).min(count))
                .map(|i| (to.first_row + i / across * 2, i % across * 2))
                .collect();
            self.read(frames, &tiles, &mut scratch.points);
            self.multiply(frames, tiles.len(), scratch);
            self.write(&scratch.sums, &tiles, bias, to, (height, width));
        }
    }

    /// The points of `tiles`, rows and columns of their first outputs.
    fn read(
        &self,
        frames: &[Option<&FeatureMap>],
        tiles: &[(usize, usize)],
        points: &mut Vec<f32>,
    ) {
        let channels = self.inputs;
        let present: Vec<&FeatureMap> = frames.iter().flatten().copied().collect();
        let each = tiles.len() * present.len() * channels;
        points.resize(POINTS * each, 0.);
        let mut at = 0;
        for (y, x) in tiles {
            for frame in &present {
                let border = frame.border();
                let last = |length: usize| length + 2 * border - 1;
                let (last_y, last_x) = (last(frame.height()), last(frame.width()));
                let mut square = [&[][..]; POINTS];
                for (p, position) in square.iter_mut().enumerate() {
                    // A tile at an odd far side reads one position beyond the border, for
                    // outputs that nobody wants: any will do.
                    let y = (border - 1 + y + p / SIDE).min(last_y);
                    let x = (border - 1 + x + p % SIDE).min(last_x);
                    *position = &frame.data()[y * frame.pitch() + x * channels..][..channels];
                }
                into_points(&square, points, at, each);
                at += channels;
            }
        }
    }

    /// The sums of all outputs at each point of `tiles` tiles.
    fn multiply(&self, frames: &[Option<&FeatureMap>], tiles: usize, scratch: &mut Scratch) {
        let isa = Isa::best();
        let rows = tiles.next_multiple_of(POSITIONS);
        let filled = self.outputs.next_multiple_of(LANES);
        let all = self.frames * self.inputs;
        scratch.sums.clear();
        scratch.sums.resize(POINTS * rows * filled, 0.);
        // Runs of frames that are there: the first, and how many.
        let mut there: Vec<(usize, usize)> = Vec::new();
        for f in (0..frames.len()).filter(|f| frames[*f].is_some()) {
            match there.last_mut() {
                Some((first, count)) if *first + *count == f => *count += 1,
                _ => there.push((f, 1)),
            }
        }
        let row: usize = there.iter().map(|(_, count)| count * self.inputs).sum();
        let points = scratch.points.chunks_exact((tiles * row).max(1));
        let kernels = self.weights.chunks_exact(all * filled);
        let sums = scratch.sums.chunks_exact_mut(rows * filled);
        for ((points, mut kernel), mut sums) in points.zip(kernels).zip(sums) {
            for lanes in panels(self.outputs) {
                let width = lanes * LANES;
                let (panel, rest) = kernel.split_at(all * width);
                kernel = rest;
                let (here, rest) = sums.split_at_mut(rows * width);
                sums = rest;
                let mut at = 0;
                for (first, count) in &there {
                    let weights = &panel[first * self.inputs * width..];
                    let weights = &weights[..count * self.inputs * width];
                    for weights in weights.chunks(RUN * width) {
                        let count = weights.len() / width;
                        let groups = here.chunks_exact_mut(POSITIONS * width);
                        for (group, sums) in groups.enumerate() {
                            // Of tiles beyond the last, the last is read once more.
                            let inputs = from_fn(|p| {
                                let tile = (group * POSITIONS + p).min(tiles - 1);
                                points[tile * row + at..][..count].as_ptr()
                            });
                            // SAFETY: each input is a slice of `count` numbers.
                            unsafe { accumulate(isa, lanes, count, weights, &inputs, sums) };
                        }
                        at += count;
                    }
                }
            }
        }
    }

    /// Writes what the sums come to.
    fn write(
        &self,
        sums: &[f32],
        tiles: &[(usize, usize)],
        bias: &[f32],
        to: &mut Target<'_>,
        (height, width): (usize, usize),
    ) {
        let rows = tiles.len().next_multiple_of(POSITIONS);
        let each = sums.len() / POINTS;
        let mut made = [[0.; MAX_LANES * LANES]; 4];
        let mut first = 0;
        for lanes in panels(self.outputs) {
            let panel = lanes * LANES;
            let outputs = first..self.outputs.min(first + panel);
            for (i, &(y, x)) in tiles.iter().enumerate() {
                from_points(sums, first * rows + i * panel, each, panel, &mut made);
                for (k, made) in made.iter().enumerate() {
                    let (y, x) = (y + k / 2, x + k % 2);
                    if y - to.first_row >= height || x >= width {
                        continue;
                    }
                    let at = ((y - to.first_row) * width + x) * self.outputs;
                    let out = &mut to.out[at..][outputs.clone()];
                    let add = to.add.map_or(&[][..], |add| &add.at(y, x)[outputs.clone()]);
                    lay(out, made, &bias[outputs.clone()], add);
                }
            }
            first += panel;
        }
    }
}

/// `G g Gᵀ` of a kernel.
fn points_of(taps: impl Fn(usize, usize) -> f32) -> [f32; POINTS] {
    let along = |[a, b, c]: [f64; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let rows: [[f64; SIDE]; 3] = from_fn(|y| along(from_fn(|x| f64::from(taps(y, x)))));
    let columns: [[f64; SIDE]; SIDE] = from_fn(|x| along(from_fn(|y| rows[y][x])));
    from_fn(|p| columns[p % SIDE][p / SIDE] as f32)
}

/// `Bᵀ` times four values, number by number.
#[inline(always)]
fn before(d: [&[f32]; SIDE], to: [&mut [f32]; SIDE]) {
    let n = to[0].len();
    let [a, b, c, d] = d.map(|d| &d[..n]);
    let [p, q, r, s] = to.map(|to| &mut to[..n]);
    for i in 0..n {
        p[i] = a[i] - c[i];
        q[i] = b[i] + c[i];
        r[i] = c[i] - b[i];
        s[i] = b[i] - d[i];
    }
}

/// `Aᵀ` times four values, number by number.
#[inline(always)]
fn after(m: [&[f32]; SIDE], to: [&mut [f32]; 2]) {
    let n = to[0].len();
    let [a, b, c, d] = m.map(|m| &m[..n]);
    let [p, q] = to.map(|to| &mut to[..n]);
    for i in 0..n {
        p[i] = a[i] + b[i] + c[i];
        q[i] = b[i] - c[i] - d[i];
    }
}

/// Channels that are made points of at once.
const CHANNELS: usize = 128;

vectorised! {
    /// The points of a tile's square of positions, channel by channel: point `p` lies from
    /// `at + p · each` on.
    fn into_points(square: &[&[f32]; POINTS], points: &mut [f32], at: usize, each: usize) {
        let channels = square[0].len();
        // `[row of Bᵀ d][column]`.
        let mut down = [[[0.; CHANNELS]; SIDE]; SIDE];
        for from in (0..channels).step_by(CHANNELS) {
            let count = (channels - from).min(CHANNELS);
            let d = |y: usize, x: usize| &square[y * SIDE + x][from..from + count];
            let [top, upper, lower, bottom] = &mut down;
            for x in 0..SIDE {
                let to = [&mut top[x], &mut upper[x], &mut lower[x], &mut bottom[x]];
                before([d(0, x), d(1, x), d(2, x), d(3, x)], to.map(|to| &mut to[..count]));
            }
            for (y, [a, b, c, d]) in down.iter().enumerate() {
                let points = &mut points[y * SIDE * each..];
                let (p, points) = points.split_at_mut(each);
                let (q, points) = points.split_at_mut(each);
                let (r, s) = points.split_at_mut(each);
                let here = at + from..at + from + count;
                before([a, b, c, d], [p, q, r, s].map(|to| &mut to[here.clone()]));
            }
        }
    }
}

vectorised! {
    /// The four outputs of a tile in a panel `width` wide from the sums at its points: that
    /// of point `p` lies from `at + p · each` on.
    fn from_points(sums: &[f32], at: usize, each: usize, width: usize, made: &mut [Panel; 4]) {
        let m = |p: usize| &sums[at + p * each..][..width];
        let mut down = [[[0.; MAX_LANES * LANES]; SIDE]; 2];
        let [upper, lower] = &mut down;
        for x in 0..SIDE {
            let to = [&mut upper[x][..width], &mut lower[x][..width]];
            after([m(x), m(SIDE + x), m(2 * SIDE + x), m(3 * SIDE + x)], to);
        }
        let [a, b, c, d] = made;
        for ([p, q, r, s], [left, right]) in down.iter().zip([[a, b], [c, d]]) {
            after([p, q, r, s], [&mut left[..width], &mut right[..width]]);
        }
    }
}

vectorised! {
    /// `out = made + bias`, and `add`, if it is not empty.
    fn lay(out: &mut [f32], made: &[f32], bias: &[f32], add: &[f32]) {
        for ((out, made), bias) in out.iter_mut().zip(made).zip(bias) {
            *out = made + bias;
        }
        for (out, add) in out.iter_mut().zip(add) {
            *out += add;
        }
    }
}
