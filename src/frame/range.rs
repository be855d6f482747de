//! Frame ranges as pipelines number them: inclusive at both ends.

use serde::{Deserialize, Serialize};

/// An inclusive range of frame numbers, `first..=last`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRange {
    /// Number of the first frame.
    pub first: i32,
    /// Number of the last frame; at least `first`.
    pub last: i32,
}

impl FrameRange {
    /// `first..=last`, or `None` where that is empty.
    pub fn new(first: i32, last: i32) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The stretches that `frames`, in order, come to.
    pub fn runs(frames: impl IntoIterator<Item = i32>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for frame in frames {
            match runs.last_mut() {
                Some(run) if i64::from(run.last) + 1 == i64::from(frame) => run.last = frame,
                _ => runs.push(Self {
                    first: frame,
                    last: frame,
                }),
            }
        }
        runs
    }

    /// The number of frames, at least 1.
    pub fn count(&self) -> usize {
        (i64::from(self.last) - i64::from(self.first) + 1) as usize
    }

    /// Whether `frame` lies in the range.
    pub fn contains(&self, frame: i32) -> bool {
        (self.first..=self.last).contains(&frame)
    }

    /// The frame numbers in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i32> + use<> {
        self.first..=self.last
    }

    /// The frames that both ranges hold.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

impl std::fmt::Display for FrameRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
