//! Decides the edit list: what the timeline leaves free is solved stretch by
//! stretch.

use super::analysis::Analysis;
use super::edit_list::{EditList, Event};
use super::features::Features;
use super::jumps::Jumps;
use super::plan::Stretch;
use super::score::Own;
use super::settings::Settings;
use super::solve::{Ground, solve};
use crate::device::Task;
use crate::engine::{EngineError, Span, Timeline};

/// Rows of the grid that plans are made on.
const PLAN_ROWS: usize = 24;
/// Longest window of a change, so that switch times fit their bytes.
const LONGEST: i32 = 120;

pub(super) fn decide(
    analysis: &Analysis,
    timeline: &Timeline,
    settings: &Settings,
    task: Task<'_>,
) -> Result<EditList, EngineError> {
    task.step("Comparing the frames of the plate", 0, 1)?;
    let frames = timeline.plate.count() as i32;
    let first_out = timeline.out.first;
    let first_plate = timeline.plate.first;
    // Offsets between numbers, and between indices.
    let index = |offset: i32| offset + first_out - first_plate;
    let mut edit = EditList {
        cols: analysis.cols as u16,
        rows: analysis.rows as u16,
        plate_frames: frames as u32,
        out_frames: timeline.out.count() as u32,
        first_out,
        first_plate,
        offset: 0,
        events: Vec::new(),
        kept: Vec::new(),
        matted: false,
        closed: timeline.closed,
        warp: settings.warp,
        low_band: settings.low_band,
    };
    let mut ground: Option<Ground> = None;
    for (i, span) in timeline.spans.iter().enumerate() {
        let from = (span.out().first - first_out) as usize;
        let to = (span.out().last - first_out) as usize + 1;
        match *span {
            Span::Kept { offset, .. } => {
                if i == 0 {
                    edit.offset = index(offset);
                }
                edit.kept.push((from as u32, to as u32));
            }
            Span::Matted { offset, .. } => {
                edit.offset = index(offset);
                edit.matted = true;
            }
            Span::Free { .. } => {
                let kept = |span: Option<&Span>| match span {
                    Some(Span::Kept { offset, .. }) => Some(index(*offset)),
                    _ => None,
                };
                let before = kept(i.checked_sub(1).and_then(|i| timeline.spans.get(i)));
                let after = kept(timeline.spans.get(i + 1));
                let place = |offset: i32, t: usize| (t as i32 + offset).clamp(0, frames) as usize;
                let stretch = Stretch {
                    length: to - from,
                    start: before.map(|o| place(o, from)),
                    end: after.map(|o| place(o, to)),
                    closed: timeline.closed,
                };
                let ground = match &mut ground {
                    Some(g) => g,
                    none => none.insert(make_ready(analysis, timeline, task)?),
                };
                let solution = solve(ground, &stretch, settings, i as u32, task)?;
                let shift = from as i32;
                if i == 0 {
                    edit.offset = solution.start as i32 - shift;
                }
                edit.events
                    .extend(solution.events.into_iter().map(|e| Event {
                        at: e.at + from as u32,
                        offset: e.offset - shift,
                        ..e
                    }));
            }
        }
    }
    Ok(edit)
}

fn make_ready(
    analysis: &Analysis,
    timeline: &Timeline,
    task: Task<'_>,
) -> Result<Ground, EngineError> {
    let fps = analysis.info.fps.clamp(1.0, 1000.0);
    let frames = timeline.plate.count() as i32;
    // As the handle of a request: .9 s, at most a third of the plate.
    let window = (libm::rint(0.9 * fps) as i32)
        .clamp(4, (frames / 3).max(4))
        .min(LONGEST)
        .min((frames - 2).max(1)) as usize;
    let fine = Features::new(analysis, timeline.plate);
    task.check()?;
    let coarse = Features::coarser(analysis, timeline.plate, PLAN_ROWS);
    let jumps = Jumps::new(&coarse, window, fps, task)?;
    let own = Own::new(&fine);
    Ok(Ground {
        fine,
        coarse,
        jumps,
        own,
        fps,
    })
}
