//! Colours of what lies between anchors, brought to those of the anchors.

use std::ops::Range;

use candle_core::{Result, Tensor};

/// `made`, [1, channels, places, rows, columns], of which `free` lie between anchors,
/// its colours brought to the anchors': a straight line in time is fitted to the means
/// of each channel over `free`, and the line between the anchors' means takes its
/// place. What is added is a straight line too, the same at every pixel, so nothing
/// flickers that did not before: a fit for every frame would take each frame's own
/// light away. `places` are the times.
///
/// # Errors
/// Where `made` has another shape.
pub fn levelled(made: &Tensor, places: &[usize], free: Range<usize>) -> Result<Tensor> {
    let (_, _, count, rows, columns) = made.dims5()?;
    if free.is_empty() || free.start == 0 || free.end >= count || places.len() != count {
        return Ok(made.clone());
    }
    let size = rows * columns;
    let mut values = made.flatten_all()?.to_vec1::<f32>()?;
    let times: Vec<f64> = places.iter().map(|p| *p as f64).collect();
    let mean_of = |list: &[f64], at: Range<usize>| {
        let length = at.len() as f64;
        list[at].iter().sum::<f64>() / length
    };
    for channel in values.chunks_exact_mut(count * size) {
        let means: Vec<f64> = channel
            .chunks_exact(size)
            .map(|frame| frame.iter().map(|v| f64::from(*v)).sum::<f64>() / size as f64)
            .collect();
        let (t, m) = (mean_of(&times, free.clone()), mean_of(&means, free.clone()));
        let (mut rise, mut spread) = (0., 0.);
        for i in free.clone() {
            rise += (times[i] - t) * (means[i] - m);
            spread += (times[i] - t) * (times[i] - t);
        }
        let slope = if spread > 0. { rise / spread } else { 0. };
        let end = |at: Range<usize>| (mean_of(&times, at.clone()), mean_of(&means, at));
        let (before, after) = (end(0..free.start), end(free.end..count));
        let wanted = (after.1 - before.1) / (after.0 - before.0);
        for i in free.clone() {
            let line = m + slope * (times[i] - t);
            let add = before.1 + wanted * (times[i] - before.0) - line;
            for v in &mut channel[i * size..(i + 1) * size] {
                *v += add as f32;
            }
        }
    }
    Tensor::from_vec(values, made.shape(), made.device())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_drift_goes_and_the_light_of_single_frames_stays() {
        // Anchors of 1 and 2, between them a drift of 3 and frames that flicker by .25.
        let own = [1., 1., 4.25, 3.95, 4.65, 4.35, 5.05, 4.75, 2., 2.];
        let values: Vec<f32> = own.iter().flat_map(|v| [*v - 0.5, *v + 0.5]).collect();
        let made = Tensor::from_vec(values, (1, 1, 10, 1, 2), &Device::Cpu).unwrap();
        let places: Vec<usize> = (40..50).collect();
        let got = levelled(&made, &places, 2..8).unwrap();
        let got = got.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let means: Vec<f32> = got.chunks(2).map(|p| 0.5 * (p[0] + p[1])).collect();
        assert_eq!((means[0], means[9]), (1., 2.), "anchors stay");
        for i in 2..8 {
            let line = 1. + (i as f32 - 0.5) / 8.;
            let light = means[i] - line;
            assert!((light.abs() - 0.25).abs() < 0.15, "{i}: {light}");
            assert!(
                (got[2 * i + 1] - got[2 * i] - 1.).abs() < 1e-5,
                "detail stays"
            );
        }
        let mean: f32 = means[2..8].iter().sum::<f32>() / 6.;
        assert!((mean - 1.5).abs() < 1e-5, "{mean}");
        assert_eq!(levelled(&made, &places, 0..8).unwrap().elem_count(), 20);
    }
}
