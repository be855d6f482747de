//! Latents to frames, each once: the VAE goes through a shot in order, and what it
//! comes past is kept, so that frames can be asked for in any order.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::array::{Array, unstacked};
use super::decoder::{Decoder, Reel};
use super::error::WanError;
use super::fit::Fit;
use super::length::Scheme;
use super::packed::{packed_into, unpacked};
use super::shot::Shot;
use super::studio::Studio;
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::Keep;

/// What the model makes, for all frames: of shots that it makes at once the latents, of
/// others the pieces in which they are made when frames are asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latents {
    /// For each shot.
    pub shots: Vec<Exposed>,
    /// Steps that EasyCache saved, and the largest relative error that it estimates to
    /// have caused; of shots that are made at once.
    pub cached: Option<(usize, f64)>,
    /// A hash of the latents, or of all that they are made from, and of the VAE.
    pub name: [u8; 32],
    /// The same of the frames: of what decodes the latents, too.
    pub shown: [u8; 32],
    /// A hash of all that latents are made from before they are refined.
    pub unrefined: [u8; 32],
}

/// The latents of one shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exposed {
    /// The frames.
    pub shot: Shot,
    /// Where its noise begins, in latent frames of the take.
    pub place: i32,
    /// How it is made in pieces.
    pub scheme: Scheme,
    /// [1, channels, frames, rows, columns]; none of a shot that is made in pieces.
    pub latents: Option<Array>,
}

/// How long a thread waits for another's work before it asks whether to stop.
const POLL: Duration = Duration::from_millis(20);

/// A shot on its way through the VAE.
struct Underway {
    name: [u8; 32],
    shot: usize,
    decoding: Reel,
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
            unpacked(&bytes, wanted.fit.content)
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
        let name = wanted.latents.shown;
        let ahead = |u: &Underway| u.name == name && u.shot == shot && u.frame <= target;
        let made = exposed.latents.as_ref().ok_or_else(missing)?;
        let mut underway = match desk.take().filter(ahead) {
            Some(underway) => underway,
            None => {
                let decoder = Decoder::load(wanted.studio, task)?;
                Underway {
                    name,
                    shot,
                    decoding: decoder.begin(),
                    latents: unstacked(&made.tensor()?)?.into_iter(),
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
                    wanted.keep.lend(&wanted.key(shot, shown), &bytes);
                    if shown == frame {
                        result = unpacked(&bytes, wanted.fit.content);
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
        hasher.update(&self.latents.shown);
        hasher.update(&(shot as u64).to_le_bytes());
        hasher.update(&frame.to_le_bytes());
        hasher.update(format!("{:?}", self.fit).as_bytes());
        hasher.finalize()
    }

    /// The plate's part of a frame.
    fn packed(&self, pixels: &FeatureMap) -> Vec<u8> {
        let [wide, tall] = self.fit.content;
        let mut bytes = vec![0; wide * tall * 6];
        packed_into(&mut bytes, self.fit.content, [0, 0], pixels);
        bytes
    }
}
