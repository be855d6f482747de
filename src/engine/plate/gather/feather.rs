//! How what other frames lend comes in: over a band within the edge of a frame, and not
//! at a line along it, which is seen on water and leaves, that another frame shows
//! otherwise.

use std::collections::BTreeSet;

use super::agree::PIECE;
use super::edges::{Lacking, Map, SLACK, at};

/// Depth of the band within the edge, in heights.
const BAND: f64 = 0.02;

/// The bands of a frame that is read through a map.
pub(super) struct Feather {
    size: (usize, usize),
    own: Map,
    /// Left, right, top and bottom.
    sides: [Side; 4],
}

#[derive(Default)]
struct Side {
    /// Of the band, in pixels; as deep as what is lacking where that is less, so that it
    /// comes in gently as a camera turns.
    depth: f64,
    /// Pieces of the edge beyond which an earlier frame lent.
    before: BTreeSet<u32>,
    /// Those beyond which this one does, and no earlier one.
    now: BTreeSet<u32>,
}

impl Feather {
    /// For a picture of `size` pixels that is read through `own`.
    pub(super) fn new(size: (usize, usize), own: &Map) -> Self {
        let (w, h) = size;
        let mut feather = Self {
            size,
            own: *own,
            sides: std::array::from_fn(|_| Side::default()),
        };
        let (right, bottom) = (w.saturating_sub(1) as f64, h.saturating_sub(1) as f64);
        for (x, y) in [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)] {
            let beyond = feather.beyond(x, y);
            for (side, beyond) in feather.sides.iter_mut().zip(beyond) {
                let lacking = (beyond - SLACK * h as f64).clamp(0.0, BAND * h as f64);
                side.depth = side.depth.max(lacking);
            }
        }
        feather
    }

    /// How far column `x`, row `y` is read beyond each side, in pixels.
    fn beyond(&self, x: f64, y: f64) -> [f64; 4] {
        let (u, v) = at(&self.own, x, y);
        let (w, h) = (self.size.0 as f64, self.size.1 as f64);
        [-u, u - (w - 1.0), -v, v - (h - 1.0)]
    }

    /// Which piece of a side is nearest to a pixel: by its row on the left and right.
    fn piece(&self, side: usize, x: f64, y: f64) -> u32 {
        let (u, v) = at(&self.own, x, y);
        let along = if side < 2 { v } else { u };
        (along.max(0.0) / (PIECE * self.size.1 as f64).max(1.0)) as u32
    }

    /// The next frame lends `part`: the pixels within the edge that are to be mixed with
    /// it, by [`Self::weight`].
    pub(super) fn band(&mut self, part: &Lacking) -> Lacking {
        let (w, h) = self.size;
        for side in &mut self.sides {
            let lent = std::mem::take(&mut side.now);
            side.before.extend(lent);
        }
        for y in 0..h {
            for x in part.row(y).iter().flat_map(Clone::clone) {
                let (x, y) = (x as f64, y as f64);
                let beyond = self.beyond(x, y);
                for (i, beyond) in beyond.into_iter().enumerate() {
                    // What is lent far out does not meet the edge.
                    if beyond > 0.0 && beyond < 2.0 * BAND * h as f64 {
                        let piece = self.piece(i, x, y);
                        let side = &mut self.sides[i];
                        if !side.before.contains(&piece) {
                            side.now.insert(piece);
                        }
                    }
                }
            }
        }
        let depth = self.sides.iter().fold(0.0, |most, s| s.depth.max(most));
        let (near, _) = Lacking::outside(w, h, &self.own, -depth).split(|x, y| {
            let weight = self.weight(x, y);
            weight > 0.0 && weight < 1.0
        });
        near
    }

    /// The share of the lender at column `x`, row `y`: 1 at the edge, 0 where the band
    /// ends.
    pub(super) fn weight(&self, x: usize, y: usize) -> f32 {
        let slack = SLACK * self.size.1 as f64;
        let (x, y) = (x as f64, y as f64);
        let mut most = 0.0f64;
        for (i, beyond) in self.beyond(x, y).into_iter().enumerate() {
            let side = &self.sides[i];
            let share = (side.depth + beyond) / (side.depth + slack).max(1e-9);
            if share > most && side.now.contains(&self.piece(i, x, y)) {
                most = share;
            }
        }
        most.min(1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_in_over_a_band_where_it_is_lent() {
        let (w, h) = (300, 200);
        // Twelve columns are lacking on the right, and a half of their rows are lent.
        let own = [1.0, 0.0, 12.0, 0.0, 1.0, 0.0];
        let mut lacking = Lacking::of(w, h, &own);
        let (upper, _) = lacking
            .take(w, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
            .split(|_, y| y < 100);
        let mut feather = Feather::new((w, h), &own);
        let band = feather.band(&upper);
        let edge = w - 1 - 12;
        assert!(band.row(50).iter().any(|r| r.contains(&edge)));
        let weights: Vec<f32> = (0..w).map(|x| feather.weight(x, 50)).collect();
        assert!(weights[edge] > 0.8, "{}", weights[edge]);
        assert!(weights[..edge - 4].iter().all(|w| *w == 0.0));
        assert!(weights[edge - 4..=edge].windows(2).all(|p| p[0] <= p[1]));
        // Nothing is mixed beside, nor where nothing is lent.
        assert!(band.row(50).iter().all(|r| r.start >= edge - 4));
        assert!(band.row(150).is_empty() && feather.weight(edge, 150) == 0.0);
        // Another lender of the same piece is not mixed over the first.
        assert!((0..h).all(|y| feather.band(&upper).row(y).is_empty()));
    }
}
