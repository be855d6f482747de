//! Which frames the model makes at once, and which of them it is given.

use serde::{Deserialize, Serialize};

use super::settings::Way;
use crate::engine::{Span, Timeline};
use crate::frame::FrameRange;

/// Frames of a latent behind the first, which has a latent of its own.
pub const STEP: usize = 4;

/// Frames that the model makes at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// The output frames that the model sees, in order. It makes frames in fours and
    /// one: what is wanting at the end repeats the last of these and is cut off.
    pub frames: FrameRange,
    /// Those that are shown.
    pub made: FrameRange,
    /// Output frames that are plate frames, and which.
    pub given: Vec<(i32, i32)>,
    /// Where the plate shows outside the matte: plate frame less output frame.
    pub over: Option<i32>,
}

impl Shot {
    /// The shots of `timeline`. Kept frames on either side of those to be made are
    /// given, `overlap` at most.
    pub fn all(timeline: &Timeline, way: Way, overlap: usize) -> Vec<Self> {
        let overlap = i32::try_from(overlap).unwrap_or(i32::MAX);
        let spans = timeline.spans.iter();
        spans
            .filter_map(|span| match *span {
                Span::Kept { .. } => None,
                Span::Matted { out, offset } => Some(Self {
                    frames: out,
                    made: out,
                    given: Vec::new(),
                    over: Some(offset),
                }),
                Span::Free { out } if way != Way::Frames => Some(Self {
                    frames: out,
                    made: out,
                    given: Vec::new(),
                    over: None,
                }),
                Span::Free { out } => {
                    let kept = |frame: &i32| timeline.kept(*frame).is_some();
                    let before = (1..=overlap).map(|i| out.first.saturating_sub(i));
                    let after = (1..=overlap).map(|i| out.last.saturating_add(i));
                    let before = before.take_while(kept).count() as i32;
                    let after = after.take_while(kept).count() as i32;
                    let frames = FrameRange::new(out.first - before, out.last + after)?;
                    let given = frames
                        .iter()
                        .filter_map(|f| Some((f, timeline.kept(f)?)))
                        .collect();
                    Some(Self {
                        frames,
                        made: out,
                        given,
                        over: None,
                    })
                }
            })
            .collect()
    }

    /// Frames that the model makes: one more than a multiple of four.
    pub fn count(&self) -> usize {
        (self.latents() - 1) * STEP + 1
    }

    /// Latent frames.
    pub fn latents(&self) -> usize {
        (self.frames.count() - 1).div_ceil(STEP) + 1
    }

    /// The output frame that the model's frame `index` is.
    pub fn frame(&self, index: usize) -> i32 {
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        self.frames
            .first
            .saturating_add(index)
            .min(self.frames.last)
    }

    /// The plate frame that the model's frame `index` is, if it is given one.
    pub fn plate(&self, index: usize) -> Option<i32> {
        let frame = self.frame(index);
        let found = self.given.iter().find(|(out, _)| *out == frame);
        found.map(|(_, plate)| *plate)
    }

    /// How many frames from the first on are given.
    pub fn given_before(&self) -> usize {
        (0..self.count())
            .take_while(|i| self.plate(*i).is_some())
            .count()
    }

    /// The model's frames of latent frame `latent`.
    pub fn of_latent(latent: usize) -> std::ops::RangeInclusive<usize> {
        match latent {
            0 => 0..=0,
            l => (l - 1) * STEP + 1..=l * STEP,
        }
    }

    /// Whether all frames of latent frame `latent` are given.
    pub fn is_given(&self, latent: usize) -> bool {
        Self::of_latent(latent).all(|i| self.plate(i).is_some())
    }

    /// Whether frames are given that come after ones that are not.
    pub fn given_after(&self) -> bool {
        self.given.len() > self.given_before().min(self.frames.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i32, last: i32) -> FrameRange {
        FrameRange::new(first, last).unwrap()
    }

    fn timeline(spans: Vec<Span>) -> Timeline {
        let out = range(spans[0].out().first, spans[spans.len() - 1].out().last);
        Timeline {
            plate: range(1001, 1010),
            out,
            spans,
            closed: false,
        }
    }

    #[test]
    fn kept_frames_beside_made_ones_are_given() {
        let kept = Span::Kept {
            out: range(1001, 1010),
            offset: 0,
        };
        let both = timeline(vec![
            Span::Free {
                out: range(990, 1000),
            },
            kept,
            Span::Free {
                out: range(1011, 1030),
            },
        ]);
        let shots = Shot::all(&both, Way::Frames, 5);
        assert_eq!(shots.len(), 2);
        assert_eq!(shots[0].frames, range(990, 1005));
        assert!(shots[0].given_after() && shots[0].given_before() == 0);
        assert_eq!(shots[1].frames, range(1006, 1030));
        assert_eq!(shots[1].given.len(), 5);
        assert_eq!(
            (shots[1].given_before(), shots[1].given_after()),
            (5, false)
        );
        assert_eq!((shots[1].count(), shots[1].latents()), (25, 7));
        assert_eq!(shots[0].count(), 17, "16 frames come to 17");
        assert_eq!(shots[0].frame(16), 1005);
        assert_eq!(shots[0].plate(16), Some(1005), "the last one holds");
        assert_eq!(Shot::all(&both, Way::Frames, 99)[1].frames.first, 1001);
    }

    #[test]
    fn a_matted_span_is_made_over_its_plate() {
        let fill = timeline(vec![Span::Matted {
            out: range(1001, 1009),
            offset: 2,
        }]);
        let shots = Shot::all(&fill, Way::Fill, 9);
        assert_eq!(shots[0].over, Some(2));
        assert_eq!((shots[0].count(), shots[0].latents()), (9, 3));
    }
}
