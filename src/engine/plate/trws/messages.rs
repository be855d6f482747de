//! Sending the messages of all cells on, and reading labels off them.

use super::lanes::{LANES, Plane, WIDE, each, lanes, load, mask};
use super::{FREE, Problem};
use crate::device::isa::vectorised;

/// Largest value of a message; a label that is worse than that is hopeless.
const CEILING: i16 = 8_000;

/// The messages along the edges to the right and downwards, kept at the left or upper
/// cell: of each edge the one that was sent last, since a cell sends along an edge when
/// the one that came along it has been read. Kept between labellings, which start from
/// nothing, for its memory.
#[derive(Clone, Default)]
pub(in crate::engine::plate) struct Messages([Plane; 2]);
impl Messages {
    pub(super) fn reset(&mut self, p: &Problem) {
        for m in &mut self.0 {
            m.reset(p.unary.len());
        }
    }

    /// For each label what it costs the cells `group` to have it together, with what
    /// the cells around them say of it.
    pub(super) fn belief(&self, p: &Problem, group: &[u32]) -> Vec<i64> {
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

    vectorised! {
        /// Sends the messages of all cells on, to the right and downwards or back.
        pub(super) fn sweep(&mut self, p: &Problem, forward: bool) {
            Portable: self.sweep_any::<LANES>(p, forward),
            Avx512 sweep_avx512: self.sweep_any::<WIDE>(p, forward),
            Avx2 sweep_avx2: self.sweep_any::<LANES>(p, forward),
        }
    }

    #[inline(always)]
    pub(super) fn sweep_any<const L: usize>(&mut self, p: &Problem, forward: bool) {
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

    vectorised! {
        /// The labels, each chosen with those of the left and the upper neighbour
        /// in view, diagonal by diagonal.
        pub(super) fn decode(&self, p: &Problem) -> Vec<u8> {
            Portable: self.decode_any::<LANES>(p),
            Avx512 decode_avx512: self.decode_any::<WIDE>(p),
            Avx2 decode_avx2: self.decode_any::<LANES>(p),
        }
    }

    #[inline(always)]
    pub(super) fn decode_any<const L: usize>(&self, p: &Problem) -> Vec<u8> {
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
