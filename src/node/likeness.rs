//! Knowing a plate again.
//!
//! A host tells no name for what hangs on its inputs. The node knows a plate by
//! its pictures: the same samples, or, where a proxy is compared with the full
//! size, the same look.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::frame::{Picture, Transfer};

/// Columns and rows of the small copy.
const GRID: (usize, usize) = (16, 9);
/// How far cells of the small copies of a frame at two scales may lie apart, of
/// 255 in the perceptual encoding. Reductions differ by their filter, which
/// matters where a cell holds few pixels or strong edges cross its border.
const APART: u8 = 6;

/// What a frame looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Likeness {
    /// A hash of all samples.
    pub exact: u64,
    /// Size of the picture.
    pub size: (u32, u32),
    /// A small copy, perceptually encoded.
    pub small: Vec<u8>,
}

impl Likeness {
    /// Of `picture`, whose values relate to light as `transfer` says.
    pub fn of(picture: &Picture, transfer: Transfer) -> Self {
        let look = (picture, transfer);
        Self {
            exact: look.exact(),
            size: look.size(),
            small: look.small().into_owned(),
        }
    }

    /// Whether `other` has the same samples; `None` where its size differs,
    /// so that only the look can be compared.
    pub fn same(&self, other: &dyn Look) -> Option<bool> {
        (self.size == other.size()).then(|| self.exact == other.exact())
    }

    /// Whether `other` looks the same.
    pub fn resembles(&self, other: &dyn Look) -> bool {
        // Of a thumbnail nothing can be told.
        let (size, least) = (other.size(), |n: u32, cells: usize| n as usize >= 2 * cells);
        if self.size != size && !(least(size.0, GRID.0) && least(size.1, GRID.1)) {
            return true;
        }
        let other = other.small();
        self.small.len() == other.len()
            && (self.small.iter())
                .zip(other.iter())
                .all(|(a, b)| a.abs_diff(*b) <= APART)
    }
}

/// What a [`Likeness`] is held against: another, or a picture, of which no more is
/// worked out than the comparison needs.
pub(super) trait Look {
    /// A hash of all samples.
    fn exact(&self) -> u64;
    /// Size of the picture.
    fn size(&self) -> (u32, u32);
    /// A small copy, perceptually encoded.
    fn small(&self) -> Cow<'_, [u8]>;
}

impl Look for Likeness {
    fn exact(&self) -> u64 {
        self.exact
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn small(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.small)
    }
}

/// A picture, and how its values relate to light.
impl Look for (&Picture, Transfer) {
    fn exact(&self) -> u64 {
        hash(self.0.data())
    }

    fn size(&self) -> (u32, u32) {
        (self.0.width() as u32, self.0.height() as u32)
    }

    fn small(&self) -> Cow<'_, [u8]> {
        Cow::Owned(small(self.0, self.1))
    }
}

/// A hash of samples, portable and about as fast as memory: four chains of
/// multiply and rotate, folded. Not against malice.
fn hash(samples: &[f32]) -> u64 {
    const K: [u64; 4] = [
        0x9E37_79B9_7F4A_7C15,
        0xC2B2_AE3D_27D4_EB4F,
        0x1656_67B1_9E37_79F9,
        0x27D4_EB2F_1656_67C5,
    ];
    let mut chains = K;
    let mut blocks = samples.chunks_exact(8);
    for block in &mut blocks {
        for (i, chain) in chains.iter_mut().enumerate() {
            let pair =
                u64::from(block[2 * i].to_bits()) | u64::from(block[2 * i + 1].to_bits()) << 32;
            *chain = (*chain ^ pair).wrapping_mul(K[0]).rotate_left(29);
        }
    }
    let mut all = samples.len() as u64;
    for &s in blocks.remainder() {
        all = (all ^ u64::from(s.to_bits()))
            .wrapping_mul(K[1])
            .rotate_left(31);
    }
    for chain in chains {
        all = (all ^ chain).wrapping_mul(K[2]);
        all ^= all >> 32;
    }
    all
}

/// Cell means of some samples of each cell, which need not be all.
fn small(picture: &Picture, transfer: Transfer) -> Vec<u8> {
    let (w, h, n) = (picture.width(), picture.height(), picture.channels());
    let shown = n.min(3);
    let mut out = Vec::with_capacity(GRID.0 * GRID.1 * shown);
    for r in 0..GRID.1 {
        let (y0, y1) = span(r, GRID.1, h);
        for c in 0..GRID.0 {
            let (x0, x1) = span(c, GRID.0, w);
            for k in 0..shown {
                let mut sum = 0.0f64;
                for y in y0..y1 {
                    let row = picture.row(y);
                    for x in x0..x1 {
                        let v = row[x * n + k];
                        // What is no number counts as black.
                        sum += if v.is_finite() { f64::from(v) } else { 0.0 };
                    }
                }
                let count = ((y1 - y0) * (x1 - x0)).max(1);
                let mean = transfer.perceptual((sum / count as f64) as f32);
                out.push((mean * 128.0 + 0.5) as u8);
            }
        }
    }
    out
}

/// Pixels of cell `i` of `n` over `length` pixels, at least one.
fn span(i: usize, n: usize, length: usize) -> (usize, usize) {
    let from = (i * length / n).min(length.saturating_sub(1));
    let to = ((i + 1) * length / n).clamp(from + 1, length.max(1));
    (from, to.min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(w: usize, h: usize, value: impl Fn(f32, f32) -> f32) -> Picture {
        let mut p = Picture::new(w, h, 3);
        for y in 0..h {
            for x in 0..w {
                let v = value((x as f32 + 0.5) / w as f32, (y as f32 + 0.5) / h as f32);
                p.row_mut(y)[x * 3..x * 3 + 3].copy_from_slice(&[v, v * 0.5, 1.0 - v]);
            }
        }
        p
    }

    #[test]
    fn one_sample_changed_is_another_frame_that_looks_the_same() {
        let a = picture(70, 41, |x, y| x * y);
        let known = Likeness::of(&a, Transfer::Linear);
        for at in [0, 7, 8, 70 * 41 * 3 - 1] {
            let mut b = a.clone();
            b.data_mut()[at] += 1e-4;
            assert_eq!(
                known.same(&(&b, Transfer::Linear)),
                Some(false),
                "sample {at}"
            );
            assert!(known.resembles(&(&b, Transfer::Linear)));
        }
        assert_eq!(known.same(&(&a, Transfer::Linear)), Some(true));
    }

    #[test]
    fn a_proxy_resembles_its_frame_and_not_the_next_shot() {
        let look = |x: f32, y: f32| 0.5 + 0.4 * (9.0 * x).sin() * (7.0 * y).cos();
        let full = Likeness::of(&picture(640, 360, look), Transfer::Linear);
        let half = picture(320, 180, look);
        assert_eq!(full.same(&(&half, Transfer::Linear)), None);
        assert!(full.resembles(&(&half, Transfer::Linear)));
        let other = picture(320, 180, |x, y| look(x + 0.2, y));
        assert!(!full.resembles(&(&other, Transfer::Linear)));
    }

    #[test]
    fn the_smallest_picture_has_a_likeness() {
        let one = picture(1, 1, |_, _| 0.5);
        assert!(Likeness::of(&one, Transfer::Display).resembles(&(&one, Transfer::Display)));
    }
}
