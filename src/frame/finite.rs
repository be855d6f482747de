//! Samples that are no numbers, which renders and bad files leave in plates.

use half::f16;

use super::Picture;

/// How many samples were replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    pub(crate) nan: usize,
    pub(crate) infinite: usize,
}

/// What the samples of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Samples {
    /// Light or coverage.
    Colour,
    /// Depth and the like, where infinity has a meaning.
    Data,
    /// Names of things, whatever bits they are: left as they are.
    Ids,
}

/// Replaces each sample that is not finite by the mean of the finite samples
/// of its channel around it (3 by 3, then 7 by 7 pixels, else 0), so that it
/// reaches neither its neighbours nor any decision. Infinity
/// of [`Samples::Data`] becomes the largest half.
pub(crate) fn mend(picture: &mut Picture, of: impl Fn(usize) -> Samples) -> Mended {
    let mut mended = Mended::default();
    if picture
        .data()
        .iter()
        .fold(true, |all, v| all & v.is_finite())
    {
        return mended;
    }
    let channels = picture.channels();
    let row = picture.width() * channels;
    let mut replaced = Vec::new();
    for (i, value) in picture.data().iter().enumerate() {
        if value.is_finite() {
            continue;
        }
        let channel = i % channels;
        let samples = of(channel);
        if samples == Samples::Ids {
            continue;
        }
        if value.is_nan() {
            mended.nan += 1;
        } else {
            mended.infinite += 1;
        }
        let new = if value.is_infinite() && samples == Samples::Data {
            f16::MAX.to_f32().copysign(*value)
        } else {
            let (x, y) = (i % row / channels, i / row);
            [1, 3]
                .iter()
                .find_map(|&reach| mean_around(picture, x, y, channel, reach))
                .unwrap_or(0.0)
        };
        replaced.push((i, new));
    }
    for (i, new) in replaced {
        picture.data_mut()[i] = new;
    }
    mended
}

fn mean_around(picture: &Picture, x: usize, y: usize, channel: usize, reach: usize) -> Option<f32> {
    let (mut sum, mut count) = (0.0f64, 0);
    for y in y.saturating_sub(reach)..(y + reach + 1).min(picture.height()) {
        for x in x.saturating_sub(reach)..(x + reach + 1).min(picture.width()) {
            let value = picture.pixel(x, y)[channel];
            if value.is_finite() {
                sum += f64::from(value);
                count += 1;
            }
        }
    }
    (count > 0).then(|| (sum / f64::from(count)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_number_changes() {
        let mut picture = Picture::new(5, 5, 2);
        for (i, v) in picture.data_mut().iter_mut().enumerate() {
            *v = i as f32;
        }
        let whole = picture.clone();
        picture.data_mut()[24] = f32::NAN;
        picture.data_mut()[0] = f32::INFINITY;
        picture.data_mut()[1] = f32::NEG_INFINITY;
        let mended = mend(&mut picture, |c| match c {
            0 => Samples::Colour,
            _ => Samples::Data,
        });
        assert_eq!((mended.nan, mended.infinite), (1, 2));
        for (i, (a, b)) in picture.data().iter().zip(whole.data()).enumerate() {
            match i {
                // The ramp is its own mean, but at the corner.
                24 => assert_eq!(a, b),
                0 => assert_eq!(*a, (2.0 + 10.0 + 12.0) / 3.0),
                1 => assert_eq!(*a, -65504.0),
                _ => assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn a_picture_of_nothing_becomes_black() {
        let mut picture = Picture::from_data(9, 9, 1, vec![f32::NAN; 81]).unwrap();
        assert_eq!(mend(&mut picture, |_| Samples::Colour).nan, 81);
        assert!(picture.data().iter().all(|&v| v == 0.0));
    }
}
