//! Something of every latent frame of a shot, where many may be alike.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::array::Array;

/// An array for each latent frame of a shot; those that are alike are kept once, so
/// that long stretches in which nothing is given cost nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// [1, channels, n, rows, columns]: those that differ.
    frames: Array,
    /// For each latent frame, which of them.
    at: Vec<u32>,
}

impl Track {
    /// `frames`, [1, channels, n, rows, columns], of which latent frame `i` has the one
    /// numbered `at[i]`.
    ///
    /// # Errors
    /// Where the shape is another or there is no such frame.
    pub fn new(frames: &Tensor, at: Vec<u32>) -> Result<Self> {
        let (_, _, count, _, _) = frames.dims5()?;
        if at.iter().any(|i| *i as usize >= count) {
            candle_core::bail!("a latent frame has none of {count} arrays");
        }
        Ok(Self {
            frames: Array::of(frames)?,
            at,
        })
    }

    /// A number everywhere in each latent frame.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn uniform(values: &[f32], [rows, columns]: [usize; 2]) -> Result<Self> {
        let (distinct, at) = numbered(values.iter().map(|v| v.to_bits()));
        let distinct: Vec<f32> = distinct.into_iter().map(f32::from_bits).collect();
        let count = distinct.len();
        let frames = Tensor::from_vec(distinct, (1, 1, count, 1, 1), &Device::Cpu)?;
        Self::new(&frames.broadcast_as((1, 1, count, rows, columns))?, at)
    }

    /// The channels of all of `tracks`, which are of one length and size.
    ///
    /// # Errors
    /// Where they are not.
    pub fn joined(tracks: &[&Self]) -> Result<Self> {
        let length = tracks.first().map_or(0, |t| t.len());
        if tracks.iter().any(|t| t.len() != length) {
            candle_core::bail!("tracks of several lengths do not go together");
        }
        let each = (0..length).map(|i| tracks.iter().map(|t| t.at[i]).collect::<Vec<_>>());
        let (distinct, at) = numbered(each);
        let parts = tracks.iter().enumerate().map(|(k, track)| {
            let chosen: Vec<usize> = distinct.iter().map(|d| d[k] as usize).collect();
            track.take(&chosen)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Self::new(&Tensor::cat(&parts, 1)?, at)
    }

    /// How many differ.
    pub fn distinct(&self) -> usize {
        self.frames.shape.get(2).copied().unwrap_or(0)
    }

    /// Latent frames.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Those of the latent frames `places`: [1, channels, places, rows, columns].
    ///
    /// # Errors
    /// Where there is no such latent frame.
    pub fn select(&self, places: &[usize]) -> Result<Tensor> {
        let chosen = places.iter().map(|p| match self.at.get(*p) {
            Some(at) => Ok(*at as usize),
            None => candle_core::bail!("latent frame {p} is none of {}", self.at.len()),
        });
        self.take(&chosen.collect::<Result<Vec<_>>>()?)
    }

    fn take(&self, chosen: &[usize]) -> Result<Tensor> {
        let [_, channels, count, rows, columns] = self.frames.shape[..] else {
            candle_core::bail!("a track has {} sides", self.frames.shape.len());
        };
        let size = rows * columns;
        let mut values = Vec::with_capacity(channels * chosen.len() * size);
        for channel in 0..channels {
            for i in chosen {
                let from = (channel * count + i) * size;
                values.extend_from_slice(&self.frames.values[from..from + size]);
            }
        }
        let shape = (1, channels, chosen.len(), rows, columns);
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}

/// The different ones of `items` in the order in which they come, and which of these
/// each is.
fn numbered<T: Clone + Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> (Vec<T>, Vec<u32>) {
    let (mut distinct, mut known) = (Vec::new(), HashMap::new());
    let at = items.map(|item| {
        *known.entry(item.clone()).or_insert_with(|| {
            distinct.push(item);
            distinct.len() as u32 - 1
        })
    });
    let at = at.collect();
    (distinct, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_kept_once_and_found_everywhere() {
        let frames = Tensor::arange(0f32, 12., &Device::Cpu).unwrap();
        let frames = frames.reshape((1, 2, 3, 1, 2)).unwrap();
        let track = Track::new(&frames, vec![0, 1, 1, 1, 2]).unwrap();
        let ones = Track::uniform(&[1., 0., 0., 0., 0.], [1, 2]).unwrap();
        let both = Track::joined(&[&track, &ones]).unwrap();
        assert_eq!(both.frames.shape, [1, 3, 3, 1, 2]);
        let got = both.select(&[4, 0, 2]).unwrap().flatten_all().unwrap();
        let expected = [
            4., 5., 0., 1., 2., 3., 10., 11., 6., 7., 8., 9., 0., 0., 1., 1., 0., 0.,
        ];
        assert_eq!(got.to_vec1::<f32>().unwrap(), expected);
        assert!(both.select(&[5]).is_err());
        assert!(Track::new(&frames, vec![3]).is_err());
    }
}
