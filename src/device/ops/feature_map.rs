//! One frame of features: what the layers of a convolutional network hand on.

use std::ops::Range;

/// Features of one frame, `height × width` positions of `channels` numbers each,
/// f32, a row after the other, the channels of a position side by side. A frame
/// of zeros, `border` positions wide, lies around them, so that a convolution
/// reads across the edge without asking where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    height: usize,
    width: usize,
    channels: usize,
    border: usize,
    data: Vec<f32>,
}

impl FeatureMap {
    /// All zero.
    pub fn zeros(height: usize, width: usize, channels: usize, border: usize) -> Self {
        let positions = (height + 2 * border) * (width + 2 * border);
        Self {
            height,
            width,
            channels,
            border,
            data: vec![0.; positions * channels],
        }
    }

    /// From numbers in the order of its positions, without a border.
    ///
    /// # Panics
    /// Where there are not `height · width · channels` of them.
    pub fn from_rows(height: usize, width: usize, channels: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), height * width * channels);
        Self {
            height,
            width,
            channels,
            border: 0,
            data,
        }
    }

    /// Rows of positions, without the border.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Positions in a row, without the border.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers at each position.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Positions of zeros on each side.
    pub fn border(&self) -> usize {
        self.border
    }

    /// All numbers, those of the border too.
    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }

    /// Numbers in a row, those of the border too.
    pub(super) fn pitch(&self) -> usize {
        (self.width + 2 * self.border) * self.channels
    }

    /// Row `y` without its border: `width · channels` numbers.
    pub fn row(&self, y: usize) -> &[f32] {
        let start = (y + self.border) * self.pitch() + self.border * self.channels;
        &self.data[start..start + self.width * self.channels]
    }

    /// The same, to be written.
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let start = (y + self.border) * self.pitch() + self.border * self.channels;
        &mut self.data[start..start + self.width * self.channels]
    }

    /// All rows, from the top, each without its border.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.height).map(|y| self.row(y))
    }

    /// All numbers in the order of positions, where there is no border.
    pub fn values(&self) -> Option<&[f32]> {
        (self.border == 0).then_some(&self.data[..])
    }

    /// The numbers of the position `(y, x)`.
    pub fn at(&self, y: usize, x: usize) -> &[f32] {
        &self.row(y)[x * self.channels..][..self.channels]
    }

    /// The rows as whole memory, each with its border, for a parallel writer:
    /// `(pitch, numbers to skip in a row, rows)`.
    pub(super) fn rows_mut(&mut self) -> (usize, usize, &mut [f32]) {
        let (pitch, skip) = (self.pitch(), self.border * self.channels);
        let rows = self.border * pitch..(self.border + self.height) * pitch;
        (pitch, skip, &mut self.data[rows])
    }

    /// The same features with a border of `border`.
    pub fn with_border(&self, border: usize) -> Self {
        let mut out = Self::zeros(self.height, self.width, self.channels, border);
        for y in 0..self.height {
            out.row_mut(y).copy_from_slice(self.row(y));
        }
        out
    }

    /// `f` of every number, with a border of `border`.
    pub fn map(&self, border: usize, f: impl Fn(f32) -> f32) -> Self {
        let mut out = Self::zeros(self.height, self.width, self.channels, border);
        for y in 0..self.height {
            for (out, v) in out.row_mut(y).iter_mut().zip(self.row(y)) {
                *out = f(*v);
            }
        }
        out
    }

    /// A part of it, without a border.
    ///
    /// # Panics
    /// Where the part reaches out of it.
    pub fn crop(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.end <= self.height && columns.end <= self.width);
        let mut out = Self::zeros(rows.len(), columns.len(), self.channels, 0);
        let from = columns.start * self.channels..columns.end * self.channels;
        for (y, source) in rows.enumerate() {
            out.row_mut(y)
                .copy_from_slice(&self.row(source)[from.clone()]);
        }
        out
    }

    /// Adds `other`, of the same size.
    ///
    /// # Panics
    /// Where the sizes differ.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(
            (self.height, self.width, self.channels),
            (other.height, other.width, other.channels)
        );
        for y in 0..self.height {
            for (a, b) in self.row_mut(y).iter_mut().zip(other.row(y)) {
                *a += b;
            }
        }
    }

    /// The channels `from..from + count` alone.
    pub fn channel_range(&self, from: usize, count: usize) -> Self {
        let mut out = Self::zeros(self.height, self.width, count, 0);
        for y in 0..self.height {
            let source = self.row(y).chunks_exact(self.channels);
            for (to, pixel) in out.row_mut(y).chunks_exact_mut(count).zip(source) {
                to.copy_from_slice(&pixel[from..from + count]);
            }
        }
        out
    }
}
