//! When each cell changes clip: a labelling problem. The price of a switch time
//! is the jump in time, in steps of the plate's own motion; the price of two
//! neighbours switching at different times is the seam in space, as the eye
//! sees it. Hence flames and cloth change almost at once, and water cell by
//! cell (after Kwatra, Schödl, Essa, Turk and Bobick, "Graphcut textures",
//! 2003, and Agarwala et al., "Panoramic video textures", 2005).

use super::features::{Features, NATURAL};
use super::playing::Playing;
use super::trws::{Messages, NEVERMORE, Pair, Problem};

/// A natural step squared in the units of the labelling.
pub(super) const COST: i32 = 64;
/// Largest jump in time that is told apart, in natural steps squared.
const MOST_JUMP: i32 = 9 * COST;
/// Largest seam that is told apart, in contrasts just seen, squared.
const MOST_SEAM: i32 = 60 * COST;
/// What to weigh, and how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    /// Price of a seam beside the price of a jump, of 256.
    pub(super) seam: i32,
    /// Price of any border, however well hidden, in [`COST`].
    pub(super) border: i32,
    /// Passes of the labelling.
    pub(super) passes: usize,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            seam: 2400,
            border: 10,
            passes: 10,
        }
    }
}

/// A change of clip to be fitted to what plays.
pub(super) struct Ask<'a> {
    /// Output index at which switches may begin.
    pub(super) at: usize,
    /// Plate index less output index of the clip that begins.
    pub(super) offset: i32,
    /// Largest switch time.
    pub(super) window: usize,
    /// Added to the cost of each label at each cell: label by label, cell by
    /// cell, `window + 2` of them; the last stands for not switching.
    pub(super) extra: &'a [i16],
    /// Frames for which a border between a cell that switches and one that
    /// does not will be seen after the window.
    pub(super) life: usize,
    /// Which cells are not free to choose.
    pub(super) bound: &'a Bound,
}

/// What a labelling must keep to.
#[derive(Debug)]
pub(super) struct Bound {
    /// Cells that switch at one moment, or none of them.
    pub(super) groups: Vec<Vec<u32>>,
    /// Cells and the label that each must have.
    pub(super) pins: Vec<(u32, u8)>,
}

impl Bound {
    /// Nothing.
    pub(super) const NONE: &'static Self = &Self {
        groups: Vec::new(),
        pins: Vec::new(),
    };
}

/// What a frame may step at most, and how often a fit is mended to keep to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Largest sum over cells of the absolute step of the luma.
    pub(super) step: i64,
    /// Times that the labelling is mended.
    pub(super) rounds: usize,
}

/// Fits a change of clip to what plays: for each cell the switch time, or
/// `window + 1` for never. Where some frame would step farther than the budget
/// allows, seams are made cheaper, so that the change spreads over more frames,
/// and the labelling goes on; each labelling on the way is handed over.
pub(super) fn fit(
    f: &Features,
    playing: &Playing,
    ask: &Ask<'_>,
    w: &Weights,
    budget: Budget,
    room: &mut Room,
) -> Vec<Vec<u8>> {
    let cells = f.cells();
    let labels = ask.window + 2;
    let Room {
        problem,
        messages,
        planes,
    } = room;
    problem.reset(f.cols, f.rows, labels);
    planes.reset(cells);
    let mut before = vec![0i32; cells];
    let mut kept: Vec<Vec<i32>> = Vec::new();
    for u in 0..=ask.window {
        planes.compare(f, playing.at(ask.at + u), ask.at + u, ask.offset);
        for y in 0..f.rows {
            for x in 0..f.cols {
                let c = y * f.cols + x;
                let jump = planes.jump[c];
                let first = if u == 0 { jump } else { before[c] };
                let cost = (first + jump) / 2 + i32::from(ask.extra[u * cells + c]);
                problem.set_unary(x, y, u, cost);
                before[c] = jump;
            }
        }
        if u < ask.window {
            seams(problem, f, &planes.seam, u, 1, w);
            kept.push(planes.seam.clone());
        }
    }
    for y in 0..f.rows {
        for x in 0..f.cols {
            let c = y * f.cols + x;
            let cost = i32::from(ask.extra[(ask.window + 1) * cells + c]);
            problem.set_unary(x, y, ask.window + 1, cost);
        }
    }
    // The border that is left when some cells never switch.
    let mut sum = vec![0i32; cells];
    let sampled = [2usize, 5];
    for v in sampled {
        let t = ask.at + ask.window + v;
        planes.compare(f, playing.at(t), t, ask.offset);
        for (s, p) in sum.iter_mut().zip(&planes.seam) {
            *s += p / sampled.len() as i32;
        }
    }
    seams(problem, f, &sum, ask.window, ask.life as i32, w);
    kept.push(sum);
    for &(c, label) in &ask.bound.pins {
        problem.pin(c as usize, label);
    }
    let mut fits = vec![problem.solve(w.passes, messages)];
    if !ask.bound.groups.is_empty() {
        fits = vec![problem.join(&ask.bound.groups, messages)];
    }
    if budget.rounds == 0 {
        return fits;
    }
    let steps = Steps::new(f, playing, ask);
    let mut seam = w.seam;
    for _ in 0..budget.rounds {
        let Some(times) = fits.last() else { break };
        let taken = steps.taken(times);
        if taken.iter().all(|s| *s <= budget.step) {
            break;
        }
        seam /= 2;
        for (u, plane) in kept.iter().enumerate() {
            let times = if u == ask.window { ask.life as i32 } else { 1 };
            seams(problem, f, plane, u, times, &Weights { seam, ..*w });
        }
        fits.push(problem.resume(4, messages));
    }
    fits
}

/// What switching does to the steps of the luma from frame to frame.
struct Steps {
    cells: usize,
    /// Frame by frame: the step of a cell that stays with its old clip, that
    /// switches in the frame, that plays the new clip already.
    parts: Vec<[i16; 3]>,
}

impl Steps {
    fn new(f: &Features, playing: &Playing, ask: &Ask<'_>) -> Self {
        let cells = f.cells();
        let last = f.frames as i32 - 1;
        let luma = |t: i32, c: usize| i32::from(f.luma[t.clamp(0, last) as usize * cells + c]);
        let mut parts = Vec::with_capacity((ask.window + 1) * cells);
        for u in 0..=ask.window {
            let t = (ask.at + u) as i32;
            let (now, was) = (playing.at(ask.at + u), playing.at((ask.at + u).max(1) - 1));
            for c in 0..cells {
                let old = luma(t - 1 + was[c], c);
                let new = luma(t + ask.offset, c);
                let stays = (luma(t + now[c], c) - old).abs();
                let goes = (new - old).abs();
                let there = (new - luma(t - 1 + ask.offset, c)).abs();
                parts.push([stays, goes, there].map(|v| v.min(32_767) as i16));
            }
        }
        Self { cells, parts }
    }

    /// The sum of the steps in each frame of the window.
    fn taken(&self, times: &[u8]) -> Vec<i64> {
        self.parts
            .chunks_exact(self.cells)
            .enumerate()
            .map(|(u, parts)| {
                parts
                    .iter()
                    .zip(times)
                    .map(|(p, &s)| {
                        i64::from(
                            p[usize::from(usize::from(s) <= u) + usize::from(usize::from(s) < u)],
                        )
                    })
                    .sum()
            })
            .collect()
    }
}

/// Sets the prices of borders in one frame from the seams of the cells.
fn seams(p: &mut Problem, f: &Features, seam: &[i32], frame: usize, times: i32, w: &Weights) {
    let price = |a: usize, b: usize| times * (((seam[a] + seam[b] + 2 * w.border) * w.seam) >> 8);
    for y in 0..f.rows {
        for x in 0..f.cols {
            let c = y * f.cols + x;
            if x + 1 < f.cols {
                let e = price(c, c + 1);
                p.set_pair(Pair::Right, x, y, frame, e);
            }
            if y + 1 < f.rows {
                let e = price(c, c + f.cols);
                p.set_pair(Pair::Down, x, y, frame, e);
            }
        }
    }
}

/// Memory that fits share one after the other.
#[derive(Default)]
pub(super) struct Room {
    problem: Problem,
    messages: Messages,
    planes: Planes,
}

/// How an old and a new clip differ in one frame.
#[derive(Default)]
struct Planes {
    /// Jump in time per cell, in [`COST`].
    jump: Vec<i32>,
    /// Seam in space per cell, in [`COST`].
    seam: Vec<i32>,
    scratch: Vec<i32>,
}

impl Planes {
    fn reset(&mut self, cells: usize) {
        for v in [&mut self.jump, &mut self.seam, &mut self.scratch] {
            v.clear();
            v.resize(cells, 0);
        }
    }

    fn compare(&mut self, f: &Features, old: &[i32], t: usize, offset: i32) {
        let last = f.frames as i32 - 1;
        let t = t as i32;
        let new = (t + offset).clamp(0, last) as usize;
        for c in 0..f.cells() {
            let was = (t + old[c]).clamp(0, last) as usize;
            let jump = f.jump(c, was, new) / (NATURAL / COST);
            let seam = f.contrast(c, was, new) / (NATURAL / COST);
            self.jump[c] = jump.min(4 * MOST_JUMP);
            self.seam[c] = seam.min(4 * MOST_SEAM);
        }
        // Gaussians of .8 and .6 cells.
        blur(
            &mut self.jump,
            &mut self.scratch,
            f.cols,
            f.rows,
            [32, 15, 1],
        );
        blur(
            &mut self.seam,
            &mut self.scratch,
            f.cols,
            f.rows,
            [42, 11, 0],
        );
        for j in &mut self.jump {
            *j = (*j).min(MOST_JUMP);
        }
        for s in &mut self.seam {
            *s = (*s).min(MOST_SEAM);
        }
    }
}

/// A symmetric filter of five taps, in sixty-fourths, edges repeated.
fn blur(plane: &mut [i32], scratch: &mut [i32], cols: usize, rows: usize, k: [i32; 3]) {
    for y in 0..rows {
        let row = &plane[y * cols..(y + 1) * cols];
        for x in 0..cols {
            let (a, b) = (x.saturating_sub(2), x.saturating_sub(1));
            let (d, e) = ((x + 1).min(cols - 1), (x + 2).min(cols - 1));
            scratch[y * cols + x] =
                k[0] * row[x] + k[1] * (row[b] + row[d]) + k[2] * (row[a] + row[e]);
        }
    }
    for y in 0..rows {
        let at = |d: isize| y.saturating_add_signed(d).min(rows - 1) * cols;
        let (a, b, c, d, e) = (at(-2), at(-1), at(0), at(1), at(2));
        for x in 0..cols {
            let sum = i64::from(k[0]) * i64::from(scratch[c + x])
                + i64::from(k[1]) * i64::from(scratch[b + x] + scratch[d + x])
                + i64::from(k[2]) * i64::from(scratch[a + x] + scratch[e + x]);
            plane[c + x] = (sum >> 12) as i32;
        }
    }
}

/// The price of what must not be.
pub(super) const FORBIDDEN: i16 = NEVERMORE;
