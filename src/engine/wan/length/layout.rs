//! Which latent frames of a shot the model makes at once.
//!
//! A shot that is longer than the model makes well is made from the coarse to the
//! fine, as in NUWA-XL (Yin et al., 2023): first anchors over all of it, in one piece,
//! so that the whole shot is of one mind; then, in every gap, anchors between those or,
//! where the gap is short enough, all that is missing. What is made later is given
//! the anchors on both sides, as latents, and nothing else, so a gap does not see
//! another's drift and the gaps of a level can be made side by side.
//!
//! Anchors are runs of neighbouring latent frames: from one alone no movement could be
//! taken up. The model sees the frames that it makes at once as neighbours in time,
//! wherever they lie: anchors are moments of a slow clip, between which there is time
//! to leave and to come back, and within each of which things move at their own speed.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Latent frames that the model makes at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The latent frames, of the shot, rising.
    pub places: Vec<usize>,
    /// Where the first of them are known: how many, and the group that makes them.
    pub before: Option<Known>,
    /// Where the last of them are known, likewise.
    pub after: Option<Known>,
    /// How many groups are made one after the other before this one.
    pub level: usize,
}

/// Latent frames of a group that an earlier one makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// How many.
    pub count: usize,
    /// The number of the group that makes them.
    pub from: usize,
}

impl Group {
    /// Its latent frames that it makes, as positions in `places`.
    pub fn free(&self) -> Range<usize> {
        let known = |k: &Option<Known>| k.map_or(0, |k| k.count);
        known(&self.before)..self.places.len() - known(&self.after)
    }

    /// Whether its latent frames follow one another, so that frames are made of them.
    pub fn is_fill(&self) -> bool {
        self.places.windows(2).all(|w| w[0] + 1 == w[1])
    }

    /// The groups that it is made from.
    pub fn needs(&self) -> impl Iterator<Item = usize> {
        let ends = [self.before, self.after].map(|k| k.map(|k| k.from));
        let same = ends[0] == ends[1];
        ends.into_iter()
            .enumerate()
            .filter_map(move |(i, end)| end.filter(|_| i == 0 || !same))
    }
}

/// The groups of a shot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Latent frames of the shot.
    pub latents: usize,
    /// The groups; what one needs is before it.
    pub groups: Vec<Group>,
    /// The groups that frames are made of, by number, in order of time. Neighbours
    /// share a run.
    pub fills: Vec<usize>,
}

/// A gap between two runs that are known: where each begins and who makes it.
struct Gap {
    ends: [(usize, usize); 2],
    level: usize,
}

impl Layout {
    /// Latent frames that a model is taken to make at once, at least.
    pub const LEAST: usize = 3;

    /// The groups of a shot of `latents` latent frames, of which the model makes `most`
    /// at once, in runs of `run`; at least 3 and 1, and no more of a run than goes into
    /// a group three times.
    pub fn new(latents: usize, most: usize, run: usize) -> Self {
        let most = most.max(Self::LEAST);
        let run = run.clamp(1, most / 3);
        let mut layout = Self {
            latents,
            groups: Vec::new(),
            fills: Vec::new(),
        };
        if latents <= most {
            layout.groups.push(Group {
                places: (0..latents).collect(),
                before: None,
                after: None,
                level: 0,
            });
            layout.fills.push(0);
            return layout;
        }
        let runs = |starts: &[usize]| starts.iter().flat_map(|s| *s..*s + run).collect();
        let first = spread(0, latents - run, most, run);
        layout.groups.push(Group {
            places: runs(&first),
            before: None,
            after: None,
            level: 0,
        });
        let mut gaps: std::collections::VecDeque<Gap> = first
            .windows(2)
            .map(|w| Gap {
                ends: [(w[0], 0), (w[1], 0)],
                level: 1,
            })
            .collect();
        // Level by level, so that what a group needs comes before it.
        while let Some(gap) = gaps.pop_front() {
            let [(a, of_a), (b, of_b)] = gap.ends;
            let number = layout.groups.len();
            let known = |from| Some(Known { count: run, from });
            let whole = b + run - a <= most;
            let starts = match whole {
                true => Vec::new(),
                false => spread(a, b, most, run),
            };
            layout.groups.push(Group {
                places: match whole {
                    true => (a..b + run).collect(),
                    false => runs(&starts),
                },
                before: known(of_a),
                after: known(of_b),
                level: gap.level,
            });
            if whole {
                layout.fills.push(number);
                continue;
            }
            let last = starts.len() - 1;
            let maker = |i: usize| match i {
                0 => of_a,
                i if i == last => of_b,
                _ => number,
            };
            gaps.extend((0..last).map(|i| Gap {
                ends: [(starts[i], maker(i)), (starts[i + 1], maker(i + 1))],
                level: gap.level + 1,
            }));
        }
        let groups = &layout.groups;
        layout.fills.sort_by_key(|f| groups[*f].places[0]);
        layout
    }

    /// Whether all is made at once.
    pub fn is_single(&self) -> bool {
        self.groups.len() == 1
    }

    /// The fills that latent frame `latent` is made of, by number, and how much each
    /// counts: one, or in a run that two share both. The weights' sum is 1.
    pub fn weights(&self, latent: usize) -> Vec<(usize, f32)> {
        let span = |f: &usize| {
            let places = &self.groups[*f].places;
            (places[0], places[places.len() - 1])
        };
        let right = self.fills.partition_point(|f| span(f).0 <= latent);
        let Some(&fill) = right.checked_sub(1).and_then(|i| self.fills.get(i)) else {
            return Vec::new();
        };
        let before = right.checked_sub(2).and_then(|i| self.fills.get(i));
        match before {
            Some(&left) if span(&left).1 >= latent => {
                let (first, last) = (span(&fill).0, span(&left).1);
                let weight = (latent - first + 1) as f32 / (last - first + 2) as f32;
                vec![(left, 1. - weight), (fill, weight)]
            }
            _ => vec![(fill, 1.)],
        }
    }

    /// The fills that any of `latents` is made of, by number, in order of time.
    pub fn fills_of(&self, latents: Range<usize>) -> &[usize] {
        let ends = |f: &usize| self.groups[*f].places.last().copied().unwrap_or(0);
        let begins = |f: &usize| self.groups[*f].places.first().copied().unwrap_or(0);
        let from = self.fills.partition_point(|f| ends(f) < latents.start);
        let to = self.fills.partition_point(|f| begins(f) < latents.end);
        &self.fills[from.min(to)..to]
    }
}

/// Where runs begin, the first at `a` and the last at `b`: so many between that they
/// go into a group, and no more than leave gaps that can be filled.
fn spread(a: usize, b: usize, most: usize, run: usize) -> Vec<usize> {
    let parts = (b - a).div_ceil(most - run).min(most / run - 1).max(2);
    (0..=parts).map(|i| a + (b - a) * i / parts).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// All that a group is made from.
    fn ancestors(layout: &Layout, group: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![group];
        while let Some(next) = open.pop() {
            for need in layout.groups[next].needs() {
                if found.insert(need) {
                    open.push(need);
                }
            }
        }
        found
    }

    #[test]
    fn a_minute_takes_anchors_closer_anchors_and_fills() {
        // 1,440 frames, 81 at once, 9 of overlap.
        let layout = Layout::new(361, 21, 2);
        let levels: Vec<usize> = (0..4)
            .map(|l| layout.groups.iter().filter(|g| g.level == l).count())
            .collect();
        assert_eq!(levels, [1, 9, 27, 0]);
        assert_eq!(layout.fills.len(), 27);
        let made: usize = layout.groups.iter().map(|g| g.places.len()).sum();
        assert!(made < 361 * 3 / 2, "{made} latent frames are sampled");
        assert!(Layout::new(21, 21, 2).is_single());
        assert_eq!(Layout::new(22, 21, 2).fills.len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn all_is_covered_from_few_groups_and_weights_sum_to_one(
            latents in 1..30_000usize,
            most in 0..40usize,
            run in 0..9usize,
        ) {
            let layout = Layout::new(latents, most, run);
            let (most, n) = (most.max(3), layout.groups.len());
            for (i, group) in layout.groups.iter().enumerate() {
                prop_assert!(!group.places.is_empty() && group.places.len() <= most);
                prop_assert!(group.places.windows(2).all(|w| w[0] < w[1]));
                prop_assert!(group.places.iter().all(|p| *p < latents));
                prop_assert!(!group.free().is_empty() || group.is_fill());
                for (known, at) in [
                    (group.before, 0),
                    (group.after, group.free().end),
                ] {
                    let Some(known) = known else { continue };
                    // No cycle: what is needed comes before; and it makes them.
                    let maker = &layout.groups[known.from];
                    prop_assert!(known.from < i && maker.level < group.level);
                    let places = &group.places[at..at + known.count];
                    prop_assert!(places.iter().all(|p| maker.places.contains(p)));
                    let free = &maker.places[maker.free()];
                    prop_assert!(places.iter().all(|p| free.contains(p)));
                }
            }
            let depth = layout.groups.iter().map(|g| g.level).max().unwrap_or(0);
            // Every level divides by two at least.
            prop_assert!(1 << depth.saturating_sub(1) <= latents);
            for latent in (0..latents).step_by(1 + latents / 200) {
                let weights = layout.weights(latent);
                prop_assert!((1..=2).contains(&weights.len()));
                let sum: f32 = weights.iter().map(|(_, w)| w).sum();
                prop_assert!((sum - 1.).abs() < 1e-6 && weights.iter().all(|(_, w)| *w > 0.));
                let mut needed = BTreeSet::new();
                for (fill, _) in &weights {
                    prop_assert!(layout.groups[*fill].places.contains(&latent));
                    prop_assert!(layout.fills_of(latent..latent + 1).contains(fill));
                    needed.insert(*fill);
                    needed.extend(ancestors(&layout, *fill));
                }
                prop_assert!(needed.len() <= 2 * (depth + 1), "{} of {}", needed.len(), n);
            }
        }
    }
}
