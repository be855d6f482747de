//! How sample values relate to light, and the perceptual encoding in which
//! decisions are made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Picture;

/// How a plate's sample values relate to light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transfer {
    /// Proportional to light, as compositors work.
    #[default]
    Linear,
    /// Already encoded for a display (sRGB, Rec.709), as 8-bit footage is.
    Display,
}

impl Transfer {
    /// The value as the eye weighs it, in the encoding in which every decision
    /// is made: the sRGB curve (IEC 61966-2-1) from 0 to 1, continued above 1
    /// by a logarithm of equal slope and below 0 by symmetry, so that
    /// highlights far above 1 count for something and for no more than the eye
    /// gives them. Portable to the last bit.
    #[inline(always)]
    pub fn perceptual(self, value: f32) -> f32 {
        let a = value.abs();
        let e = match self {
            Self::Display if a <= 1.0 => a,
            Self::Linear if a <= 0.003_130_8 => 12.92 * a,
            Self::Linear if a <= 1.0 => 1.055 * libm::powf(a, 1.0 / 2.4) - 0.055,
            // Slope of the sRGB curve at 1 is 1.055 / 2.4; a display value
            // above 1 is taken as such an encoded value already.
            Self::Linear => 1.0 + 1.055 / 2.4 * libm::logf(a),
            Self::Display => 1.0 + libm::logf(a),
        };
        if value < 0.0 { -e } else { e }
    }
}

/// A linear value encoded for a display by the sRGB curve (IEC 61966-2-1).
/// Above 1 the curve goes on as it is, below 0 it is mirrored, so
/// [`to_linear`] gives every value back. Portable to the last bit.
pub fn to_display(linear: f32) -> f32 {
    let a = linear.abs();
    let e = if a <= 0.003_130_8 {
        12.92 * a
    } else {
        1.055 * libm::powf(a, 1.0 / 2.4) - 0.055
    };
    e.copysign(linear)
}

/// A display value by the sRGB curve (IEC 61966-2-1) as light; the inverse of
/// [`to_display`].
pub fn to_linear(display: f32) -> f32 {
    let a = display.abs();
    let l = if a <= 0.040_45 {
        a / 12.92
    } else {
        libm::powf((a + 0.055) / 1.055, 2.4)
    };
    l.copysign(display)
}

/// `picture`, whose values relate to light as `from` says, so that they do as `to` says;
/// `names` are its channels, of which colour has light.
pub(crate) fn recoded<'a>(
    picture: &Arc<Picture>,
    names: impl Iterator<Item = &'a str>,
    from: Transfer,
    to: Transfer,
) -> Arc<Picture> {
    let curve = match (from, to) {
        (Transfer::Linear, Transfer::Display) => to_display,
        (Transfer::Display, Transfer::Linear) => to_linear,
        _ => return picture.clone(),
    };
    let colour: Vec<bool> = names.map(|n| matches!(n, "R" | "G" | "B" | "Y")).collect();
    let mut picture = Picture::clone(picture);
    for pixel in picture.data_mut().chunks_exact_mut(colour.len().max(1)) {
        for (value, _) in pixel.iter_mut().zip(&colour).filter(|(_, is)| **is) {
            *value = curve(*value);
        }
    }
    Arc::new(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perceptual_is_monotonic_continuous_and_odd() {
        for transfer in [Transfer::Linear, Transfer::Display] {
            let mut last = transfer.perceptual(-20.0);
            let mut x = -20.0f32;
            while x < 20.0 {
                x += 1e-3;
                let e = transfer.perceptual(x);
                assert!(e >= last - 1e-6 && e - last < 0.02, "{transfer:?} at {x}");
                assert_eq!(transfer.perceptual(-x), -e);
                last = e;
            }
        }
        assert!((Transfer::Linear.perceptual(0.214_041_1) - 0.5).abs() < 1e-5);
    }

    #[test]
    fn every_16_bit_display_value_survives_a_trip_through_light() {
        for code in 0..=u16::MAX {
            let value = f32::from(code) / 65535.0;
            let back = to_display(to_linear(value));
            assert_eq!((back * 65535.0).round() as u16, code);
        }
        for value in [-3.5f32, -0.01, 1.5, 40.0] {
            assert!((to_display(to_linear(value)) / value - 1.0).abs() < 1e-5);
        }
    }
}
