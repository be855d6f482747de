//! A picture in memory and windows of it.

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

    /// Size in memory in bytes.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}
