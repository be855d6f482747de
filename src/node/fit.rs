//! Where a plate file lies in the host's picture, and at what size.

use super::file::FileSource;
use super::pixels::Rect;
use crate::frame::{Picture, Window};

/// How a plate file's pictures come to the host's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    /// Where the whole picture lies, in the host's pixels.
    pub canvas: Rect,
    /// The plate is read at one `factor`-th of its size.
    pub factor: usize,
    /// Whether the pictures must be resized to the canvas after that.
    pub resize: bool,
}

impl Fit {
    /// Fits the format of `file` into `format`, the host's pixels for it at
    /// the scale of the render.
    pub fn new(file: &FileSource, format: &Rect) -> Self {
        Self::of(&file.display, &file.data, format)
    }

    fn of(display: &Window, data: &Window, format: &Rect) -> Self {
        let (across, up) = (
            format.width() as f64 / display.width().max(1) as f64,
            format.height() as f64 / display.height().max(1) as f64,
        );
        let larger = across.max(up).max(1e-9);
        let factor = ((1.0 / larger) + 0.01).floor().max(1.0) as usize;
        let left = f64::from(format.x1) + f64::from(data.x0 - display.x0) * across;
        let top = f64::from(format.y2) - f64::from(data.y0 - display.y0) * up;
        let (x1, y2) = (left.round() as i32, top.round() as i32);
        // The size that the plate has when read; a pixel more or less than the
        // host's rounding is cut off or left black, not resized for.
        let read = |n: usize| n.div_ceil(factor);
        let near = |n: usize, scale: f64| (read(n) as f64 - n as f64 * scale).abs() <= 1.0;
        let resize = !(near(display.width(), across) && near(display.height(), up));
        let size = if resize {
            let to = |n: usize, scale: f64| ((n as f64 * scale).round() as i32).max(1);
            (to(data.width(), across), to(data.height(), up))
        } else {
            (read(data.width()) as i32, read(data.height()) as i32)
        };
        Self {
            canvas: Rect {
                x1,
                y1: y2 - size.1,
                x2: x1 + size.0,
                y2,
            },
            factor,
            resize,
        }
    }
}

/// `picture` in another size: each pixel is a mean of the four around its
/// place, weighted by nearness.
pub(super) fn resized(picture: &Picture, width: usize, height: usize) -> Picture {
    let n = picture.channels();
    let mut out = Picture::new(width, height, n);
    let place = |i: usize, from: usize, to: usize| {
        let at = (i as f32 + 0.5) * from as f32 / to as f32 - 0.5;
        let at = at.clamp(0.0, from.saturating_sub(1) as f32);
        let low = at.floor() as usize;
        (low, (low + 1).min(from.saturating_sub(1)), at - low as f32)
    };
    for y in 0..height {
        let (y0, y1, v) = place(y, picture.height(), height);
        let (above, below) = (picture.row(y0), picture.row(y1));
        for (x, pixel) in out.row_mut(y).chunks_exact_mut(n).enumerate() {
            let (x0, x1, u) = place(x, picture.width(), width);
            for (k, sample) in pixel.iter_mut().enumerate() {
                let mix = |row: &[f32]| row[x0 * n + k] * (1.0 - u) + row[x1 * n + k] * u;
                *sample = mix(above) * (1.0 - v) + mix(below) * v;
            }
        }
    }
    out
}

/// What is done with colours that a file has with alpha, or without, and the host
/// the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    /// Nothing.
    Stays,
    /// They are multiplied by alpha.
    Multiplied,
    /// They are divided by alpha, where there is any.
    Divided,
}

/// Multiplies colours by alpha, one of `names`, or divides them by it.
pub(super) fn with_alpha(picture: &mut Picture, names: &[&str], how: Alpha) {
    let Some(alpha) = names.iter().position(|&n| n == "A") else {
        return;
    };
    for pixel in picture.data_mut().chunks_exact_mut(names.len()) {
        let a = pixel[alpha];
        let colours = pixel.iter_mut().enumerate().filter(|(k, _)| *k != alpha);
        match how {
            Alpha::Multiplied => colours.for_each(|(_, c)| *c *= a),
            Alpha::Divided if a > 0.0 => colours.for_each(|(_, c)| *c /= a),
            Alpha::Divided | Alpha::Stays => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(x0: i32, y0: i32, x1: i32, y1: i32) -> Window {
        Window { x0, y0, x1, y1 }
    }

    fn rect(x1: i32, y1: i32, x2: i32, y2: i32) -> Rect {
        Rect { x1, y1, x2, y2 }
    }

    #[test]
    fn a_plate_of_the_format_needs_no_resizing_at_any_proxy() {
        let format = window(0, 0, 1921, 1080);
        for (factor, to) in [
            (1, rect(0, 0, 1921, 1080)),
            (2, rect(0, 0, 961, 540)),
            (2, rect(0, 0, 960, 540)),
            (4, rect(0, 0, 481, 270)),
        ] {
            let fit = Fit::of(&format, &format, &to);
            assert_eq!((fit.factor, fit.resize), (factor, false), "{to:?}");
            assert_eq!((fit.canvas.x1, fit.canvas.y2), (0, to.y2));
        }
    }

    #[test]
    fn a_cropped_plate_lies_where_its_file_says() {
        // 10 pixels from the left, 20 from the top, of a format that starts at
        // (100, 50) in the host.
        let fit = Fit::of(
            &window(0, 0, 200, 100),
            &window(10, 20, 60, 50),
            &rect(100, 50, 300, 150),
        );
        assert_eq!(fit.canvas, rect(110, 100, 160, 130));
        assert!(!fit.resize);
    }

    #[test]
    fn another_format_is_resized() {
        let fit = Fit::of(
            &window(0, 0, 320, 180),
            &window(0, 0, 320, 180),
            &rect(0, 0, 480, 270),
        );
        assert_eq!(fit.canvas, rect(0, 0, 480, 270));
        assert!(fit.resize && fit.factor == 1);
        let ramp = Picture::from_data(4, 1, 1, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(
            resized(&ramp, 8, 1).data(),
            [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]
        );
    }
}
