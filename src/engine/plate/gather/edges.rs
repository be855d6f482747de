//! What a plate frame does not show of what another camera would have seen: places
//! beyond its edges. Other frames of the plate may show them, and lend them.
//!
//! Which frames do is told by the camera's path alone, on a lattice of places, so that
//! a proxy borrows from the same frames as the full size.

use std::ops::Range;

use crate::engine::plate::camera::Pose;

/// How far beyond its edges a frame is mirrored and nothing borrowed, in heights: two
/// or three pixels of 1080 rows, which nobody sees and for which no other frame is
/// worth reading.
pub(super) const SLACK: f64 = 0.0025;
/// Frames that lend to one frame, at most.
const LENDERS: usize = 3;
/// Of frames that show nearly as much as any does, the nearest in time lends.
const NEARLY: f64 = 0.9;
/// Places of the lattice, across and down.
const LATTICE: (usize, usize) = (49, 29);

/// The plate frames, by index, that lend to frame `own` of those taken from `poses`,
/// seen from `from`, in the order in which they are asked. Those marked in `withheld`
/// lend nothing. `wide` is the picture's width in heights.
pub(super) fn lenders(
    poses: &[Pose],
    withheld: &[bool],
    own: usize,
    from: &Pose,
    wide: f64,
) -> Vec<usize> {
    let Some(taken) = poses.get(own).filter(|p| *p != from) else {
        return Vec::new();
    };
    let back = from.inverse();
    let shows = |way: &Pose, slack: f64, (x, y): (f64, f64)| {
        let (u, v) = way.apply(x, y);
        u.abs() <= 0.5 * wide + slack && v.abs() <= 0.5 + slack
    };
    let way = taken.after(&back);
    // Where the corners lie within the frame, all does.
    let corners = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
    if corners
        .iter()
        .all(|(x, y)| shows(&way, SLACK, (x * 0.5 * wide, y * 0.5)))
    {
        return Vec::new();
    }
    let part = |i: usize, n: usize| i as f64 / (n - 1) as f64 - 0.5;
    let (across, down) = LATTICE;
    let mut lacking: Vec<(f64, f64)> = (0..across * down)
        .map(|i| (wide * part(i % across, across), part(i / across, down)))
        .filter(|p| !shows(&way, SLACK, *p))
        .collect();
    let mut lenders = Vec::new();
    while !lacking.is_empty() && lenders.len() < LENDERS {
        let counts: Vec<usize> = poses
            .iter()
            .enumerate()
            .map(|(i, pose)| {
                if i == own || withheld.get(i) == Some(&true) {
                    return 0;
                }
                let way = pose.after(&back);
                lacking.iter().filter(|p| shows(&way, 0.0, **p)).count()
            })
            .collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        if most == 0 {
            break;
        }
        let enough = |count: usize| count > 0 && count as f64 >= NEARLY * most as f64;
        let able = (0..poses.len()).filter(|&i| enough(counts[i]));
        let Some(lender) = able.min_by_key(|&i| (i.abs_diff(own), i)) else {
            break;
        };
        let way = poses[lender].after(&back);
        lacking.retain(|p| !shows(&way, 0.0, *p));
        lenders.push(lender);
    }
    lenders
}

/// An affine map of pixels: column `x`, row `y` goes to column `0 x + 1 y + 2`, row
/// `3 x + 4 y + 5`.
pub(super) type Map = [f64; 6];

/// Where `map` takes column `x`, row `y`.
pub(super) fn at(map: &Map, x: f64, y: f64) -> (f64, f64) {
    (
        map[0] * x + map[1] * y + map[2],
        map[3] * x + map[4] * y + map[5],
    )
}

/// The pixels of a picture that are still to be had, row by row, as runs of columns.
pub(super) struct Lacking(Vec<Vec<Range<usize>>>);

impl Lacking {
    /// Those of a picture of `w` × `h` pixels that `map` takes farther out of one of
    /// that size than is mirrored.
    pub(super) fn of(w: usize, h: usize, map: &Map) -> Self {
        Self::outside(w, h, map, SLACK * h as f64)
    }

    /// Those that `map` takes more than `slack` pixels out of a picture of `w` × `h`
    /// pixels; below 0: or less deep than that into it.
    pub(super) fn outside(w: usize, h: usize, map: &Map, slack: f64) -> Self {
        let rows = (0..h).map(|y| {
            let shown = shown(w, h, map, y, slack);
            let runs = [0..shown.start, shown.end..w];
            runs.into_iter().filter(|r| !r.is_empty()).collect()
        });
        Self(rows.collect())
    }

    /// Whether none is lacking.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// Takes those that `map` leaves within a picture of `w` pixels across away; gives
    /// them.
    pub(super) fn take(&mut self, w: usize, map: &Map) -> Self {
        let h = self.0.len();
        let rows = self.0.iter_mut().enumerate().map(|(y, runs)| {
            let shown = shown(w, h, map, y, 0.0);
            let within = |r: &Range<usize>| {
                let start = r.start.max(shown.start);
                start..r.end.min(shown.end).max(start)
            };
            let taken: Vec<_> = runs.iter().map(within).filter(|r| !r.is_empty()).collect();
            let left = runs.iter().flat_map(|r| {
                let t = within(r);
                match t.is_empty() {
                    true => [r.clone(), 0..0],
                    false => [r.start..t.start, t.end..r.end],
                }
            });
            *runs = left.filter(|r| !r.is_empty()).collect();
            taken
        });
        Self(rows.collect())
    }

    /// No pixels of a picture of `h` rows.
    pub(super) fn none(h: usize) -> Self {
        Self(vec![Vec::new(); h])
    }

    /// Those that `first` picks by column and row, and the others.
    pub(super) fn split(self, first: impl Fn(usize, usize) -> bool) -> (Self, Self) {
        let mut both = (Self::none(self.0.len()), Self::none(self.0.len()));
        for (y, runs) in self.0.into_iter().enumerate() {
            for run in runs {
                let columns: Vec<usize> = run.collect();
                for same in columns.chunk_by(|a, b| first(*a, y) == first(*b, y)) {
                    let to = match first(same[0], y) {
                        true => &mut both.0,
                        false => &mut both.1,
                    };
                    to.0[y].push(same[0]..same[0] + same.len());
                }
            }
        }
        both
    }

    /// Adds those of `other`, of a picture of the same size.
    pub(super) fn put_back(&mut self, other: Self) {
        for (runs, back) in self.0.iter_mut().zip(other.0) {
            runs.extend(back);
        }
    }

    /// The runs of row `y`.
    pub(super) fn row(&self, y: usize) -> &[Range<usize>] {
        &self.0[y]
    }

    /// The runs of columns that the rows `rows` have among them, apart from each other.
    pub(super) fn columns(&self, rows: Range<usize>) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> = self.0[rows].iter().flatten().cloned().collect();
        all.sort_by_key(|r| r.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for run in all {
            match apart.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => apart.push(run),
            }
        }
        apart
    }
}

/// The columns of row `y` that `map` takes to within a picture of `w` × `h` pixels and
/// `slack` pixels around it; empty at its end where there are none.
fn shown(w: usize, h: usize, map: &Map, y: usize, slack: f64) -> Range<usize> {
    let y = y as f64;
    // Both coordinates are linear in the column.
    let mut from = 0.0f64;
    let mut to = w as f64 - 1.0;
    for (slope, at, n) in [
        (map[0], map[1] * y + map[2], w),
        (map[3], map[4] * y + map[5], h),
    ] {
        let (low, high) = (-slack - at, (n as f64 - 1.0) + slack - at);
        if slope.abs() < 1e-9 {
            if low > 0.0 || high < 0.0 {
                return w..w;
            }
        } else {
            let (a, b) = (low / slope, high / slope);
            from = from.max(a.min(b));
            to = to.min(a.max(b));
        }
    }
    let start = from.ceil().max(0.0);
    if to < start {
        return w..w;
    }
    start as usize..(to.floor() as usize + 1).min(w)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifted(x: f64) -> Pose {
        Pose { x, ..Pose::REST }
    }

    #[test]
    fn the_nearest_frame_that_shows_nearly_all_lends() {
        // A pan: each frame looks a hundredth of a height farther to the right. Seen
        // from the last, the first lacks what lies to the left of it.
        let poses: Vec<Pose> = (0..50).map(|i| shifted(0.01 * f64::from(i))).collect();
        let from = shifted(0.3);
        let lent = lenders(&poses, &[], 0, &from, 1.5);
        // Frame 30 shows all of it; nearer ones show most, and go first.
        assert!(
            lent.contains(&30) && lent.iter().all(|i| (25..=30).contains(i)),
            "{lent:?}"
        );
        assert!(
            lenders(&poses, &[], 30, &from, 1.5).is_empty(),
            "it is its own"
        );
        assert!(
            lenders(&poses, &[], 31, &shifted(0.309), 1.5).is_empty(),
            "next to nothing"
        );
        let withheld: Vec<bool> = (0..50).map(|i| (20..35).contains(&i)).collect();
        let lent = lenders(&poses, &withheld, 0, &from, 1.5);
        assert!(
            lent.iter().all(|i| !withheld[*i]) && !lent.is_empty(),
            "{lent:?}"
        );
        // What no frame shows nobody lends.
        let beyond = lenders(&poses, &[], 49, &shifted(0.9), 1.5);
        assert!(beyond.is_empty(), "{beyond:?}");
    }

    #[test]
    fn every_pixel_is_shown_lent_or_lacking() {
        let (w, h) = (60, 40);
        let own = [1.01, 0.03, 8.3, -0.02, 0.99, -4.0];
        let lender = [1.0, -0.01, -7.0, 0.02, 1.0, 2.5];
        let within = |map: &Map, x: usize, y: usize, slack: f64| {
            let (x, y) = (x as f64, y as f64);
            let u = map[0] * x + map[1] * y + map[2];
            let v = map[3] * x + map[4] * y + map[5];
            let inside = |v: f64, n: usize| v >= -slack && v <= n as f64 - 1.0 + slack;
            inside(u, w) && inside(v, h)
        };
        let mut lacking = Lacking::of(w, h, &own);
        let before = |l: &Lacking, x: usize, y: usize| l.row(y).iter().any(|r| r.contains(&x));
        let all: Vec<bool> = (0..w * h).map(|i| before(&lacking, i % w, i / w)).collect();
        let lent = lacking.take(w, &lender);
        let (mut from_lender, mut from_none) = (0, 0);
        for y in 0..h {
            for x in 0..w {
                let lacks = !within(&own, x, y, SLACK * h as f64);
                assert_eq!(all[y * w + x], lacks, "{x} {y}");
                let has = lacks && within(&lender, x, y, 0.0);
                assert_eq!(before(&lent, x, y), has, "{x} {y}");
                assert_eq!(before(&lacking, x, y), lacks && !has, "{x} {y}");
                from_lender += usize::from(has);
                from_none += usize::from(lacks && !has);
            }
        }
        assert!(from_lender > 20 && from_none > 20);
        let columns = lent.columns(0..h);
        assert!(columns.windows(2).all(|p| p[0].end < p[1].start));
        assert!((0..h).all(|y| {
            lent.row(y)
                .iter()
                .all(|r| columns.iter().any(|c| c.start <= r.start && r.end <= c.end))
        }));
    }
}
