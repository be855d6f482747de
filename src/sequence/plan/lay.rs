//! The plan of a take: what is learned of the plate, what is decided from that, the
//! pieces that an engine makes before its frames, where it has such, and from all these
//! any frame, each by itself.

use super::{Block, Level, Plan};
use crate::engine::{Engine, Piece, Stage, Timeline};
use crate::frame::{FrameList, FrameRange};
use crate::sequence::{Names, key_of};

/// Hexadecimal digits of a hash in a block's name.
const DIGITS: usize = 12;

/// The plan of a take of `timeline`, its frames in blocks of at most
/// `block` frames (0 counts as 1). `names` tells what was asked of which plate,
/// `written` how frames are written: their scale, their sample type, …; `stages`
/// what the engine calls what it learns and what it decides, `pieces` what it makes
/// before frames.
pub fn lay(
    engine: &impl Engine,
    stages: [&'static str; 2],
    pieces: &[Stage],
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
    let made = between(&take, pieces, &edit);
    let last = pieces.last().zip(made.last());
    let frames = |out: FrameRange| {
        let range = out.to_string();
        let key = key_of(&[take.as_str(), "frames", &range, written]);
        Block {
            id: format!("frames-{range}-{}", short(&key)),
            frames: Some(out.into()),
            plate: Some(timeline.plate),
            needs: [analysis.clone(), edit.clone()]
                .into_iter()
                .chain(last.iter().flat_map(|(stage, level)| {
                    let all = stage.pieces.iter().zip(&level.blocks);
                    let mine = all.filter(|(piece, _)| bears_on(piece, out));
                    mine.map(|(_, block)| block.id.clone())
                }))
                .collect(),
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
    let blocks = ranges(timeline.out, block).map(frames).collect();
    let mut levels = vec![
        level(stages[0], vec![learned]),
        level(stages[1], vec![decided]),
    ];
    levels.extend(made.iter().cloned());
    levels.push(level("frames", blocks));
    Plan {
        engine: engine.version(),
        timeline: timeline.clone(),
        levels,
    }
}

/// How many blocks [`lay`] has for `timeline`.
pub fn count(timeline: &Timeline, pieces: &[Stage], block: usize) -> usize {
    let made = pieces.iter().map(|stage| stage.pieces.len());
    2 + made.sum::<usize>() + ranges(timeline.out, block).count()
}

/// The levels of what is made between what is decided, the block `decided`, and the
/// frames.
fn between(take: &str, stages: &[Stage], decided: &str) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for stage in stages {
        let word = stage.name.replace(' ', "-");
        let block = |(number, piece): (usize, &Piece)| {
            let key = key_of(&[take, stage.name, &number.to_string()]);
            let range = match (piece.frames.first(), piece.frames.last()) {
                (Some(first), Some(last)) => format!("{first}-{last}-"),
                _ => String::new(),
            };
            let made = piece.needs.iter().filter_map(|(stage, number)| {
                let block = levels.get(*stage)?.blocks.get(*number)?;
                Some(block.id.clone())
            });
            Block {
                id: format!("{word}-{range}{}", &key.to_hex()[..DIGITS]),
                frames: FrameList::of(&piece.frames),
                plate: None,
                needs: std::iter::once(decided.to_owned()).chain(made).collect(),
            }
        };
        let blocks = stage.pieces.iter().enumerate().map(block).collect();
        levels.push(Level {
            name: stage.name,
            blocks,
        });
    }
    levels
}

/// Whether a piece is for any frame of `out`.
fn bears_on(piece: &Piece, out: FrameRange) -> bool {
    let from = piece.frames.partition_point(|f| *f < out.first);
    piece.frames.get(from).is_some_and(|f| *f <= out.last)
}

/// `out` in ranges of `count` frames, the last one shorter.
fn ranges(out: FrameRange, count: usize) -> impl Iterator<Item = FrameRange> {
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
        lay(
            &engine,
            stages,
            &[],
            &names,
            timeline,
            block,
            "1/1 half zip",
        )
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
            prop_assert_eq!(plan.blocks().count(), count(&timeline, &[], block));
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
