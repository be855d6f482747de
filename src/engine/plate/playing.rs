//! What each cell plays in the frames around the event that is being decided.

use std::collections::VecDeque;

use super::edit_list::NEVER;

/// A rolling window of frames, each a plate offset (plate index less output
/// index) per cell.
#[derive(Clone)]
pub(super) struct Playing {
    /// The first frame that is still known.
    first: usize,
    frames: VecDeque<Vec<i32>>,
    /// What plays after the frames of the window, until another event.
    now: Vec<i32>,
}

impl Playing {
    pub(super) fn new(cells: usize, offset: i32) -> Self {
        Self {
            first: 0,
            frames: VecDeque::new(),
            now: vec![offset; cells],
        }
    }

    /// What plays in frames from `first` on, and after them what does in the
    /// last.
    pub(super) fn of(first: usize, frames: impl Iterator<Item = Vec<i32>>) -> Self {
        let frames: VecDeque<Vec<i32>> = frames.collect();
        Self {
            first,
            now: frames.back().cloned().unwrap_or_default(),
            frames,
        }
    }

    /// The offsets at output index `t`, which must not have been forgotten.
    pub(super) fn at(&self, t: usize) -> &[i32] {
        t.checked_sub(self.first)
            .and_then(|i| self.frames.get(i))
            .unwrap_or(&self.now)
    }

    /// What plays at output index `t` were an event laid over it; see [`lay`](Self::lay).
    pub(super) fn with(&self, t: usize, (at, offset): (usize, i32), switch: &[u8], to: &mut [i32]) {
        to.copy_from_slice(self.at(t));
        let Some(u) = t.checked_sub(at) else { return };
        let gone = u.min(usize::from(NEVER) - 1) as u8;
        for (o, &s) in to.iter_mut().zip(switch) {
            *o = if s <= gone { offset } else { *o };
        }
    }

    /// Lays an event over what plays: cell `c` plays `offset` from `at +
    /// switch[c]` on.
    pub(super) fn lay(&mut self, at: usize, offset: i32, window: usize, switch: &[u8]) {
        while self.first + self.frames.len() < at + window {
            self.frames.push_back(self.now.clone());
        }
        for (i, frame) in self.frames.iter_mut().enumerate() {
            let Some(u) = (self.first + i).checked_sub(at) else {
                continue;
            };
            let gone = u.min(usize::from(NEVER) - 1) as u8;
            for (o, &s) in frame.iter_mut().zip(switch) {
                *o = if s <= gone { offset } else { *o };
            }
        }
        for (o, &s) in self.now.iter_mut().zip(switch) {
            if s != NEVER {
                *o = offset;
            }
        }
    }

    /// Forgets the frames before `t` (a later event then leaves those from `t`
    /// on as they were until it begins) and hands them over in order, with their
    /// output indices. Frames never touched by an event are handed over too.
    pub(super) fn retire(
        &mut self,
        done: &mut usize,
        t: usize,
        mut each: impl FnMut(usize, &[i32]),
    ) {
        while *done < t {
            each(*done, self.at(*done));
            *done += 1;
            while self.first < *done {
                self.frames.pop_front();
                self.first += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_before_an_event_stay_as_they_were() {
        let mut playing = Playing::new(2, 0);
        playing.lay(10, 7, 4, &[0, NEVER]);
        assert_eq!(playing.at(9), [0, 0]);
        assert_eq!(playing.at(10), [7, 0]);
        let with = |t: usize| {
            let mut shown = [0; 2];
            playing.with(t, (11, -3), &[2, 4], &mut shown);
            shown
        };
        let told = [10, 12, 13, 15, 400].map(with);
        playing.lay(11, -3, 4, &[2, 4]);
        assert_eq!(
            told.each_ref().map(|s| &s[..]),
            [10, 12, 13, 15, 400].map(|t| playing.at(t))
        );
        assert_eq!(playing.at(12), [7, 0]);
        assert_eq!(playing.at(13), [-3, 0]);
        assert_eq!(playing.at(15), [-3, -3]);
    }

    #[test]
    fn frames_still_known_stay_as_they_were_before_a_late_event() {
        let mut playing = Playing::new(1, 0);
        let mut done = 0;
        playing.retire(&mut done, 3, |_, _| {});
        playing.lay(8, 5, 2, &[1]);
        let known: Vec<i32> = (3..12).map(|t| playing.at(t)[0]).collect();
        assert_eq!(known, [0, 0, 0, 0, 0, 0, 5, 5, 5]);
    }

    #[test]
    fn retired_frames_come_in_order_with_what_they_played() {
        let mut playing = Playing::new(1, 0);
        let (mut done, mut seen) = (0, Vec::new());
        playing.retire(&mut done, 4, |t, o| seen.push((t, o[0])));
        playing.lay(5, 2, 3, &[1]);
        playing.retire(&mut done, 8, |t, o| seen.push((t, o[0])));
        let offsets = [0, 0, 0, 0, 0, 0, 2, 2];
        assert_eq!(
            seen,
            offsets.iter().copied().enumerate().collect::<Vec<_>>()
        );
    }
}
