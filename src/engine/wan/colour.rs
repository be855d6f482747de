//! Between a plate's values and the display space that the models know: RGB by the
//! sRGB curve, -1 for black to 1 for white.
//!
//! A plate has values above white. Up to three quarters of the display's range all
//! is as on any display; above, a logarithm that leaves in the direction in which
//! the curve came bends the rest, up to a peak that the caller chooses, under
//! white. What the model makes comes back by the inverse: its white is the peak.

use serde::{Deserialize, Serialize};

use crate::device::ops::FeatureMap;
use crate::frame::{Picture, Transfer, to_display, to_linear};

/// Display value from which highlights are bent.
const KNEE: f64 = 0.75;

/// The way into a model's display space and back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisplaySpace {
    transfer: Transfer,
    /// How much the logarithm bends; 0 where nothing lies above white.
    bend: f64,
}

impl DisplaySpace {
    /// For plates of `transfer` whose highlights go up to `peak`, in their own
    /// values; white or less (and what is no number) asks for no bend at all.
    pub fn new(transfer: Transfer, peak: f32) -> Self {
        let top = match transfer {
            Transfer::Linear => to_display(peak),
            Transfer::Display => peak,
        };
        let length = f64::from(top.min(1e6)) - KNEE;
        let mut bend = 0.;
        if length > 1. - KNEE {
            // The bend b with which (1 - knee) · ln(1 + b·x) / ln(1 + b·length)
            // begins with the slope 1; that slope grows with b.
            let slope = |b: f64| (1. - KNEE) * b / libm::log1p(b * length);
            let (mut low, mut high) = (0., 1.);
            while slope(high) < 1. {
                high *= 2.;
            }
            for _ in 0..200 {
                bend = 0.5 * (low + high);
                if slope(bend) < 1. {
                    low = bend;
                } else {
                    high = bend;
                }
            }
        }
        Self { transfer, bend }
    }

    /// A plate's value as the model knows it: -1 to 1 for 0 to the peak.
    pub fn to_model(&self, value: f32) -> f32 {
        let mut display = match self.transfer {
            Transfer::Linear => to_display(value),
            Transfer::Display => value,
        };
        if f64::from(display) > KNEE && self.bend > 0. {
            let over = f64::from(display) - KNEE;
            // With the slope 1 at the knee the length drops out.
            display = (KNEE + libm::log1p(self.bend * over) / self.bend) as f32;
        }
        2. * display - 1.
    }

    /// The inverse of [`to_model`](Self::to_model).
    pub fn from_model(&self, value: f32) -> f32 {
        let mut display = 0.5 * value + 0.5;
        if f64::from(display) > KNEE && self.bend > 0. {
            let over = f64::from(display) - KNEE;
            display = (KNEE + libm::expm1(self.bend * over) / self.bend) as f32;
        }
        match self.transfer {
            Transfer::Linear => to_linear(display),
            Transfer::Display => display,
        }
    }

    /// The first three channels of a picture for the VAE; one alone stands for
    /// all three.
    pub fn frame(&self, picture: &Picture) -> FeatureMap {
        let (width, height, channels) = (picture.width(), picture.height(), picture.channels());
        let mut out = FeatureMap::zeros(height, width, 3, 0);
        for y in 0..height {
            let pixels = picture.row(y).chunks_exact(channels);
            for (out, pixel) in out.row_mut(y).chunks_exact_mut(3).zip(pixels) {
                for (c, out) in out.iter_mut().enumerate() {
                    *out = self.to_model(pixel[if channels < 3 { 0 } else { c }]);
                }
            }
        }
        out
    }

    /// What the VAE made as a picture of three channels.
    pub fn picture(&self, frame: &FeatureMap) -> Picture {
        let mut out = Picture::new(frame.width(), frame.height(), 3);
        for y in 0..frame.height() {
            for (out, value) in out.row_mut(y).iter_mut().zip(frame.row(y)) {
                *out = self.from_model(*value);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spaces() -> Vec<(DisplaySpace, f32)> {
        let linear = [0.5, 1., 1.01, 4., 60., 4000.].map(|p| (Transfer::Linear, p));
        let display = [0.9, 1., 1.2, 5.].map(|p| (Transfer::Display, p));
        linear
            .into_iter()
            .chain(display)
            .map(|(transfer, peak)| (DisplaySpace::new(transfer, peak), peak))
            .collect()
    }

    #[test]
    fn highlights_survive_the_way_there_and_back() {
        for (space, peak) in spaces() {
            for i in -200..=2000 {
                let value = peak * i as f32 / 2000.;
                let back = space.from_model(space.to_model(value));
                let apart = (back - value).abs();
                assert!(
                    apart <= 2e-5 * value.abs() + 1e-6,
                    "{space:?}: {value} came back as {back}"
                );
            }
        }
    }

    #[test]
    fn the_peak_is_white_and_all_below_the_knee_is_as_on_a_display() {
        for (space, peak) in spaces() {
            if peak > 1. {
                assert!((space.to_model(peak) - 1.).abs() < 1e-5, "{space:?}");
            }
            assert_eq!(space.to_model(0.), -1.);
            let grey = match space.transfer {
                Transfer::Linear => 0.461_356_13,
                Transfer::Display => 0.18,
            };
            assert!((space.to_model(0.18) - (2. * grey - 1.)).abs() < 1e-6);
        }
    }

    #[test]
    fn the_curve_rises_without_a_kink() {
        for (space, peak) in spaces().into_iter().filter(|(_, peak)| *peak > 1.) {
            // In steps of the display's range, so that slopes compare.
            let display = |x: f32| match space.transfer {
                Transfer::Linear => to_linear(x),
                Transfer::Display => x,
            };
            let slope =
                |x: f32| (space.to_model(display(x + 0.0005)) - space.to_model(display(x))) / 0.001;
            let (before, after) = (slope(0.7494), slope(0.7501));
            assert!((before - after).abs() < 0.03, "{peak}: {before}, {after}");
            let mut last = -1.;
            for i in 1..=500 {
                let now = space.to_model(peak * i as f32 / 500.);
                assert!(now > last, "{peak}");
                last = now;
            }
        }
    }

    #[test]
    fn pictures_of_one_and_of_four_channels_become_rgb() {
        let space = DisplaySpace::new(Transfer::Linear, 8.);
        let rgba = Picture::from_data(2, 1, 4, vec![0., 0.18, 6., 1., 0.5, 0.25, 0.125, 0.]);
        let frame = space.frame(&rgba.unwrap());
        let back = space.picture(&frame);
        for (a, b) in back.data().iter().zip([0., 0.18, 6., 0.5, 0.25, 0.125]) {
            assert!((a - b).abs() < 1e-4);
        }
        let grey = space.frame(&Picture::from_data(1, 1, 1, vec![0.4]).unwrap());
        assert_eq!(grey.at(0, 0), [space.to_model(0.4); 3]);
    }
}
