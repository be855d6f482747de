//! Clips of its own for a part of the picture, laid over a list of events: a region
//! that is kept from the plate, a region with a seed of its own, what a matte marks
//! to be made again.
//!
//! Event by event the cells of the part are fitted to what plays around them by the
//! same labelling that places every seam: cells that must play the part's clip are
//! one node of it, cells far away keep their label of before, and the solver chooses
//! for those between.

use super::regions::groups;
use crate::device::{Cancelled, Task};
use crate::engine::plate::asides::field;
use crate::engine::plate::carry::Level;
use crate::engine::plate::edit_list::{Event, Kind, NEVER};
use crate::engine::plate::plan::Change;
use crate::engine::plate::playing::Playing;
use crate::engine::plate::switch::{Ask, Bound, Budget, FORBIDDEN, Room, Weights, fit};
use crate::sampler::Philox;

/// The cells of a part of the picture over some frames.
pub(super) struct Cells {
    /// Those that must play its clip.
    pub(super) must: Vec<bool>,
    /// Those that may, the others among them.
    pub(super) may: Vec<bool>,
}

/// A part of the picture with clips of its own.
pub(super) struct Part<'a> {
    /// Its cells over the output frames `[from, to]` while the clips at some offsets
    /// play in it and around it.
    pub(super) cells: &'a dyn Fn(usize, usize, &[i32]) -> Cells,
    /// Output index at which it begins, and past its last.
    pub(super) span: (usize, usize),
    /// The offset of the clip that it begins with.
    pub(super) start: i32,
    /// Its changes of clip, in order.
    pub(super) changes: &'a [Change],
    /// Whether it plays its first clip from its first frame on without a cut: nothing
    /// comes before.
    pub(super) standing: bool,
    /// Whether its last frame leads to its first.
    pub(super) closed: bool,
    /// Whether it comes back to what plays around it at its end.
    pub(super) home: bool,
    /// Whether the cells that must play its clips change from one to the next at one
    /// moment.
    pub(super) whole: bool,
    /// What it costs a cell that may play the part's clip not to, in the units of the
    /// labelling.
    pub(super) eager: i32,
    /// Frames that a change of clip takes, at most.
    pub(super) window: usize,
}

/// What a part comes to.
pub(super) struct Laid {
    /// All events, in order.
    pub(super) events: Vec<Event>,
    /// Output index from which, and the offset at which, the cells that must play its
    /// clips do.
    pub(super) plays: Vec<(u32, i32)>,
}

/// Clips of the picture that may still be seen somewhere when another has begun.
const RECENT: usize = 3;

enum Step<'e> {
    Base(&'e Event),
    Change(Change),
    Home,
    Close,
}

impl Step<'_> {
    fn at(&self, span: (usize, usize), window: usize) -> usize {
        match self {
            Self::Base(e) => e.at as usize,
            Self::Change(c) => c.at,
            Self::Home | Self::Close => span.1.saturating_sub(window + 1).max(span.0),
        }
    }

    /// Which comes first where several begin at once.
    fn rank(&self) -> usize {
        match self {
            Self::Base(_) => 0,
            Self::Change(_) => 1,
            Self::Home | Self::Close => 2,
        }
    }
}

/// Lays `part` over `events`, before which the clip at `offset` plays.
pub(super) fn overlay(
    level: &Level,
    (offset, events): (i32, &[Event]),
    part: &Part<'_>,
    rng: &mut Philox,
    task: Task<'_>,
) -> Result<Laid, Cancelled> {
    let cells = level.features.cells();
    let (cols, rows) = (level.features.cols, level.features.rows);
    let mut layer = Layer {
        level,
        part,
        playing: Playing::new(cells, offset),
        ground: offset,
        recent: Vec::new(),
        own: None,
        inside: vec![false; cells],
        rather: field(cols, rows, 0.35 * rows as f64, rng),
        room: Room::default(),
        laid: Laid {
            events: Vec::new(),
            plays: Vec::new(),
        },
    };
    let (from, to) = part.span;
    let mut done = 0;
    let (before, rest): (Vec<&Event>, Vec<&Event>) =
        events.iter().partition(|e| (e.at as usize) < from);
    for event in before {
        layer
            .playing
            .retire(&mut done, (event.at as usize).saturating_sub(1), |_, _| {});
        layer.push(event.clone());
        layer.grounded(event);
    }
    layer
        .playing
        .retire(&mut done, from.saturating_sub(1), |_, _| {});
    let mut steps: Vec<Step<'_>> = Vec::new();
    if part.start == layer.ground && !part.standing {
        layer.own = Some(part.start);
        let plays = layer.playing.at(from);
        layer.inside = plays.iter().map(|o| *o == part.start).collect();
        layer.laid.plays.push((from as u32, part.start));
    } else {
        steps.push(Step::Change(Change {
            at: from,
            offset: part.start,
        }));
    }
    // An event that is not over by then is laid over all when the part is back.
    let late = |e: &&Event| e.at as usize >= to || part.home && e.over() >= to;
    let late = rest.iter().position(late).unwrap_or(rest.len());
    steps.extend(rest[..late].iter().map(|e| Step::Base(e)));
    steps.extend(part.changes.iter().map(|c| Step::Change(*c)));
    if part.home {
        steps.push(Step::Home);
    }
    if part.standing && part.closed {
        steps.push(Step::Close);
    }
    let at = |s: &Step<'_>| s.at(part.span, part.window);
    steps.sort_by_key(|s| (at(s), s.rank()));
    let mut standing = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        task.check()?;
        let now = at(step);
        layer
            .playing
            .retire(&mut done, now.saturating_sub(1), |_, _| {});
        // What holds until the next step is over.
        let until = steps.get(i + 1).map_or(to, |s| at(s) + part.window);
        let until = until.clamp(now + 1, to.max(now + 1));
        match step {
            Step::Base(event) => layer.base(event, until),
            Step::Change(c) if layer.own.is_none() && part.standing => {
                layer.stand(c.offset, until);
                standing.clone_from(&layer.inside);
            }
            Step::Change(c) => layer.change(*c, until),
            Step::Home => layer.home(now),
            Step::Close => layer.close(now, &standing),
        }
    }
    for event in &rest[late..] {
        layer.laid.events.push((*event).clone());
    }
    Ok(layer.laid)
}

struct Layer<'a> {
    level: &'a Level,
    part: &'a Part<'a>,
    playing: Playing,
    /// Offset of the clip that plays around the part.
    ground: i32,
    /// Offsets of those that did before, of which some may still be seen.
    recent: Vec<i32>,
    /// Offset of the part's own, once it has begun.
    own: Option<i32>,
    /// The cells that play it.
    inside: Vec<bool>,
    rather: Vec<u8>,
    room: Room,
    laid: Laid,
}

/// What a cell may do in a change of clip.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    /// This label and no other.
    Only(u8),
    /// Any time, but not never.
    Go,
    /// Any time, with this price on never.
    Stay(i32),
    /// Any time, with this price on going.
    Leave(i32),
}

impl Layer<'_> {
    fn push(&mut self, event: Event) {
        let window = usize::from(event.window);
        self.playing
            .lay(event.at as usize, event.offset, window, &event.switch);
        self.laid.events.push(event);
    }

    /// Notes what plays around the part once an event is over.
    fn grounded(&mut self, event: &Event) {
        if event.kind == Kind::Anchor {
            self.recent.push(self.ground);
            self.ground = event.offset;
            let old = self.recent.len().saturating_sub(RECENT);
            self.recent.drain(..old);
        } else {
            self.recent.push(event.offset);
        }
    }

    /// Fits a change to the clip at `offset`; [`NEVER`] for cells that do not take
    /// part. The cells of each group have one label.
    fn fitted(
        &mut self,
        (at, offset, window): (usize, i32, usize),
        may: &[May],
        groups: Vec<Vec<u32>>,
        life: usize,
    ) -> Vec<u8> {
        let f = &self.level.features;
        let cells = f.cells();
        let never = window + 1;
        let mut extra = vec![0i16; (window + 2) * cells];
        let mut dead = vec![false; cells];
        for u in 0..=window {
            let old = self.playing.at(at + u);
            for c in 0..cells {
                let e = &mut extra[u * cells + c];
                let price = match may[c] {
                    May::Leave(price) => price,
                    _ => 0,
                };
                // Earlier or later, by the seed, where nothing else tells.
                let when = (u * 256 / window.max(1)) as i32;
                let wish = (when - i32::from(self.rather[c])).abs() / 32;
                *e = match dead[c] {
                    true => FORBIDDEN,
                    false => (price + wish).min(i32::from(FORBIDDEN)) as i16,
                };
                dead[c] |= (at + u) as i32 + old[c] >= f.frames as i32;
            }
        }
        for c in 0..cells {
            extra[never * cells + c] = match may[c] {
                May::Go => FORBIDDEN,
                May::Stay(price) => price.min(i32::from(FORBIDDEN)) as i16,
                May::Only(_) | May::Leave(_) => 0,
            };
        }
        let pins = may.iter().zip(0u32..).filter_map(|(m, c)| match m {
            May::Only(label) => Some((c, (*label).min(never as u8))),
            _ => None,
        });
        let bound = Bound {
            groups,
            pins: pins.collect(),
        };
        let ask = Ask {
            at,
            offset,
            window,
            extra: &extra,
            life: life.clamp(8, 60),
            bound: &bound,
        };
        let none = Budget { step: 0, rounds: 0 };
        let mut fits = fit(
            f,
            &self.playing,
            &ask,
            &Weights::default(),
            none,
            &mut self.room,
        );
        let times = fits.pop().unwrap_or_else(|| vec![never as u8; cells]);
        let label = |(&s, m): (&u8, &May)| match m {
            May::Go => s.min(window as u8),
            _ if usize::from(s) > window => NEVER,
            _ => s,
        };
        times.iter().zip(may).map(label).collect()
    }

    /// The cells of the part from `at` until `until`, and the regions in reach that
    /// must change with it: whole ones that it may take, none that it may take in
    /// part.
    fn part_cells(&self, at: usize, until: usize, offset: i32) -> (Cells, Vec<Vec<u32>>) {
        let mut offsets = vec![offset, self.ground];
        offsets.extend(&self.recent);
        let mut cells = (self.part.cells)(at, until, &offsets);
        let together = groups(
            &self.level.together,
            &self.playing,
            at,
            offset,
            until.saturating_sub(at),
        );
        let mut whole = Vec::new();
        for group in together {
            let must = group.iter().any(|c| cells.must[*c as usize]);
            let may = group.iter().all(|c| cells.may[*c as usize]);
            for c in &group {
                let c = *c as usize;
                cells.must[c] |= must;
                cells.may[c] &= may;
                cells.may[c] |= must;
            }
            if may && !must {
                whole.push(group);
            }
        }
        (cells, whole)
    }

    /// The largest switch time of a change that begins at `at`.
    fn window(&self, at: usize) -> usize {
        let left = self.part.span.1.saturating_sub(at + 1);
        self.part.window.min(left)
    }

    fn one(set: &[bool]) -> Vec<u32> {
        let set = set.iter().zip(0u32..);
        set.filter_map(|(s, c)| s.then_some(c)).collect()
    }

    /// The part plays the clip at `offset` from its first frame on.
    fn stand(&mut self, offset: i32, until: usize) {
        let at = self.part.span.0;
        let (cells, mut bound) = self.part_cells(at, until, offset);
        let may: Vec<May> = (0..cells.may.len())
            .map(|c| match (cells.must[c], cells.may[c]) {
                (true, _) => May::Only(0),
                (_, true) => May::Stay(self.part.eager),
                _ => May::Only(1),
            })
            .collect();
        bound.retain(|g| g.iter().all(|c| matches!(may[*c as usize], May::Stay(_))));
        let switch = self.fitted((at, offset, 0), &may, bound, until - at);
        self.took(&switch, offset, None);
        self.laid.plays.push((at as u32, offset));
        self.push(Event {
            at: at as u32,
            offset,
            window: 0,
            switch,
            kind: Kind::Standing,
        });
    }

    /// The part changes to another clip.
    fn change(&mut self, c: Change, until: usize) {
        let Change { at, offset } = c;
        let window = self.window(at);
        let shared = self.own == Some(self.ground);
        let (mut cells, mut bound) = self.part_cells(at, until, offset);
        if let Some(own) = self.own {
            // Where it is before it changes.
            let was = (self.part.cells)(at, at + window, &[own]);
            for i in 0..cells.must.len() {
                cells.must[i] |= was.must[i];
                cells.may[i] |= was.must[i];
            }
        }
        let begun = self.own.is_some();
        let may: Vec<May> = (0..cells.may.len())
            .map(|i| {
                let left = begun && self.inside[i] && !shared;
                match (cells.must[i] || left, cells.may[i]) {
                    (true, _) => May::Go,
                    (_, true) => May::Stay(self.part.eager),
                    _ => May::Only(window as u8 + 1),
                }
            })
            .collect();
        if self.part.whole {
            bound.push(Self::one(&cells.must));
        }
        let switch = self.fitted((at, offset, window), &may, bound, until - at);
        let first = (0..switch.len()).find(|i| cells.must[*i]);
        let took = first.map_or(0, |i| switch[i].min(window as u8));
        self.laid.plays.push((at as u32 + u32::from(took), offset));
        self.took(&switch, offset, Some(shared));
        self.lay_aside(at, offset, window, switch);
    }

    /// Notes which cells play the part's clip once all have switched.
    fn took(&mut self, switch: &[u8], offset: i32, shared: Option<bool>) {
        let leave = shared != Some(false);
        for (inside, &s) in self.inside.iter_mut().zip(switch) {
            *inside = s != NEVER || *inside && !leave;
        }
        self.own = Some(offset);
        if offset == self.ground {
            self.inside.fill(true);
        }
    }

    fn lay_aside(&mut self, at: usize, offset: i32, window: usize, switch: Vec<u8>) {
        if switch.iter().any(|s| *s != NEVER) {
            self.push(Event {
                at: at as u32,
                offset,
                window: window as u8,
                switch,
                kind: Kind::Aside,
            });
        }
    }

    /// What plays around the part changes; the part does not.
    fn base(&mut self, event: &Event, until: usize) {
        let at = event.at as usize;
        let window = usize::from(event.window);
        let never = event.window + 1;
        let anchor = event.kind == Kind::Anchor;
        let Some(own) = self.own else {
            self.push(event.clone());
            self.grounded(event);
            return;
        };
        let shared = own == self.ground;
        self.grounded(event);
        let (cells, whole) = self.part_cells(at, until, own);
        let follows = |s: u8| May::Only(if s == NEVER { never } else { s });
        let may: Vec<May> = (0..cells.may.len())
            .map(|c| match (self.inside[c], cells.must[c], cells.may[c]) {
                (false, ..) => follows(event.switch[c]),
                (_, true, _) => May::Only(never),
                (_, _, true) if !anchor => May::Only(never),
                (_, _, true) => May::Leave(self.part.eager),
                _ if shared || !anchor => follows(event.switch[c]),
                _ => May::Go,
            })
            .collect();
        let free = may.iter().any(|m| !matches!(m, May::Only(_)));
        let switch = if free {
            let inside = |g: &Vec<u32>| g.iter().all(|c| matches!(may[*c as usize], May::Leave(_)));
            let bound = whole.into_iter().filter(inside).collect();
            self.fitted((at, event.offset, window), &may, bound, until - at)
        } else {
            may.iter()
                .map(|m| match m {
                    May::Only(label) if *label <= event.window => *label,
                    _ => NEVER,
                })
                .collect()
        };
        // A cell that stays and may not be the part's is another part's.
        for (c, inside) in self.inside.iter_mut().enumerate() {
            *inside &= switch[c] == NEVER && cells.may[c];
        }
        if switch.iter().any(|s| *s != NEVER) {
            self.push(Event {
                switch,
                ..event.clone()
            });
        }
        if own == self.ground {
            self.inside.fill(true);
        } else if anchor {
            self.join(at, until, own, &cells);
        }
    }

    /// Cells that the part needs next, and others that would rather, come to it.
    fn join(&mut self, at: usize, until: usize, own: i32, cells: &Cells) {
        let missing = |c: usize| cells.must[c] && !self.inside[c];
        if !(0..self.inside.len()).any(missing) {
            return;
        }
        let window = self.window(at);
        let never = window as u8 + 1;
        let may: Vec<May> = (0..self.inside.len())
            .map(|c| match (self.inside[c], cells.must[c], cells.may[c]) {
                (true, ..) => May::Only(never),
                (_, true, _) => May::Go,
                (_, _, true) => May::Stay(self.part.eager),
                _ => May::Only(never),
            })
            .collect();
        let switch = self.fitted((at, own, window), &may, Vec::new(), until - at);
        for (inside, &s) in self.inside.iter_mut().zip(&switch) {
            *inside |= s != NEVER;
        }
        self.lay_aside(at, own, window, switch);
    }

    /// The part comes back to what plays around it.
    fn home(&mut self, at: usize) {
        let Some(own) = self.own.filter(|own| *own != self.ground) else {
            return;
        };
        let window = self.window(at);
        let (cells, _) = self.part_cells(at, at + window, own);
        let goes = |i: bool| match i {
            true => May::Go,
            false => May::Only(window as u8 + 1),
        };
        let may: Vec<May> = self.inside.iter().map(|i| goes(*i)).collect();
        let mut bound = Vec::new();
        if self.part.whole {
            bound.push(Self::one(&cells.must));
        }
        let switch = self.fitted((at, self.ground, window), &may, bound, 8);
        self.inside.fill(false);
        self.own = None;
        self.lay_aside(at, self.ground, window, switch);
    }

    /// The same cells as at the beginning play the part's clip, so that a loop
    /// closes.
    fn close(&mut self, at: usize, standing: &[bool]) {
        let Some(own) = self.own.filter(|own| *own != self.ground) else {
            return;
        };
        let window = self.window(at);
        let never = window as u8 + 1;
        let go = |goes: bool| if goes { May::Go } else { May::Only(never) };
        let inside = self.inside.clone();
        let pairs = || standing.iter().zip(&inside);
        let come: Vec<May> = pairs().map(|(s, i)| go(*s && !*i)).collect();
        let leave: Vec<May> = pairs().map(|(s, i)| go(!*s && *i)).collect();
        for (offset, may) in [(own, come), (self.ground, leave)] {
            if may.contains(&May::Go) {
                let switch = self.fitted((at, offset, window), &may, Vec::new(), 8);
                self.lay_aside(at, offset, window, switch);
            }
        }
        self.inside = standing.to_vec();
    }
}
