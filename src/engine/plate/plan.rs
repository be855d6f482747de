//! Which clips follow one another: a Bellman cost-to-go over output time and
//! plate frame, backwards from the end that is wanted, and seeded walks that
//! prefer what is cheap.

use super::features::{Features, NATURAL};
use super::jumps::{Jumps, Landing};
use super::recent::{Recent, SOON, Shown};
use super::score::steepness;
use crate::device::{Cancelled, Task};
use crate::sampler::Philox;

/// No way from here.
const BLOCKED: i64 = 1 << 50;

/// A stretch of output frames to be made, and what must be true at its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Number of frames.
    pub(super) length: usize,
    /// The plate index that plays at its first frame, where that is given.
    pub(super) start: Option<usize>,
    /// The plate index that must play right after its last frame, where that
    /// is given.
    pub(super) end: Option<usize>,
    /// The frame after the last is the first.
    pub(super) closed: bool,
}

impl Stretch {
    /// Offset of the clip that must play at its end if plate index `start` plays at
    /// its first frame; `None` where it may end as it likes.
    pub(super) fn arrival(&self, start: usize) -> Option<i32> {
        let end = if self.closed { Some(start) } else { self.end };
        end.map(|end| end as i32 - self.length as i32)
    }
}

/// A change of clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Frame of the stretch at which it begins.
    pub(super) at: usize,
    /// Plate index less frame of the stretch, of the clip that begins.
    pub(super) offset: i32,
}

/// A plan of a stretch.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Plate index that plays at the first frame.
    pub(super) start: usize,
    /// The changes in order.
    pub(super) changes: Vec<Change>,
}

/// How plans are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taste {
    /// How many natural jumps a jump may cost before it is dear.
    pub(super) eager: f64,
    /// Fewest frames of a clip.
    pub(super) shortest: usize,
    /// By how much of that the least length of a clip varies.
    pub(super) vary: f64,
    /// The share of half-second windows without a change that is wanted.
    pub(super) copied: f64,
    /// Frames of half a second.
    pub(super) half: f64,
    /// Spreads by which a jump becomes dear that was taken seconds ago.
    pub(super) back: f64,
    /// Spreads by which frames much used in the last seconds become dear.
    pub(super) cover: f64,
    /// How random a walk is, in spreads between good and ordinary jumps.
    pub(super) heat: f64,
}

/// Walks tried for a plan.
const WALKS: u32 = 48;
/// Share of the future in a decision, of 256.
const FUTURE: i64 = 230;
/// Spreads by which a used jump becomes dear.
const AGAIN: f64 = 1.5;

/// Bytes that a plan of `length` frames of a plate of `frames` frames takes while it is made.
pub(super) fn bytes(length: usize, frames: usize) -> u64 {
    let side = frames.min(MOST_TAKEN);
    ((length + 1) * frames * size_of::<i64>() + side * side * size_of::<f32>()) as u64
}

/// Cheapest future of a clip that shows plate frame `j` at frame `t`.
struct Future {
    frames: usize,
    cost: Vec<i64>,
}

impl Future {
    fn at(&self, t: usize, j: usize) -> i64 {
        self.cost[t * self.frames + j]
    }

    /// Whether the clip may simply run on to the end.
    fn runs_out(s: &Stretch, end: Option<usize>, jumps: &Jumps, t: usize, j: usize) -> bool {
        let left = s.length - t;
        match end {
            None => jumps.run(j) >= left.max(1),
            Some(e) => j + left == e && jumps.run(j) >= left,
        }
    }

    fn new(
        s: &Stretch,
        end: Option<usize>,
        jumps: &Jumps,
        taste: &Taste,
        task: Task<'_>,
    ) -> Result<Self, Cancelled> {
        let n = jumps.frames;
        let mut cost = vec![BLOCKED; (s.length + 1) * n];
        Self::backwards(s, end, jumps, taste, task, |t, row| {
            cost[t * n..(t + 1) * n].copy_from_slice(row);
        })?;
        Ok(Self { frames: n, cost })
    }

    /// The cost of a clip that shows plate frame `j` at the first frame.
    fn of_start(
        j: usize,
        s: &Stretch,
        end: Option<usize>,
        jumps: &Jumps,
        taste: &Taste,
        task: Task<'_>,
    ) -> Result<i64, Cancelled> {
        let mut cost = BLOCKED;
        Self::backwards(s, end, jumps, taste, task, |_, row| cost = row[j])?;
        Ok(cost)
    }

    /// Hands over the cost of each plate frame, from the last output frame to the first.
    fn backwards(
        s: &Stretch,
        end: Option<usize>,
        jumps: &Jumps,
        taste: &Taste,
        task: Task<'_>,
        mut row: impl FnMut(usize, &[i64]),
    ) -> Result<(), Cancelled> {
        let n = jumps.frames;
        let bonus = libm::rint(taste.eager * jumps.natural) as i64;
        let mut cost = vec![BLOCKED; n];
        // ahead[t % rows][i]: the best that a clip at frame i can do by a change at t
        // or later along its way.
        let rows = taste.shortest + 1;
        let mut ahead = vec![BLOCKED; rows * n];
        for t in (0..=s.length).rev() {
            if t % 16 == 0 {
                task.check()?;
            }
            let later = |k: usize| ((t + k) % rows) * n;
            for (j, cost) in cost.iter_mut().enumerate() {
                let mut best = BLOCKED;
                if Self::runs_out(s, end, jumps, t, j) {
                    best = 0;
                }
                if t + taste.shortest <= s.length && jumps.run(j) > taste.shortest {
                    best = best.min(ahead[later(taste.shortest) + j + taste.shortest]);
                }
                *cost = best;
            }
            row(t, &cost);
            let with =
                |l: &Landing, after: i64| i64::from(l.cost) - bonus + ((after * FUTURE) >> 8);
            let least = cost.iter().copied().min().unwrap_or(BLOCKED);
            for i in 0..n {
                let mut best = BLOCKED;
                if t + jumps.window <= s.length {
                    // The cheapest landings come first: once one is too dear with the
                    // best future there is, so are all after it.
                    for some in jumps.from[i].chunks(8) {
                        if with(&some[0], least) >= best {
                            break;
                        }
                        for l in some {
                            best = best.min(with(l, cost[l.to as usize]));
                        }
                    }
                }
                if t < s.length && jumps.run(i) > 1 {
                    best = best.min(ahead[later(1) + i + 1]);
                }
                ahead[later(0) + i] = best;
            }
        }
        Ok(())
    }
}

/// One plan, the best of several walks.
pub(super) fn plan(
    s: &Stretch,
    jumps: &Jumps,
    look: &Features,
    taste: &Taste,
    rng: &mut Philox,
    task: Task<'_>,
) -> Result<Plan, Cancelled> {
    let n = jumps.frames;
    let (start, end, future) = ends(s, jumps, taste, rng, task)?;
    let frame = |t: usize| &look.luma[t * look.cells()..(t + 1) * look.cells()];
    let steep: Vec<i64> = (0..n)
        .map(|t| steepness(look.cols, look.rows, |c| i32::from(frame(t)[c])))
        .collect();
    let own = spread(look, &steep, &vec![1; n]);
    let mut best: Option<(f64, Plan)> = None;
    for _ in 0..WALKS {
        task.check()?;
        let walk = walk(s, start, end, &future, jumps, taste, rng);
        let use_of = |t: usize| {
            let change = walk.changes.iter().rev().find(|c| c.at <= t);
            let offset = change.map_or(start as i32, |c| c.offset);
            (t as i32 + offset).clamp(0, n as i32 - 1) as usize
        };
        let mut used = vec![0u64; n];
        for t in 0..s.length {
            used[use_of(t)] += 1;
        }
        let mut score = walk.worst / jumps.natural;
        let (mean, uneven) = evenness(&used, jumps.window);
        score += 0.25 * uneven / mean.max(1e-3);
        let (deviation, luma, gradient) = spread(look, &steep, &used);
        score += 10.0 * (0.97 - deviation / own.0.max(1e-9)).max(0.0);
        score += 1000.0 * ((luma / own.1.max(1e-9) - 1.0).abs() - 0.003).max(0.0);
        score += 60.0 * (0.995 - gradient / own.2.max(1e-9)).max(0.0);
        let run = s.length as f64 / (walk.changes.len() + 1) as f64;
        let copied = (1.0 - 0.95 * taste.half / run).max(0.0);
        score += 12.0 * (copied - taste.copied).max(0.0);
        score += 6.0 * (taste.copied - 0.04 - copied).max(0.0);
        if !walk.arrived {
            score += 1e9;
        }
        if best.as_ref().is_none_or(|(b, _)| score < *b) {
            best = Some((
                score,
                Plan {
                    start,
                    changes: walk.changes,
                },
            ));
        }
    }
    Ok(best.map(|b| b.1).unwrap_or(Plan {
        start,
        changes: Vec::new(),
    }))
}

/// The plate frames to begin and to end with, and the future that leads there.
fn ends(
    s: &Stretch,
    jumps: &Jumps,
    taste: &Taste,
    rng: &mut Philox,
    task: Task<'_>,
) -> Result<(usize, Option<usize>, Future), Cancelled> {
    let n = jumps.frames;
    if s.closed {
        // The first frame is also the one after the last.
        let room = n.saturating_sub(jumps.window + taste.shortest).max(1);
        let step = (room / 24).max(1);
        let mut best: Option<(i64, usize)> = None;
        for f in (jumps.window.min(room - 1)..room).step_by(step) {
            let cost = Future::of_start(f, s, Some(f), jumps, taste, task)?;
            if best.is_none_or(|b| cost < b.0) {
                best = Some((cost, f));
            }
        }
        if let Some((_, f)) = best {
            let future = Future::new(s, Some(f), jumps, taste, task)?;
            return Ok((f, Some(f), future));
        }
    }
    let future = Future::new(s, s.end, jumps, taste, task)?;
    let start = match s.start {
        Some(j) => j,
        None => {
            let costs: Vec<i64> = (0..n).map(|j| future.at(0, j)).collect();
            draw(&costs, taste.heat * jumps.scale(), rng)
        }
    };
    Ok((start, s.end, future))
}

/// An index, the likelier the cheaper.
pub(super) fn draw(costs: &[i64], heat: f64, rng: &mut Philox) -> usize {
    let least = costs.iter().copied().min().unwrap_or(0);
    let heat = heat.max(1e-6);
    let weights: Vec<f64> = costs
        .iter()
        .map(|c| {
            let q = (c - least) as f64 / heat;
            if q > 60.0 { 0.0 } else { libm::exp(-q) }
        })
        .collect();
    let mut left = rng.uniform() * weights.iter().sum::<f64>();
    for (i, w) in weights.iter().enumerate() {
        left -= w;
        if left < 0.0 {
            return i;
        }
    }
    costs.iter().position(|c| *c == least).unwrap_or(0)
}

/// Cells along each side of the table of jumps that were taken, at most.
const MOST_TAKEN: usize = 1024;

struct Walk {
    changes: Vec<Change>,
    worst: f64,
    arrived: bool,
}

/// How close a jump is to those already taken: a Gaussian around each, kept on
/// a table so that a long take stays as cheap as a short one.
struct Taken {
    /// Frames of a cell of the table.
    bin: usize,
    side: usize,
    near: f64,
    sum: Vec<f32>,
}

impl Taken {
    fn new(frames: usize, near: f64) -> Self {
        let bin = frames.div_ceil(MOST_TAKEN);
        let side = frames.div_ceil(bin);
        Self {
            bin,
            side,
            near: (near / bin as f64).max(0.5),
            sum: vec![0.0; side * side],
        }
    }

    fn at(&self, from: usize, to: usize) -> f64 {
        f64::from(self.sum[from / self.bin * self.side + to / self.bin])
    }

    fn add(&mut self, from: usize, to: usize) {
        let (i, k) = (from / self.bin, to / self.bin);
        let reach = libm::ceil(5.0 * self.near) as usize;
        let around = |c: usize| c.saturating_sub(reach)..(c + reach + 1).min(self.side);
        for a in around(i) {
            for b in around(k) {
                let (da, db) = (a as f64 - i as f64, b as f64 - k as f64);
                let d = (da * da + db * db) / (2.0 * self.near * self.near);
                self.sum[a * self.side + b] += libm::exp(-d) as f32;
            }
        }
    }
}

fn walk(
    s: &Stretch,
    start: usize,
    end: Option<usize>,
    future: &Future,
    jumps: &Jumps,
    taste: &Taste,
    rng: &mut Philox,
) -> Walk {
    let n = jumps.frames;
    let scale = jumps.scale();
    let near = 0.15 / 0.9 * jumps.window as f64;
    let mut changes: Vec<Change> = Vec::new();
    let mut taken = Taken::new(n, near);
    let mut shown = Shown::new(n, libm::rint(2.0 * taste.half * SOON) as usize);
    let mut worst = f64::MIN;
    let (mut t, mut j) = (0usize, start);
    loop {
        let done = Future::runs_out(s, end, jumps, t, j);
        // A stretch with a way out of its first clip takes it, so that what is
        // made is not merely the plate.
        if done && (t > 0 || s.start.is_none() && !s.closed && end.is_some()) {
            break;
        }
        // The least length of each clip is drawn, so that changes do not fall
        // into a beat.
        let shortest = if t == 0 && s.start.is_some() && !s.closed {
            0
        } else {
            taste.shortest + (rng.uniform() * taste.vary * taste.shortest as f64) as usize
        };
        let crowded = shown.crowded(jumps.window);
        let (mut costs, mut moves) = (Vec::new(), Vec::new());
        let recent = Recent::new(start, &changes, t, 2.0 * taste.half, jumps.window);
        let is_back = |i, k| taste.back > 0.0 && recent.has(i, k);
        let back = |i, k| if is_back(i, k) { taste.back } else { 0.0 };
        // A clip that finds no way on after its least length looks earlier.
        for shortest in [shortest, taste.shortest] {
            if !costs.is_empty() {
                break;
            }
            let mut r = shortest;
            // A clip runs on for some seconds; for longer if it must.
            let reach = shortest + 8 * jumps.window;
            while r < jumps.run(j)
                && (r <= reach || costs.is_empty())
                && t + r + jumps.window <= s.length + if end.is_none() { jumps.window } else { 0 }
                && t + r < s.length
            {
                let i = j + r;
                for l in &jumps.from[i] {
                    let k = l.to as usize;
                    let after = future.at(t + r, k);
                    if after >= BLOCKED / 2 {
                        continue;
                    }
                    let q = f64::from(l.cost)
                        + after as f64 * 0.9
                        + taste.cover * scale * crowded[k]
                        + AGAIN * scale * taken.at(i, k)
                        + scale * back(i, k);
                    costs.push(libm::rint(q) as i64);
                    moves.push((r, k));
                }
                r += 1;
            }
        }
        if costs.is_empty() {
            break;
        }
        let (r, k) = moves[draw(&costs, taste.heat * scale, rng)];
        let cost = jumps.cost(j + r, k).unwrap_or(NATURAL * 40);
        worst = worst.max(f64::from(cost));
        shown.show(j..j + r);
        taken.add(j + r, k);
        t += r;
        j = k;
        changes.push(Change {
            at: t,
            offset: k as i32 - t as i32,
        });
    }
    Walk {
        arrived: Future::runs_out(s, end, jumps, t, j),
        changes,
        worst,
    }
}

/// Mean and deviation of how often the windows of the plate are used.
fn evenness(used: &[u64], window: usize) -> (f64, f64) {
    let n = used.len();
    let half = window / 2;
    let windows: Vec<f64> = (0..n)
        .map(|i| {
            let (a, b) = (i.saturating_sub(half), (i + half + 1).min(n));
            used[a..b].iter().sum::<u64>() as f64 / window.max(1) as f64
        })
        .collect();
    let mean = windows.iter().sum::<f64>() / n as f64;
    let var = windows.iter().map(|w| (w - mean) * (w - mean)).sum::<f64>() / n as f64;
    (mean, libm::sqrt(var))
}

/// Mean over cells of the deviation in time, the mean luma and the mean
/// gradient, each frame counted as often as it is used.
fn spread(look: &Features, steep: &[i64], used: &[u64]) -> (f64, f64, f64) {
    let cells = look.cells();
    let total: u64 = used.iter().sum();
    let mut sum = vec![0i64; cells];
    let mut square = vec![0i64; cells];
    for (t, &u) in used.iter().enumerate() {
        if u > 0 {
            let frame = &look.luma[t * cells..(t + 1) * cells];
            for ((s, q), l) in sum.iter_mut().zip(&mut square).zip(frame) {
                let l = i64::from(*l);
                *s += u as i64 * l;
                *q += u as i64 * l * l;
            }
        }
    }
    let n = total.max(1) as f64;
    let (mut out, mut luma) = (0.0, 0.0);
    for (s, q) in sum.iter().zip(&square) {
        let mean = *s as f64 / n;
        luma += mean;
        out += libm::sqrt((*q as f64 / n - mean * mean).max(0.0));
    }
    let gradient: f64 = steep
        .iter()
        .zip(used)
        .map(|(g, u)| *g as f64 * *u as f64)
        .sum();
    (out / cells as f64, luma / cells as f64, gradient / n)
}
