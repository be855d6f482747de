//! Normalisation of features by their length at each position.

use rayon::prelude::*;

use super::activation;
use super::feature_map::FeatureMap;
use crate::device::install;

/// `x / |x| · gain` at each position, `|x|` over its channels, then SiLU where
/// `with_silu`; with a border of `border`.
///
/// # Panics
/// Where `gain` has not one number for each channel.
pub fn normalise(x: &FeatureMap, gain: &[f32], with_silu: bool, border: usize) -> FeatureMap {
    assert_eq!(gain.len(), x.channels());
    let (height, width, channels) = (x.height(), x.width(), x.channels());
    let mut out = FeatureMap::zeros(height, width, channels, border);
    if height * width == 0 {
        return out;
    }
    let (pitch, skip, memory) = out.rows_mut();
    install(|| {
        memory
            .par_chunks_mut(pitch)
            .enumerate()
            .for_each(|(y, row)| {
                let row = &mut row[skip..skip + width * channels];
                activation::normalise(x.row(y), gain, with_silu, row);
            });
    });
    out
}
