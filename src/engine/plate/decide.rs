//! Decides the edit list: what the timeline leaves free is solved stretch by
//! stretch.

use std::collections::BTreeSet;

use super::PlateEngine;
use super::analysis::Analysis;
use super::camera::Camera;
use super::carry::Level;
use super::edit_list::{EditList, Event, Layer};
use super::exposure::Exposure;
use super::features::Features;
use super::fill::{Covered, fill};
use super::jumps::Jumps;
use super::parts::{Again, Free, Mattes, Parts, put};
use super::plan::Stretch;
use super::score::calmest;
use super::settings::Settings;
use super::solve::{Ground, solve};
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::engine::{EngineError, Span, Timeline};
use crate::sampler::Philox;

/// Rows of the grid that plans are made on.
const PLAN_ROWS: usize = 24;
/// Longest window of a change, so that switch times fit their bytes.
const LONGEST: i32 = 120;

/// A plate made ready for deciding, and the parts of it that are treated apart.
pub(super) struct Ready {
    pub(super) ground: Ground,
    pub(super) parts: Parts,
    pub(super) left_out: Vec<bool>,
}

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
    let (settings, mattes) = (&engine.settings, &engine.mattes);
    task.step("Comparing the frames of the plate", 0, 1)?;
    let frames = timeline.plate.count() as i32;
    let first_out = timeline.out.first;
    let first_plate = timeline.plate.first;
    // Offsets between numbers, and between indices.
    let index = |offset: i32| offset + first_out - first_plate;
    let steady = analysis.steadied(settings.steady).is_some();
    let exposure = Exposure::of(analysis, timeline, settings.level, steady);
    let level = exposure
        .as_ref()
        .map(|e| analysis.levelled(e, timeline.plate));
    let analysis = level.as_ref().unwrap_or(analysis);
    let steadied = analysis.steadied(settings.steady);
    let left_out = settings.left_out(timeline.plate)?;
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
        camera: steadied.map(|s| {
            let first = (first_plate - analysis.info.range.first).max(0) as usize;
            let poses = &s.poses[first..first + frames as usize];
            Camera::of(poses, timeline, analysis.info.fps, settings.seed).withholding(&left_out)
        }),
        exposure,
        held: Vec::new(),
        layers: Vec::new(),
    };
    let mut ready: Option<Ready> = None;
    let mut frees: Vec<Free> = Vec::new();
    for (i, span) in timeline.spans.iter().enumerate() {
        let from = (span.out().first - first_out) as usize;
        let to = (span.out().last - first_out) as usize + 1;
        match *span {
            Span::Kept { offset, .. } => {
                if i == 0 {
                    edit.offset = index(offset);
                }
                edit.kept.push((from as u32, to as u32));
                if settings.hold_out.is_some() {
                    edit.held.push((from as u32, index(offset)));
                }
            }
            Span::Matted { offset, .. } => {
                let home = index(offset);
                if i == 0 {
                    edit.offset = home;
                }
                edit.matted = true;
                let events = fill_matte(
                    analysis,
                    timeline,
                    settings,
                    &left_out,
                    (from, to),
                    home,
                    task,
                )?;
                edit.events.extend(events);
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
                let Ready { ground, parts, .. } = match &mut ready {
                    Some(ready) => ready,
                    none => {
                        let steady = steadied.is_some();
                        let mut ground =
                            make_ready(analysis, timeline, steady, &left_out, engine.device, task)?;
                        let poses = steadied.map_or(&[][..], |s| &s.poses[..]);
                        let plate = (analysis, poses);
                        let named = (settings, mattes);
                        none.insert(Ready {
                            parts: Parts::read(named, plate, timeline, &mut ground, task)?,
                            ground,
                            left_out: left_out.clone(),
                        })
                    }
                };
                let solution = solve(ground, &stretch, None, settings, i as u32, task)?;
                if i == 0 {
                    edit.offset = solution.start as i32 - from as i32;
                }
                let mut free = Free {
                    from,
                    stretch,
                    start: solution.start,
                    events: solution.events,
                };
                let mut rng = Philox::new(settings.seed, [i as u32, 0, 2]);
                let held = parts.hold(ground, &mut free, &left_out, &mut rng, task)?;
                edit.held.extend(held);
                frees.push(free);
            }
        }
    }
    if let Some(ready) = ready {
        put(&mut edit, &frees);
        layers(
            &mut edit,
            &ready,
            &mut frees,
            analysis,
            (settings, mattes),
            task,
        )?;
    }
    if left_out.contains(&true) {
        none_shown(&edit, timeline, &left_out)?;
    }
    Ok(edit)
}

/// Lays over `edit` what is decided apart: regions with clips of their own, and what
/// is made again.
fn layers(
    edit: &mut EditList,
    ready: &Ready,
    frees: &mut [Free],
    analysis: &Analysis,
    (settings, mattes): (&Settings, &Mattes),
    task: Task<'_>,
) -> Result<(), EngineError> {
    if !ready.parts.is_seeded() && settings.remakes.is_empty() {
        return Ok(());
    }
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
            analysis,
            task,
        };
        let layer = again.layer(&newest, remake, number)?;
        newest.clone_from(&layer.list);
        edit.layers.push(layer);
    }
    Ok(())
}

/// That no frame which was to be made shows a plate frame that is left out.
fn none_shown(edit: &EditList, timeline: &Timeline, left_out: &[bool]) -> Result<(), EngineError> {
    for span in &timeline.spans {
        let Span::Free { out } = span else { continue };
        for frame in out.iter() {
            let t = (frame - edit.first_out) as u32;
            let list = edit.at(t);
            let labels: BTreeSet<u16> = list.labels(t).into_iter().collect();
            let shown = |label: u16| usize::try_from(t as i32 + list.offset_of(label)).ok();
            if labels
                .into_iter()
                .filter_map(shown)
                .any(|k| left_out.get(k) == Some(&true))
            {
                return Err(EngineError::Request(format!(
                    "frame {frame} cannot be made without the plate frames that are to be left \
                     out: leave out fewer, keep fewer plate frames, or give a longer plate"
                )));
            }
        }
    }
    Ok(())
}

/// The events that keep the matte out of sight in output indices `[from, to)`.
fn fill_matte(
    analysis: &Analysis,
    timeline: &Timeline,
    settings: &Settings,
    left_out: &[bool],
    (from, to): (usize, usize),
    home: i32,
    task: Task<'_>,
) -> Result<Vec<Event>, EngineError> {
    if analysis.matte.is_empty() {
        return Err(EngineError::Request(
            "fill needs a matte that covers what is to go: give one, of the plate's size and range"
                .to_owned(),
        ));
    }
    let steady = analysis.steadied(settings.steady).is_some();
    let features = Features::new(analysis, timeline.plate, steady);
    let first = (timeline.plate.first - analysis.info.range.first).max(0) as usize;
    let cells = analysis.cells();
    let shift = from as i32;
    let mut matte =
        analysis.matte(steady)[first * cells..(first + features.frames) * cells].to_vec();
    for (frame, out) in matte.chunks_exact_mut(cells).zip(left_out) {
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
    let mut rng = Philox::new(settings.seed, [from as u32, 0, 1]);
    let events = fill(&covered, &mut rng, task)?;
    Ok(events
        .into_iter()
        .map(|e| Event {
            at: e.at + from as u32,
            offset: e.offset - shift,
            ..e
        })
        .collect())
}

pub(super) fn make_ready(
    analysis: &Analysis,
    timeline: &Timeline,
    steady: bool,
    left_out: &[bool],
    choice: Choice,
    task: Task<'_>,
) -> Result<Ground, EngineError> {
    let fps = analysis.info.fps.clamp(1.0, 1000.0);
    let frames = timeline.plate.count() as i32;
    // One frame less than the handle of a request (.9 s, at most a third of the
    // plate), so that a change may begin at the first frame that is made.
    let handle = (libm::round(0.9 * fps) as i32)
        .clamp(4, (frames / 3).max(4))
        .min((frames - 1) / 2);
    let window = (handle - 1).clamp(1, LONGEST) as usize;
    let mut fine = Level::new(Features::new(analysis, timeline.plate, steady));
    task.check()?;
    let mut coarse = Level::new(Features::coarser(
        analysis,
        timeline.plate,
        PLAN_ROWS,
        steady,
    ));
    // From one grid to the next finer a frame that steps too far does so by
    // less; from the finer to full size it is taken to do so again.
    let (a, b) = (coarse.own.most - 1.0, fine.own.most - 1.0);
    let trust = (b / a.max(1e-3)).clamp(0.25, 1.0);
    coarse.own.trust = trust;
    fine.own.trust = trust;
    let jumps = Jumps::new(&coarse.features, window, fps, left_out, None, choice, task)?;
    Ok(Ground {
        calmest: calmest(&coarse.features, window),
        fine,
        coarse,
        jumps,
        fps,
        choice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Cancel, Silent};
    use crate::frame::{FrameRange, PlateInfo, Transfer};

    const COLS: usize = 20;
    const ROWS: usize = 15;

    /// Waves of several periods, numbered from 1001.
    fn waves(frames: usize) -> Analysis {
        let mut colour = Vec::new();
        for t in 0..frames {
            for y in 0..ROWS {
                for x in 0..COLS {
                    let (t, x, y) = (t as f64, x as f64, y as f64);
                    let v = libm::sin(t * 0.7 + x * 0.5)
                        + libm::sin(t * 0.31 - y * 0.8)
                        + libm::sin(t * 1.13 + 0.2 * x * y);
                    colour.extend([0.5, 0.4, 0.3].map(|c| ((c + 0.1 * v) * 4096.0) as i16));
                }
            }
        }
        Analysis {
            info: PlateInfo {
                range: FrameRange {
                    first: 1001,
                    last: 1000 + frames as i32,
                },
                width: 80,
                height: 60,
                full_size: (80, 60),
                channels: ["R", "G", "B"].map(String::from).to_vec(),
                fps: 12.0,
                transfer: Transfer::Linear,
                pixel_aspect: 1.0,
            },
            cols: COLS,
            rows: ROWS,
            colour,
            matte: Vec::new(),
            fingerprints: Vec::new(),
            duplicates: Vec::new(),
            not_finite: Vec::new(),
            steadied: None,
        }
    }

    fn range(first: i32, last: i32) -> FrameRange {
        FrameRange { first, last }
    }

    fn set(settings: &Settings) -> PlateEngine {
        PlateEngine {
            settings: settings.clone(),
            ..PlateEngine::default()
        }
    }

    fn decided(a: &Analysis, timeline: &Timeline, settings: &Settings) -> EditList {
        let task = Task::quiet();
        decide(a, timeline, &set(settings), task).unwrap()
    }

    /// Plate indices of all cells at output index `t`.
    fn sources(e: &EditList, t: u32) -> Vec<i32> {
        e.labels(t)
            .into_iter()
            .map(|l| t as i32 + e.offset_of(l))
            .collect()
    }

    fn two() -> Settings {
        Settings {
            plans: 2,
            ..Settings::default()
        }
    }

    #[test]
    fn kept_frames_are_the_plates_at_every_cell_and_all_sources_exist() {
        let a = waves(48);
        let kept = |first, last, offset| Span::Kept {
            out: range(first, last),
            offset,
        };
        let free = |first, last| Span::Free {
            out: range(first, last),
        };
        let forward = vec![kept(1001, 1012, 0), free(1013, 1120)];
        let backward = vec![free(900, 1030), kept(1031, 1048, 0)];
        let both = vec![free(900, 1015), kept(1016, 1030, 0), free(1031, 1130)];
        let vary = vec![kept(1, 5, 1000), free(6, 70), kept(71, 75, 973)];
        for spans in [forward, backward, both, vary] {
            let timeline = Timeline {
                plate: range(1001, 1048),
                out: range(spans[0].out().first, spans[spans.len() - 1].out().last),
                spans,
                closed: false,
            };
            for seed in 0..3 {
                let e = decided(&a, &timeline, &Settings { seed, ..two() });
                assert!(!e.events.is_empty());
                for t in 0..e.out_frames {
                    let s = sources(&e, t);
                    if let Some(p) = timeline.kept(e.first_out + t as i32) {
                        assert!(s.iter().all(|s| s + 1001 == p), "{:?} {t}", timeline.spans);
                    }
                    let last = a.info.range.count() as i32;
                    assert!(s.iter().all(|s| (0..last).contains(s)), "{t} {seed}");
                }
            }
        }
    }

    #[test]
    fn a_closed_sequence_ends_where_it_begins() {
        let a = waves(48);
        let timeline = Timeline {
            plate: range(1001, 1048),
            out: range(1, 60),
            spans: vec![Span::Free { out: range(1, 60) }],
            closed: true,
        };
        for seed in 0..3 {
            let e = decided(&a, &timeline, &Settings { seed, ..two() });
            let (first, last) = (sources(&e, 0), sources(&e, 59));
            assert!(first.iter().zip(&last).all(|(a, b)| *a == b + 1), "{seed}");
        }
    }

    #[test]
    fn a_seed_decides_once_and_another_seed_decides_otherwise() {
        let a = waves(48);
        let timeline = Timeline {
            plate: range(1001, 1048),
            out: range(1001, 1150),
            spans: vec![
                Span::Kept {
                    out: range(1001, 1012),
                    offset: 0,
                },
                Span::Free {
                    out: range(1013, 1150),
                },
            ],
            closed: false,
        };
        let one = decided(&a, &timeline, &two());
        assert_eq!(one, decided(&a, &timeline, &two()));
        let other = decided(&a, &timeline, &Settings { seed: 1, ..two() });
        assert_ne!(one.events, other.events);
    }

    #[test]
    fn clips_last_and_changes_do_not_fall_into_a_beat() {
        let a = waves(48);
        let timeline = Timeline {
            plate: range(1001, 1048),
            out: range(1001, 1720),
            spans: vec![
                Span::Kept {
                    out: range(1001, 1012),
                    offset: 0,
                },
                Span::Free {
                    out: range(1013, 1720),
                },
            ],
            closed: false,
        };
        let e = decided(&a, &timeline, &two());
        let at: Vec<u32> = e.events.iter().map(|e| e.at).collect();
        let mut gaps: Vec<u32> = at.windows(2).map(|p| p[1] - p[0]).collect();
        assert!(gaps.len() > 20, "{gaps:?}");
        // 12 frames a second.
        assert!(gaps.iter().all(|g| *g >= 4), "{gaps:?}");
        gaps.sort_unstable();
        let most = gaps.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
        assert!(most.unwrap_or(0) * 3 < gaps.len(), "{gaps:?}");
    }

    #[test]
    fn frames_left_out_are_shown_nowhere() {
        let a = waves(96);
        let leave_out = |text: &str| Settings {
            leave_out: text.to_owned(),
            novelty: 1.0,
            ..two()
        };
        let out = |text: &str| -> BTreeSet<i32> {
            text.parse::<crate::frame::FrameList>()
                .unwrap()
                .iter()
                .map(|f| f - 1001)
                .collect()
        };
        let timeline = |free: FrameRange, closed: bool| Timeline {
            plate: range(1001, 1096),
            out: range(1001, free.last),
            spans: [
                (free.first > 1001).then(|| Span::Kept {
                    out: range(1001, free.first - 1),
                    offset: 0,
                }),
                Some(Span::Free { out: free }),
            ]
            .into_iter()
            .flatten()
            .collect(),
            closed,
        };
        for (t, text) in [
            (timeline(range(1021, 1220), false), "1060-1063"),
            (timeline(range(1021, 1220), false), "1050,1071-1072"),
            (timeline(range(1001, 1100), true), "1050"),
        ] {
            let e = decided(&a, &t, &leave_out(text));
            let left = out(text);
            let free = t.spans.last().map(Span::out).unwrap();
            let mut shown = BTreeSet::new();
            for frame in free.iter() {
                shown.extend(sources(&e, (frame - e.first_out) as u32));
            }
            assert!(shown.is_disjoint(&left), "{text}: {shown:?}");
            assert!(shown.len() > 30, "{text}: {shown:?}");
        }
    }

    #[test]
    fn what_cannot_be_left_out_is_told() {
        let a = waves(48);
        let timeline = Timeline {
            plate: range(1001, 1048),
            out: range(1001, 1100),
            spans: vec![
                Span::Kept {
                    out: range(1001, 1020),
                    offset: 0,
                },
                Span::Free {
                    out: range(1021, 1100),
                },
            ],
            closed: false,
        };
        let task = Task::quiet();
        for (text, says) in [("1021-1048", "frame 1021"), ("1021-", "frame range")] {
            let settings = Settings {
                leave_out: text.to_owned(),
                ..two()
            };
            let error = decide(&a, &timeline, &set(&settings), task).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn fill_without_a_matte_says_what_to_do() {
        let a = waves(12);
        let timeline = Timeline {
            plate: range(1001, 1012),
            out: range(1001, 1012),
            spans: vec![Span::Matted {
                out: range(1001, 1012),
                offset: 0,
            }],
            closed: false,
        };
        let task = Task::quiet();
        let error = decide(&a, &timeline, &set(&two()), task).unwrap_err();
        assert!(error.to_string().contains("matte"), "{error}");
    }

    #[test]
    fn work_stops_when_asked_to() {
        let a = waves(48);
        let timeline = Timeline {
            plate: range(1001, 1048),
            out: range(1, 60),
            spans: vec![Span::Free { out: range(1, 60) }],
            closed: false,
        };
        let cancel = Cancel::default();
        cancel.cancel();
        let task = Task {
            cancel: &cancel,
            progress: &Silent,
        };
        let outcome = decide(&a, &timeline, &set(&two()), task);
        assert!(matches!(outcome, Err(EngineError::Cancelled(_))));
    }
}
