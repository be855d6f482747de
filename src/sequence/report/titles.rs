//! What a report calls the things that it is of, so that whoever finds it alone knows.

use serde::Serialize;

use super::{Facts, Report};
use crate::frame::{FrameRange, in_words};

/// A sequence and its plate, as people know them, and how the one was made from the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Titles {
    /// The sequence, by the pattern of its files.
    pub sequence: String,
    /// The plate, likewise; `None` where there is none.
    pub plate: Option<String>,
    /// The matte that all changes lie in, likewise; `None` where there is none.
    pub matte: Option<String>,
    /// The engine that made the sequence and its version, as `plate 14`; `None` where that
    /// is not known.
    pub engine: Option<String>,
    /// The mode in which it did, as `extend`; `None` likewise.
    pub mode: Option<String>,
}

impl Titles {
    /// The name of the files, without their folder.
    pub(super) fn file(&self) -> &str {
        self.sequence.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// How the sequence was made, in words.
    fn made(&self) -> Option<String> {
        let (engine, mode) = (self.engine.as_ref()?, self.mode.as_ref()?);
        Some(format!("engine {engine} in mode {mode}"))
    }
}

impl Report {
    /// What is shown, in a line.
    pub(super) fn heading(&self, name: &str) -> String {
        let frames = format!("frames {}-{}", self.output.first, self.output.last);
        match name {
            "" => frames,
            name => format!("{name}, {frames}"),
        }
    }

    /// What there is to say of that, a line each: its size, its plate, how it was made,
    /// which frames were, what of it is weak.
    pub(super) fn details(&self) -> Vec<String> {
        let named = |what: &str, name: String| format!("{what}: {name}");
        let plate = self.titles.plate.clone().map(|p| named("plate", p));
        let matte = self.titles.matte.clone().map(|m| named("matte", m));
        let made = self.titles.made().map(|m| named("made by", m));
        let size = Some(self.output.shape());
        let lines = [size, plate, matte, made, self.kept(), self.outcome()];
        lines.into_iter().flatten().collect()
    }

    /// Whether the frame numbered `frame` is known to be the plate's own.
    pub(super) fn is_kept(&self, frame: i32) -> bool {
        let made = self.made.as_ref();
        made.is_some_and(|made| !made.iter().any(|range| range.contains(frame)))
    }

    /// Which frames are kept and which were made, in words.
    fn kept(&self) -> Option<String> {
        let made = self.made.as_ref()?;
        let all = FrameRange::new(self.output.first, self.output.last)?;
        let frames = |kept: bool| in_words(all.iter().filter(|f| self.is_kept(*f) == kept));
        Some(match (made.is_empty(), frames(true)) {
            (true, kept) => format!("kept from the plate: {kept}"),
            (false, kept) if kept.is_empty() => format!("made: {}", frames(false)),
            (false, kept) => format!("kept from the plate: {kept}; made: {}", frames(false)),
        })
    }

    /// How many measures keep their limits, and which do not.
    fn outcome(&self) -> Option<String> {
        let all = self.verdicts.len();
        let weak: Vec<&str> = self
            .verdicts
            .iter()
            .filter(|v| !v.pass)
            .map(|v| v.measure)
            .collect();
        match (all, weak.len()) {
            (0, _) => None,
            (_, 0) => Some(format!("measures: all {all} within their limits")),
            (_, n) => Some(format!(
                "measures: {} of {all} within their limits; weak: {}",
                all - n,
                weak.join(", ")
            )),
        }
    }
}

impl Facts {
    /// Size and rate in words; the rate to six places, as much as tells 24 from 23.976.
    fn shape(&self) -> String {
        let rate = format!("{:.6}", self.fps);
        let rate = rate.trim_end_matches('0').trim_end_matches('.');
        format!("{} x {}, {rate} frames a second", self.width, self.height)
    }
}
