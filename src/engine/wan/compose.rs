//! What the model made as part of the shot: in the plate's values, channels and size,
//! and outside the matte the plate's own bits.

use std::sync::Arc;

use super::colour::DisplaySpace;
use crate::frame::{Conversion, Picture, PlateInfo, Window};

/// Weights of red, green and blue in a grey plate (ITU-R BT.709).
const GREY: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// The window of a frame: `made` (RGB of -1 to 1, of the window's size) as a picture of
/// a plate as `info` tells, by `back` in its colours. Over `plate`, its own window, as far as `matte` says (0 to
/// 1, all of it where there is none); alone, alpha is 1 and other channels are 0.
pub fn composed(
    made: &[f32],
    window: Window,
    space: &DisplaySpace,
    info: &PlateInfo,
    back: Option<&Conversion>,
    plate: Option<&Picture>,
    matte: Option<&Picture>,
) -> Arc<Picture> {
    let (width, height) = (window.width(), window.height());
    let n = info.channels.len().max(1);
    let mut out = match plate {
        Some(plate) => plate.clone(),
        None => Picture::new(width, height, n),
    };
    let at = |name: &str| info.channel(name);
    let colours = [at("R"), at("G"), at("B")];
    let (grey, alpha) = (at("Y"), at("A"));
    let mut lights: Vec<f32> = made.iter().map(|v| space.from_model(*v)).collect();
    if let Some(back) = back {
        back.convert(&mut lights);
    }
    let pixels = out.data_mut().chunks_exact_mut(n);
    for (i, (pixel, light)) in pixels.zip(lights.chunks_exact(3)).enumerate() {
        let covered = match matte {
            Some(matte) => matte.data().get(i).copied().unwrap_or(0.),
            None => 1.,
        };
        // What is no number covers nothing.
        let covered = if covered > 0. { covered.min(1.) } else { 0. };
        if covered == 0. {
            continue;
        }
        let mut lay = |channel: usize, value: f32| {
            let under = pixel[channel];
            pixel[channel] = if covered == 1. {
                value
            } else {
                under + covered * (value - under)
            };
        };
        for (channel, value) in colours.into_iter().zip(light) {
            if let Some(channel) = channel {
                lay(channel, *value);
            }
        }
        if let Some(channel) = grey {
            lay(channel, (0..3).map(|c| GREY[c] * light[c]).sum());
        }
        if let (Some(channel), None) = (alpha, plate) {
            pixel[channel] = 1.;
        }
    }
    Arc::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameRange, Transfer};

    fn info(channels: &[&str]) -> PlateInfo {
        PlateInfo {
            range: FrameRange::new(1, 9).unwrap(),
            width: 3,
            height: 1,
            full_size: (3, 1),
            channels: channels.iter().map(|&c| c.to_owned()).collect(),
            fps: 24.,
            transfer: Transfer::Display,
            pixel_aspect: 1.,
            ids: Vec::new(),
        }
    }

    #[test]
    fn outside_the_matte_the_plate_keeps_its_bits_inside_its_other_channels() {
        let info = info(&["R", "G", "B", "A", "Z"]);
        let data: Vec<f32> = (0..15).map(|i| -3.7 + i as f32 * 1.3).collect();
        let plate = Picture::from_data(3, 1, 5, data).unwrap();
        let matte = Picture::from_data(3, 1, 1, vec![0., 0.5, 7.]).unwrap();
        let space = DisplaySpace::new(Transfer::Display, 1.);
        let made = [0., 0., 0., 1., 1., 1., -1., 0., 1.];
        let window = Window::whole(3, 1);
        let out = composed(
            &made,
            window,
            &space,
            &info,
            None,
            Some(&plate),
            Some(&matte),
        );
        assert_eq!(out.pixel(0, 0), plate.pixel(0, 0));
        for c in 0..3 {
            let half = 0.5 * plate.pixel(1, 0)[c] + 0.5;
            assert!((out.pixel(1, 0)[c] - half).abs() < 1e-6);
        }
        assert_eq!(out.pixel(2, 0)[..3], [0., 0.5, 1.]);
        for x in 0..3 {
            assert_eq!(out.pixel(x, 0)[3..], plate.pixel(x, 0)[3..]);
        }
    }

    #[test]
    fn alone_it_is_opaque() {
        let space = DisplaySpace::new(Transfer::Display, 1.);
        let made = [1., 1., 1., -1., -1., -1., 0., 0., 0.];
        let window = Window::whole(3, 1);
        let out = composed(
            &made,
            window,
            &space,
            &info(&["R", "G", "B", "A"]),
            None,
            None,
            None,
        );
        assert_eq!(out.pixel(2, 0), [0.5, 0.5, 0.5, 1.]);
        let grey = composed(&made, window, &space, &info(&["Y"]), None, None, None);
        assert!((grey.pixel(2, 0)[0] - 0.5).abs() < 1e-6);
    }
}
