//! Attention of the positions of one frame among themselves, with one head.

use rayon::prelude::*;

use super::activation::softmax_rows;
use super::feature_map::FeatureMap;
use super::product::Packed;
use crate::device::{Cancel, Cancelled, install};

/// Queries that are answered together: their scores are what is kept in memory.
const QUERIES: usize = 64;

/// `softmax(q·kᵀ / √c)·v` over all positions of a frame; `qkv` holds queries,
/// keys and values, `c` channels each, side by side.
///
/// # Panics
/// Where the channels are not three times something.
pub fn self_attention(
    qkv: &FeatureMap,
    cancel: &Cancel,
) -> std::result::Result<FeatureMap, Cancelled> {
    let channels = qkv.channels() / 3;
    assert_eq!(channels * 3, qkv.channels());
    let (width, count) = (qkv.width(), qkv.height() * qkv.width());
    let at = |i: usize| qkv.at(i / width, i % width);
    let scale = 1. / (channels as f32).sqrt();
    let keys = Packed::new(channels, count, |o, i| at(o)[channels + i] * scale);
    let values = Packed::new(count, channels, |o, i| at(i)[2 * channels + o]);
    let mut out = vec![0.; count * channels];
    install(|| {
        out.par_chunks_mut(QUERIES * channels)
            .enumerate()
            .for_each(|(block, out)| {
                if cancel.is_cancelled() {
                    return;
                }
                let here = out.len() / channels;
                let mut queries = Vec::with_capacity(out.len());
                for i in 0..here {
                    queries.extend_from_slice(&at(block * QUERIES + i)[..channels]);
                }
                let mut scores = vec![0.; here * count];
                keys.multiply(&queries, channels, here, &mut scores, count);
                softmax_rows(&mut scores, count);
                values.multiply(&scores, count, here, out, channels);
            });
    });
    if cancel.is_cancelled() {
        return Err(Cancelled);
    }
    Ok(FeatureMap::from_rows(qkv.height(), width, channels, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_definition_says() {
        for (height, width, channels) in [(1, 1, 4), (3, 5, 7), (9, 11, 20)] {
            let count = height * width;
            let data: Vec<f32> = (0..count * channels * 3)
                .map(|i| ((i * 7919 % 1013) as f32 - 500.) * 0.004)
                .collect();
            let qkv = FeatureMap::from_rows(height, width, channels * 3, data.clone());
            let out = self_attention(&qkv, &Cancel::default()).unwrap();
            let part = |i: usize, p: usize, c: usize| f64::from(data[(i * 3 + p) * channels + c]);
            for q in 0..count {
                let weights: Vec<f64> = (0..count)
                    .map(|k| {
                        let dot: f64 = (0..channels).map(|c| part(q, 0, c) * part(k, 1, c)).sum();
                        (dot / (channels as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for c in 0..channels {
                    let exact: f64 = (0..count).map(|k| weights[k] * part(k, 2, c)).sum();
                    let got = f64::from(out.at(q / width, q % width)[c]);
                    assert!(
                        (got - exact / total).abs() < 2e-5,
                        "{got} for {}",
                        exact / total
                    );
                }
            }
        }
    }
}
