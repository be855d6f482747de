//! An axis in parts that overlap, and how much each counts where.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Parts of an axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// The parts, in order, neighbours overlapping.
    pub parts: Vec<Range<usize>>,
    /// Places at an inner end of a part that count for nothing: what is made there
    /// lacks what lies beyond.
    margin: usize,
}

impl Axis {
    /// Parts of an axis of `length` places, each of `most` at most, that overlap by
    /// `overlap` places, of which `margin` at either end count for nothing. Overlaps
    /// that would leave less than a third of a part to itself are made shorter.
    pub fn new(length: usize, most: usize, overlap: usize, margin: usize) -> Self {
        let most = most.max(3);
        if length <= most {
            return Self {
                parts: std::iter::once(0..length).collect(),
                margin: 0,
            };
        }
        let overlap = overlap.min(most / 3);
        let count = length.div_ceil(most - overlap);
        let cut = |i: usize| length * i / count;
        let parts = (0..count).map(|i| {
            let start = if i == 0 { 0 } else { cut(i) - overlap / 2 };
            start..(cut(i + 1) + overlap.div_ceil(2)).min(length)
        });
        Self {
            parts: parts.collect(),
            margin: margin.min(overlap.saturating_sub(1) / 2),
        }
    }

    /// An axis in one part.
    pub fn whole(length: usize) -> Self {
        Self::new(length, length, 0, 0)
    }

    /// The same with every place `by` places.
    pub fn times(mut self, by: usize) -> Self {
        for part in &mut self.parts {
            *part = part.start * by..part.end * by;
        }
        self.margin *= by;
        self
    }

    /// How much part `part` counts at `place`; the sum over all parts is 1.
    pub fn weight(&self, part: usize, place: usize) -> f32 {
        let Some(own) = self.parts.get(part).filter(|p| p.contains(&place)) else {
            return 0.;
        };
        let before = part.checked_sub(1).and_then(|i| self.parts.get(i));
        if let Some(before) = before.filter(|p| place < p.end) {
            return self.risen(own.start..before.end, place);
        }
        match self.parts.get(part + 1).filter(|p| place >= p.start) {
            Some(after) => 1. - self.risen(after.start..own.end, place),
            None => 1.,
        }
    }

    /// How much the later of two parts counts in their overlap.
    fn risen(&self, overlap: Range<usize>, place: usize) -> f32 {
        let (from, to) = (overlap.start + self.margin, overlap.end - self.margin);
        match place {
            p if p < from => 0.,
            p if p >= to => 1.,
            p => (p - from + 1) as f32 / (to - from + 1) as f32,
        }
    }

    /// The lines at which a step from part to part would show, by the place behind each;
    /// they rise. For each overlap: where the later part begins and where the earlier
    /// one ends, which is where one laid over the other without a blend would show;
    /// where the blend begins and ends, since there a part comes in or goes out; and its
    /// middle, where a hard choice between the two would change sides. Between these the
    /// blend rises evenly, by as much at each line.
    pub fn borders(&self) -> Vec<usize> {
        let overlaps = self.parts.windows(2).flat_map(|pair| {
            let overlap = pair[1].start..pair[0].end;
            let (from, to) = (overlap.start + self.margin, overlap.end - self.margin);
            [overlap.start, from, (from + to) / 2, to, overlap.end]
        });
        let mut lines: Vec<usize> = overlaps.collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    /// The parts that any of `places` is in.
    pub fn parts_of(&self, places: &Range<usize>) -> Range<usize> {
        let from = self.parts.partition_point(|p| p.end <= places.start);
        let to = self.parts.partition_point(|p| p.start < places.end);
        from.min(to)..to
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_cover_all_are_small_enough_and_their_weights_sum_to_one(
            length in 1..3000usize,
            most in 0..120usize,
            overlap in 0..60usize,
            margin in 0..20usize,
            by in 1..3usize,
        ) {
            let axis = Axis::new(length, most, overlap, margin).times(by);
            let most = most.max(3) * by;
            prop_assert!(axis.parts.iter().all(|p| p.len() <= most && !p.is_empty()));
            for place in 0..length * by {
                let all = 0..axis.parts.len();
                let of: Vec<usize> = all.filter(|i| axis.parts[*i].contains(&place)).collect();
                prop_assert!((1..=2).contains(&of.len()));
                let sum: f32 = of.iter().map(|i| axis.weight(*i, place)).sum();
                prop_assert!((sum - 1.).abs() < 1e-6);
                prop_assert_eq!(axis.parts_of(&(place..place + 1)).collect::<Vec<_>>(), of);
            }
        }
    }

    #[test]
    fn the_ends_of_parts_within_the_margin_count_for_nothing() {
        let axis = Axis::new(20, 12, 4, 1);
        assert_eq!(axis.parts, [0..8, 4..15, 11..20]);
        assert_eq!([4, 7].map(|p| axis.weight(1, p)), [0., 1.]);
        assert!(axis.weight(1, 5) > 0.3 && axis.weight(1, 6) < 0.7);
    }

    #[test]
    fn borders_are_where_parts_begin_to_count_and_cease() {
        let axis = Axis::new(20, 12, 4, 1);
        assert_eq!(axis.borders(), [4, 5, 6, 7, 8, 11, 12, 13, 14, 15]);
        let pixels = axis.times(8);
        assert_eq!(pixels.borders()[..5], [32, 40, 48, 56, 64]);
        // A part comes in behind the second line, and the other is gone behind the fourth.
        assert!(pixels.weight(1, 39) == 0. && pixels.weight(1, 40) > 0.);
        assert!(pixels.weight(0, 55) > 0. && pixels.weight(0, 56) == 0.);
        // Without an overlap there is one line, in one part none.
        assert_eq!(Axis::new(20, 12, 0, 0).borders(), [10]);
        assert!(Axis::whole(20).borders().is_empty());
    }
}
