//! Frames into latents, a shot at a time.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::error::WanError;
use super::fit::Fit;
use super::shot::STEP;
use super::studio::Studio;
use super::track::Part;
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
    last: Option<Part>,
}

impl Stream<'_> {
    /// Takes the frame that is the `number`th of the stream.
    fn push(
        &mut self,
        number: usize,
        frame: Option<FeatureMap>,
        task: Task<'_>,
    ) -> Result<(), WanError> {
        let Some(frame) = frame else {
            // A latent frame begins behind every fourth frame.
            let begins = number % STEP == 1 && self.blanks >= self.reach;
            if !begins && self.waiting == 0 {
                self.blanks += 1;
                return self.encode(None, task);
            }
            self.waiting = (self.waiting + 1) % STEP;
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
            self.last = Some(planar(&latent));
        }
        Ok(())
    }
}

/// A map channel after channel.
pub fn planar(map: &FeatureMap) -> Part {
    let channels = map.channels();
    let size = map.height() * map.width();
    let mut out = vec![0f32; size * channels];
    for (y, row) in map.rows().enumerate() {
        for (x, pixel) in row.chunks_exact(channels.max(1)).enumerate() {
            for (c, value) in pixel.iter().enumerate() {
                out[c * size + y * map.width() + x] = *value;
            }
        }
    }
    Arc::from(out)
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

    /// Several streams of frames in display space at once, of a shot's latent frames
    /// `range`: `frames` gives frame `i` of each, or none where none is given; `take` is
    /// handed each latent frame's number and what each stream comes to there, [z, rows,
    /// columns]. The latents are those that they are when all of the shot is encoded, to
    /// the bit: as many frames before are read as the encoder remembers.
    ///
    /// # Errors
    /// Where a frame cannot be had or the VAE cannot be run.
    pub fn run(
        &mut self,
        range: Range<usize>,
        streams: usize,
        fit: Fit,
        frames: &mut dyn FnMut(usize) -> Result<Vec<Option<FeatureMap>>, WanError>,
        take: &mut dyn FnMut(usize, Vec<Part>) -> Result<(), WanError>,
    ) -> Result<(), WanError> {
        let Some(last) = range.end.checked_sub(1) else {
            return Ok(());
        };
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => {
                let (config, vb) = vae::open(self.studio.vae_path())?;
                VaeEncoder::load(&config, &vb)?
            }
        };
        let encoder = &*self.loaded.insert(encoder);
        let reach = self.studio.vae().encoder_reach();
        let stream = || Stream {
            encoding: encoder.begin(),
            blank: FeatureMap::zeros(fit.canvas[1], fit.canvas[0], 3, 0),
            reach,
            blanks: 0,
            waiting: 0,
            last: None,
        };
        let mut all: Vec<Stream<'_>> = (0..streams).map(|_| stream()).collect();
        // The first frame is a latent frame of its own, as the shot's is: what differs
        // by that is forgotten by `range`.
        let first = match range.start {
            0 => 0,
            latent => ((latent - 1) * STEP + 1).saturating_sub(reach) / STEP * STEP,
        };
        let end = last * STEP + 1;
        for index in first..end {
            self.task
                .step("Encoding frames", index - first, end - first)?;
            for (stream, frame) in all.iter_mut().zip(frames(index)?) {
                stream.push(index - first, frame, self.task)?;
            }
            if index % STEP == 0 && range.contains(&(index / STEP)) {
                let made = all.iter().map(|s| s.last.clone());
                let made = made.collect::<Option<Vec<_>>>();
                take(index / STEP, made.ok_or_else(nothing)?)?;
            }
        }
        Ok(())
    }

    /// The latent of one picture in display space, [1, z, 1, rows, columns].
    ///
    /// # Errors
    /// Where the VAE cannot be run.
    pub fn still(&mut self, picture: &FeatureMap, fit: Fit) -> Result<Tensor, WanError> {
        let mut found = None;
        let one = &mut |_| Ok(vec![Some(picture.clone())]);
        self.run(0..1, 1, fit, one, &mut |_, parts| {
            found = parts.into_iter().next();
            Ok(())
        })?;
        let values = found.ok_or_else(nothing)?.to_vec();
        let [rows, columns] = self.studio.latent_size(fit.canvas);
        let shape = (1, self.studio.vae().z_dim, 1, rows, columns);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

/// Said where an encoder gives nothing, which does not happen: the first frame has a
/// latent of its own.
fn nothing() -> WanError {
    WanError::Request("there are no frames to encode: ask for one at least".to_owned())
}
