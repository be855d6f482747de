//! Colour multiplied by alpha, as EXR files and compositors have it, and colour that
//! is not, as PNG files have it.

use std::sync::Arc;

use super::Picture;

/// Where alpha is, and whether colours are multiplied by it before and after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alpha {
    /// The channel.
    pub channel: usize,
    /// Whether colours come multiplied.
    pub before: bool,
    /// Whether they are wanted multiplied.
    pub after: bool,
}

impl Alpha {
    /// Multiplied before and after.
    pub fn both(channel: usize) -> Self {
        Self {
            channel,
            before: true,
            after: true,
        }
    }
}

/// `picture` with `change` made to its channels `colours` as they are without alpha. A
/// colour that nothing covers has no other value to be divided from: where it is black
/// it stays black, and light without cover (a glow) is changed as it is. `None` where
/// `change` gives nothing.
pub(crate) fn around(
    picture: &Arc<Picture>,
    colours: &[usize],
    alpha: Alpha,
    change: impl FnOnce(&Arc<Picture>) -> Option<Picture>,
) -> Option<Picture> {
    let n = picture.channels();
    let part = |pixel: &[f32]| {
        let a = pixel[alpha.channel];
        // What is no number divides nothing.
        if a.is_finite() { a } else { 1.0 }
    };
    let mut straight = picture.clone();
    if alpha.before {
        for pixel in Arc::make_mut(&mut straight).data_mut().chunks_exact_mut(n) {
            let a = part(pixel);
            if a != 0.0 && a != 1.0 {
                for &c in colours {
                    pixel[c] /= a;
                }
            }
        }
    }
    let mut out = change(&straight)?;
    let pixels = out.data_mut().chunks_exact_mut(n);
    for (pixel, was) in pixels.zip(picture.data().chunks_exact(n)) {
        let a = part(was);
        let black = || colours.iter().all(|&c| was[c] == 0.0);
        let by = match (a == 0.0, alpha.before, alpha.after) {
            (true, true, _) => f32::from(!black()),
            (true, false, true) => 0.0,
            (false, _, true) => a,
            (_, _, false) => 1.0,
        };
        if by != 1.0 {
            for &c in colours {
                pixel[c] *= by;
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_and_multiplied_colours_come_from_one_another() {
        let same = |p: &Arc<Picture>| Some((**p).clone());
        let straight = vec![0.5, 0.25, 0.8, 0.25, 0.3, 0.2, 0.1, 0.0];
        let multiplied = vec![0.125, 0.0625, 0.2, 0.25, 0.0, 0.0, 0.0, 0.0];
        let alpha = |before, after| Alpha {
            channel: 3,
            before,
            after,
        };
        let of = |data: &[f32], alpha| {
            let picture = Picture::from_data(2, 1, 4, data.to_vec()).unwrap();
            let made = around(&Arc::new(picture), &[0, 1, 2], alpha, same).unwrap();
            made.data().to_vec()
        };
        assert_eq!(of(&straight, alpha(false, true)), multiplied);
        let back = of(&multiplied, alpha(true, false));
        for (a, b) in back.iter().zip([&straight[..4], &[0.0; 4]].concat()) {
            assert!((a - b).abs() < 1e-6, "{back:?}");
        }
        assert_eq!(of(&straight, alpha(false, false)), straight);
    }
}
