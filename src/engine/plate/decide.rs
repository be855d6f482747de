//! Decides the edit list: what the timeline leaves free is solved stretch by
//! stretch.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::PlateEngine;
use super::analysis::Analysis;
use super::camera::Camera;
use super::edit_list::{EditList, Event, Layer};
use super::exposure::Exposure;
use super::features::Features;
use super::fill::{Covered, fill};
use super::ground::Ground;
use super::parts::{Again, Free, Parts, Ready, put};
use super::plan::Stretch;
use super::solve::solve;
use crate::device::Task;
use crate::engine::{EngineError, Span, Timeline};
use crate::sampler::Philox;

/// Decides what each place plays at each time, as `engine` is set.
///
/// # Errors
/// Where the settings do not go with the plate or the timeline, a matte cannot be
/// read, or the work was asked to stop.
pub(super) fn decide(
    analysis: &Analysis,
    timeline: &Timeline,
    engine: &PlateEngine,
    task: Task<'_>,
) -> Result<EditList, EngineError> {
    task.step("Comparing the frames of the plate", 0, 1)?;
    let settings = &engine.settings;
    let steady = analysis.steadied(settings.steady).is_some();
    let exposure = Exposure::of(analysis, timeline, settings.level, steady);
    let left_out = settings.left_out(timeline.plate)?;
    let mut walk = Walk {
        analysis,
        timeline,
        engine,
        task,
        steady,
        edit: undecided(analysis, timeline, engine, exposure, &left_out),
        left_out,
        ready: None,
        frees: Vec::new(),
    };
    for (i, span) in timeline.spans.iter().enumerate() {
        match *span {
            Span::Kept { offset, .. } => walk.keep(i, offset),
            Span::Matted { offset, .. } => walk.cover(i, offset)?,
            Span::Free { .. } => walk.solve(i)?,
        }
    }
    walk.finish()
}

/// What is known of an edit list before anything is decided.
fn undecided(
    analysis: &Analysis,
    timeline: &Timeline,
    engine: &PlateEngine,
    exposure: Option<Exposure>,
    left_out: &[bool],
) -> EditList {
    let settings = &engine.settings;
    let frames = timeline.plate.count();
    let first_plate = timeline.plate.first;
    EditList {
        cols: analysis.cols as u16,
        rows: analysis.rows as u16,
        plate_frames: frames as u32,
        out_frames: timeline.out.count() as u32,
        first_out: timeline.out.first,
        first_plate,
        offset: 0,
        events: Vec::new(),
        kept: Vec::new(),
        matted: false,
        closed: timeline.closed,
        warp: settings.warp,
        low_band: settings.low_band,
        camera: analysis.steadied(settings.steady).map(|s| {
            let first = (first_plate - analysis.info.range.first).max(0) as usize;
            let poses = &s.poses[first..first + frames];
            Camera::of(poses, timeline, analysis.info.fps, settings.seed).withholding(left_out)
        }),
        exposure,
        held: Vec::new(),
        layers: Vec::new(),
    }
}

/// Goes from span to span of a timeline.
struct Walk<'a> {
    analysis: &'a Analysis,
    timeline: &'a Timeline,
    engine: &'a PlateEngine,
    task: Task<'a>,
    /// Whether the plate is steadied.
    steady: bool,
    /// Which plate frames are never shown; none where empty.
    left_out: Vec<bool>,
    edit: EditList,
    /// What stretches are solved with, once one is.
    ready: Option<Ready>,
    frees: Vec<Free>,
}

impl Walk<'_> {
    /// Output indices of span `i`, the second past its last.
    fn ends(&self, i: usize) -> (usize, usize) {
        let out = self.timeline.spans[i].out();
        let index = |frame: i32| (frame - self.timeline.out.first) as usize;
        (index(out.first), index(out.last) + 1)
    }

    /// Plate index less output index, where `offset` is of the frames' numbers.
    fn index(&self, offset: i32) -> i32 {
        offset + self.timeline.out.first - self.timeline.plate.first
    }

    /// The same of the span before `i`, or after it, where that is kept.
    fn kept(&self, i: Option<usize>) -> Option<i32> {
        match self.timeline.spans.get(i?) {
            Some(Span::Kept { offset, .. }) => Some(self.index(*offset)),
            _ => None,
        }
    }

    /// Span `i` is the plate's own.
    fn keep(&mut self, i: usize, offset: i32) {
        let (from, to) = self.ends(i);
        let home = self.index(offset);
        if i == 0 {
            self.edit.offset = home;
        }
        self.edit.kept.push((from as u32, to as u32));
        if self.engine.settings.hold_out.is_some() {
            self.edit.held.push((from as u32, home));
        }
    }

    /// Keeps the matte out of sight in span `i`.
    fn cover(&mut self, i: usize, offset: i32) -> Result<(), EngineError> {
        if self.analysis.matte.is_empty() {
            return Err(EngineError::Request(
                "fill needs a matte that covers what is to go: give one, of the plate's size and range"
                    .to_owned(),
            ));
        }
        let ((from, to), home) = (self.ends(i), self.index(offset));
        if i == 0 {
            self.edit.offset = home;
        }
        self.edit.matted = true;
        let plate = self.timeline.plate;
        let features = Features::new(&self.level(), plate, self.steady);
        let analysis = self.analysis;
        let first = (plate.first - analysis.info.range.first).max(0) as usize;
        let cells = analysis.cells();
        let shift = from as i32;
        let matte = analysis.matte(self.steady);
        let mut matte = matte[first * cells..(first + features.frames) * cells].to_vec();
        for (frame, out) in matte.chunks_exact_mut(cells).zip(&self.left_out) {
            if *out {
                frame.fill(true);
            }
        }
        let covered = Covered {
            features: &features,
            matte: &matte,
            fps: analysis.info.fps.clamp(1.0, 1000.0),
            length: to - from,
            home: home + shift,
        };
        let mut rng = Philox::new(self.engine.settings.seed, [from as u32, 0, 1]);
        let events = fill(&covered, &mut rng, self.task)?;
        self.edit.events.extend(events.into_iter().map(|e| Event {
            at: e.at + from as u32,
            offset: e.offset - shift,
            ..e
        }));
        Ok(())
    }

    /// Solves span `i`, between what is kept around it.
    fn solve(&mut self, i: usize) -> Result<(), EngineError> {
        let (from, to) = self.ends(i);
        let frames = self.timeline.plate.count() as i32;
        let place = |offset: i32, t: usize| (t as i32 + offset).clamp(0, frames) as usize;
        let (before, after) = (self.kept(i.checked_sub(1)), self.kept(Some(i + 1)));
        let stretch = Stretch {
            length: to - from,
            start: before.map(|o| place(o, from)),
            end: after.map(|o| place(o, to)),
            closed: self.timeline.closed,
        };
        if self.ready.is_none() {
            self.ready = Some(self.made_ready()?);
        }
        let Some(Ready { ground, parts, .. }) = &self.ready else {
            return Ok(());
        };
        let settings = &self.engine.settings;
        let solution = solve(ground, &stretch, None, settings, i as u32, self.task)?;
        if i == 0 {
            self.edit.offset = solution.start as i32 - from as i32;
        }
        let mut free = Free {
            from,
            stretch,
            start: solution.start,
            events: solution.events,
        };
        let mut rng = Philox::new(settings.seed, [i as u32, 0, 2]);
        let held = parts.hold(ground, &mut free, &self.left_out, &mut rng, self.task)?;
        self.edit.held.extend(held);
        self.frees.push(free);
        Ok(())
    }

    /// What is known of the plate, levelled where it is to be.
    fn level(&self) -> Cow<'_, Analysis> {
        match &self.edit.exposure {
            Some(e) => Cow::Owned(self.analysis.levelled(e, self.timeline.plate, self.steady)),
            None => Cow::Borrowed(self.analysis),
        }
    }

    fn made_ready(&self) -> Result<Ready, EngineError> {
        let (settings, mattes) = (&self.engine.settings, &self.engine.mattes);
        let mut ground = Ground::new(
            self.level(),
            self.timeline,
            self.steady,
            &self.left_out,
            self.engine.device,
            self.task,
        )?;
        let steadied = self.analysis.steadied(settings.steady);
        let poses = steadied.map_or(&[][..], |s| &s.poses[..]);
        let plate = (self.analysis, poses);
        let parts = Parts::read(
            (settings, mattes),
            plate,
            self.timeline,
            &mut ground,
            self.task,
        )?;
        Ok(Ready {
            ground,
            parts,
            left_out: self.left_out.clone(),
        })
    }

    /// The list, once every span was gone over.
    fn finish(mut self) -> Result<EditList, EngineError> {
        if let Some(ready) = self.ready.take() {
            put(&mut self.edit, &self.frees);
            self.lay_over(&ready)?;
        }
        if self.left_out.contains(&true) {
            none_shown(&self.edit, self.timeline, &self.left_out)?;
        }
        Ok(self.edit)
    }

    /// Lays over the list what is decided apart: regions with clips of their own, and
    /// what is made again.
    fn lay_over(&mut self, ready: &Ready) -> Result<(), EngineError> {
        let (settings, mattes, task) = (&self.engine.settings, &self.engine.mattes, self.task);
        if !ready.parts.is_seeded() && settings.remakes.is_empty() {
            return Ok(());
        }
        let (edit, frees) = (&mut self.edit, &mut self.frees);
        let mut newest = EditList {
            held: Vec::new(),
            ..edit.clone()
        };
        let (ground, to) = (&ready.ground, edit.out_frames);
        let with = (settings, &ready.left_out[..]);
        let each = |area, frees: &[Free]| {
            put(&mut newest, frees);
            let list = newest.clone();
            edit.layers.push(Layer {
                from: 0,
                to,
                area,
                list,
            });
        };
        ready.parts.seeded(ground, frees, with, task, each)?;
        for (number, remake) in (0u32..).zip(&settings.remakes) {
            task.step("Making again", number as usize, settings.remakes.len())?;
            let again = Again {
                ready,
                frees,
                settings,
                mattes,
                analysis: self.analysis,
                task,
            };
            let layer = again.layer(&newest, remake, number)?;
            newest.clone_from(&layer.list);
            edit.layers.push(layer);
        }
        Ok(())
    }
}

/// Frames past the plate's end that a take may hold its last one for: less is not seen.
const HELD: i32 = 2;

/// That no frame which was to be made shows a plate frame that is left out, or stands
/// still because there was no other way to go on.
fn none_shown(edit: &EditList, timeline: &Timeline, left_out: &[bool]) -> Result<(), EngineError> {
    for span in &timeline.spans {
        let Span::Free { out } = span else { continue };
        for frame in out.iter() {
            let t = (frame - edit.first_out) as u32;
            let list = edit.at(t);
            let labels: BTreeSet<u16> = list.labels(t).into_iter().collect();
            let cannot = |label: u16| {
                let k = t as i32 + list.offset_of(label);
                let is_out = usize::try_from(k).is_ok_and(|k| left_out.get(k) == Some(&true));
                is_out || !(-HELD..list.plate_frames as i32 + HELD).contains(&k)
            };
            if labels.into_iter().any(cannot) {
                return Err(EngineError::Request(format!(
                    "frame {frame} cannot be made without the plate frames that are to be left \
                     out: leave out fewer, keep fewer plate frames, or give a longer plate"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
