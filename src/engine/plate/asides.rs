//! Asides: a region that plays another clip for a while. They buy novelty for
//! some seam risk. The clip is chosen by how well it agrees with what is
//! playing there, place by place.

use super::carry::{Carrier, Wish, nearest};
use super::costs::agreement;
use super::edit_list::{Event, Kind, NEVER};
use super::features::NATURAL;
use super::parts::groups;
use super::plan::{Change, draw};
use super::playing::Playing;
use super::switch::{Ask, Bound, Budget, COST, fit};
use crate::device::{Cancelled, Task};
use crate::sampler::Philox;

/// A smooth random field, ranks from 0 to 255, with features of about `cell`
/// cells.
pub(super) fn field(cols: usize, rows: usize, cell: f64, rng: &mut Philox) -> Vec<u8> {
    let (w, h) = (
        (cols as f64 / cell) as usize + 3,
        (rows as f64 / cell) as usize + 3,
    );
    let knots: Vec<f64> = (0..w * h).map(|_| rng.normal()).collect();
    let (dx, dy) = (rng.uniform(), rng.uniform());
    let ease = |f: f64| f * f * (3.0 - 2.0 * f);
    let mut values: Vec<(i64, usize)> = Vec::with_capacity(cols * rows);
    for y in 0..rows {
        for x in 0..cols {
            let (u, v) = (x as f64 / cell + dx, y as f64 / cell + dy);
            let (i, j) = (u as usize, v as usize);
            let (a, b) = (ease(u - i as f64), ease(v - j as f64));
            let at = |i: usize, j: usize| knots[j.min(h - 1) * w + i.min(w - 1)];
            let top = at(i, j) * (1.0 - a) + at(i + 1, j) * a;
            let low = at(i, j + 1) * (1.0 - a) + at(i + 1, j + 1) * a;
            let value = top * (1.0 - b) + low * b;
            values.push((libm::rint(value * 1e6) as i64, y * cols + x));
        }
    }
    values.sort_unstable();
    let mut ranks = vec![0; cols * rows];
    for (rank, (_, c)) in values.iter().enumerate() {
        ranks[*c] = (rank * 256 / (cols * rows)) as u8;
    }
    ranks
}

impl Carrier<'_> {
    /// When asides are tried.
    pub(super) fn aside_times(&self, changes: &[Change], rng: &mut Philox) -> Vec<usize> {
        let mut times = Vec::new();
        let gap = self.style.asides * self.g.fps;
        if gap <= 0.0 {
            return times;
        }
        let closed_end = self.stretch.end.is_some() || self.stretch.closed;
        let end = match (closed_end, changes.last()) {
            (true, Some(c)) => c.at.saturating_sub(2),
            (true, None) => 0,
            _ => self.stretch.length.saturating_sub(self.g.jumps.window / 2),
        };
        let mut t = rng.uniform() * gap;
        while (t as usize) < end {
            times.push(t as usize);
            t += (gap * (0.6 + 0.8 * rng.uniform())).max(1.0);
        }
        times
    }

    /// A region that plays another clip until the next change, if one is found
    /// that does not tear.
    pub(super) fn aside(
        &self,
        playing: &Playing,
        at: usize,
        changes: &[Change],
        rng: &mut Philox,
        task: Task<'_>,
    ) -> Result<Option<Event>, Cancelled> {
        let (fine, look) = (&self.g.fine, &self.g.coarse.features);
        let f = &fine.features;
        let length = self.stretch.length;
        let l = self.g.jumps.window;
        let window = (l * 6 / 10).max(4);
        let until = changes.first().map_or(length, |c| c.at);
        let need = (until + l).min(length).saturating_sub(at);
        let rather = field(f.cols, f.rows, 0.35 * f.rows as f64, rng);
        let region = field(f.cols, f.rows, 0.42 * f.rows as f64, rng);
        if f.frames < need + 3 || at + window + 2 >= length {
            return Ok(None);
        }
        let landings = f.frames - 1 - need;
        let inside: Vec<bool> = (0..f.cells())
            .map(|c| region[c] < 128 && f.moving[c])
            .collect();
        let count = inside.iter().filter(|i| **i).count();
        if count * 200 < f.cells() || landings < 2 {
            return Ok(None);
        }
        // The region and what it plays, on the grid of the plan.
        let nearest = |c: usize| nearest(f, look, c);
        let weight: Vec<u32> = (0..look.cells())
            .map(|c| u32::from(inside[nearest(c)]))
            .collect();
        let last = f.frames as i32 - 1;
        let sources: Vec<u32> = (0..=window)
            .step_by(2)
            .flat_map(|u| {
                let old = playing.at(at + u);
                let plays = |c| ((at + u) as i32 + old[nearest(c)]).clamp(0, last) as u32;
                (0..look.cells()).map(plays).collect::<Vec<_>>()
            })
            .collect();
        task.check()?;
        let mut costs = agreement(
            self.g.choice,
            &look.motion,
            &sources,
            &weight,
            landings,
            40 * NATURAL,
        );
        for (cost, run) in costs.iter_mut().zip(self.g.jumps.runs()) {
            if *run <= need {
                *cost = i64::from(i32::MAX);
            }
        }
        let scale = self.g.jumps.scale();
        let close = 0.3 * self.g.fps;
        for u in [0, window / 2, window] {
            let old = playing.at(at + u);
            let mut shares: Vec<(i32, usize)> = Vec::new();
            for c in (0..f.cells()).filter(|c| inside[*c]) {
                let frame = at as i32 + old[c];
                match shares.iter_mut().find(|s| s.0 == frame) {
                    Some(s) => s.1 += 1,
                    None => shares.push((frame, 1)),
                }
            }
            for (frame, n) in shares {
                for (j, cost) in costs.iter_mut().enumerate() {
                    if f64::from((j as i32 - frame).abs()) < close {
                        *cost += libm::rint(50.0 * scale * n as f64 / count as f64) as i64;
                    }
                }
            }
        }
        let j = draw(&costs, 2.0 * self.style.taste.heat * scale, rng);
        let offset = j as i32 - at as i32;
        let stay: Vec<i32> = (0..f.cells())
            .map(|c| {
                if inside[c] {
                    self.natural * 13 / 10
                } else {
                    COST / 50
                }
            })
            .collect();
        let wish = Wish {
            stay: &stay,
            rather: &rather,
            settle: false,
        };
        let extra = self.extra(f, playing, at, offset, window, &wish);
        let end = (until + l).min(length);
        let bound = Bound {
            groups: groups(&fine.together, playing, at, offset, end.saturating_sub(at)),
            pins: Vec::new(),
        };
        let ask = Ask {
            at,
            offset,
            window,
            extra: &extra,
            life: (end.saturating_sub(at + window + l / 2)).max(8),
            bound: &bound,
        };
        let none = Budget { step: 0, rounds: 0 };
        let fits = self
            .rooms
            .with(|room| fit(f, playing, &ask, &self.weights, none, room));
        let times = &fits[0];
        let switch: Vec<u8> = times
            .iter()
            .map(|&s| if usize::from(s) > window { NEVER } else { s })
            .collect();
        let took = (0..f.cells())
            .filter(|&c| f.moving[c] && switch[c] != NEVER)
            .count();
        let moving = f.moving.iter().filter(|m| **m).count();
        if took * 100 <= moving * 6 {
            return Ok(None);
        }
        let frames = at.saturating_sub(1)..end;
        let without = self.load_with(fine, playing, frames.clone(), None).total();
        let laid = Some(((at, offset), &switch[..]));
        let with = self.load_with(fine, playing, frames, laid).total();
        if with - without > self.style.limit {
            return Ok(None);
        }
        Ok(Some(Event {
            at: at as u32,
            offset,
            window: window as u8,
            switch,
            kind: Kind::Aside,
        }))
    }
}
