//! A plate made smaller, as a host's proxy is.

use std::sync::Arc;

use super::{FrameError, Picture, PlateInfo, PlateReader, Warning};

/// Frames at one half, one third, … of their size: each pixel is the mean of
/// the square of pixels that it covers, of those that there are at the right
/// and lower edges, but of channels whose samples name things the sample amid them.
/// `full_size` stays, so that the motion is that of the full
/// size.
pub struct ScaledPlate<R> {
    inner: R,
    info: PlateInfo,
    factor: usize,
}

impl<R: PlateReader> ScaledPlate<R> {
    /// Frames of `inner` at one `factor`-th of their width and height, rounded
    /// up; 0 counts as 1.
    pub fn new(inner: R, factor: usize) -> Self {
        let factor = factor.max(1);
        let info = inner.info();
        let info = PlateInfo {
            width: info.width.div_ceil(factor),
            height: info.height.div_ceil(factor),
            ..info.clone()
        };
        Self {
            inner,
            info,
            factor,
        }
    }

    /// The plate behind.
    pub fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: PlateReader> PlateReader for ScaledPlate<R> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let picture = self.inner.read(frame)?;
        if self.factor == 1 {
            return Ok(picture);
        }
        let mut small = shrink(&picture, self.factor);
        pick(&mut small, &picture, self.factor, &self.info.id_channels());
        Ok(Arc::new(small))
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.inner.prefetch(frames);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.inner.take_warnings()
    }
}

fn shrink(picture: &Picture, factor: usize) -> Picture {
    let n = picture.channels();
    let (width, height) = (picture.width(), picture.height());
    let mut out = Picture::new(width.div_ceil(factor), height.div_ceil(factor), n);
    for y in 0..out.height() {
        let rows = y * factor..((y + 1) * factor).min(height);
        let row = out.row_mut(y);
        for from in rows.clone() {
            for (pixel, square) in row
                .chunks_exact_mut(n)
                .zip(picture.row(from).chunks(factor * n))
            {
                for source in square.chunks_exact(n) {
                    for (sum, value) in pixel.iter_mut().zip(source) {
                        *sum += value;
                    }
                }
            }
        }
        for (x, pixel) in row.chunks_exact_mut(n).enumerate() {
            let columns = factor.min(width - x * factor);
            let part = 1.0 / (columns * rows.len()) as f32;
            for value in pixel {
                *value *= part;
            }
        }
    }
    out
}

/// Gives `small` in `channels` the sample of `picture` amid each square.
fn pick(small: &mut Picture, picture: &Picture, factor: usize, channels: &[usize]) {
    let n = picture.channels();
    let amid = |i: usize, end: usize| (i * factor + factor / 2).min(end - 1);
    for y in 0..small.height() {
        let from = amid(y, picture.height());
        for (x, pixel) in small.row_mut(y).chunks_exact_mut(n).enumerate() {
            let from = picture.pixel(amid(x, picture.width()), from);
            for &c in channels {
                pixel[c] = from[c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_the_mean_of_those_it_covers() {
        let data: Vec<f32> = (0..5 * 3 * 2).map(|i| i as f32).collect();
        let picture = Picture::from_data(5, 3, 2, data).unwrap();
        let half = shrink(&picture, 2);
        assert_eq!((half.width(), half.height(), half.channels()), (3, 2, 2));
        assert_eq!(half.pixel(0, 0), [6.0, 7.0]);
        // Right edge: one column; lower right corner: one pixel.
        assert_eq!(half.pixel(2, 0), [13.0, 14.0]);
        assert_eq!(half.pixel(2, 1), [28.0, 29.0]);
    }
}
