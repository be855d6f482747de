//! What the model is given of every latent frame of a shot, where much may be alike.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use crate::engine::Keep;

/// Latent frames that are kept, and read, together.
pub const CHUNK: usize = 16;

/// Numbers of one part of one latent frame, [channels, rows, columns].
pub type Part = Arc<[f32]>;

/// Several parts for each latent frame of a shot. A short shot's are held; those of a
/// long one are kept elsewhere, some latent frames at a time, and read where they are
/// wanted, so that memory does not grow with the length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Channels, rows and columns of each part.
    sides: Vec<[usize; 3]>,
    chunks: Vec<Chunk>,
}

/// Neighbouring latent frames, [`CHUNK`] of them or what is left at the end; where all
/// is held, all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Chunk {
    Held(Slab),
    Kept { name: [u8; 32], count: usize },
}

/// Parts of some latent frames, those that are alike once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slab {
    different: Vec<Vec<f32>>,
    /// For each latent frame, which of them its parts are.
    at: Vec<Vec<u32>>,
}

/// A chunk of a track that is not where it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number.
    pub chunk: usize,
    /// Its first latent frame.
    pub first: usize,
    /// Its latent frames.
    pub count: usize,
}

impl Slab {
    /// `parts` of each latent frame.
    pub fn of(frames: &[Vec<Part>]) -> Self {
        let mut slab = Self::default();
        let mut known = HashMap::new();
        for parts in frames {
            let numbers = parts.iter().map(|part| {
                let bytes = bytemuck::cast_slice::<f32, u8>(part);
                *known.entry(blake3::hash(bytes)).or_insert_with(|| {
                    slab.different.push(part.to_vec());
                    slab.different.len() as u32 - 1
                })
            });
            let numbers = numbers.collect();
            slab.at.push(numbers);
        }
        slab
    }

    fn part(&self, frame: usize, part: usize) -> Option<&[f32]> {
        let number = *self.at.get(frame)?.get(part)?;
        Some(self.different.get(number as usize)?)
    }
}

impl Track {
    /// Begins a track of parts of these sides, held where `keep` is `None`, else kept
    /// there.
    pub fn record(sides: Vec<[usize; 3]>, keep: Option<&dyn Keep>) -> Recorder<'_> {
        Recorder {
            track: Self {
                sides,
                chunks: Vec::new(),
            },
            waiting: Vec::new(),
            keep,
        }
    }

    /// Latent frames.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.chunks.iter().map(Chunk::count).sum()
    }

    /// Keeps chunk `lost` again, under the name that it had.
    pub fn put_back(&self, lost: Lost, slab: &Slab, keep: &dyn Keep) {
        if let (Some(Chunk::Kept { name, .. }), Ok(bytes)) =
            (self.chunks.get(lost.chunk), postcard::to_stdvec(slab))
        {
            keep.put(&blake3::Hash::from_bytes(*name), &bytes);
        }
    }

    /// The parts of the latent frames `places`, which rise: [1, channels, places, rows,
    /// columns] each. What was kept comes from `keep` or, where it is not there any more,
    /// from `again`.
    ///
    /// # Errors
    /// Where there is no such latent frame, or `again` fails.
    pub fn select<E: From<candle_core::Error>>(
        &self,
        places: &[usize],
        keep: &dyn Keep,
        again: &mut dyn FnMut(Lost) -> Result<Slab, E>,
    ) -> Result<Vec<Tensor>, E> {
        if self.sides.is_empty() {
            return Ok(Vec::new());
        }
        let sizes: Vec<usize> = self.sides.iter().map(|s| s[1] * s[2]).collect();
        let numbers = self.sides.iter().map(|s| s.iter().product::<usize>());
        let mut out: Vec<Vec<f32>> = numbers.map(|n| vec![0f32; n * places.len()]).collect();
        let mut found = 0;
        let mut first = 0;
        for (number, chunk) in self.chunks.iter().enumerate() {
            let count = chunk.count();
            let here = first..first + count;
            first += count;
            if !places.iter().any(|p| here.contains(p)) {
                continue;
            }
            let read;
            let slab = match chunk {
                Chunk::Held(slab) => slab,
                Chunk::Kept { name, .. } => {
                    let name = blake3::Hash::from_bytes(*name);
                    let kept = keep.get(&name);
                    let kept = kept.and_then(|bytes| postcard::from_bytes::<Slab>(&bytes).ok());
                    let lost = Lost {
                        chunk: number,
                        first: here.start,
                        count,
                    };
                    read = match kept {
                        Some(slab) => slab,
                        None => again(lost)?,
                    };
                    &read
                }
            };
            for (i, place) in places.iter().enumerate() {
                if !here.contains(place) {
                    continue;
                }
                found += 1;
                for (k, (out, size)) in out.iter_mut().zip(&sizes).enumerate() {
                    let part = slab.part(place - here.start, k);
                    let part = part.filter(|p| p.len() * places.len() == out.len());
                    let part = part.ok_or_else(|| missing(*place))?;
                    for (c, from) in part.chunks_exact((*size).max(1)).enumerate() {
                        let to = (c * places.len() + i) * size;
                        out[to..to + size].copy_from_slice(from);
                    }
                }
            }
        }
        if found != places.len() {
            let wanted = places.iter().find(|p| **p >= first);
            return Err(missing(wanted.copied().unwrap_or(0)).into());
        }
        let tensors = out.into_iter().zip(&self.sides).map(|(values, side)| {
            let shape = (1, side[0], places.len(), side[1], side[2]);
            Tensor::from_vec(values, shape, &Device::Cpu)
        });
        Ok(tensors.collect::<TensorResult<_>>()?)
    }
}

impl Chunk {
    fn count(&self) -> usize {
        match self {
            Self::Held(slab) => slab.at.len(),
            Self::Kept { count, .. } => *count,
        }
    }
}

fn missing(place: usize) -> candle_core::Error {
    candle_core::Error::Msg(format!("latent frame {place} is none of the shot's"))
}

/// A track in the making.
pub struct Recorder<'a> {
    track: Track,
    waiting: Vec<Vec<Part>>,
    keep: Option<&'a dyn Keep>,
}

impl Recorder<'_> {
    /// Adds the parts of the next latent frame.
    pub fn push(&mut self, parts: Vec<Part>) {
        self.waiting.push(parts);
        if self.keep.is_some() && self.waiting.len() == CHUNK {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let slab = Slab::of(&std::mem::take(&mut self.waiting));
        let chunk = match (self.keep, postcard::to_stdvec(&slab)) {
            (Some(keep), Ok(bytes)) => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(b"wan told 1 ");
                hasher.update(&bytes);
                let name = hasher.finalize();
                keep.put(&name, &bytes);
                Chunk::Kept {
                    name: *name.as_bytes(),
                    count: slab.at.len(),
                }
            }
            _ => Chunk::Held(slab),
        };
        self.track.chunks.push(chunk);
    }

    /// The track.
    pub fn finish(mut self) -> Track {
        self.close();
        self.track
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<HashMap<blake3::Hash, Vec<u8>>>);

    impl Keep for Kept {
        fn get(&self, name: &blake3::Hash) -> Option<Vec<u8>> {
            self.0.lock().get(name).cloned()
        }

        fn put(&self, name: &blake3::Hash, bytes: &[u8]) {
            self.0.lock().insert(*name, bytes.to_vec());
        }
    }

    /// Two channels of 1 × 2 that tell the latent frame, and one number for all.
    fn frame(l: usize) -> Vec<Part> {
        let at = l as f32;
        vec![
            Arc::from([at, at + 0.25, at + 0.5, at + 0.75]),
            Arc::from([if l == 0 { 1. } else { 0. }]),
        ]
    }

    fn recorded(count: usize, keep: Option<&dyn Keep>) -> Track {
        let mut recorder = Track::record(vec![[2, 1, 2], [1, 1, 1]], keep);
        for l in 0..count {
            recorder.push(frame(l));
        }
        recorder.finish()
    }

    type Found = candle_core::Result<Vec<Tensor>>;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn what_is_kept_is_what_is_held_and_what_is_lost_is_asked_for() {
        let vault = Kept::default();
        let places = [0, 3, 17, 18, 39];
        let held = recorded(40, None);
        let kept = recorded(40, Some(&vault));
        let none = &mut |lost| candle_core::bail!("{lost:?}");
        let expected = held.select(&places, &vault, none).unwrap();
        assert_eq!(expected[0].dims(), [1, 2, 5, 1, 2]);
        assert_eq!(values(&expected[1]), [1., 0., 0., 0., 0.]);
        assert_eq!(values(&expected[0])[4..6], [17., 17.25]);
        assert_eq!(values(&expected[0])[16..18], [18.5, 18.75]);
        let same = |found: Found| {
            for (a, b) in expected.iter().zip(found.unwrap()) {
                assert_eq!(values(a), values(&b));
            }
        };
        same(kept.select(&places, &vault, none));
        vault.0.lock().clear();
        assert!(kept.select(&places, &vault, none).is_err());
        let mut asked = Vec::new();
        let again = &mut |lost: Lost| -> candle_core::Result<Slab> {
            asked.push((lost.first, lost.count));
            let frames = lost.first..lost.first + lost.count;
            let slab = Slab::of(&frames.map(frame).collect::<Vec<_>>());
            kept.put_back(lost, &slab, &vault);
            Ok(slab)
        };
        same(kept.select(&places, &vault, again));
        assert_eq!(asked, [(0, 16), (16, 16), (32, 8)]);
        same(kept.select(&places, &vault, none));
        assert!(held.select(&[40], &vault, none).is_err());
        assert_eq!((held.len(), kept.len()), (40, 40));
    }

    #[test]
    fn what_is_alike_is_kept_once() {
        let frames: Vec<_> = (0..5).map(|l| frame(l.min(2))).collect();
        let slab = Slab::of(&frames);
        // Three pictures, and a one and a nought.
        assert_eq!(slab.different.len(), 5);
        assert_eq!(slab.part(4, 0), slab.part(2, 0));
    }
}
