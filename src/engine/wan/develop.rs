//! Latents to frames, each once: the VAE goes through a shot in order, and what it
//! comes past is kept, so that frames can be asked for in any order.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::array::{Array, unstacked};
use super::error::WanError;
use super::fit::Fit;
use super::shot::Shot;
use super::studio::Studio;
use super::vae::{self, Decoding, VaeDecoder};
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::Keep;

/// What the model made, for all frames: decided once, kept, and enough to show any of
/// them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latents {
    /// For each shot.
    pub shots: Vec<Exposed>,
    /// Steps that EasyCache saved, and the largest relative error that it estimates to
    /// have caused.
    pub cached: Option<(usize, f64)>,
    /// A hash of the latents and of the VAE.
    pub name: [u8; 32],
}

/// The latents of one shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exposed {
    /// The frames.
    pub shot: Shot,
    /// [1, channels, frames, rows, columns]
    pub latents: Array,
}

/// How long a thread waits for another's work before it asks whether to stop.
const POLL: Duration = Duration::from_millis(20);
/// Values that a kept sample tells apart.
const LEVELS: f32 = 65535.;

/// A shot on its way through the VAE.
struct Underway {
    name: [u8; 32],
    shot: usize,
    decoding: Decoding<Arc<VaeDecoder>>,
    latents: std::vec::IntoIter<FeatureMap>,
    frame: usize,
}

/// Where one shot at a time is decoded. Threads that want frames of it wait for the one
/// that is at work.
#[derive(Default)]
pub struct Desk(Mutex<Option<Underway>>);

/// What a frame is wanted of.
pub struct Wanted<'a> {
    /// The model.
    pub studio: &'a Studio,
    /// Where frames are kept.
    pub keep: &'a dyn Keep,
    /// All latents.
    pub latents: &'a Latents,
    /// How the plate lies in the pictures.
    pub fit: Fit,
}

impl Desk {
    /// The plate's part of frame `frame` of shot `shot`: RGB of -1 to 1, row by row,
    /// in steps of 1/65535.
    ///
    /// # Errors
    /// Where the VAE cannot be run, or the work is to stop.
    pub fn frame(
        &self,
        wanted: &Wanted<'_>,
        shot: usize,
        frame: i32,
        task: Task<'_>,
    ) -> Result<Vec<f32>, WanError> {
        let found = || {
            let bytes = wanted.keep.get(&wanted.key(shot, frame))?;
            wanted.unpacked(&bytes)
        };
        if let Some(found) = found() {
            return Ok(found);
        }
        let mut desk = loop {
            task.check()?;
            if let Some(desk) = self.0.try_lock_for(POLL) {
                break desk;
            }
        };
        // Another may have come past it meanwhile.
        if let Some(found) = found() {
            return Ok(found);
        }
        let missing = || WanError::Request(format!("frame {frame} is none of the take's"));
        let exposed = wanted.latents.shots.get(shot).ok_or_else(missing)?;
        let target = frame - exposed.shot.frames.first;
        let target = usize::try_from(target).map_err(|_| missing())?;
        let name = wanted.latents.name;
        let ahead = |u: &Underway| u.name == name && u.shot == shot && u.frame <= target;
        let mut underway = match desk.take().filter(ahead) {
            Some(underway) => underway,
            None => {
                let (config, vb) = vae::open(wanted.studio.vae_path())?;
                let decoder = Arc::new(VaeDecoder::load(&config, &vb)?);
                Underway {
                    name,
                    shot,
                    decoding: decoder.begin_shared(),
                    latents: unstacked(&exposed.latents.tensor()?)?.into_iter(),
                    frame: 0,
                }
            }
        };
        let mut result = None;
        let total = exposed.shot.count();
        while result.is_none() {
            let Some(latent) = underway.latents.next() else {
                return Err(missing());
            };
            task.step("Decoding frames", underway.frame, total)?;
            let mut at = underway.frame;
            let mut take = |pixels: FeatureMap| {
                let shown = exposed.shot.frame(at);
                if at < exposed.shot.frames.count() && exposed.shot.made.contains(shown) {
                    let bytes = wanted.packed(&pixels);
                    wanted.keep.put(&wanted.key(shot, shown), &bytes);
                    if shown == frame {
                        result = wanted.unpacked(&bytes);
                    }
                }
                at += 1;
            };
            underway.decoding.push(&latent, task, &mut take)?;
            underway.frame = at;
        }
        // At its end the decoder leaves memory.
        if underway.latents.len() > 0 {
            *desk = Some(underway);
        }
        result.ok_or_else(missing)
    }
}

impl Wanted<'_> {
    fn key(&self, shot: usize, frame: i32) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"wan frame 1");
        hasher.update(&self.latents.name);
        hasher.update(&(shot as u64).to_le_bytes());
        hasher.update(&frame.to_le_bytes());
        hasher.update(format!("{:?}", self.fit).as_bytes());
        hasher.finalize()
    }

    /// The plate's part of a frame, 16 bits a sample.
    fn packed(&self, pixels: &FeatureMap) -> Vec<u8> {
        let [wide, tall] = self.fit.content;
        let mut bytes = Vec::with_capacity(wide * tall * 6);
        for y in 0..tall.min(pixels.height()) {
            for v in &pixels.row(y)[..wide.min(pixels.width()) * 3] {
                let level = (0.5 * v.clamp(-1., 1.) + 0.5) * LEVELS;
                bytes.extend_from_slice(&(level.round() as u16).to_le_bytes());
            }
        }
        bytes
    }

    fn unpacked(&self, bytes: &[u8]) -> Option<Vec<f32>> {
        let [wide, tall] = self.fit.content;
        let samples = bytes
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]));
        let values = samples.map(|s| 2. * (f32::from(s) / LEVELS) - 1.);
        (bytes.len() == wide * tall * 6).then(|| values.collect())
    }
}
