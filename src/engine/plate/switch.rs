//! When each cell changes clip: a labelling problem. The price of a switch time
//! is the jump in time, in steps of the plate's own motion; the price of two
//! neighbours switching at different times is the seam in space, as the eye
//! sees it. Hence flames and cloth change almost at once, and water cell by
//! cell (after Kwatra, Schödl, Essa, Turk and Bobick, "Graphcut textures",
//! 2003, and Agarwala et al., "Panoramic video textures", 2005).

use parking_lot::Mutex;

use super::features::{Features, step};
use super::planes::{Planes, borders};
use super::playing::Playing;
use super::trws::{Messages, NEVERMORE, Ordered, Problem};

/// A natural step squared in the units of the labelling.
pub(super) const COST: i32 = 64;
/// Passes of a labelling that is mended.
const MENDED: usize = 2;

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
            passes: 6,
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
    let mut before: Vec<i32> = Vec::new();
    let mut costs = vec![0i32; cells];
    let mut kept: Vec<Ordered> = Vec::new();
    for (u, extra) in ask.extra.chunks_exact(cells).enumerate() {
        if u <= ask.window {
            planes.compare(f, playing.at(ask.at + u), ask.at + u, ask.offset);
            if u == 0 {
                before.clone_from(&planes.jump);
            }
            let jumps = before.iter().zip(&planes.jump);
            for ((cost, (a, b)), extra) in costs.iter_mut().zip(jumps).zip(extra) {
                *cost = (a + b) / 2 + i32::from(*extra);
            }
            before.clone_from(&planes.jump);
        } else {
            for (cost, extra) in costs.iter_mut().zip(extra) {
                *cost = i32::from(*extra);
            }
        }
        problem.set_label(u, &costs);
        if u < ask.window {
            kept.push(problem.ordered(&planes.seam));
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
    kept.push(problem.ordered(&sum));
    let priced = |problem: &mut Problem, w: &Weights| {
        for (u, seam) in kept.iter().enumerate() {
            let frames = if u == ask.window { ask.life } else { 1 };
            borders(problem, seam, u, w, frames);
        }
    };
    priced(problem, w);
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
    let shown = Shown::new(f, playing, ask);
    let mut seam = w.seam;
    for _ in 0..budget.rounds {
        let Some(times) = fits.last() else { break };
        if shown.steps(times).iter().all(|s| *s <= budget.step) {
            break;
        }
        seam /= 2;
        priced(problem, &Weights { seam, ..*w });
        fits.push(problem.resume(MENDED, messages));
    }
    fits
}

/// The luma around a change of clip.
struct Shown {
    cells: usize,
    /// What is shown without the change: the frame before the window, and each in it.
    old: Vec<i16>,
    /// The same of the clip that begins.
    new: Vec<i16>,
}

impl Shown {
    fn new(f: &Features, playing: &Playing, ask: &Ask<'_>) -> Self {
        let cells = f.cells();
        let size = (ask.window + 2) * cells;
        let [mut old, mut new] = [vec![0; size], vec![0; size]];
        let mut source = vec![0; cells];
        let all = vec![ask.offset; cells];
        let frames = old.chunks_exact_mut(cells).zip(new.chunks_exact_mut(cells));
        for (t, (old, new)) in (ask.at as i32 - 1..).zip(frames) {
            f.show(playing.at(t.max(0) as usize), t, &mut source, old);
            f.show(&all, t, &mut source, new);
        }
        Self { cells, old, new }
    }

    /// The sum of the steps of the luma in each frame of the window, where each cell
    /// switches at its time.
    fn steps(&self, times: &[u8]) -> Vec<i64> {
        let mut before = self.old[..self.cells].to_vec();
        let mut now = before.clone();
        let old = self.old.chunks_exact(self.cells);
        let new = self.new.chunks_exact(self.cells);
        (0u8..)
            .zip(old.zip(new).skip(1))
            .map(|(u, (old, new))| {
                for (((now, &s), o), n) in now.iter_mut().zip(times).zip(old).zip(new) {
                    *now = if s <= u { *n } else { *o };
                }
                let sum = step(&now, &before);
                std::mem::swap(&mut before, &mut now);
                sum
            })
            .collect()
    }
}

/// Memory that fits share one after the other.
#[derive(Default)]
pub(super) struct Room {
    problem: Problem,
    messages: Messages,
    planes: Planes,
}

/// Memory for fits that go on at once.
#[derive(Default)]
pub(super) struct Rooms(Mutex<Vec<Room>>);

impl Rooms {
    /// Does `work` in memory that nobody else works in.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Room) -> R) -> R {
        let mut room = self.0.lock().pop().unwrap_or_default();
        let done = work(&mut room);
        self.0.lock().push(room);
        done
    }
}

/// The price of what must not be.
pub(super) const FORBIDDEN: i16 = NEVERMORE;
