//! Reference pictures: what is to be seen, as a VACE model takes it.

use std::path::Path;

use super::colour::DisplaySpace;
use crate::device::ops::FeatureMap;
use crate::frame::{FilePlate, FrameError, Picture, PlateOptions, PlateReader};

/// The picture at `path` whole in the middle of white, at the model's size, in display
/// space.
///
/// # Errors
/// Where it cannot be read.
pub fn read(path: &Path, canvas: [usize; 2]) -> Result<FeatureMap, FrameError> {
    let mut file = FilePlate::open(path, &PlateOptions::default())?;
    let first = file.info().range.first;
    let picture = file.read(first)?;
    let highest = picture.data().iter().copied().filter(|v| v.is_finite());
    let space = DisplaySpace::new(file.info().transfer, highest.fold(1., f32::max));
    Ok(placed(&picture, &space, canvas))
}

/// As the reference implementation does it: scaled by the mean of the four places
/// around, sides cut to whole pixels. That one first bends a picture whose sides are
/// no whole eights until they are; this one leaves its shape.
fn placed(picture: &Picture, space: &DisplaySpace, canvas: [usize; 2]) -> FeatureMap {
    let (width, height, n) = (picture.width(), picture.height(), picture.channels());
    let scale = (canvas[0] as f64 / width as f64).min(canvas[1] as f64 / height as f64);
    // So that a side that fits exactly is not cut by rounding.
    let side = |length: usize| ((length as f64 * scale + 1e-9) as usize).max(1);
    let (wide, tall) = (side(width), side(height));
    let (left, top) = (
        (canvas[0] - wide.min(canvas[0])) / 2,
        (canvas[1] - tall.min(canvas[1])) / 2,
    );
    let place = |i: usize, from: usize, to: usize| {
        let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.);
        let low = (at as usize).min(from - 1);
        (low, (low + 1).min(from - 1), (at - low as f64) as f32)
    };
    let mut out = FeatureMap::zeros(canvas[1], canvas[0], 3, 0).map(0, |_| 1.);
    for y in 0..tall.min(canvas[1]) {
        let (y0, y1, v) = place(y, height, tall);
        let row = &mut out.row_mut(top + y)[left * 3..];
        for (x, pixel) in row.chunks_exact_mut(3).take(wide).enumerate() {
            let (x0, x1, u) = place(x, width, wide);
            for (c, value) in pixel.iter_mut().enumerate() {
                let k = if n < 3 { 0 } else { c };
                let at = |x: usize, y: usize| space.to_model(picture.pixel(x, y)[k]);
                let above = at(x0, y0) * (1. - u) + at(x1, y0) * u;
                let below = at(x0, y1) * (1. - u) + at(x1, y1) * u;
                *value = above * (1. - v) + below * v;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Transfer;

    #[test]
    fn a_reference_is_whole_in_the_middle_of_white() {
        let picture = Picture::from_data(2, 1, 3, vec![0., 0., 0., 0.5, 0.5, 0.5]).unwrap();
        let space = DisplaySpace::new(Transfer::Display, 1.);
        let out = placed(&picture, &space, [4, 6]);
        for y in 0..6 {
            let inside = (2..4).contains(&y);
            assert_eq!(out.at(y, 0)[0], if inside { -1. } else { 1. }, "row {y}");
        }
        let middle: Vec<f32> = (0..4).map(|x| out.at(2, x)[1]).collect();
        assert_eq!(middle, [-1., -0.75, -0.25, 0.]);
    }
}
