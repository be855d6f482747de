//! A plan of three levels: what is learned of the plate, what is decided from that,
//! and from both any frame, each by itself.

use super::{Block, Level, Plan};
use crate::engine::{Engine, Timeline};
use crate::frame::FrameRange;
use crate::sequence::{Names, key_of};

/// Hexadecimal digits of a hash in a block's name.
const DIGITS: usize = 12;

/// The plan of a take of `timeline`, its frames in blocks of at most
/// `block` frames (0 counts as 1). `names` tells what was asked of which plate,
/// `written` how frames are written: their scale, their sample type, …; `stages`
/// what the engine calls what it learns and what it decides.
pub fn three(
    engine: &impl Engine,
    stages: [&'static str; 2],
    names: &Names,
    timeline: &Timeline,
    block: usize,
    written: &str,
) -> Plan {
    let short = |hash: &blake3::Hash| hash.to_hex()[..DIGITS].to_owned();
    let named = |stage: &str, hash| {
        let word = stage.split(' ').next().unwrap_or(stage);
        format!("{word}-{}", short(hash))
    };
    let analysis = named(stages[0], &names.analysis);
    let edit = named(stages[1], &names.take);
    let take = names.take.to_hex();
    let frames = |out: FrameRange| {
        let range = out.to_string();
        let key = key_of(&[take.as_str(), "frames", &range, written]);
        Block {
            id: format!("frames-{range}-{}", short(&key)),
            frames: Some(out.into()),
            plate: Some(timeline.plate),
            needs: vec![analysis.clone(), edit.clone()],
        }
    };
    let learned = Block {
        id: analysis.clone(),
        frames: None,
        plate: Some(timeline.plate),
        needs: Vec::new(),
    };
    let decided = Block {
        id: edit.clone(),
        frames: None,
        plate: None,
        needs: vec![analysis.clone()],
    };
    let level = |name, blocks| Level { name, blocks };
    let blocks = pieces(timeline.out, block).map(frames).collect();
    Plan {
        engine: engine.version(),
        timeline: timeline.clone(),
        levels: vec![
            level(stages[0], vec![learned]),
            level(stages[1], vec![decided]),
            level("frames", blocks),
        ],
    }
}

/// How many blocks [`three`] has for `timeline`.
pub fn count(timeline: &Timeline, block: usize) -> usize {
    2 + pieces(timeline.out, block).count()
}

/// `out` in pieces of `count` frames, the last one shorter.
fn pieces(out: FrameRange, count: usize) -> impl Iterator<Item = FrameRange> {
    let step = i32::try_from(count.max(1)).unwrap_or(i32::MAX);
    out.iter().step_by(step as usize).filter_map(move |first| {
        let last = first.saturating_add(step - 1).min(out.last);
        FrameRange::new(first, last)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::plate::{PlateEngine, Settings};
    use crate::sequence::{Mode, Request};

    fn laid(seed: u64, timeline: &Timeline, block: usize) -> Plan {
        let engine = PlateEngine {
            settings: Settings {
                seed,
                ..Settings::default()
            },
            ..PlateEngine::default()
        };
        let names = Names::of(&engine, &blake3::hash(b"plate"), timeline);
        let stages = ["analysis", "edit list"];
        three(&engine, stages, &names, timeline, block, "1/1 half zip")
    }

    fn requests() -> impl Strategy<Value = Request> {
        let modes = prop_oneof![
            Just(Mode::Extend),
            Just(Mode::Loop),
            Just(Mode::Vary),
            Just(Mode::Fill)
        ];
        (
            modes,
            -2000..2000i32,
            1..400i32,
            -500..500i32,
            1..3000i32,
            0..60u32,
        )
            .prop_map(|(mode, first, count, from, length, keep)| Request {
                mode,
                plate: FrameRange::new(first, first + count - 1).unwrap(),
                out: FrameRange::new(first + from, first + from + length - 1).unwrap(),
                fps: 24.0,
                keep: (keep > 0).then_some(keep),
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_frame_is_made_once_from_two_blocks_at_most(
            request in requests(),
            block in 0..200usize,
        ) {
            // What has no timeline has no plan.
            let Ok(timeline) = request.timeline() else { return Ok(()) };
            let plan = laid(1, &timeline, block);
            prop_assert_eq!(plan.check(), Ok(()));
            prop_assert_eq!(plan.blocks().count(), count(&timeline, block));
            let mut frames: Vec<i32> = Vec::new();
            for b in &plan.levels[2].blocks {
                let own: Vec<i32> = b.frames.as_ref().unwrap().iter().collect();
                prop_assert!(own.len() <= block.max(1));
                prop_assert_eq!(plan.before(&b.id).len(), 2);
                frames.extend(own);
            }
            prop_assert_eq!(frames, timeline.out.iter().collect::<Vec<_>>());
            // A pure function of the request.
            prop_assert_eq!(&plan, &laid(1, &timeline, block));
        }

        #[test]
        fn names_tell_apart_what_differs_and_share_what_is_shared(
            request in requests(),
            other in 0..3u8,
        ) {
            let Ok(timeline) = request.timeline() else { return Ok(()) };
            let plan = laid(1, &timeline, 24);
            let mut longer = timeline.clone();
            let (changed, same) = match other {
                // Another seed and another length know the plate already.
                0 => (laid(2, &timeline, 24), 1),
                1 => {
                    longer.out.last += 1;
                    (laid(1, &longer, 24), 1)
                }
                // Blocks of another size are of the same edit list.
                _ => (laid(1, &timeline, 25), 2),
            };
            for (k, (a, b)) in plan.levels.iter().zip(&changed.levels).enumerate() {
                for (a, b) in a.blocks.iter().zip(&b.blocks) {
                    if k < same {
                        prop_assert_eq!(&a.id, &b.id);
                    } else if a.frames != b.frames || other != 2 {
                        prop_assert_ne!(&a.id, &b.id);
                    }
                }
            }
        }
    }
}
