//! The plan of a take: what is made, in which pieces, and what each piece needs.
//!
//! A plan is a pure function of the request and of the plate's name: it is laid
//! before any work, on any machine, and always the same. It has levels, made
//! one after the other, and levels have blocks, which do not need each other, so
//! that a farm can make the blocks of a level side by side. What a block makes
//! is named by what it is made from, hence it is made once, by whoever comes
//! first, and two that make the same block make the same bytes.
//!
//! An engine has the levels that it needs. The last one makes the frames; those
//! before make what frames are made from.

mod chart;
mod lay;

use std::collections::{BTreeSet, HashMap};

use serde::{Serialize, Serializer};

use crate::engine::{TileBorders, Timeline};
use crate::frame::{FrameList, FrameRange};

pub use chart::chart;
pub use lay::{count, lay};

/// A piece of a take that is made at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// Its name: what it is, and a part of the hash of all that it depends on.
    /// Equal names, equal bytes.
    pub id: String,
    /// The output frames that it makes; `None` where what it makes serves all.
    #[serde(serialize_with = "in_words")]
    pub frames: Option<FrameList>,
    /// The plate frames among which those are that it reads; `None` where it
    /// reads none.
    pub plate: Option<FrameRange>,
    /// The blocks, of earlier levels, that have to be there first.
    pub needs: Vec<String>,
}

/// Blocks that do not need each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// What its blocks make.
    pub name: &'static str,
    /// The blocks, in the order of their frames.
    pub blocks: Vec<Block>,
    /// Where in the frames blocks meet that are parts of the picture.
    #[serde(skip_serializing_if = "TileBorders::is_empty")]
    pub tiles: TileBorders,
}

/// What is made for a take, in the order in which it can be made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The engine and its version.
    pub engine: &'static str,
    /// Which frames are kept and which made.
    pub timeline: Timeline,
    /// The levels. Blocks of the last make output frames.
    pub levels: Vec<Level>,
}

/// Why a plan cannot be carried out. An engine whose plan has one of these is
/// at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two blocks have one name.
    #[error("two blocks are called {0}")]
    Twice(String),
    /// A block needs one that no earlier level has.
    #[error("block {id} needs {need}, which no earlier level makes")]
    Order {
        /// The block.
        id: String,
        /// What it needs.
        need: String,
    },
    /// No block makes a frame.
    #[error("no block makes frame {0}")]
    Uncovered(i32),
    /// A block makes a frame that is none of the take's.
    #[error("block {id} makes frame {frame}, which is not of the take")]
    Outside {
        /// The block.
        id: String,
        /// The frame.
        frame: i32,
    },
}

impl Plan {
    /// Checks that names are unique, that blocks need only what earlier levels
    /// make (so that there is no cycle and any order within a level will do),
    /// and that the last level makes every frame of the take and no other.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut before = BTreeSet::new();
        for level in &self.levels {
            for block in &level.blocks {
                if let Some(need) = block.needs.iter().find(|n| !before.contains(n.as_str())) {
                    return Err(PlanError::Order {
                        id: block.id.clone(),
                        need: need.clone(),
                    });
                }
            }
            for block in &level.blocks {
                if !before.insert(block.id.as_str()) {
                    return Err(PlanError::Twice(block.id.clone()));
                }
            }
        }
        let mut made = BTreeSet::new();
        for block in self.last() {
            for frame in block.frames.iter().flat_map(FrameList::iter) {
                if !self.timeline.out.contains(frame) {
                    return Err(PlanError::Outside {
                        id: block.id.clone(),
                        frame,
                    });
                }
                made.insert(frame);
            }
        }
        match self.timeline.out.iter().find(|f| !made.contains(f)) {
            Some(frame) => Err(PlanError::Uncovered(frame)),
            None => Ok(()),
        }
    }

    /// All blocks, level by level.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.levels.iter().flat_map(|l| &l.blocks)
    }

    /// The block called `id`.
    pub fn block(&self, id: &str) -> Option<&Block> {
        self.blocks().find(|b| b.id == id)
    }

    /// The level of the block called `id`, counted from 0.
    pub fn level_of(&self, id: &str) -> Option<usize> {
        self.levels
            .iter()
            .position(|l| l.blocks.iter().any(|b| b.id == id))
    }

    /// The block that makes output frame `frame`.
    pub fn maker_of(&self, frame: i32) -> Option<&Block> {
        let makes = |b: &&Block| b.frames.as_ref().is_some_and(|f| f.contains(frame));
        self.last().iter().find(makes)
    }

    /// The blocks that must be there before the block called `id` can be made,
    /// in an order in which they can be made; nothing where there is no such
    /// block.
    pub fn before(&self, id: &str) -> Vec<&Block> {
        let all: HashMap<&str, &Block> = self.blocks().map(|b| (b.id.as_str(), b)).collect();
        let mut wanted = BTreeSet::new();
        let mut open: Vec<&str> = vec![id];
        while let Some(block) = open.pop().and_then(|id| all.get(id)) {
            for need in &block.needs {
                if wanted.insert(need.as_str()) {
                    open.push(need);
                }
            }
        }
        self.blocks()
            .filter(|b| wanted.contains(b.id.as_str()))
            .collect()
    }

    fn last(&self) -> &[Block] {
        self.levels.last().map_or(&[], |l| &l.blocks)
    }
}

fn in_words<S: Serializer>(frames: &Option<FrameList>, to: S) -> Result<S::Ok, S::Error> {
    match frames {
        Some(frames) => to.collect_str(frames),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: &str, frames: Option<&str>, needs: &[&str]) -> Block {
        Block {
            id: id.to_owned(),
            frames: frames.map(|f| f.parse().unwrap()),
            plate: None,
            needs: needs.iter().map(|&n| n.to_owned()).collect(),
        }
    }

    fn level(name: &'static str, blocks: Vec<Block>) -> Level {
        Level {
            name,
            blocks,
            tiles: TileBorders::default(),
        }
    }

    /// Anchors far apart, fills between two anchors, pictures of a fill each.
    fn coarse_to_fine() -> Plan {
        let out = FrameRange::new(1, 17).unwrap();
        Plan {
            engine: "test",
            timeline: Timeline {
                plate: out,
                out,
                spans: vec![crate::engine::Span::Free { out }],
                closed: false,
            },
            levels: vec![
                level("anchors", vec![block("a", Some("1-17x8"), &[])]),
                level(
                    "fills",
                    vec![
                        block("f1", Some("1-9"), &["a"]),
                        block("f2", Some("9-17"), &["a"]),
                    ],
                ),
                level(
                    "frames",
                    vec![
                        block("p1", Some("1-10"), &["f1", "f2"]),
                        block("p2", Some("11-17"), &["f2"]),
                    ],
                ),
            ],
        }
    }

    #[test]
    fn a_plan_of_several_levels_tells_what_a_frame_needs() {
        let plan = coarse_to_fine();
        assert_eq!(plan.check(), Ok(()));
        let ids = |blocks: Vec<&Block>| -> Vec<String> {
            blocks.into_iter().map(|b| b.id.clone()).collect()
        };
        let of = |frame| {
            let maker = plan.maker_of(frame).unwrap();
            ids(plan.before(&maker.id))
        };
        assert_eq!(of(3), ["a", "f1", "f2"]);
        assert_eq!(of(14), ["a", "f2"]);
        assert_eq!(plan.level_of("f2"), Some(1));
        assert!(plan.maker_of(18).is_none() && plan.block("x").is_none());
    }

    #[test]
    fn plans_that_cannot_be_carried_out_are_found_out() {
        let spoilt = |spoil: fn(&mut Plan)| {
            let mut plan = coarse_to_fine();
            spoil(&mut plan);
            plan.check().unwrap_err()
        };
        assert_eq!(
            spoilt(|p| p.levels[2].blocks[1].frames = Some("12-17".parse().unwrap())),
            PlanError::Uncovered(11)
        );
        assert!(matches!(
            spoilt(|p| p.levels[2].blocks[1].frames = Some("11-18".parse().unwrap())),
            PlanError::Outside { frame: 18, .. }
        ));
        assert!(matches!(
            spoilt(|p| p.levels[1].blocks[0].needs = vec!["f2".to_owned()]),
            PlanError::Order { .. }
        ));
        assert_eq!(
            spoilt(|p| p.levels[1].blocks[1].id = "a".to_owned()),
            PlanError::Twice("a".to_owned())
        );
    }
}
