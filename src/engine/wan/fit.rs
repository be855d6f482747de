//! How a plate's pictures lie in those that the model works on.

use serde::{Deserialize, Serialize};

use crate::device::ops::FeatureMap;
use crate::frame::{Filter, Picture, PlateInfo, Window, resampled};

/// A plate's picture in the upper left of the model's, as large as the artist allows
/// and of the plate's shape; its last row and column go on to the model's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// Width and height that the plate's picture has.
    pub content: [usize; 2],
    /// Width and height that the model makes: the next it can.
    pub canvas: [usize; 2],
}

impl Fit {
    /// Fits a plate as `info` tells into `size`, for a model that makes multiples of
    /// `step` pixels across and down. The same at any render scale.
    pub fn new(info: &PlateInfo, size: [usize; 2], step: [usize; 2]) -> Self {
        Self::of(Self::shape(info), size, step)
    }

    /// Width and height of a plate as `info` tells, in square pixels of its rows.
    pub fn shape(info: &PlateInfo) -> [f64; 2] {
        let (width, height) = info.full_size;
        let wide = width.max(1) as f64 * info.pixel_aspect.clamp(1e-3, 1e3);
        [wide, height.max(1) as f64]
    }

    /// As [`new`](Self::new), for a plate of that shape.
    pub fn of([wide, tall]: [f64; 2], size: [usize; 2], step: [usize; 2]) -> Self {
        let scale = (size[0] as f64 / wide).min(size[1] as f64 / tall);
        let side = |length: f64| ((length * scale).round() as usize).max(1);
        let content = [side(wide), side(tall)];
        let up = |i: usize| content[i].div_ceil(step[i].max(1)) * step[i].max(1);
        Self {
            content,
            canvas: [up(0), up(1)],
        }
    }

    /// The first three channels of `picture` (one alone stands for all three) at the
    /// model's size, in the picture's own values.
    pub fn take(&self, picture: &Picture) -> FeatureMap {
        let (width, height, n) = (picture.width(), picture.height(), picture.channels());
        let [wide, tall] = self.content;
        let all = (0..tall, 0..wide);
        let small = resampled(
            picture.data(),
            (height, width, n),
            (tall, wide),
            all,
            Filter::Triangle,
        );
        self.spread(3, |x, y, out| {
            let pixel = &small[(y * wide + x) * n..][..n];
            for (c, out) in out.iter_mut().enumerate() {
                *out = pixel[if n < 3 { 0 } else { c }];
            }
        })
    }

    /// Where any of `matte` (one channel) is above 0, at the model's size: 1, else 0.
    pub fn covered(&self, matte: &Picture) -> FeatureMap {
        let (width, height, n) = (matte.width(), matte.height(), matte.channels());
        let [wide, tall] = self.content;
        // All that a pixel of the model touches, so that nothing covered is left.
        let touched = |i: usize, from: usize, to: usize| {
            let first = (i * from / to).min(from.saturating_sub(1));
            first..((i + 1) * from).div_ceil(to).clamp(first + 1, from.max(1))
        };
        self.spread(1, |x, y, out| {
            let mut rows = touched(y, height, tall);
            let any = rows.any(|row| {
                let mut columns = touched(x, width, wide);
                columns.any(|column| matte.data()[(row * width + column) * n] > 0.)
            });
            out[0] = f32::from(any);
        })
    }

    fn spread(&self, channels: usize, pixel: impl Fn(usize, usize, &mut [f32])) -> FeatureMap {
        let ([wide, tall], [columns, rows]) = (self.content, self.canvas);
        let mut out = FeatureMap::zeros(rows, columns, channels, 0);
        for y in 0..rows {
            let row = out.row_mut(y);
            for (x, out) in row.chunks_exact_mut(channels).enumerate() {
                pixel(x.min(wide - 1), y.min(tall - 1), out);
            }
        }
        out
    }

    /// The part `window` of a picture `size` wide and high, whose plate's part of the
    /// model's picture is `content`, RGB row by row: RGB of -1 to 1 as it was.
    pub fn back(&self, content: &[f32], size: (usize, usize), window: Window) -> Vec<f32> {
        let [wide, tall] = self.content;
        let span = |a: i32, b: i32, most: usize| {
            let at = |v: i32| usize::try_from(v).unwrap_or(0).min(most);
            at(a)..at(b)
        };
        let rows = span(window.y0, window.y1, size.1);
        let columns = span(window.x0, window.x1, size.0);
        let mut out = resampled(
            content,
            (tall, wide, 3),
            (size.1, size.0),
            (rows, columns),
            Filter::Cubic,
        );
        // The filter overshoots; the display does not.
        out.iter_mut().for_each(|v| *v = v.clamp(-1., 1.));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameRange, Transfer};

    fn info(width: usize, height: usize, aspect: f64) -> PlateInfo {
        PlateInfo {
            range: FrameRange::new(1, 9).unwrap(),
            width,
            height,
            full_size: (width, height),
            channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
            fps: 24.,
            transfer: Transfer::Linear,
            pixel_aspect: aspect,
            ids: Vec::new(),
        }
    }

    #[test]
    fn the_plate_s_shape_is_kept_and_the_model_s_steps_are_filled() {
        let fit = |w, h, aspect, size| Fit::new(&info(w, h, aspect), size, [16, 16]);
        let full = fit(1920, 1080, 1., [832, 480]);
        assert_eq!((full.content, full.canvas), ([832, 468], [832, 480]));
        let tall = fit(1080, 1920, 1., [832, 480]);
        assert_eq!((tall.content, tall.canvas), ([270, 480], [272, 480]));
        let wide = fit(1440, 1080, 2., [832, 480]);
        assert_eq!(wide.content, [832, 312], "pixels of this plate are wide");
        assert_eq!(fit(33, 17, 1., [33, 17]).canvas, [48, 32]);
        let exact = fit(48, 32, 1., [48, 32]);
        assert_eq!(exact.content, exact.canvas);
    }

    #[test]
    fn a_picture_of_the_model_s_size_keeps_its_bits_and_the_edge_goes_on() {
        let fit = Fit::new(&info(5, 3, 1.), [5, 3], [4, 4]);
        assert_eq!(fit.canvas, [8, 4]);
        let data: Vec<f32> = (0..5 * 3 * 4).map(|i| i as f32 * 0.37 - 3.).collect();
        let picture = Picture::from_data(5, 3, 4, data).unwrap();
        let taken = fit.take(&picture);
        for y in 0..4 {
            for x in 0..8 {
                assert_eq!(taken.at(y, x), &picture.pixel(x.min(4), y.min(2))[..3]);
            }
        }
    }

    #[test]
    fn the_least_speck_of_a_matte_counts() {
        let fit = Fit::new(&info(100, 60, 1.), [25, 15], [1, 1]);
        let mut matte = Picture::new(100, 60, 1);
        matte.row_mut(41)[77] = 0.001;
        let covered = fit.covered(&matte);
        let mut places = Vec::new();
        for y in 0..15 {
            for x in 0..25 {
                if covered.at(y, x)[0] > 0. {
                    places.push((x, y));
                }
            }
        }
        assert_eq!(places, [(19, 10)]);
    }
}
