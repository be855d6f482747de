//! Decides the edit list.

use super::analysis::Analysis;
use super::edit_list::{EditList, Event, Kind};
use super::settings::Settings;
use crate::device::Task;
use crate::engine::{EngineError, Span, Timeline};
use crate::sampler::Philox;

pub(super) fn decide(
    analysis: &Analysis,
    timeline: &Timeline,
    settings: &Settings,
    task: Task<'_>,
) -> Result<EditList, EngineError> {
    task.check()?;
    let plate = timeline.plate.count() as i32;
    let mut events = Vec::new();
    let mut kept = Vec::new();
    let mut rng = Philox::new(settings.seed, [0, 0, 0]);
    for span in &timeline.spans {
        let out = span.out();
        let (from, to) = (
            out.first - timeline.out.first,
            out.last + 1 - timeline.out.first,
        );
        match *span {
            Span::Kept { .. } => kept.push((from as u32, to as u32)),
            Span::Matted { .. } => {}
            Span::Free { .. } => {
                let mut t = from;
                while t < to {
                    let length = (plate / 2).max(1);
                    let start = rng.below((plate - length).max(1) as u32) as i32;
                    events.push(Event {
                        at: t as u32,
                        offset: start - t,
                        window: 0,
                        switch: vec![0; analysis.cols * analysis.rows],
                        kind: Kind::Anchor,
                    });
                    t += length;
                }
            }
        }
    }
    let offset = match timeline.spans.first() {
        Some(Span::Kept { offset, .. } | Span::Matted { offset, .. }) => {
            offset + timeline.out.first - timeline.plate.first
        }
        _ => 0,
    };
    Ok(EditList {
        cols: analysis.cols as u16,
        rows: analysis.rows as u16,
        plate_frames: plate as u32,
        out_frames: timeline.out.count() as u32,
        first_out: timeline.out.first,
        first_plate: timeline.plate.first,
        offset,
        events,
        kept,
        matted: timeline
            .spans
            .iter()
            .any(|s| matches!(s, Span::Matted { .. })),
        closed: timeline.closed,
        warp: settings.warp,
        low_band: settings.low_band,
    })
}
