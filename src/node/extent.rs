//! Where the plate on Source lies: what its frames show together, since renders
//! crop each frame to what it shows.

use super::host::{Host, Input, Scene};
use super::known::known;
use super::pixels::Rect;
use crate::frame::FrameRange;
use crate::sequence::key_of;

/// Frames that a host is asked the region of, at most; of a longer plate they are
/// spread evenly.
const ASKED: usize = 2000;

/// Where the frames of a plate lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    /// All of them, in canonical coordinates.
    pub region: [f64; 4],
    /// Whether their corners differ, so that they are windows of one picture and
    /// not pictures of other sizes.
    pub cropped: bool,
}

impl Extent {
    /// Of the frames `range` of Source, `None` where the host does not say. Asked for
    /// once, until the ends or the middle lie elsewhere or the host tells of a change.
    pub fn of(scene: &Scene, range: FrameRange, host: &mut dyn Host) -> Option<Self> {
        let mut region = |frame: i32| finite(host.region(Input::Source, f64::from(frame)));
        if !scene.temporal_access {
            return Self::union([region(range.first)]);
        }
        let probes = spread(range, 3).map(&mut region).collect::<Vec<_>>();
        let about = key_of(&[
            "extent",
            &format!("{range} {:?} {probes:?}", scene.source),
            &format!("{}", host.instance()),
        ]);
        if let Some(extent) = known().extent(&about) {
            return extent;
        }
        let mut region = |frame: i32| finite(host.region(Input::Source, f64::from(frame)));
        let extent = Self::union(spread(range, ASKED).map(&mut region));
        known().measured(about, extent);
        extent
    }

    fn union(regions: impl IntoIterator<Item = Option<[f64; 4]>>) -> Option<Self> {
        let mut regions = regions.into_iter().flatten();
        let first = Self {
            region: regions.next()?,
            cropped: false,
        };
        Some(regions.fold(first, |all, r| {
            let a = all.region;
            Self {
                region: [
                    a[0].min(r[0]),
                    a[1].min(r[1]),
                    a[2].max(r[2]),
                    a[3].max(r[3]),
                ],
                cropped: all.cropped || a[..2] != r[..2],
            }
        }))
    }

    /// The pixels of all frames, where the picture of the frame that lies in `one`
    /// has the pixels `shown` in a render at `scale`.
    pub fn canvas(&self, one: Option<[f64; 4]>, shown: Rect, aspect: f64, scale: [f64; 2]) -> Rect {
        let Some(one) = finite(one).filter(|one| *one != self.region) else {
            return shown;
        };
        // A picture that is not of its region tells nothing of where others lie.
        let Some([sx, sy]) = scale_of(&one, aspect, scale, &shown) else {
            return shown;
        };
        // A region that ends on a pixel does so in spite of rounding.
        let low = |v: f64, s: f64| (v * s + 1e-3).floor() as i32;
        let high = |v: f64, s: f64| (v * s - 1e-3).ceil() as i32;
        let [x1, y1, x2, y2] = self.region;
        Rect {
            x1: low(x1 / aspect, sx).min(shown.x1),
            y1: low(y1, sy).min(shown.y1),
            x2: high(x2 / aspect, sx).max(shown.x2),
            y2: high(y2, sy).max(shown.y2),
        }
    }
}

/// `region`, in canonical coordinates, in pixels `aspect` times as wide as high, at
/// `scale`.
pub(super) fn pixels_of(region: &[f64; 4], aspect: f64, [sx, sy]: [f64; 2]) -> Rect {
    let [x1, y1, x2, y2] = *region;
    Rect {
        x1: (x1 / aspect * sx).round() as i32,
        y1: (y1 * sy).round() as i32,
        x2: (x2 / aspect * sx).round() as i32,
        y2: (y2 * sy).round() as i32,
    }
}

/// The scale at which `region` is as large as `shown`: that of the render is what
/// the host asks for; some hosts say it wrongly, and then the picture's own size
/// tells.
pub(super) fn scale_of(
    region: &[f64; 4],
    aspect: f64,
    scale: [f64; 2],
    shown: &Rect,
) -> Option<[f64; 2]> {
    let inverse = scale.map(|s| if s > 0.0 { 1.0 / s } else { 1.0 });
    [scale, inverse, [1.0, 1.0]].into_iter().find(|s| {
        let r = pixels_of(region, aspect, *s);
        r.width().abs_diff(shown.width()) <= 2 && r.height().abs_diff(shown.height()) <= 2
    })
}

/// A region that has an end.
pub(super) fn finite(region: Option<[f64; 4]>) -> Option<[f64; 4]> {
    region.filter(|r| r.iter().all(|v| v.abs() < 1e6) && r[0] < r[2] && r[1] < r[3])
}

/// At most `most` frames of `range`, the first and the last among them.
fn spread(range: FrameRange, most: usize) -> impl Iterator<Item = i32> {
    let count = range.count().min(most).max(1);
    let (length, steps) = (range.count() as i64 - 1, (count as i64 - 1).max(1));
    (0..count as i64).map(move |i| (i64::from(range.first) + i * length / steps) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_plates_are_asked_for_some_frames_and_short_ones_for_all() {
        let range = |a, b| FrameRange::new(a, b).unwrap();
        let frames = |a, b, most| spread(range(a, b), most).collect::<Vec<_>>();
        assert_eq!(frames(5, 9, 100), [5, 6, 7, 8, 9]);
        assert_eq!(frames(7, 7, 3), [7]);
        assert_eq!(frames(1, 2, 3), [1, 2]);
        assert_eq!(frames(1001, 1101, 3), [1001, 1051, 1101]);
        let long = frames(-1_000_000, 1_000_000, ASKED);
        assert_eq!((long.len(), long[0]), (ASKED, -1_000_000));
        assert_eq!(long.last(), Some(&1_000_000));
    }

    #[test]
    fn windows_of_one_picture_are_told_from_pictures_of_other_sizes() {
        let of = |list: &[[f64; 4]]| Extent::union(list.iter().map(|r| Some(*r))).unwrap();
        let grown = of(&[[0.0, 0.0, 32.0, 24.0], [0.0, 0.0, 64.0, 48.0]]);
        assert_eq!(grown.region, [0.0, 0.0, 64.0, 48.0]);
        assert!(!grown.cropped);
        let moved = of(&[[0.0, 0.0, 32.0, 24.0], [20.0, 10.0, 52.0, 34.0]]);
        assert_eq!(moved.region, [0.0, 0.0, 52.0, 34.0]);
        assert!(moved.cropped);
        assert_eq!(Extent::union([None, None]), None);
    }

    #[test]
    fn the_canvas_holds_all_frames_at_the_scale_that_the_picture_has() {
        let extent = Extent {
            region: [-10.0, 0.0, 100.0, 51.0],
            cropped: true,
        };
        let one = Some([20.0, 10.0, 60.0, 30.0]);
        let rect = Rect::from;
        let canvas = |shown, scale| extent.canvas(one, shown, 1.0, [scale; 2]);
        assert_eq!(canvas(rect([20, 10, 60, 30]), 1.0), rect([-10, 0, 100, 51]));
        let half = rect([10, 5, 30, 15]);
        assert_eq!(canvas(half, 0.5), rect([-5, 0, 50, 26]));
        assert_eq!(canvas(half, 2.0), rect([-5, 0, 50, 26]), "inverted");
        // Of pixels twice as wide as high.
        let wide = extent.canvas(one, rect([10, 10, 30, 30]), 2.0, [1.0; 2]);
        assert_eq!(wide, rect([-5, 0, 50, 51]));
        // A picture of another shape; a plate that lies where its frames do.
        let other = rect([0, 0, 7, 9]);
        assert_eq!(canvas(other, 1.0), other);
        assert_eq!(
            extent.canvas(Some(extent.region), half, 1.0, [1.0; 2]),
            half
        );
        assert_eq!(extent.canvas(None, half, 1.0, [1.0; 2]), half);
    }
}
