//! What the frames of a plate look like: how a plate in a host is known again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::host::Input;
use super::likeness::{Likeness, Look};
use crate::engine::SUBJECTS;
use crate::frame::{Picture, PlateInfo, Transfer};

/// A plate studied at fewer rows than this serves no larger scale: a take judged
/// at a proxy is the one made at full size, but one from a thumbnail is not.
const ROWS: u32 = 90;

/// What the frames of a plate, and of its matte, look like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    plate: BTreeMap<i32, Likeness>,
    matte: BTreeMap<i32, Likeness>,
    guide: BTreeMap<i32, Likeness>,
    subjects: [BTreeMap<i32, Likeness>; SUBJECTS],
}

impl Record {
    fn of(&self, input: Input) -> &BTreeMap<i32, Likeness> {
        match input {
            Input::Source => &self.plate,
            Input::Matte => &self.matte,
            Input::Guide => &self.guide,
            Input::Subject(i) => &self.subjects[i.min(SUBJECTS - 1)],
        }
    }

    /// Writes down a frame.
    pub fn note(&mut self, input: Input, frame: i32, picture: &Picture, transfer: Transfer) {
        let likeness = Likeness::of(picture, transfer);
        match input {
            Input::Source => self.plate.insert(frame, likeness),
            Input::Matte => self.matte.insert(frame, likeness),
            Input::Guide => self.guide.insert(frame, likeness),
            Input::Subject(i) => self.subjects[i.min(SUBJECTS - 1)].insert(frame, likeness),
        };
    }

    /// Names the pixels.
    pub fn key(&self, facts: &blake3::Hash) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(facts.as_bytes());
        // A guide that was not seen leaves the names as they were; so do subjects.
        let guide = Some(&self.guide).filter(|g| !g.is_empty());
        let subjects = self.subjects.iter().filter(|s| !s.is_empty());
        let more = guide.into_iter().chain(subjects);
        for frames in [&self.plate, &self.matte].into_iter().chain(more) {
            hasher.update(&(frames.len() as u64).to_le_bytes());
            for (frame, likeness) in frames {
                hasher.update(&frame.to_le_bytes());
                hasher.update(&likeness.exact.to_le_bytes());
                hasher.update(&likeness.size.0.to_le_bytes());
                hasher.update(&likeness.size.1.to_le_bytes());
            }
        }
        hasher.finalize()
    }

    /// Whether `seen` may be frame `frame` of this plate: its samples are
    /// the same or, at another scale or where `by_look`, it looks the same. A
    /// frame that was never seen may be anything.
    pub fn admits(&self, input: Input, frame: i32, seen: &dyn Look, by_look: bool) -> bool {
        let Some(known) = self.of(input).get(&frame) else {
            return true;
        };
        match known.same(seen) {
            Some(true) => true,
            Some(false) if !by_look => false,
            _ => known.resembles(seen),
        }
    }

    /// Whether what was learned of this plate is good enough for `info`, at its
    /// scale.
    pub fn serves(&self, info: &PlateInfo) -> bool {
        let seen = self.plate.values().chain(self.guide.values()).next();
        let learned = seen.map_or(0, |l| l.size.1);
        learned >= ROWS.min(u32::try_from(info.height).unwrap_or(ROWS))
    }

    /// Whether all frames of the plate are one picture.
    pub fn is_still(&self) -> bool {
        let mut frames = self.plate.values();
        let first = frames.next();
        self.plate.len() > 1 && frames.all(|l| Some(l.exact) == first.map(|f| f.exact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(value: f32, width: usize) -> Picture {
        let data = (0..width * 40 * 3).map(|i| value + (i % 7) as f32 * 0.01);
        Picture::from_data(width, 40, 3, data.collect()).unwrap()
    }

    #[test]
    fn a_plate_is_known_by_its_samples_and_its_proxy_by_its_look() {
        let light = Transfer::Display;
        let mut record = Record::default();
        for f in 1..=3 {
            record.note(Input::Source, f, &frame(f as f32 * 0.2, 80), light);
        }
        let admits = |f, picture: &Picture, by_look| {
            record.admits(Input::Source, f, &(picture, light), by_look)
        };
        assert!(admits(2, &frame(0.4, 80), false));
        assert!(!admits(2, &frame(0.401, 80), false), "a small change");
        assert!(admits(2, &frame(0.401, 80), true));
        assert!(!admits(2, &frame(0.6, 80), true), "another frame");
        assert!(admits(2, &frame(0.4, 40), false), "a proxy");
        assert!(!admits(2, &frame(0.6, 40), false), "another frame's proxy");
        assert!(admits(9, &frame(0.9, 80), false), "never seen");
        assert!(!record.is_still());
    }

    #[test]
    fn a_host_that_gives_one_picture_is_noticed() {
        let mut record = Record::default();
        record.note(Input::Source, 1, &frame(0.1, 60), Transfer::Linear);
        assert!(!record.is_still(), "one frame tells nothing");
        record.note(Input::Source, 2, &frame(0.1, 60), Transfer::Linear);
        assert!(record.is_still());
    }
}
