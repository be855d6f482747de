//! The plan of a take: what is learned of the plate, what is decided from that, the
//! pieces that an engine makes before its frames, where it has such, and from all these
//! any frame, each by itself.

use std::collections::BTreeSet;

use super::{Block, Level, Plan};
use crate::engine::{Engine, Piece, Stage, TileBorders, Timeline};
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
    let (apart, with) = apart(pieces);
    let made = between(&take, apart, &edit);
    // Frames are made of the last pieces before them, or of what pieces are made of that
    // are made with them.
    let last = apart.last().zip(made.last()).filter(|_| with.is_none());
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
                .chain(needs_of(with, &made, out))
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
    let level = |name, blocks| Level {
        name,
        blocks,
        tiles: TileBorders::default(),
    };
    let blocks = ranges(timeline.out, block, &whole(with))
        .into_iter()
        .map(frames)
        .collect();
    let mut levels = vec![
        level(stages[0], vec![learned]),
        level(stages[1], vec![decided]),
    ];
    levels.extend(made.iter().cloned());
    levels.push(Level {
        tiles: with.map(|stage| stage.tiles.clone()).unwrap_or_default(),
        ..level("frames", blocks)
    });
    Plan {
        engine: engine.version(),
        timeline: timeline.clone(),
        levels,
    }
}

/// How many blocks [`lay`] has for `timeline`.
pub fn count(timeline: &Timeline, pieces: &[Stage], block: usize) -> usize {
    let (apart, with) = apart(pieces);
    let made = apart.iter().map(|stage| stage.pieces.len());
    2 + made.sum::<usize>() + ranges(timeline.out, block, &whole(with)).len()
}

/// The stages that are levels of their own, and the last one where its pieces are made
/// with their frames.
fn apart(stages: &[Stage]) -> (&[Stage], Option<&Stage>) {
    match stages.split_last() {
        Some((last, rest)) if last.with_frames => (rest, Some(last)),
        _ => (stages, None),
    }
}

/// The blocks that the pieces of `with` are made from that bear on `out`, each once.
fn needs_of(with: Option<&Stage>, made: &[Level], out: FrameRange) -> Vec<String> {
    let pieces = with.iter().flat_map(|stage| &stage.pieces);
    let mine = pieces.filter(|piece| bears_on(piece, out));
    let needs: BTreeSet<(usize, usize)> = mine.flat_map(|p| p.needs.iter().copied()).collect();
    let block = |(stage, number): (usize, usize)| made.get(stage)?.blocks.get(number);
    let blocks = needs.into_iter().filter_map(block);
    blocks.map(|block| block.id.clone()).collect()
}

/// The frames of pieces that are made with their frames.
fn whole(with: Option<&Stage>) -> Vec<FrameRange> {
    let pieces = with.iter().flat_map(|stage| &stage.pieces);
    let ends = pieces.filter_map(|p| Some((*p.frames.first()?, *p.frames.last()?)));
    let mut found: Vec<FrameRange> = ends.filter_map(|(a, b)| FrameRange::new(a, b)).collect();
    found.sort_unstable_by_key(|r| r.first);
    found
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
            tiles: stage.tiles.clone(),
        });
    }
    levels
}

/// Whether a piece is for any frame of `out`.
fn bears_on(piece: &Piece, out: FrameRange) -> bool {
    let from = piece.frames.partition_point(|f| *f < out.first);
    piece.frames.get(from).is_some_and(|f| *f <= out.last)
}

/// `out` in ranges of `count` frames, the last one shorter. None ends within one of
/// `whole`: it ends before, or where it begins with that, behind it.
fn ranges(out: FrameRange, count: usize, whole: &[FrameRange]) -> Vec<FrameRange> {
    let step = i32::try_from(count.max(1)).unwrap_or(i32::MAX);
    let mut found = Vec::new();
    let mut first = out.first;
    loop {
        let wanted = first.saturating_add(step - 1).min(out.last);
        let around = whole.partition_point(|r| r.first <= wanted).checked_sub(1);
        let around = around.and_then(|i| whole.get(i));
        let last = match around.filter(|r| wanted < r.last) {
            Some(range) if range.first > first => range.first - 1,
            Some(range) => range.last.min(out.last),
            None => wanted,
        };
        found.extend(FrameRange::new(first, last));
        if last >= out.last {
            return found;
        }
        first = last + 1;
    }
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

    #[test]
    fn blocks_of_frames_begin_where_pieces_do_that_are_made_with_them() {
        let out = FrameRange::new(1, 40).unwrap();
        let cut = |count, whole: &[(i32, i32)]| -> Vec<(i32, i32)> {
            let whole = whole.iter().map(|r| FrameRange::new(r.0, r.1).unwrap());
            let all = ranges(out, count, &whole.collect::<Vec<_>>()).into_iter();
            all.map(|r| (r.first, r.last)).collect()
        };
        assert_eq!(cut(24, &[]), [(1, 24), (25, 40)]);
        // Two pieces to a block, then one that is longer than a block.
        let whole = [(1, 5), (6, 9), (10, 37), (38, 40)];
        assert_eq!(cut(9, &whole), [(1, 9), (10, 37), (38, 40)]);
        assert_eq!(cut(1, &whole), whole);
        assert_eq!(cut(99, &whole), [(1, 40)]);
        // Frames that are kept before pieces, and after them.
        let few = [(4, 11), (12, 19)];
        assert_eq!(cut(5, &few)[..3], [(1, 3), (4, 11), (12, 19)]);
        assert_eq!(cut(5, &few)[3..5], [(20, 24), (25, 29)]);
        let piece = |first: i32, last: i32, needs: &[(usize, usize)]| Piece {
            frames: (first..=last).collect(),
            needs: needs.to_vec(),
        };
        let stage = |name, with_frames, pieces| Stage {
            name,
            pieces,
            with_frames,
            tiles: TileBorders::default(),
        };
        let all = (1..=40).collect::<Vec<i32>>();
        let fills = vec![piece(1, 20, &[]), piece(18, 40, &[])];
        let decode = vec![
            piece(1, 10, &[(0, 0)]),
            piece(11, 20, &[(0, 0), (0, 1)]),
            piece(21, 40, &[(0, 1)]),
        ];
        let stages = [stage("fills", false, fills), stage("decode", true, decode)];
        let timeline = Timeline {
            plate: out,
            out,
            spans: vec![crate::engine::Span::Free { out }],
            closed: false,
        };
        let engine = PlateEngine::default();
        let names = Names::of(&engine, &blake3::hash(b"plate"), &timeline);
        let plan = lay(&engine, ["a", "b"], &stages, &names, &timeline, 10, "");
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(plan.blocks().count(), count(&timeline, &stages, 10));
        let levels: Vec<_> = plan.levels.iter().map(|l| l.blocks.len()).collect();
        assert_eq!(levels, [1, 1, 2, 3], "decoding is no level of its own");
        let needs: Vec<_> = plan.levels[3]
            .blocks
            .iter()
            .map(|b| b.needs.len())
            .collect();
        assert_eq!(needs, [3, 4, 3]);
        let made = &plan.levels[3].blocks;
        let frames = made.iter().flat_map(|b| b.frames.as_ref().unwrap().iter());
        assert_eq!(frames.collect::<Vec<_>>(), all);
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
