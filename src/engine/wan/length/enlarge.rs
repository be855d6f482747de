//! Latents enlarged, and what of two latents is coarse.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

/// An axis of a smaller picture on which one of a larger lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Places of the smaller axis.
    pub length: usize,
    /// Places of the smaller axis to one of the larger: below 1.
    pub step: f64,
}

impl Scale {
    /// The four places around place `at` of the larger axis and their weights: those
    /// of cubic convolution (Keys, 1981, a = -1/2), ends held.
    fn taps(&self, at: usize) -> [(usize, f32); 4] {
        let x = (at as f64 + 0.5) * self.step - 0.5;
        let left = x.floor();
        let u = x - left;
        let weights = [
            ((2. - u) * u - 1.) * u / 2.,
            ((3. * u - 5.) * u * u + 2.) / 2.,
            ((4. - 3. * u) * u + 1.) * u / 2.,
            (u - 1.) * u * u / 2.,
        ];
        let last = self.length as f64 - 1.;
        [0, 1, 2, 3].map(|i| {
            let place = (left + i as f64 - 1.).clamp(0., last);
            (place as usize, weights[i] as f32)
        })
    }
}

/// The part `rows` × `columns` of `latents` [1, channels, frames, h, w] enlarged.
///
/// # Errors
/// Where the latents have another shape.
pub fn enlarged(
    latents: &Tensor,
    [down, across]: [Scale; 2],
    rows: Range<usize>,
    columns: Range<usize>,
) -> Result<Tensor> {
    let (_, channels, frames, height, width) = latents.dims5()?;
    let values = latents.flatten_all()?.to_vec1::<f32>()?;
    let shape = (1, channels, frames, rows.len(), columns.len());
    let across: Vec<_> = columns.map(|x| across.taps(x)).collect();
    let mut out = Vec::with_capacity(channels * frames * rows.len() * across.len());
    let mut row = vec![0f32; width];
    for picture in values.chunks_exact((height * width).max(1)) {
        for y in rows.clone() {
            let taps = down.taps(y);
            for (x, value) in row.iter_mut().enumerate() {
                *value = taps.iter().map(|(y, w)| w * picture[y * width + x]).sum();
            }
            out.extend(
                across
                    .iter()
                    .map(|taps| taps.iter().map(|(x, w)| w * row[*x]).sum::<f32>()),
            );
        }
    }
    Tensor::from_vec(out, shape, &Device::Cpu)
}

/// `made` with the coarse of `prior` in place of its own: the mean over squares of
/// 2 · `reach` + 1 places, ends held. Where pieces of a picture are made apart, each of
/// them has the colour and the light of the whole.
///
/// # Errors
/// Where the two are of several shapes.
pub fn fused(made: &Tensor, prior: &Tensor, reach: usize) -> Result<Tensor> {
    let (_, _, _, height, width) = made.dims5()?;
    let apart = (prior - made)?.flatten_all()?.to_vec1::<f32>()?;
    let mut coarse = Vec::with_capacity(apart.len());
    for picture in apart.chunks_exact((height * width).max(1)) {
        let mut rows = vec![0f32; height * width];
        for y in 0..height {
            for x in 0..width {
                let near = window(x, reach, width).map(|x| picture[y * width + x]);
                rows[y * width + x] = near.sum::<f32>() / (2 * reach + 1) as f32;
            }
        }
        for y in 0..height {
            for x in 0..width {
                let near = window(y, reach, height).map(|y| rows[y * width + x]);
                coarse.push(near.sum::<f32>() / (2 * reach + 1) as f32);
            }
        }
    }
    made + Tensor::from_vec(coarse, made.shape(), &Device::Cpu)?
}

/// The places around `at`, ends held.
fn window(at: usize, reach: usize, length: usize) -> impl Iterator<Item = usize> {
    let last = length.saturating_sub(1);
    (0..=2 * reach).map(move |i| (at + i).saturating_sub(reach).min(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Tensor {
        let at = |i: usize| (i / width) as f32 * 3. + (i % width) as f32;
        let values: Vec<f32> = (0..height * width).map(at).collect();
        Tensor::from_vec(values, (1, 1, 1, height, width), &Device::Cpu).unwrap()
    }

    fn values(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn slopes_stay_slopes_and_parts_fit_together() {
        let small = ramp(6, 8);
        let scales = [6, 8].map(|length| Scale { length, step: 0.4 });
        let whole = enlarged(&small, scales, 0..15, 0..20).unwrap();
        let all = values(&whole);
        for y in 4..11 {
            for x in 4..16 {
                let at = |i: usize| (i as f32 + 0.5) * 0.4 - 0.5;
                let expected = at(y) * 3. + at(x);
                assert!((all[y * 20 + x] - expected).abs() < 1e-4);
            }
        }
        let part = values(&enlarged(&small, scales, 3..7, 5..9).unwrap());
        for (i, v) in part.iter().enumerate() {
            assert_eq!(*v, all[(3 + i / 4) * 20 + 5 + i % 4]);
        }
    }

    #[test]
    fn the_coarse_is_the_prior_s_and_the_fine_one_s_own() {
        let prior = ramp(12, 12);
        // Another light, and detail.
        let detail = |i: usize| {
            if (i / 12 + i).is_multiple_of(2) {
                0.5
            } else {
                -0.5
            }
        };
        let made: Vec<f32> = values(&prior)
            .iter()
            .enumerate()
            .map(|(i, v)| v + 7. + detail(i))
            .collect();
        let made = Tensor::from_vec(made, (1, 1, 1, 12, 12), &Device::Cpu).unwrap();
        let got = values(&fused(&made, &prior, 2).unwrap());
        for (i, (got, prior)) in got.iter().zip(values(&prior)).enumerate() {
            assert!((got - prior - detail(i)).abs() < 0.2, "{i}");
        }
    }
}
