//! What somebody asked for, and the timeline that follows from it.

use serde::{Deserialize, Serialize};

use crate::engine::{Span, Timeline};
use crate::frame::FrameRange;

/// What becomes of the plate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The plate goes on beyond its last frame, before its first, or both.
    #[default]
    Extend,
    /// A sequence whose first frame follows its last.
    Loop,
    /// The same beginning and end, another middle.
    Vary,
    /// What the matte covers is replaced by the place behind it.
    Fill,
    /// Frames from a prompt alone.
    Generate,
    /// The plate's first frame begins to move.
    Animate,
    /// Frames from the plate's first to its last.
    Between,
    /// New frames that follow a guide.
    Match,
    /// The plate's motion with another look.
    Restyle,
}

impl Mode {
    /// As parameters name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extend => "extend",
            Self::Loop => "loop",
            Self::Vary => "vary",
            Self::Fill => "fill",
            Self::Generate => "generate",
            Self::Animate => "animate",
            Self::Between => "between",
            Self::Match => "match",
            Self::Restyle => "restyle",
        }
    }
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What becomes of the plate.
    pub mode: Mode,
    /// The plate frames that may be used.
    pub plate: FrameRange,
    /// The output frames. Extend: numbered as the plate is; fill: must lie
    /// within the plate.
    pub out: FrameRange,
    /// Frames in a second.
    pub fps: f64,
    /// Extend, vary, animate and between: how many plate frames are kept at either
    /// end that joins made frames; `None` keeps as many as leave a handle, or, of a
    /// model that needs none, all of an extension's and one else.
    pub keep: Option<u32>,
}

/// What an engine needs of the plate at a join.
#[derive(Clone, Copy)]
struct Join {
    /// Plate frames in which clips change, given up at an end that is extended.
    handle: i32,
    /// The shortest plate that frames can be made from.
    shortest: usize,
}

/// Why a request has no timeline.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The plate is too short for what was asked.
    #[error(
        "the plate has {have} frames and this needs at least {need}: give a longer plate range"
    )]
    TooShort {
        /// Frames of the plate.
        have: usize,
        /// Frames needed.
        need: usize,
    },
    /// Plate frames were asked for that the plate does not have.
    #[error(
        "plate frames {asked} were asked for and the plate has {have}: choose a plate range within it"
    )]
    Plate {
        /// Asked for.
        asked: FrameRange,
        /// To be had.
        have: FrameRange,
    },
    /// The output is longer than any shot.
    #[error(
        "{asked} is {} frames and a take has at most {most}: ask for it in parts",
        asked.count()
    )]
    TooLong {
        /// Asked for.
        asked: FrameRange,
        /// Frames that are allowed.
        most: usize,
    },
    /// The engine does not have that mode.
    #[error("{} is no mode of the {engine} engine: {advice}", mode.name())]
    Engine {
        /// The engine.
        engine: &'static str,
        /// The mode that was asked for.
        mode: Mode,
        /// What to choose.
        advice: &'static str,
    },
    /// A setting that cannot be understood.
    #[error("{0}")]
    Setting(String),
    /// The output range does not go with the plate.
    #[error("output frames {out} do not go with plate frames {plate}: {advice}")]
    Range {
        /// Asked for.
        out: FrameRange,
        /// To be had.
        plate: FrameRange,
        /// What to do.
        advice: &'static str,
    },
}

impl Request {
    /// Shortest plate that a new clip can be cut from.
    const SHORTEST: usize = 8;

    /// Longest output: over an hour at 25 frames in a second.
    const LONGEST: usize = 100_000;

    /// Frames of the plate's end that a change of clip needs to happen in: .9 s,
    /// at most a third of the plate.
    pub fn handle(&self) -> i32 {
        let n = self.plate.count() as i32;
        ((0.9 * self.fps).round() as i32).clamp(4, (n / 3).max(4))
    }

    /// Which output frames are kept and which are made, by the plate engine.
    ///
    /// # Errors
    /// Where plate, range and mode do not go together.
    pub fn timeline(&self) -> Result<Timeline, RequestError> {
        self.lay(Join {
            handle: self.handle(),
            shortest: Self::SHORTEST,
        })
    }

    /// The same for an engine that goes on from any frame at once.
    ///
    /// # Errors
    /// As of [`timeline`](Self::timeline).
    pub fn timeline_without_handle(&self) -> Result<Timeline, RequestError> {
        self.lay(Join {
            handle: 0,
            shortest: 1,
        })
    }

    fn lay(&self, join: Join) -> Result<Timeline, RequestError> {
        let (plate, out) = (self.plate, self.out);
        if out.count() > Self::LONGEST {
            return Err(RequestError::TooLong {
                asked: out,
                most: Self::LONGEST,
            });
        }
        let mut spans = Vec::new();
        let needs_clips = match self.mode {
            Mode::Extend => !(plate.first <= out.first && out.last <= plate.last),
            _ => true,
        };
        if needs_clips && plate.count() < join.shortest {
            return Err(RequestError::TooShort {
                have: plate.count(),
                need: join.shortest,
            });
        }
        let free = |spans: &mut Vec<Span>, first, last| {
            spans.extend(FrameRange::new(first, last).map(|out| Span::Free { out }));
        };
        match self.mode {
            Mode::Extend => {
                let longest = plate.count() as i32 - 1;
                let keep = self
                    .keep
                    .map_or(i32::MAX, |k| i32::try_from(k).unwrap_or(i32::MAX))
                    .max(1);
                let head = out.first < plate.first;
                let tail = out.last > plate.last;
                let handle = join.handle.min(longest / 2);
                // Made frames join the plate a handle away from its ends, so
                // that the clip before goes on while places change one by one.
                let mut first = plate.first + if head { handle } else { 0 };
                let mut last = plate.last - if tail { handle } else { 0 };
                match (head, tail) {
                    (false, true) => last = last.min(first.saturating_add(keep - 1)),
                    (true, false) => first = first.max(last.saturating_sub(keep - 1)),
                    _ => {}
                }
                let kept = FrameRange::new(first, last)
                    .and_then(|k| k.intersection(&out))
                    .ok_or(RequestError::Range {
                        out,
                        plate,
                        advice: "an extension must touch the plate; number the output as the plate is numbered",
                    })?;
                free(&mut spans, out.first, kept.first - 1);
                spans.push(Span::Kept {
                    out: kept,
                    offset: 0,
                });
                free(&mut spans, kept.last + 1, out.last);
            }
            Mode::Loop => free(&mut spans, out.first, out.last),
            Mode::Vary => {
                let n = out.count() as i32;
                let keep = self
                    .keep
                    .map_or(10, |k| i32::try_from(k).unwrap_or(i32::MAX))
                    .max(1);
                if n / 3 < 1 || plate.count() < Self::SHORTEST {
                    return Err(RequestError::TooShort {
                        have: n as usize,
                        need: Self::SHORTEST,
                    });
                }
                let keep = keep.min(n / 3).min(plate.count() as i32 / 3);
                let shift = plate.first - out.first;
                spans.extend(
                    FrameRange::new(out.first, out.first + keep - 1)
                        .map(|out| Span::Kept { out, offset: shift }),
                );
                free(&mut spans, out.first + keep, out.last - keep);
                spans.extend(FrameRange::new(out.last - keep + 1, out.last).map(|span| {
                    Span::Kept {
                        out: span,
                        offset: plate.last - out.last,
                    }
                }));
            }
            Mode::Generate => free(&mut spans, out.first, out.last),
            Mode::Animate | Mode::Between => self.held(&mut spans)?,
            Mode::Fill | Mode::Match | Mode::Restyle => {
                if !(plate.contains(out.first) && plate.contains(out.last)) {
                    return Err(RequestError::Range {
                        out,
                        plate,
                        advice: "the plate shows outside the matte; ask for frames that the plate has",
                    });
                }
                spans.push(Span::Matted { out, offset: 0 });
            }
        }
        Ok(Timeline {
            plate,
            out,
            spans,
            closed: self.mode == Mode::Loop,
        })
    }

    /// The plate's first frames at the output's beginning and, between, its last ones
    /// at the end.
    fn held(&self, spans: &mut Vec<Span>) -> Result<(), RequestError> {
        let (plate, out) = (self.plate, self.out);
        let ends = if self.mode == Mode::Between { 2 } else { 1 };
        let room = (out.count() as i32 - 1) / ends;
        let have = plate.count() as i32 / ends;
        if room < 1 || have < 1 {
            return Err(RequestError::Range {
                out,
                plate,
                advice: "an end of it is the plate's; ask for more frames, and between for a plate of two or more",
            });
        }
        let keep = self
            .keep
            .map_or(1, |k| i32::try_from(k).unwrap_or(i32::MAX));
        let keep = keep.clamp(1, room.min(have));
        let kept = |first: i32, offset: i32, spans: &mut Vec<Span>| {
            let range = FrameRange::new(first, first + keep - 1);
            spans.extend(range.map(|out| Span::Kept { out, offset }));
        };
        kept(out.first, plate.first - out.first, spans);
        let last = if ends == 2 { out.last - keep } else { out.last };
        spans.extend(FrameRange::new(out.first + keep, last).map(|out| Span::Free { out }));
        if ends == 2 {
            kept(last + 1, plate.last - out.last, spans);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i32, last: i32) -> FrameRange {
        FrameRange::new(first, last).unwrap()
    }

    fn request(mode: Mode, plate: FrameRange, out: FrameRange) -> Request {
        Request {
            mode,
            plate,
            out,
            fps: 25.0,
            keep: None,
        }
    }

    #[test]
    fn spans_cover_the_output_in_order() {
        for mode in [Mode::Extend, Mode::Loop, Mode::Vary] {
            for out in [
                range(1001, 1240),
                range(900, 1090),
                range(950, 1200),
                range(1010, 1050),
            ] {
                let t = request(mode, range(1001, 1090), out).timeline().unwrap();
                let frames: Vec<i32> = t.spans.iter().flat_map(|s| s.out().iter()).collect();
                assert_eq!(frames, out.iter().collect::<Vec<_>>(), "{mode:?} {out}");
            }
        }
    }

    #[test]
    fn extend_keeps_the_plate_up_to_a_handle() {
        let t = request(Mode::Extend, range(1001, 1090), range(1001, 1240))
            .timeline()
            .unwrap();
        assert_eq!(t.kept(1001), Some(1001));
        assert_eq!(t.kept(1067), Some(1067));
        assert_eq!(t.kept(1068), None, "22 to 23 frames of handle at 25 fps");
    }

    #[test]
    fn an_extension_far_from_the_plate_is_refused() {
        let r = request(Mode::Extend, range(1, 90), range(1001, 1100)).timeline();
        assert!(matches!(r, Err(RequestError::Range { .. })));
    }

    #[test]
    fn a_model_goes_on_from_the_plate_s_very_ends() {
        let of = |mode, plate, out| request(mode, plate, out).timeline_without_handle();
        let t = of(Mode::Extend, range(1001, 1003), range(1001, 1020)).unwrap();
        assert_eq!(t.kept(1003), Some(1003));
        assert_eq!(t.kept(1004), None);
        let t = of(Mode::Animate, range(5, 9), range(1001, 1010)).unwrap();
        assert_eq!((t.kept(1001), t.kept(1002)), (Some(5), None));
        assert_eq!(t.spans.len(), 2);
        let t = of(Mode::Between, range(5, 6), range(1001, 1010)).unwrap();
        assert_eq!((t.kept(1001), t.kept(1010)), (Some(5), Some(6)));
        assert_eq!(t.kept(1009), None);
        assert!(of(Mode::Between, range(5, 5), range(1, 9)).is_err());
        assert!(of(Mode::Animate, range(5, 5), range(1, 1)).is_err());
        let t = of(Mode::Restyle, range(1, 9), range(2, 4)).unwrap();
        assert!(matches!(t.spans[..], [Span::Matted { offset: 0, .. }]));
        assert!(of(Mode::Match, range(1, 9), range(2, 10)).is_err());
    }

    #[test]
    fn a_one_frame_plate_is_refused() {
        let r = request(Mode::Loop, range(1, 1), range(1, 50)).timeline();
        assert!(matches!(r, Err(RequestError::TooShort { have: 1, .. })));
    }
}
