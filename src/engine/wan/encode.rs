//! Frames into latents, a shot at a time.

use candle_core::Tensor;

use super::array::stacked;
use super::error::WanError;
use super::fit::Fit;
use super::studio::Studio;
use super::track::Track;
use super::vae::{self, Encoding, VaeEncoder};
use crate::device::Task;
use crate::device::ops::FeatureMap;

/// The VAE's encoder, loaded when it is first needed.
pub struct Encoder<'a> {
    /// The model.
    pub studio: &'a Studio,
    loaded: Option<VaeEncoder>,
    /// The terms of the work.
    pub task: Task<'a>,
}

/// A stream of frames on its way into latents. What is not given is black's opposite
/// half way, 0, as the models were trained with; once so many frames were that nothing
/// else is remembered, all that follow are known without being encoded.
struct Stream<'a> {
    encoding: Encoding<'a>,
    blank: FeatureMap,
    /// Frames after which the encoder remembers nothing before them.
    reach: usize,
    /// Frames that were not given, from the last one on that was.
    blanks: usize,
    /// Such frames that were left out so far, of a latent frame.
    waiting: usize,
    latents: Vec<FeatureMap>,
    at: Vec<u32>,
}

impl Stream<'_> {
    fn push(
        &mut self,
        index: usize,
        frame: Option<FeatureMap>,
        task: Task<'_>,
    ) -> Result<(), WanError> {
        let Some(frame) = frame else {
            // A latent frame begins behind every fourth frame.
            let begins = index % 4 == 1 && self.blanks >= self.reach;
            if !begins && self.waiting == 0 {
                self.blanks += 1;
                return self.encode(None, task);
            }
            self.waiting += 1;
            if self.waiting == 4 {
                self.waiting = 0;
                self.at.extend(self.at.last().copied());
            }
            return Ok(());
        };
        for _ in 0..std::mem::take(&mut self.waiting) {
            self.encode(None, task)?;
        }
        self.blanks = 0;
        self.encode(Some(frame), task)
    }

    fn encode(&mut self, frame: Option<FeatureMap>, task: Task<'_>) -> Result<(), WanError> {
        let frame = frame.as_ref().unwrap_or(&self.blank);
        if let Some(latent) = self.encoding.push(frame, task)? {
            self.at.push(self.latents.len() as u32);
            self.latents.push(latent);
        }
        Ok(())
    }
}

impl<'a> Encoder<'a> {
    /// One that loads nothing yet.
    pub fn new(studio: &'a Studio, task: Task<'a>) -> Self {
        Self {
            studio,
            loaded: None,
            task,
        }
    }

    /// `count` frames in display space, of several streams at once, each frame or none
    /// where none is given: the latents of each stream, [1, z, frames, rows, columns].
    ///
    /// # Errors
    /// Where a frame cannot be had or the VAE cannot be run.
    pub fn tracks(
        &mut self,
        count: usize,
        streams: usize,
        fit: Fit,
        frames: &mut dyn FnMut(usize) -> Result<Vec<Option<FeatureMap>>, WanError>,
    ) -> Result<Vec<Track>, WanError> {
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => {
                let (config, vb) = vae::open(self.studio.vae_path())?;
                VaeEncoder::load(&config, &vb)?
            }
        };
        let encoder = &*self.loaded.insert(encoder);
        let stream = || Stream {
            encoding: encoder.begin(),
            blank: FeatureMap::zeros(fit.canvas[1], fit.canvas[0], 3, 0),
            reach: self.studio.vae().encoder_reach(),
            blanks: 0,
            waiting: 0,
            latents: Vec::new(),
            at: Vec::new(),
        };
        let mut all: Vec<Stream<'_>> = (0..streams).map(|_| stream()).collect();
        for index in 0..count {
            self.task.step("Encoding frames", index, count)?;
            for (stream, frame) in all.iter_mut().zip(frames(index)?) {
                stream.push(index, frame, self.task)?;
            }
        }
        let tracks = all.into_iter().map(|stream| {
            let latents = stacked(&stream.latents)?;
            Track::new(&latents, stream.at)
        });
        Ok(tracks.collect::<candle_core::Result<_>>()?)
    }

    /// The same of one stream.
    ///
    /// # Errors
    /// As of [`tracks`](Self::tracks).
    pub fn track(
        &mut self,
        count: usize,
        fit: Fit,
        frame: &mut dyn FnMut(usize) -> Result<Option<FeatureMap>, WanError>,
    ) -> Result<Track, WanError> {
        let mut tracks = self.tracks(count, 1, fit, &mut |i| Ok(vec![frame(i)?]))?;
        tracks.pop().ok_or_else(|| {
            WanError::Request("there are no frames to encode: ask for one at least".to_owned())
        })
    }

    /// The latent of one picture in display space, [1, z, 1, rows, columns].
    ///
    /// # Errors
    /// Where the VAE cannot be run.
    pub fn still(&mut self, picture: &FeatureMap, fit: Fit) -> Result<Tensor, WanError> {
        let track = self.track(1, fit, &mut |_| Ok(Some(picture.clone())))?;
        Ok(track.select(&[0])?)
    }
}
