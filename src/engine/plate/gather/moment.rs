//! What plays around one output frame: the clips that may be seen and the cuts
//! between them, on the coarse grid.

use longtake_kernels::gather::progress;

use super::grid::{Axis, blur};
use crate::engine::plate::edit_list::{EditList, Event, Kind, NEVER};

/// Frames on either side of a cut over which both sides are warped toward each
/// other.
pub(super) const REACH: i32 = 5;

/// One clip as it stands at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Plate index shown.
    pub(super) index: i32,
    /// Whether the clip is running: past an end of the plate it stands still.
    pub(super) live: bool,
}

/// A change of clip that has begun, or will within [`REACH`] frames.
pub(super) struct Cut<'a> {
    /// Output index at which it begins; before 0 or past the last one for the
    /// neighbours of a closed sequence.
    at: i32,
    /// Switch times as decided.
    switch: &'a [u8],
    /// Position in [`Moment::sources`] of the clip that begins.
    pub(super) to: usize,
    /// Frames since each cell switched, negative before; half past at the first
    /// new frame, since the cut lies between frames.
    pub(super) age: Vec<f32>,
    /// How far each cell takes part, 0..1; `None` where all do.
    pub(super) taken: Option<Vec<f32>>,
    /// Frames since the last kept frame before the cut ended.
    pub(super) lead: f32,
    /// Frames until the next kept frame after the cut.
    pub(super) trail: f32,
}

impl Cut<'_> {
    /// Share of the warp from the old side at `age`: 0 well before the cut, 1
    /// well after. Eases to its end exactly at kept frames.
    #[inline(always)]
    pub(super) fn progress(&self, age: f32) -> f32 {
        progress(age, self.lead, self.trail)
    }
}

/// What plays around output index `t`.
pub(super) struct Moment<'a> {
    /// The output index.
    pub(super) t: i32,
    /// Columns of the grid.
    pub(super) cols: usize,
    /// Rows of the grid.
    pub(super) rows: usize,
    /// The clips, the one beneath all cuts first.
    pub(super) sources: Vec<Source>,
    /// The cuts; a later one is laid over an earlier one.
    pub(super) cuts: Vec<Cut<'a>>,
}

/// The switch times of the seam of a closed sequence, where every cell is back
/// at the first clip at once, but for those that play another from the first frame
/// on; nothing where the sequence is open.
pub(super) struct Seam(Option<Vec<u8>>);

impl Seam {
    pub(super) fn of(edit: &EditList) -> Self {
        let cells = usize::from(edit.cols) * usize::from(edit.rows);
        let mut seam = vec![0; cells];
        for event in edit.events.iter().filter(|e| e.kind == Kind::Standing) {
            for (s, &own) in seam.iter_mut().zip(&event.switch) {
                if own != NEVER {
                    *s = NEVER;
                }
            }
        }
        Self(edit.closed.then_some(seam))
    }
}

/// A cut as the edit list has it, in the period of a closed sequence that it
/// falls into.
struct Coming<'a> {
    at: i32,
    offset: i32,
    window: u8,
    switch: &'a [u8],
    /// No cut: nothing comes before.
    standing: bool,
}

impl<'a> Moment<'a> {
    pub(super) fn new(edit: &'a EditList, seam: &'a Seam, t: i32) -> Self {
        let (cols, rows) = (usize::from(edit.cols), usize::from(edit.rows));
        let length = edit.out_frames as i32;
        let mut moment = Self {
            t,
            cols,
            rows,
            sources: Vec::new(),
            cuts: Vec::new(),
        };
        let periods = if edit.closed { -1..=1 } else { 0..=0 };
        let first = periods.start() * length;
        let mut base = edit.offset - first;
        let mut coming: Vec<Coming<'a>> = Vec::new();
        let mut kept: Vec<(i32, i32)> = Vec::new();
        for shift in periods.map(|p| p * length) {
            if let Some(switch) = seam.0.as_ref().filter(|_| shift != first) {
                coming.push(Coming {
                    at: shift,
                    offset: edit.offset - shift,
                    window: 0,
                    switch,
                    standing: false,
                });
            }
            coming.extend(edit.events.iter().map(|e: &'a Event| Coming {
                at: e.at as i32 + shift,
                offset: e.offset - shift,
                window: e.window,
                switch: &e.switch,
                standing: e.kind == Kind::Standing,
            }));
            let shifted = |&(from, to): &(u32, u32)| (from as i32 + shift, to as i32 + shift);
            kept.extend(edit.kept.iter().map(shifted));
        }
        // A cut that is over everywhere hides all that came before it.
        let over =
            |c: &Coming<'_>| t - c.at > i32::from(c.window) + REACH && !c.switch.contains(&NEVER);
        let hidden = coming.iter().rposition(over).map_or(0, |k| {
            base = coming[k].offset;
            k + 1
        });
        let last = edit.plate_frames as i32 - 1;
        moment.source(t.saturating_add(base), last);
        for c in coming.drain(..).skip(hidden) {
            let ahead = if c.standing { 0 } else { REACH };
            if c.at - ahead > t || c.switch.iter().all(|&s| s == NEVER) {
                continue;
            }
            let before = kept.iter().filter(|k| k.0 <= c.at).map(|k| k.1).max();
            let after = kept.iter().filter(|k| k.0 > c.at).map(|k| k.0).min();
            let to = moment.source(t.saturating_add(c.offset), last);
            let (mut age, taken) = upsampled(c.switch, cols, rows, t - c.at, c.window);
            if c.standing {
                age.fill(LONG);
            }
            moment.cuts.push(Cut {
                at: c.at,
                switch: c.switch,
                to,
                age,
                taken,
                lead: before.map_or(f32::MAX, |k| (t - k) as f32 + 0.5),
                trail: after.map_or(f32::MAX, |k| (k - t) as f32 - 0.5),
            });
        }
        moment
    }

    fn source(&mut self, index: i32, last: i32) -> usize {
        let source = Source {
            index: index.clamp(0, last.max(0)),
            live: (0..=last).contains(&index),
        };
        self.sources
            .iter()
            .position(|s| *s == source)
            .unwrap_or_else(|| {
                self.sources.push(source);
                self.sources.len() - 1
            })
    }

    /// The source that each cell plays `ahead` frames from now (within
    /// [`REACH`]), as decided, without smoothing.
    pub(super) fn cells(&self, ahead: i32) -> Vec<u16> {
        let mut cells = vec![0u16; self.cols * self.rows];
        for cut in &self.cuts {
            let since = self.t + ahead - cut.at;
            for (cell, &s) in cells.iter_mut().zip(cut.switch) {
                if s != NEVER && since >= i32::from(s) {
                    *cell = cut.to as u16;
                }
            }
        }
        cells
    }

    /// Which of the sources any pixel may show, whatever the picture's size:
    /// all that are shown, and now and then one that just is not.
    pub(super) fn shown(&self) -> Vec<bool> {
        let mut shown = vec![false; self.sources.len()];
        let mut here = vec![false; self.sources.len()];
        let (across, down) = (Axis::new(self.cols, 1), Axis::new(self.rows, 1));
        for ky in 0..=self.rows {
            for kx in 0..=self.cols {
                here.fill(false);
                here[0] = true;
                for cut in &self.cuts {
                    let (x0, x1) = across.ends(kx);
                    let (y0, y1) = down.ends(ky);
                    let corners = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)]
                        .map(|(x, y)| cut.age[y * self.cols + x]);
                    let (mut sure, mut may) = (
                        corners.iter().all(|&a| a >= MARGIN),
                        corners.iter().any(|&a| a >= -MARGIN),
                    );
                    if let Some(taken) = &cut.taken {
                        let (mut lo, mut hi) = (f32::MAX, f32::MIN);
                        for y in down.four(ky) {
                            for x in across.four(kx) {
                                let v = taken[y * self.cols + x];
                                (lo, hi) = (lo.min(v), hi.max(v));
                            }
                        }
                        // A cubic strays at most this far from what it joins.
                        let stray = 0.3 * (hi - lo);
                        sure &= lo - stray > 0.5;
                        may &= hi + stray > 0.5;
                    }
                    if sure {
                        here.fill(false);
                    }
                    here[cut.to] |= may;
                }
                shown.iter_mut().zip(&here).for_each(|(s, h)| *s |= h);
            }
        }
        shown
    }
}

/// Frames since something that has always been.
const LONG: f32 = 1e6;
/// Room for rounding where a bound is taken, in frames.
const MARGIN: f32 = 1e-3;

/// The ages of the cells `since` frames after the cut began, and their parts in
/// it, smooth enough to be drawn at any size: switch times blurred by a cell,
/// and continued where nothing switches.
fn upsampled(
    switch: &[u8],
    cols: usize,
    rows: usize,
    since: i32,
    window: u8,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let now = since as f32 + 0.5;
    let time = |s: u8| if s == NEVER { 0.0 } else { f32::from(s) };
    if window == 0 && switch.iter().all(|&s| s == 0) {
        return (vec![now; cols * rows], None);
    }
    let times: Vec<f32> = switch.iter().map(|&s| time(s)).collect();
    if !switch.contains(&NEVER) {
        let mut age = blur(&times, cols, rows, 1.0);
        age.iter_mut().for_each(|a| *a = now - *a);
        return (age, None);
    }
    let takes: Vec<f32> = switch
        .iter()
        .map(|&s| f32::from(u8::from(s != NEVER)))
        .collect();
    let (near, near_weight) = (blur(&times, cols, rows, 1.0), blur(&takes, cols, rows, 1.0));
    let (wide, wide_weight) = (blur(&times, cols, rows, 4.0), blur(&takes, cols, rows, 4.0));
    let age = (0..cols * rows)
        .map(|i| {
            now - if near_weight[i] > 0.05 {
                near[i] / near_weight[i]
            } else {
                wide[i] / wide_weight[i].max(1e-6)
            }
        })
        .collect();
    (age, Some(blur(&takes, cols, rows, 0.8)))
}
