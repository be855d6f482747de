//! A picture in memory and windows of it.

use std::sync::Arc;

/// A rectangle of pixels, half open: `x0 <= x < x1`, `y0 <= y < y1`, with the
/// origin at the top left pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Left edge.
    pub x0: i32,
    /// Top edge.
    pub y0: i32,
    /// Right edge, outside.
    pub x1: i32,
    /// Bottom edge, outside.
    pub y1: i32,
}

impl Window {
    /// The window of a whole picture.
    pub fn whole(width: usize, height: usize) -> Self {
        Self {
            x0: 0,
            y0: 0,
            x1: width as i32,
            y1: height as i32,
        }
    }

    /// Width in pixels, 0 where the window is empty.
    pub fn width(&self) -> usize {
        (self.x1 - self.x0).max(0) as usize
    }

    /// Height in pixels, 0 where the window is empty.
    pub fn height(&self) -> usize {
        (self.y1 - self.y0).max(0) as usize
    }

    /// The part that both windows cover, possibly empty.
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }
}

/// Interleaved 32-bit float pixels, row 0 on top. Values are what the plate
/// holds (scene-linear unless its [`Transfer`](super::Transfer) says
/// otherwise); those above 1 and below 0 are ordinary.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    data: Vec<f32>,
}

impl Picture {
    /// A picture of zeros. `channels` is at least 1.
    pub fn new(width: usize, height: usize, channels: usize) -> Self {
        Self {
            width,
            height,
            channels,
            data: vec![0.0; width * height * channels],
        }
    }

    /// A picture over `data`, or `None` where its length is not
    /// `width * height * channels`.
    pub fn from_data(width: usize, height: usize, channels: usize, data: Vec<f32>) -> Option<Self> {
        (data.len() == width * height * channels).then_some(Self {
            width,
            height,
            channels,
            data,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Floats in a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All samples, row by row, pixel by pixel.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All samples, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The samples of row `y`.
    ///
    /// # Panics
    /// Where the picture has no such row.
    pub fn row(&self, y: usize) -> &[f32] {
        let n = self.width * self.channels;
        &self.data[y * n..(y + 1) * n]
    }

    /// The samples of row `y`, to be written.
    ///
    /// # Panics
    /// Where the picture has no such row.
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let n = self.width * self.channels;
        &mut self.data[y * n..(y + 1) * n]
    }

    /// The samples of the pixel at column `x` of row `y`.
    ///
    /// # Panics
    /// Where the picture has no such pixel.
    pub fn pixel(&self, x: usize, y: usize) -> &[f32] {
        let i = (y * self.width + x) * self.channels;
        &self.data[i..i + self.channels]
    }

    /// The part of `picture` inside `window`, bit for bit: the same picture
    /// where that is all of it, a copy otherwise (empty where they are apart).
    pub fn crop(picture: &Arc<Self>, window: Window) -> Arc<Self> {
        let whole = Window::whole(picture.width, picture.height);
        let window = window.intersection(&whole);
        if window == whole {
            return Arc::clone(picture);
        }
        let (width, height) = (window.width(), window.height());
        let mut data = Vec::with_capacity(width * height * picture.channels);
        if width > 0 {
            for y in window.y0..window.y1 {
                let from = window.x0 as usize * picture.channels;
                data.extend_from_slice(
                    &picture.row(y as usize)[from..from + width * picture.channels],
                );
            }
        }
        Arc::new(Self {
            width,
            height: if width > 0 { height } else { 0 },
            channels: picture.channels,
            data,
        })
    }

    /// Size in memory in bytes.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_is_a_part_and_the_whole_is_shared() {
        let data = (0..5 * 4 * 2).map(|i| i as f32).collect();
        let picture = Arc::new(Picture::from_data(5, 4, 2, data).unwrap());
        let window = |x0, y0, x1, y1| Window { x0, y0, x1, y1 };
        assert!(Arc::ptr_eq(
            &picture,
            &Picture::crop(&picture, window(-3, 0, 9, 9))
        ));
        let part = Picture::crop(&picture, window(1, 2, 4, 9));
        assert_eq!((part.width(), part.height()), (3, 2));
        assert_eq!(part.pixel(2, 1), picture.pixel(3, 3));
        assert!(
            Picture::crop(&picture, window(7, 0, 9, 4))
                .data()
                .is_empty()
        );
    }
}
