//! Whether a frame that lends what lies beyond another's edge shows there what belongs
//! there. A car that drives along the border of the lender does not: lent, it would
//! stand at the border of every frame that borrows.
//!
//! The border is looked at in pieces. The lender must show within the edge what the
//! frame itself shows there, and beyond it no more than a little else, both in the mean
//! of a piece, since what sways or flows differs from pixel to pixel and yet belongs.

use std::collections::BTreeMap;

use super::edges::{Lacking, Map, at};
use crate::frame::{Picture, PlateInfo};

/// Size of a piece of the border, in heights.
pub(super) const PIECE: f64 = 0.05;
/// How far from the border is looked, in heights.
const DEPTH: f64 = 0.02;
/// Difference within the edge, in the perceptual encoding, that is refused: as in the
/// lowest band (`low_band.rs`), what differs by more is an object and not light.
const WITHIN: f64 = 0.08;
/// Difference from the one side of the edge to the other that is refused: an edge of
/// the picture may lie along its border.
const BEYOND: f64 = 0.16;

/// What is seen at a piece of the border.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// Of the frame itself within the edge, of the lender there, of the lender beyond.
    own: Mean,
    within: Mean,
    beyond: Mean,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    sum: [f64; 3],
    count: f64,
}

impl Mean {
    fn add(&mut self, colour: Option<[f64; 3]>) {
        let Some(colour) = colour else { return };
        for (sum, v) in self.sum.iter_mut().zip(colour) {
            *sum += v;
        }
        self.count += 1.0;
    }

    /// The largest difference of a channel; none where either saw nothing.
    fn apart(&self, other: &Self) -> f64 {
        if self.count == 0.0 || other.count == 0.0 {
            return 0.0;
        }
        let pairs = self.sum.iter().zip(&other.sum);
        pairs
            .map(|(a, b)| (a / self.count - b / other.count).abs())
            .fold(0.0, f64::max)
    }
}

impl Piece {
    fn refused(&self) -> bool {
        self.own.apart(&self.within) > WITHIN || self.own.apart(&self.beyond) > BEYOND
    }
}

/// Parts `part` in what `lent` may lend to `out` and what it may not. `out` is a frame
/// read through `own` and mirrored beyond its edges; `map` is what `lent` is read
/// through. Both pictures are of one shape and of a plate like `info`.
pub(super) fn part(
    part: Lacking,
    (out, own): (&Picture, &Map),
    (lent, map): (&Picture, &Map),
    info: &PlateInfo,
) -> (Lacking, Lacking) {
    let (w, h) = (out.width(), out.height());
    let Some(back) = inverse(own) else {
        return (part, Lacking::none(h));
    };
    let side = (PIECE * h as f64).max(1.0);
    let depth = (DEPTH * h as f64).max(1.0);
    let (right, bottom) = (w as f64 - 1.0, h as f64 - 1.0);
    // Where on the edge of its frame a pixel would lie, and which piece that is.
    let edge = |x: usize, y: usize| {
        let (u, v) = at(own, x as f64, y as f64);
        let (eu, ev) = (u.clamp(0.0, right), v.clamp(0.0, bottom));
        let key = ((eu / side) as u32, (ev / side) as u32);
        (key, (u, v), (eu, ev))
    };
    let colour = Colours::of(info, out.channels());
    let mut pieces: BTreeMap<(u32, u32), Piece> = BTreeMap::new();
    for y in 0..h {
        for x in part.row(y).iter().flat_map(Clone::clone) {
            let (key, (u, v), (eu, ev)) = edge(x, y);
            if (u - eu).abs().max((v - ev).abs()) > depth {
                continue;
            }
            let piece = pieces.entry(key).or_default();
            // A pixel beyond the edge is mirrored: it shows what lies within.
            piece.own.add(colour.at(out, (x as f64, y as f64)));
            let (bx, by) = at(&back, 2.0 * eu - u, 2.0 * ev - v);
            piece.within.add(colour.at(lent, at(map, bx, by)));
            let beyond = at(map, x as f64, y as f64);
            piece.beyond.add(colour.at(lent, beyond));
        }
    }
    part.split(|x, y| pieces.get(&edge(x, y).0).is_none_or(|p| !p.refused()))
}

/// The way back of an affine map of pixels, if there is one.
fn inverse(map: &Map) -> Option<Map> {
    let [a, b, x, d, e, y] = *map;
    let det = a * e - b * d;
    (det.abs() > 1e-6).then(|| {
        let (a, b, d, e) = (e / det, -b / det, -d / det, a / det);
        [a, b, -(a * x + b * y), d, e, -(d * x + e * y)]
    })
}

/// Where the colour of a pixel is found, and how it is encoded.
struct Colours<'a> {
    channels: [usize; 3],
    info: &'a PlateInfo,
}

impl<'a> Colours<'a> {
    fn of(info: &'a PlateInfo, count: usize) -> Self {
        let named = |name: &str| info.channel(name).filter(|c| *c < count);
        let first = named("Y").unwrap_or(0);
        Self {
            channels: ["R", "G", "B"].map(|name| named(name).unwrap_or(first)),
            info,
        }
    }

    /// The colour of the pixel nearest to a place, in the perceptual encoding; none
    /// outside, or where it is no number.
    fn at(&self, picture: &Picture, (x, y): (f64, f64)) -> Option<[f64; 3]> {
        let (x, y) = (libm::rint(x), libm::rint(y));
        let inside = |v: f64, n: usize| v >= 0.0 && v <= n as f64 - 1.0;
        if !inside(x, picture.width()) || !inside(y, picture.height()) {
            return None;
        }
        let pixel = picture.pixel(x as usize, y as usize);
        let value = |c: usize| f64::from(self.info.transfer.perceptual(pixel[c]));
        let colour = self.channels.map(value);
        colour.iter().all(|v| v.is_finite()).then_some(colour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plate::gather::resample::{self, Manner};
    use crate::frame::{FrameRange, Transfer};

    const W: usize = 160;
    const H: usize = 120;

    fn info() -> PlateInfo {
        PlateInfo {
            range: FrameRange { first: 1, last: 2 },
            width: W,
            height: H,
            full_size: (W, H),
            channels: ["R", "G", "B"].map(String::from).to_vec(),
            fps: 25.0,
            transfer: Transfer::Display,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        }
    }

    /// Grass that sways with `time`, and a white car at the columns given, from row 90
    /// down.
    fn frame(time: f64, car: std::ops::Range<usize>) -> Picture {
        let mut p = Picture::new(W, H, 3);
        for y in 0..H {
            for x in 0..W {
                let blade = libm::sin(1.9 * x as f64 + time) * libm::cos(1.3 * y as f64 - time);
                let grass = [0.3 + 0.15 * blade, 0.4 + 0.15 * blade, 0.25 + 0.1 * blade];
                let colour = if y >= 90 && car.contains(&x) {
                    [0.95; 3]
                } else {
                    grass
                };
                for (to, v) in p.row_mut(y)[3 * x..3 * x + 3].iter_mut().zip(colour) {
                    *to = v as f32;
                }
            }
        }
        p
    }

    /// Which columns of the last row `lender` may lend to a frame that sees four rows
    /// too few there.
    fn lent(own: &Picture, lender: &Picture) -> Vec<usize> {
        let (up, rest) = (
            [1.0, 0.0, 0.0, 0.0, 1.0, 4.0],
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        );
        let out = resample::affine(own, up, &Manner::of(&info()));
        let mut lacking = Lacking::of(W, H, &up);
        let taken = lacking.take(W, &rest);
        let (yes, no) = part(taken, (&out, &up), (lender, &rest), &info());
        let columns =
            |l: &Lacking| -> Vec<usize> { l.row(H - 1).iter().flat_map(Clone::clone).collect() };
        assert_eq!(columns(&yes).len() + columns(&no).len(), W, "each in one");
        columns(&yes)
    }

    #[test]
    fn what_belongs_is_lent_and_a_car_is_not() {
        let clear = frame(0.0, 0..0);
        assert_eq!(lent(&clear, &frame(2.0, 0..0)).len(), W);
        let beside = lent(&clear, &frame(2.0, 60..100));
        assert!(beside.iter().all(|x| !(60..100).contains(x)), "{beside:?}");
        assert!(beside.len() > W - 40 - 14, "{beside:?}");
        // Nor grass where the car stands.
        let before = lent(&frame(0.0, 60..100), &frame(2.0, 0..0));
        assert!(before.iter().all(|x| !(66..94).contains(x)), "{before:?}");
    }
}
