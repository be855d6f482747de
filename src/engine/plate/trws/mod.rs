//! Labelling a grid of cells by sequential tree-reweighted message passing
//! (TRW-S; Kolmogorov, "Convergent tree-reweighted message passing for energy
//! minimization", PAMI 2006), in integers.
//!
//! A label is a switch time. Two neighbours that switch at different times pay
//! for every frame in between. A message is then two linear scans over the labels
//! (after Felzenszwalb and Huttenlocher, "Efficient belief propagation for early
//! vision", 2006).
//!
//! The nodes of an anti-diagonal do not depend on each other, so that sixteen or
//! thirty-two of them are worked on at once: cell (x, y) is kept at place `y` of diagonal
//! `x + y`.

mod lanes;
mod messages;
#[cfg(test)]
mod tests;

use lanes::{Plane, WIDE};
pub(super) use messages::Messages;

/// The price of what is forbidden.
pub(super) const NEVERMORE: i16 = 12_000;
/// The label of a cell that may have any.
const FREE: u8 = u8::MAX;
/// Labels that are tried for cells that must have one and the same, and the passes
/// in which the others settle around each.
const TRIED: usize = 3;
const SETTLE: usize = 3;

/// Costs of a labelling, in units of the caller's choice.
#[derive(Default)]
pub(super) struct Problem {
    cols: usize,
    rows: usize,
    labels: usize,
    pitch: usize,
    /// Cost of each label at each cell.
    unary: Plane,
    /// Per frame between two switches, to the right and downwards.
    pair: [Plane; 2],
    /// The label that each cell must have, or [`FREE`]; empty where all are free.
    pins: Vec<u8>,
}

/// Which neighbour.
#[derive(Clone, Copy)]
enum Pair {
    Right = 0,
    Down = 1,
}

/// A value of each cell in the order of the nodes.
pub(super) struct Ordered {
    pitch: usize,
    values: Vec<i16>,
}

impl Problem {
    /// A problem without costs.
    #[cfg(test)]
    pub(super) fn new(cols: usize, rows: usize, labels: usize) -> Self {
        let mut p = Self::default();
        p.reset(cols, rows, labels);
        p
    }

    /// Makes it a problem of that size in the same memory, with all costs to be set.
    pub(super) fn reset(&mut self, cols: usize, rows: usize, labels: usize) {
        self.pins.clear();
        if (self.cols, self.rows, self.labels) == (cols, rows, labels) {
            // Where there is no cell there is no cost.
            return;
        }
        let pitch = (rows + 1).next_multiple_of(WIDE);
        let size = (cols + rows + 1) * labels * pitch + 2 * WIDE;
        (self.cols, self.rows, self.labels, self.pitch) = (cols, rows, labels, pitch);
        for v in self.pair.iter_mut().chain([&mut self.unary]) {
            v.reset(size);
        }
    }

    /// The place of diagonal `d`, label `k`, row `y`. There is slack in front
    /// for a diagonal and a row before the first.
    #[inline(always)]
    fn at(&self, d: usize, k: usize, y: usize) -> usize {
        WIDE + ((d + 1) * self.labels + k) * self.pitch + y
    }

    /// The place of the first label of the cells to the left of those at diagonal `d`
    /// from row `y` on, and of the cells above them.
    #[inline(always)]
    fn earlier(&self, d: usize, y: usize) -> [usize; 2] {
        let left = self.at(d, 0, y) - self.labels * self.pitch;
        [left, left - 1]
    }

    /// The rows that diagonal `d` crosses.
    #[inline(always)]
    fn crossed(&self, d: usize) -> std::ops::Range<usize> {
        (d + 1).saturating_sub(self.cols)..(d + 1).min(self.rows)
    }

    /// A plane of values from -32768 to 32767, a cell each, in the order of the nodes.
    pub(super) fn ordered(&self, plane: &[i32]) -> Ordered {
        let pitch = self.rows + 1;
        let mut values = vec![0; (self.cols + self.rows) * pitch];
        for d in 0..self.cols + self.rows - 1 {
            let rows = self.crossed(d);
            let along = plane[rows.start * self.cols + d - rows.start..].iter();
            let along = along.step_by((self.cols - 1).max(1));
            for (v, cell) in values[d * pitch..][rows].iter_mut().zip(along) {
                *v = *cell as i16;
            }
        }
        Ordered { pitch, values }
    }

    /// Sets what `label` costs each cell.
    pub(super) fn set_label(&mut self, label: usize, costs: &[i32]) {
        for d in 0..self.cols + self.rows - 1 {
            let (rows, at) = (self.crossed(d), self.at(d, label, 0));
            let along = costs[rows.start * self.cols + d - rows.start..].iter();
            let along = along.step_by((self.cols - 1).max(1));
            for (v, cost) in self.unary[at..][rows].iter_mut().zip(along) {
                *v = (*cost).clamp(-i32::from(NEVERMORE), i32::from(NEVERMORE)) as i16;
            }
        }
    }

    /// Sets the `price` of frame `frame` passing between the switches of any two
    /// neighbours, by what there is at either.
    #[inline(always)]
    pub(super) fn set_frame(
        &mut self,
        frame: usize,
        of: &Ordered,
        price: impl Fn(i32, i32) -> i32,
    ) {
        let price = |a: i16, b: i16| {
            price(i32::from(a), i32::from(b)).clamp(0, i32::from(NEVERMORE)) as i16
        };
        for d in 0..self.cols + self.rows - 1 {
            let (rows, at) = (self.crossed(d), self.at(d, frame, 0));
            let [own, next] = [d, d + 1].map(|d| &of.values[d * of.pitch..][..of.pitch]);
            // Those that have a neighbour to the right, and below.
            let right = (d + 2).saturating_sub(self.cols)..rows.end;
            let down = rows.start..(d + 1).min(self.rows - 1);
            let [across, below] = &mut self.pair;
            for ((v, a), b) in across[at..][right.clone()]
                .iter_mut()
                .zip(&own[right.clone()])
                .zip(&next[right])
            {
                *v = price(*a, *b);
            }
            for ((v, a), b) in below[at..][down.clone()]
                .iter_mut()
                .zip(&own[down.clone()])
                .zip(&next[down.start + 1..down.end + 1])
            {
                *v = price(*a, *b);
            }
        }
    }

    /// Sets the cost of `label` for the cell at column `x` of row `y`.
    fn set_unary(&mut self, x: usize, y: usize, label: usize, cost: i32) {
        let i = self.at(x + y, label, y);
        self.unary[i] = cost.clamp(-i32::from(NEVERMORE), i32::from(NEVERMORE)) as i16;
    }

    /// Has cell `c` take `label` and no other.
    pub(super) fn pin(&mut self, c: usize, label: u8) {
        self.pins.resize(self.cols * self.rows, FREE);
        self.pins[c] = label;
        let (x, y) = (c % self.cols, c / self.cols);
        for k in 0..self.labels {
            if k != usize::from(label) {
                self.set_unary(x, y, k, i32::from(NEVERMORE));
            }
        }
    }

    /// The labels under which the cells of each group have one and the same, after
    /// [`solve`](Self::solve): each group is one node of the labelling. What a label
    /// costs it is the sum of what it costs its cells and of what the cells around it
    /// say of it; of the labels that are then best, the rest of the grid settles
    /// around each, and the one of the least cost is kept, for later calls of
    /// [`resume`](Self::resume) too.
    pub(super) fn join(&mut self, groups: &[Vec<u32>], messages: &mut Messages) -> Vec<u8> {
        let mut labels = messages.decode(self);
        for group in groups.iter().filter(|g| g.len() > 1) {
            let costs = messages.belief(self, group);
            let mut order: Vec<usize> = (0..self.labels).collect();
            order.sort_by_key(|k| costs[*k]);
            order.truncate(TRIED);
            let (unary, pins, before) = (self.unary.clone(), self.pins.clone(), messages.clone());
            let mut best: Option<(i64, usize)> = None;
            for &k in order.iter() {
                self.unary.clone_from(&unary);
                self.pins.clone_from(&pins);
                messages.clone_from(&before);
                group.iter().for_each(|c| self.pin(*c as usize, k as u8));
                labels = self.resume(SETTLE, messages);
                let cost = self.energy(&labels);
                if best.is_none_or(|b| cost < b.0) {
                    best = Some((cost, k));
                }
            }
            if let Some((_, k)) = best.filter(|b| order.last() != Some(&b.1)) {
                self.unary.clone_from(&unary);
                self.pins.clone_from(&pins);
                messages.clone_from(&before);
                group.iter().for_each(|c| self.pin(*c as usize, k as u8));
                labels = self.resume(SETTLE, messages);
            }
        }
        labels
    }

    /// The cost of `label` for a cell.
    fn unary(&self, x: usize, y: usize, label: usize) -> i32 {
        i32::from(self.unary[self.at(x + y, label, y)])
    }

    /// Sets the price of frame `frame` passing between the switches of a cell
    /// and of its neighbour to the right or below.
    #[cfg(test)]
    fn set_pair(&mut self, pair: Pair, x: usize, y: usize, frame: usize, cost: i32) {
        let i = self.at(x + y, frame, y);
        self.pair[pair as usize][i] = cost.clamp(0, i32::from(NEVERMORE)) as i16;
    }

    /// The labels, row by row, after `passes` passes forth and back. The same
    /// on every machine.
    pub(super) fn solve(&self, passes: usize, messages: &mut Messages) -> Vec<u8> {
        messages.reset(self);
        self.resume(passes, messages)
    }

    /// The same, from the messages of a labelling of nearly the same costs.
    pub(super) fn resume(&self, passes: usize, messages: &mut Messages) -> Vec<u8> {
        for _ in 0..passes {
            messages.sweep(self, true);
            messages.sweep(self, false);
        }
        messages.decode(self)
    }

    /// The cost of a labelling.
    pub(super) fn energy(&self, labels: &[u8]) -> i64 {
        let mut sum = 0;
        for y in 0..self.rows {
            for x in 0..self.cols {
                let a = usize::from(labels[y * self.cols + x]);
                sum += i64::from(self.unary(x, y, a));
                let mut edge = |pair: Pair, b: usize| {
                    for k in a.min(b)..a.max(b) {
                        sum += i64::from(self.pair[pair as usize][self.at(x + y, k, y)]);
                    }
                };
                if x + 1 < self.cols {
                    edge(Pair::Right, usize::from(labels[y * self.cols + x + 1]));
                }
                if y + 1 < self.rows {
                    edge(Pair::Down, usize::from(labels[(y + 1) * self.cols + x]));
                }
            }
        }
        sum
    }
}
