use super::super::settings::Settings;
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
            ids: Vec::new(),
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
