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

/// Nodes worked on at once: where the processor has registers of 512 bits, elsewhere.
const WIDE: usize = 32;
const LANES: usize = 16;
/// The price of what is forbidden.
pub(super) const NEVERMORE: i16 = 12_000;
/// Largest value of a message; a label that is worse than that is hopeless.
const CEILING: i16 = 8_000;
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

/// The messages along the edges to the right and downwards, kept at the left or upper
/// cell: of each edge the one that was sent last, since a cell sends along an edge when
/// the one that came along it has been read. Kept between labellings, which start from
/// nothing, for its memory.
#[derive(Clone, Default)]
pub(super) struct Messages([Plane; 2]);

/// Numbers of which the first lies at the beginning of a cache line, since what crosses
/// lines takes twice as long to load.
#[derive(Clone, Default)]
struct Plane {
    all: Vec<i16>,
    within: std::ops::Range<usize>,
}

impl Plane {
    /// `size` zeros.
    fn reset(&mut self, size: usize) {
        self.all.clear();
        self.all.resize(size + WIDE, 0);
        let first = self.all.as_ptr().align_offset(2 * WIDE).min(WIDE);
        self.within = first..first + size;
    }
}

impl std::ops::Deref for Plane {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.all[self.within.clone()]
    }
}

impl std::ops::DerefMut for Plane {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.all[self.within.clone()]
    }
}

/// `of` of each pair of lanes. (A loop, since what `array::from_fn` does is not
/// turned into vectors.)
#[inline(always)]
fn each<const L: usize>(a: [i16; L], b: [i16; L], of: impl Fn(i16, i16) -> i16) -> [i16; L] {
    let mut out = [0; L];
    for l in 0..L {
        out[l] = of(a[l], b[l]);
    }
    out
}

/// Lane by lane.
#[inline(always)]
fn lanes<const L: usize>(of: impl Fn(usize) -> i16) -> [i16; L] {
    let mut out = [0; L];
    for (l, o) in out.iter_mut().enumerate() {
        *o = of(l);
    }
    out
}

/// All bits of a lane, or none.
#[inline(always)]
fn mask(all: bool) -> i16 {
    -i16::from(all)
}

#[inline(always)]
fn load<const L: usize>(from: &[i16], i: usize) -> [i16; L] {
    let mut lanes = [0; L];
    lanes.copy_from_slice(&from[i..i + L]);
    lanes
}

impl Messages {
    fn reset(&mut self, p: &Problem) {
        for m in &mut self.0 {
            m.reset(p.unary.len());
        }
    }

    /// For each label what it costs the cells `group` to have it together, with what
    /// the cells around them say of it.
    fn belief(&self, p: &Problem, group: &[u32]) -> Vec<i64> {
        let mut own = vec![false; p.cols * p.rows];
        for &c in group {
            own[c as usize] = true;
        }
        let mut sums = vec![0i64; p.labels];
        // What the cells to the left and above say: along each edge the other message.
        let mut forward = self.clone();
        forward.sweep(p, true);
        for &c in group {
            let c = c as usize;
            let (x, y) = (c % p.cols, c / p.cols);
            let own_at = p.at(x + y, 0, y);
            let [left, above] = p.earlier(x + y, y);
            let around = [
                ((x > 0).then(|| c - 1), &forward.0[0], left),
                ((x + 1 < p.cols).then(|| c + 1), &self.0[0], own_at),
                ((y > 0).then(|| c - p.cols), &forward.0[1], above),
                ((y + 1 < p.rows).then(|| c + p.cols), &self.0[1], own_at),
            ];
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum += i64::from(p.unary[own_at + k * p.pitch]);
                for (_, way, at) in around.iter().filter(|a| a.0.is_some_and(|o| !own[o])) {
                    *sum += i64::from(way[at + k * p.pitch]);
                }
            }
        }
        sums
    }

    fn sweep(&mut self, p: &Problem, forward: bool) {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512bw") {
                // SAFETY: the processor was just found to have AVX-512BW; the function
                // is the portable one, compiled for it.
                return unsafe { self.sweep_avx512(p, forward) };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the same, of AVX2.
                return unsafe { self.sweep_avx2(p, forward) };
            }
        }
        self.sweep_any::<LANES>(p, forward);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512bw")]
    fn sweep_avx512(&mut self, p: &Problem, forward: bool) {
        self.sweep_any::<WIDE>(p, forward);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sweep_avx2(&mut self, p: &Problem, forward: bool) {
        self.sweep_any::<LANES>(p, forward);
    }

    /// Sends the messages of all cells on, to the right and downwards or back.
    #[inline(always)]
    fn sweep_any<const L: usize>(&mut self, p: &Problem, forward: bool) {
        // What is sent, label by label, after the first of two scans.
        let mut sent_across = vec![[0i16; L]; p.labels];
        let mut sent_down = sent_across.clone();
        let [across, down] = self.0.each_mut().map(|m| &mut m[..]);
        let (unary, [price_across, price_down]) = (&p.unary[..], p.pair.each_ref().map(|p| &p[..]));
        let diagonals = p.cols + p.rows - 1;
        for i in 0..diagonals {
            let d = if forward { i } else { diagonals - 1 - i };
            // Rows that the diagonal crosses.
            let first = (d + 1).saturating_sub(p.cols) / L * L;
            let last = d.min(p.rows - 1);
            for y in (first..=last).step_by(L) {
                let own = p.at(d, 0, y);
                let [left, above] = p.earlier(d, y);
                let [edge_across, edge_down] = if forward { [own; 2] } else { [left, above] };
                let (mut before_across, mut before_down) = ([0i16; L], [0i16; L]);
                // The scans leave the least as it is.
                let (mut least_across, mut least_down) = ([i16::MAX; L], [i16::MAX; L]);
                for (k, (a, b)) in sent_across.iter_mut().zip(&mut sent_down).enumerate() {
                    let at = k * p.pitch;
                    let from_left = load(across, left + at);
                    let from_right = load(across, own + at);
                    let from_above = load(down, above + at);
                    let from_below = load(down, own + at);
                    let mut belief = load(unary, own + at);
                    belief = each(belief, from_left, i16::saturating_add);
                    belief = each(belief, from_right, i16::saturating_add);
                    belief = each(belief, from_above, i16::saturating_add);
                    belief = each(belief, from_below, i16::saturating_add);
                    let (came_across, came_down) = if forward {
                        (from_right, from_below)
                    } else {
                        (from_left, from_above)
                    };
                    let mut h = each(belief, came_across, |b, m| (b >> 1).saturating_sub(m));
                    let mut v = each(belief, came_down, |b, m| (b >> 1).saturating_sub(m));
                    least_across = each(least_across, h, i16::min);
                    least_down = each(least_down, v, i16::min);
                    if k > 0 {
                        let e = load(price_across, edge_across + at - p.pitch);
                        h = each(h, each(before_across, e, i16::saturating_add), i16::min);
                        let e = load(price_down, edge_down + at - p.pitch);
                        v = each(v, each(before_down, e, i16::saturating_add), i16::min);
                    }
                    (before_across, before_down) = (h, v);
                    (*a, *b) = (h, v);
                }
                let (mut after_across, mut after_down) = ([i16::MAX; L], [i16::MAX; L]);
                let message = |h: i16, least: i16| h.saturating_sub(least).min(CEILING);
                for (k, (a, b)) in sent_across.iter().zip(&sent_down).enumerate().rev() {
                    let at = k * p.pitch;
                    let e = load(price_across, edge_across + at);
                    after_across = each(*a, each(after_across, e, i16::saturating_add), i16::min);
                    let e = load(price_down, edge_down + at);
                    after_down = each(*b, each(after_down, e, i16::saturating_add), i16::min);
                    across[edge_across + at..][..L].copy_from_slice(&each(
                        after_across,
                        least_across,
                        message,
                    ));
                    down[edge_down + at..][..L]
                        .copy_from_slice(&each(after_down, least_down, message));
                }
            }
        }
    }

    /// The labels, each chosen with those of the left and the upper neighbour
    /// in view, diagonal by diagonal.
    fn decode(&self, p: &Problem) -> Vec<u8> {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512bw") {
                // SAFETY: the processor was just found to have AVX-512BW; the function
                // is the portable one, compiled for it.
                return unsafe { self.decode_avx512(p) };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the same, of AVX2.
                return unsafe { self.decode_avx2(p) };
            }
        }
        self.decode_any::<LANES>(p)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512bw")]
    fn decode_avx512(&self, p: &Problem) -> Vec<u8> {
        self.decode_any::<WIDE>(p)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn decode_avx2(&self, p: &Problem) -> Vec<u8> {
        self.decode_any::<LANES>(p)
    }

    #[inline(always)]
    fn decode_any<const L: usize>(&self, p: &Problem) -> Vec<u8> {
        let mut labels = vec![0u8; p.cols * p.rows];
        let mut belief = vec![[0i16; L]; p.labels];
        // Labels of the diagonal before, and of this one, by row.
        let mut before = vec![0i16; p.pitch + L];
        let mut now = before.clone();
        for d in 0..p.cols + p.rows - 1 {
            let first = (d + 1).saturating_sub(p.cols) / L * L;
            let last = d.min(p.rows - 1);
            for y in (first..=last).step_by(L) {
                // Labels of the neighbours to the left and above, and whether
                // there are such.
                let left = lanes(|l| before[(y + l).min(p.pitch - 1)]);
                let up = |l: usize| before[(y + l).saturating_sub(1).min(p.pitch - 1)];
                let up = lanes(up);
                let has_left = lanes(|l| mask(y + l < d));
                let has_up = lanes(|l| mask(y + l > 0));
                for (k, b) in belief.iter_mut().enumerate() {
                    let at = p.at(d, k, y);
                    let mut sum = load(&p.unary, at);
                    for way in &self.0 {
                        sum = each(sum, load(way, at), i16::saturating_add);
                    }
                    *b = sum;
                }
                if d > 0 {
                    let [to_left, to_up] = p.earlier(d, y);
                    let edges = [
                        (left, has_left, &p.pair[0], to_left),
                        (up, has_up, &p.pair[1], to_up),
                    ];
                    for (label, has, price, edge) in edges {
                        // From the neighbour's label the price grows with each
                        // frame that passes.
                        let mut cost = [0i16; L];
                        for k in 1..p.labels {
                            let e = load(price, edge + (k - 1) * p.pitch);
                            let past = each(label, has, |s, h| mask(k as i16 > s) & h);
                            cost = each(each(cost, e, i16::saturating_add), past, |c, p| c & p);
                            belief[k] = each(belief[k], cost, i16::saturating_add);
                        }
                        cost = [0; L];
                        for k in (0..p.labels - 1).rev() {
                            let e = load(price, edge + k * p.pitch);
                            let short = each(label, has, |s, h| mask((k as i16) < s) & h);
                            cost = each(each(cost, e, i16::saturating_add), short, |c, s| c & s);
                            belief[k] = each(belief[k], cost, i16::saturating_add);
                        }
                    }
                }
                let mut best = belief[0];
                let mut chosen = [0i16; L];
                for (k, b) in belief.iter().enumerate().skip(1) {
                    let better = each(*b, best, |b, best| mask(b < best));
                    best = each(best, *b, i16::min);
                    chosen = each(chosen, better, |c, b| (k as i16 & b) | (c & !b));
                }
                if !p.pins.is_empty() {
                    for (l, chosen) in chosen.iter_mut().enumerate() {
                        if y + l <= last && d - (y + l) < p.cols {
                            let pin = p.pins[(y + l) * p.cols + d - (y + l)];
                            *chosen = if pin == FREE { *chosen } else { i16::from(pin) };
                        }
                    }
                }
                for l in 0..L {
                    now[y + l] = chosen[l];
                    if y + l <= last && d - (y + l).min(d) < p.cols {
                        labels[(y + l) * p.cols + d - (y + l)] = chosen[l] as u8;
                    }
                }
            }
            std::mem::swap(&mut before, &mut now);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Philox;

    fn random(cols: usize, rows: usize, labels: usize, seed: u64) -> Problem {
        let mut rng = Philox::new(seed, [0; 3]);
        let mut p = Problem::new(cols, rows, labels);
        for y in 0..rows {
            for x in 0..cols {
                for k in 0..labels {
                    p.set_unary(x, y, k, rng.below(400) as i32);
                    if k + 1 < labels {
                        if x + 1 < cols {
                            p.set_pair(Pair::Right, x, y, k, rng.below(200) as i32);
                        }
                        if y + 1 < rows {
                            p.set_pair(Pair::Down, x, y, k, rng.below(200) as i32);
                        }
                    }
                }
            }
        }
        p
    }

    /// The least energy, by trying all labellings.
    fn least(p: &Problem) -> i64 {
        let n = p.cols * p.rows;
        let mut labels = vec![0u8; n];
        let mut best = i64::MAX;
        loop {
            best = best.min(p.energy(&labels));
            let mut i = 0;
            while i < n {
                labels[i] += 1;
                if usize::from(labels[i]) < p.labels {
                    break;
                }
                labels[i] = 0;
                i += 1;
            }
            if i == n {
                return best;
            }
        }
    }

    #[test]
    fn a_chain_is_solved_exactly_in_either_direction() {
        for seed in 0..20 {
            for (cols, rows) in [(7, 1), (1, 7)] {
                let p = random(cols, rows, 4, seed);
                assert_eq!(
                    p.energy(&p.solve(8, &mut Messages::default())),
                    least(&p),
                    "{cols}x{rows} {seed}"
                );
            }
        }
    }

    #[test]
    fn a_small_grid_is_solved_to_within_a_few_per_cent() {
        let (mut got, mut best) = (0, 0);
        for seed in 0..20 {
            let p = random(3, 3, 3, seed);
            got += p.energy(&p.solve(12, &mut Messages::default()));
            best += least(&p);
        }
        assert!(got as f64 <= best as f64 * 1.03, "{got} for {best}");
    }

    #[test]
    fn as_many_nodes_at_once_as_the_processor_can_change_nothing() {
        for (cols, rows, labels) in [(45, 37, 6), (70, 64, 5), (3, 33, 4), (1, 1, 3), (40, 1, 2)] {
            let p = random(cols, rows, labels, 3);
            let mut chosen = Messages::default();
            chosen.reset(&p);
            let [mut few, mut many] = [chosen.clone(), chosen.clone()];
            for forward in [true, false, true, false] {
                chosen.sweep(&p, forward);
                few.sweep_any::<LANES>(&p, forward);
                many.sweep_any::<WIDE>(&p, forward);
            }
            let labels = chosen.decode(&p);
            assert_eq!(labels, few.decode_any::<LANES>(&p), "{cols}x{rows}");
            assert_eq!(labels, many.decode_any::<WIDE>(&p), "{cols}x{rows}");
        }
    }

    #[test]
    fn whole_planes_are_set_as_cell_by_cell() {
        for (cols, rows) in [(5, 3), (3, 5), (1, 4), (4, 1), (1, 1)] {
            let plane: Vec<i32> = (0..cols * rows).map(|c| 3 + 7 * c as i32).collect();
            let [mut a, mut b] = [(); 2].map(|()| Problem::new(cols, rows, 3));
            a.set_label(1, &plane);
            let ordered = a.ordered(&plane);
            a.set_frame(1, &ordered, |a, b| 100 * a + b);
            for (c, cost) in plane.iter().enumerate() {
                let (x, y) = (c % cols, c / cols);
                b.set_unary(x, y, 1, *cost);
                if x + 1 < cols {
                    b.set_pair(Pair::Right, x, y, 1, 100 * cost + plane[c + 1]);
                }
                if y + 1 < rows {
                    b.set_pair(Pair::Down, x, y, 1, 100 * cost + plane[c + cols]);
                }
            }
            assert_eq!(a.unary[..], b.unary[..], "{cols}x{rows}");
            assert_eq!(
                a.pair.each_ref().map(|p| &p[..]),
                b.pair.each_ref().map(|p| &p[..])
            );
        }
    }

    #[test]
    fn a_grid_wider_than_the_lanes_beats_the_best_uniform_labelling() {
        let p = random(45, 37, 6, 5);
        let labels = p.solve(12, &mut Messages::default());
        let uniform = (0..6).map(|k| p.energy(&vec![k; 45 * 37])).min().unwrap();
        assert!(p.energy(&labels) < uniform);
        assert!(labels.iter().all(|&l| l < 6));
    }
}
