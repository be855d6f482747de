//! Pictures in more or less light, and light in the encoding that decisions are made in.

use std::sync::Arc;

use rayon::prelude::*;

use crate::device::install;
use crate::frame::{Picture, PlateInfo, Transfer, to_display, to_linear};

/// `picture`, of a plate like `info`, in `gain` times the light, red, green and blue;
/// itself where that is one. Grey goes with green. Alpha and channels that are no colour
/// stay.
pub(in crate::engine::plate) fn lit(
    picture: Arc<Picture>,
    gain: [f32; 3],
    info: &PlateInfo,
) -> Arc<Picture> {
    let channels = picture.channels();
    let mut colour: Vec<(usize, Gain)> = ["R", "G", "B"]
        .iter()
        .zip(gain)
        .filter_map(|(name, gain)| Some((info.channel(name)?, gain)))
        .map(|(c, gain)| (c, Gain::of(gain, info.transfer)))
        .collect();
    if colour.is_empty() {
        let grey = info.channel("Y").unwrap_or(0);
        colour.push((grey, Gain::of(gain[1], info.transfer)));
    }
    // Names of things have no light.
    let ids = info.id_channels();
    colour.retain(|(c, gain)| *c < channels && gain.light != 1.0 && !ids.contains(c));
    if colour.is_empty() {
        return picture;
    }
    let mut made = Picture::clone(&picture);
    let row = made.width() * channels;
    if row > 0 {
        install(|| {
            made.data_mut().par_chunks_mut(row).for_each(|row| {
                for pixel in row.chunks_exact_mut(channels) {
                    for (c, gain) in &colour {
                        pixel[*c] = gain.of_value(pixel[*c]);
                    }
                }
            });
        });
    }
    Arc::new(made)
}

/// A gain in light as it works on samples. On the sRGB curve (IEC 61966-2-1), whose
/// upper part is `1.055 l^(1/2.4) - .055`, it is a gain in `e + .055`, and on the straight
/// part below one in `e`: only samples that go from the one to the other take the way
/// through light.
struct Gain {
    light: f32,
    /// What `e + .055` is multiplied by; none of a linear plate.
    encoded: Option<f32>,
    /// Values up to this stay on the straight part; values from `high` on stay off it.
    low: f32,
    high: f32,
}

impl Gain {
    fn of(light: f32, transfer: Transfer) -> Self {
        let knee = to_linear(KNEE);
        // A little to spare on either side, since the two parts of the curve do not
        // quite meet.
        let (down, up) = (light.max(1.0), light.min(1.0));
        Self {
            light,
            encoded: (transfer == Transfer::Display).then(|| libm::powf(light, 1.0 / 2.4)),
            low: 12.92 * 0.999 * knee / down,
            high: to_display(1.001 * knee / up),
        }
    }

    fn of_value(&self, value: f32) -> f32 {
        let Some(encoded) = self.encoded else {
            return value * self.light;
        };
        let a = value.abs();
        let e = if a >= self.high {
            encoded * (a + 0.055) - 0.055
        } else if a <= self.low {
            a * self.light
        } else {
            // What is no number ends here, and stays none.
            to_display(to_linear(a) * self.light)
        };
        e.copysign(value)
    }
}

/// Where the two parts of the sRGB curve meet, encoded.
const KNEE: f32 = 0.040_45;

/// The light of an encoded value: the inverse of [`encoded`].
pub(super) fn light(e: f32, transfer: Transfer) -> f32 {
    let a = e.abs();
    let value = match transfer {
        _ if a <= 1.0 => to_linear(a),
        Transfer::Linear => libm::expf((a - 1.0) * 2.4 / 1.055),
        Transfer::Display => to_linear(libm::expf(a - 1.0)),
    };
    value.copysign(e)
}

/// Light in the perceptual encoding of a plate's values.
pub(super) fn encoded(light: f32, transfer: Transfer) -> f32 {
    match transfer {
        Transfer::Linear => transfer.perceptual(light),
        Transfer::Display => transfer.perceptual(to_display(light)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_values_are_light_and_back() {
        for transfer in [Transfer::Linear, Transfer::Display] {
            for e in [-0.7f32, 0.0, 0.02, 0.4, 1.0, 1.3, 2.0] {
                let back = encoded(light(e, transfer), transfer);
                assert!((back - e).abs() < 1e-4, "{transfer:?} {e}: {back}");
            }
        }
    }

    #[test]
    fn a_gain_in_light_needs_no_way_through_light() {
        for light in [0.7f32, 0.93, 1.0 / 1.0003, 1.02, 1.6] {
            let gain = Gain::of(light, Transfer::Display);
            for code in 0..=70_000u32 {
                for value in [code as f32 / 65_535.0, -(code as f32) / 65_535.0] {
                    let due = to_display(to_linear(value) * light);
                    let got = gain.of_value(value);
                    // The two parts of the curve are 2e-7 apart where they meet.
                    assert!(
                        (got - due).abs() < 1e-6,
                        "{value} times {light}: {got} for {due}"
                    );
                }
            }
            assert!(gain.of_value(f32::NAN).is_nan());
            assert_eq!(gain.of_value(f32::INFINITY), f32::INFINITY);
            assert_eq!(
                Gain::of(light, Transfer::Linear).of_value(-3.0),
                -3.0 * light
            );
        }
    }
}
