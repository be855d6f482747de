//! What will be asked for next: a host that plays or scrubs goes one way, and the
//! plate frames that the next frames need can be read before it gets there.

use std::collections::VecDeque;
use std::sync::Arc;

use super::known::Prepared;
use super::order::Order;
use crate::sequence::Mode;

/// Frames shown last that tell the way. Hosts ask for some at once, in no order.
const LAST: usize = 4;
/// Frames shown farther from one another than this are jumps, not play.
const FAR: f64 = 12.0;
/// Output frames that are looked ahead.
const AHEAD: i32 = 8;

/// The way in which a take is played.
#[derive(Debug)]
pub(super) struct Play {
    last: VecDeque<i32>,
    way: i32,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            last: VecDeque::new(),
            way: 1,
        }
    }
}

impl Play {
    /// Notes that `frame` is shown; gives the way, 1 or -1.
    pub fn shown(&mut self, frame: i32) -> i32 {
        let count = self.last.len() as f64;
        let mean = self.last.iter().map(|&f| f64::from(f)).sum::<f64>() / count.max(1.0);
        let step = f64::from(frame) - mean;
        if count > 0.0 && step.abs() > FAR {
            self.last.clear();
        } else if count > 0.0 && step != 0.0 {
            self.way = if step > 0.0 { 1 } else { -1 };
        }
        if self.last.back() != Some(&frame) {
            self.last.push_back(frame);
        }
        if self.last.len() > LAST {
            self.last.pop_front();
        }
        self.way
    }
}

/// The output frames that follow `frame` on the `way` that `order` is played.
pub(super) fn next(order: &Order, frame: i32, way: i32) -> Vec<i32> {
    let out = order.request.out;
    let (first, count) = (i64::from(out.first), out.count() as i64);
    let round = order.request.mode == Mode::Loop;
    let follow = (1..=AHEAD).map(|k| {
        let at = i64::from(frame) + i64::from(k * way) - first;
        if round { at.rem_euclid(count) } else { at }
    });
    follow
        .filter(|at| (0..count).contains(at))
        .map(|at| (first + at) as i32)
        .collect()
}

/// The plate frames that output frames `frames` need, each once, the soonest first.
pub(super) fn needs(order: &Order, prepared: Option<&Arc<Prepared>>, frames: &[i32]) -> Vec<i32> {
    let mut needs = Vec::new();
    for &frame in frames {
        let of = match (order.timeline.kept(frame), prepared) {
            (Some(plate), _) => vec![plate],
            (None, Some(prepared)) => prepared.take.frames_needed(frame),
            (None, None) => Vec::new(),
        };
        for plate in of {
            if !needs.contains(&plate) {
                needs.push(plate);
            }
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn play_goes_on_as_it_went_though_frames_come_out_of_order() {
        let mut play = Play::default();
        let ways = |play: &mut Play, frames: &[i32]| -> Vec<i32> {
            frames.iter().map(|&f| play.shown(f)).collect()
        };
        assert_eq!(ways(&mut play, &[5, 6, 7]), [1, 1, 1]);
        // Four at once.
        let forth = ways(&mut play, &[9, 8, 11, 10, 13, 12]);
        assert_eq!(forth, [1; 6]);
        assert_eq!(ways(&mut play, &[9, 8, 7]), [-1; 3], "turned");
        assert_eq!(ways(&mut play, &[7, 7]), [-1; 2], "held");
        // A jump says nothing of the way.
        assert_eq!(ways(&mut play, &[200, 201]), [-1, 1]);
    }
}
