//! The noise that a block of latents starts from, keyed by place: any machine that
//! makes any part of a sequence draws the same numbers there.

use candle_core::{Device, Result, Tensor};

/// Where a block of latents lies in the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its first latent frame, of the whole sequence.
    pub frame: i32,
    /// Its first latent row.
    pub row: i32,
    /// Its first latent column.
    pub column: i32,
}

/// Normal noise of mean 0 and deviation 1, [1, channels, frames, rows, columns], of
/// the block at `place`. A value depends on the seed, its frame, row, column and
/// channel alone; another number of channels does not change the first ones.
pub fn noise(seed: u64, place: Place, shape: [usize; 4], device: &Device) -> Result<Tensor> {
    let [channels, frames, rows, columns] = shape;
    let mut values = vec![0f32; channels * frames * rows * columns];
    let at = [place.frame, place.row, place.column];
    longtake_kernels::noise::noise(&mut values, seed, at, shape);
    Tensor::from_vec(values, (1, channels, frames, rows, columns), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_the_whole_s_noise_at_its_place() {
        let whole = noise(7, Place::default(), [4, 5, 6, 7], &Device::Cpu).unwrap();
        let place = Place {
            frame: 2,
            row: 1,
            column: 3,
        };
        let part = noise(7, place, [3, 2, 4, 2], &Device::Cpu).unwrap();
        let same = whole
            .narrow(1, 0, 3)
            .and_then(|t| t.narrow(2, 2, 2))
            .and_then(|t| t.narrow(3, 1, 4))
            .and_then(|t| t.narrow(4, 3, 2))
            .unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&part), values(&same));
        let other = noise(8, place, [3, 2, 4, 2], &Device::Cpu).unwrap();
        assert_ne!(values(&part), values(&other));
    }

    #[test]
    fn it_is_normal_and_neighbours_have_nothing_in_common() {
        let t = noise(1, Place::default(), [16, 4, 30, 40], &Device::Cpu).unwrap();
        let v = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let n = v.len() as f64;
        let mean = |f: &dyn Fn(usize) -> f64| (0..v.len() - 1).map(f).sum::<f64>() / n;
        let x = |i: usize| f64::from(v[i]);
        // Five deviations of each estimate.
        let bound = 5.0 / n.sqrt();
        assert!(mean(&|i| x(i)).abs() < bound);
        assert!((mean(&|i| x(i) * x(i)) - 1.0).abs() < bound * 2f64.sqrt());
        assert!((mean(&|i| x(i).powi(4)) - 3.0).abs() < bound * 96f64.sqrt());
        assert!(mean(&|i| x(i) * x(i + 1)).abs() < bound);
    }
}
