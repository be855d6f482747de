//! Which output frames are plate frames and which are to be made: the bare
//! facts of a request, cheap to ask.

use serde::{Deserialize, Serialize};

use crate::frame::FrameRange;

/// A stretch of output frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Span {
    /// Output frame `t` is plate frame `t + offset`, bit for bit.
    Kept {
        /// The output frames.
        out: FrameRange,
        /// Plate frame number less output frame number.
        offset: i32,
    },
    /// Frames to be made, in line with the spans before and after.
    Free {
        /// The output frames.
        out: FrameRange,
    },
    /// Frames that are the plate's except inside the matte.
    Matted {
        /// The output frames.
        out: FrameRange,
        /// Plate frame number less output frame number.
        offset: i32,
    },
}

impl Span {
    /// The output frames of the span.
    pub fn out(&self) -> FrameRange {
        match *self {
            Self::Kept { out, .. } | Self::Free { out } | Self::Matted { out, .. } => out,
        }
    }
}

/// The spans of a sequence, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The plate frames that may be used.
    pub plate: FrameRange,
    /// All output frames.
    pub out: FrameRange,
    /// What they are.
    pub spans: Vec<Span>,
    /// Whether the first frame follows the last.
    pub closed: bool,
}

impl Timeline {
    /// The plate frame that output frame `frame` shows untouched, if it does.
    pub fn kept(&self, frame: i32) -> Option<i32> {
        self.spans.iter().find_map(|s| match *s {
            Span::Kept { out, offset } if out.contains(frame) => Some(frame + offset),
            _ => None,
        })
    }
}
