//! Frames into latents, a shot at a time.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use longtake_kernels::driver::DeviceError;

use super::error::WanError;
use super::fit::Fit;
use super::shot::STEP;
use super::studio::Studio;
use super::track::Part;
use super::vae::on_gpu::GpuEncoder;
use super::vae::{self, EncoderTile, Tiling, VaeConfig, VaeEncoder, VaeError};
use crate::device::gpu::{self, Choice};
use crate::device::ops::FeatureMap;
use crate::device::{Task, notices, stoppable};

/// Bytes of memory that encoding works in at most: larger pictures are encoded in tiles.
pub const WORKING: u64 = 8 << 30;
/// Bytes of what tiles came to that wait for the other tiles.
const WAITING: u64 = 1 << 30;

/// The VAE's encoder, loaded when it is first needed.
pub struct Encoder<'a> {
    /// The model.
    pub studio: &'a Studio,
    loaded: Option<VaeEncoder>,
    /// The same on a GPU, if it was asked for and has one.
    on_gpu: Option<Option<GpuEncoder>>,
    /// The terms of the work.
    pub task: Task<'a>,
    working: u64,
    waiting: u64,
}

/// Frames of several streams by their number, each or none where none is given.
type Frames<'f> = dyn FnMut(usize) -> Result<Vec<Option<FeatureMap>>, WanError> + 'f;

/// Takes a frame; gives what comes of it and those before, if anything does yet.
type Encode<'a, T> = dyn FnMut(&FeatureMap) -> Result<Option<T>, VaeError> + 'a;

/// A stream of frames on its way into latents, or into what a tile of them comes to. What
/// is not given is black's opposite half way, 0, as the models were trained with; once so
/// many frames were that nothing else is remembered, all that follow are known without
/// being encoded.
struct Stream<'a, T> {
    encode: Box<Encode<'a, T>>,
    blank: &'a FeatureMap,
    /// Frames after which the encoder remembers nothing before them.
    reach: usize,
    /// Frames that were not given, from the last one on that was.
    blanks: usize,
    /// Such frames that were left out so far, of a latent frame.
    waiting: usize,
    last: Option<T>,
}

impl<'a, T> Stream<'a, T> {
    fn new(
        blank: &'a FeatureMap,
        reach: usize,
        encode: impl FnMut(&FeatureMap) -> Result<Option<T>, VaeError> + 'a,
    ) -> Self {
        Self {
            encode: Box::new(encode),
            blank,
            reach,
            blanks: 0,
            waiting: 0,
            last: None,
        }
    }

    /// Takes the frame that is the `number`th of the stream.
    fn push(&mut self, number: usize, frame: Option<FeatureMap>) -> Result<(), WanError> {
        let Some(frame) = frame else {
            // A latent frame begins behind every fourth frame.
            let begins = number % STEP == 1 && self.blanks >= self.reach;
            if !begins && self.waiting == 0 {
                self.blanks += 1;
                return self.encode(None);
            }
            self.waiting = (self.waiting + 1) % STEP;
            return Ok(());
        };
        for _ in 0..std::mem::take(&mut self.waiting) {
            self.encode(None)?;
        }
        self.blanks = 0;
        self.encode(Some(frame))
    }

    fn encode(&mut self, frame: Option<FeatureMap>) -> Result<(), WanError> {
        let frame = frame.as_ref().unwrap_or(self.blank);
        if let Some(made) = (self.encode)(frame)? {
            self.last = Some(made);
        }
        Ok(())
    }
}

/// The frame from which on a shot is read so that its latent frames from `latent` on come
/// out as they do when all is, where frames are remembered for `reach` frames. It is a
/// latent frame of its own, as the shot's first is: what differs by that is forgotten.
fn begin(latent: usize, reach: usize) -> usize {
    match latent {
        0 => 0,
        latent => ((latent - 1) * STEP + 1).saturating_sub(reach) / STEP * STEP,
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
            on_gpu: None,
            task,
            working: WORKING,
            waiting: WAITING,
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
        frames: &mut Frames<'_>,
        take: &mut dyn FnMut(usize, Vec<Part>) -> Result<(), WanError>,
    ) -> Result<(), WanError> {
        if range.is_empty() {
            return Ok(());
        }
        let (task, [width, height]) = (self.task, fit.canvas);
        let blank = FeatureMap::zeros(height, width, 3, 0);
        let config = self.studio.vae();
        let reach = config.encoder_reach();
        self.load_on_gpu()?;
        if let Some(Some(encoder)) = &self.on_gpu
            && encoder.has_room(fit.canvas, streams)?
        {
            let stream = || {
                let mut encoding = encoder.begin();
                let encode = move |f: &FeatureMap| Ok(encoding.push(f, task)?.map(|l| planar(&l)));
                Stream::new(&blank, reach, encode)
            };
            let all = (0..streams).map(|_| stream()).collect();
            return whole(all, range, reach, task, frames, take);
        }
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => {
                let (config, vb) = vae::open(self.studio.vae_path())?;
                stoppable(self.task.cancel, || VaeEncoder::load(&config, &vb))?
            }
        };
        let encoder = &*self.loaded.insert(encoder);
        let (tiling, _) = config.encoding(fit.canvas, streams, self.working);
        if tiling != Tiling::Whole {
            let tiled = Tiled {
                encoder,
                config,
                tiles: encoder.tiles(tiling, [height, width]),
                size: [height, width],
                blank,
                waiting: self.waiting,
                task,
            };
            return tiled.run(range, streams, frames, take);
        }
        let stream = || {
            let mut encoding = encoder.begin();
            let encode = move |f: &FeatureMap| Ok(encoding.push(f, task)?.map(|l| planar(&l)));
            Stream::new(&blank, reach, encode)
        };
        let all = (0..streams).map(|_| stream()).collect();
        whole(all, range, reach, task, frames, take)
    }

    /// Loads the encoder onto a GPU where that alone is chosen; what keeps it off is told
    /// as a notice, and the CPU encodes.
    fn load_on_gpu(&mut self) -> Result<(), WanError> {
        if self.on_gpu.is_some() || self.studio.device() != Choice::Gpu {
            return Ok(());
        }
        let (config, vb) = vae::open(self.studio.vae_path())?;
        let load = || -> Result<GpuEncoder, VaeError> {
            let device = gpu::with(Choice::Gpu, |gpu| Ok(gpu.stream().device().clone()))?;
            GpuEncoder::load(&device.ok_or(DeviceError::NoDevice)?, &config, &vb)
        };
        let loaded = match stoppable(self.task.cancel, load) {
            Ok(encoder) => {
                if let Some(why) = encoder.lacks() {
                    notices::tell(format!("frames are encoded without tensor cores: {why}"));
                }
                Some(encoder)
            }
            Err(VaeError::Cancelled(cancelled)) => return Err(cancelled.into()),
            Err(error) => {
                notices::tell(format!("frames are encoded on the CPU: {error}"));
                None
            }
        };
        self.on_gpu = Some(loaded);
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

/// Frames that are encoded whole, one after the other.
fn whole(
    mut all: Vec<Stream<'_, Part>>,
    range: Range<usize>,
    reach: usize,
    task: Task<'_>,
    frames: &mut Frames<'_>,
    take: &mut dyn FnMut(usize, Vec<Part>) -> Result<(), WanError>,
) -> Result<(), WanError> {
    let (first, end) = (begin(range.start, reach), (range.end - 1) * STEP + 1);
    for index in first..end {
        task.step("Encoding frames", index - first, end - first)?;
        for (stream, frame) in all.iter_mut().zip(frames(index)?) {
            stream.push(index - first, frame)?;
        }
        if index % STEP == 0 && range.contains(&(index / STEP)) {
            let made = all.iter().map(|s| s.last.clone());
            let made = made.collect::<Option<Vec<_>>>();
            take(index / STEP, made.ok_or_else(nothing)?)?;
        }
    }
    Ok(())
}

/// Frames that are encoded in tiles: some latent frames at a time, of these one tile
/// after the other, then what follows of all tiles together.
struct Tiled<'a> {
    encoder: &'a VaeEncoder,
    config: &'a VaeConfig,
    tiles: Vec<EncoderTile>,
    /// Height and width of the frames.
    size: [usize; 2],
    blank: FeatureMap,
    waiting: u64,
    task: Task<'a>,
}

impl Tiled<'_> {
    fn run(
        &self,
        range: Range<usize>,
        streams: usize,
        frames: &mut Frames<'_>,
        take: &mut dyn FnMut(usize, Vec<Part>) -> Result<(), WanError>,
    ) -> Result<(), WanError> {
        let mut joined: Vec<_> = (0..streams).map(|_| self.encoder.begin_joined()).collect();
        let (reach, _) = self.config.levels_reach();
        let canvas = self.encoder.canvas(self.size);
        let bytes = 4 * canvas.channels() * canvas.height() * canvas.width() * streams;
        let most = ((self.waiting / bytes.max(1) as u64) as usize).max(STEP);
        // What is remembered behind the levels comes first.
        let first = range.start.saturating_sub(VaeConfig::REMEMBERED + 1);
        for from in (first..range.end).step_by(most) {
            let latents = from..(from + most).min(range.end);
            let mut canvases = vec![vec![canvas.clone(); latents.len()]; streams];
            let (begin, end) = (begin(from, reach), (latents.end - 1) * STEP + 1);
            for (number, tile) in self.tiles.iter().enumerate() {
                let stream = || {
                    let mut encoding = self.encoder.begin_tile(tile);
                    let encode = move |f: &FeatureMap| encoding.push(f, self.task);
                    Stream::new(&self.blank, reach, encode)
                };
                let mut all: Vec<_> = (0..streams).map(|_| stream()).collect();
                for index in begin..end {
                    let done = number * (end - begin) + index - begin;
                    let total = self.tiles.len() * (end - begin);
                    let of_all = (range.end - first) * total / latents.len();
                    let before = (from - first) * total / latents.len();
                    self.task.step("Encoding frames", before + done, of_all)?;
                    for (stream, frame) in all.iter_mut().zip(frames(index)?) {
                        stream.push(index - begin, frame)?;
                    }
                    let latent = index / STEP;
                    if index % STEP != 0 || !latents.contains(&latent) {
                        continue;
                    }
                    for (stream, canvases) in all.iter().zip(&mut canvases) {
                        let made = stream.last.as_ref().ok_or_else(nothing)?;
                        tile.lay(made, &mut canvases[latent - from]);
                    }
                }
            }
            let mut canvases: Vec<_> = canvases.into_iter().map(Vec::into_iter).collect();
            for latent in latents {
                let mut parts = Vec::new();
                for (joined, canvases) in joined.iter_mut().zip(&mut canvases) {
                    let canvas = canvases.next().ok_or_else(nothing)?;
                    parts.push(planar(&joined.push(canvas, self.task)?));
                }
                if range.contains(&latent) {
                    take(latent, parts)?;
                }
            }
        }
        Ok(())
    }
}

/// Said where an encoder gives nothing, which does not happen: the first frame has a
/// latent of its own.
fn nothing() -> WanError {
    WanError::Request("there are no frames to encode: ask for one at least".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::engine::wan::settings::ModelFiles;

    fn studio(name: &str, vae: &str) -> Studio {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wan/fixtures");
        Studio::open(&ModelFiles {
            model: fixtures.join("with_plate").join(name),
            vae: Some(fixtures.join(vae)),
            text_encoder: Some(fixtures.join("text/text_encoder")),
            tokenizer: Some(fixtures.join("text/tokenizer/tokenizer.json")),
            ..ModelFiles::default()
        })
        .unwrap()
    }

    type Made = Vec<(usize, Vec<Part>)>;

    fn encoded(studio: &Studio, range: Range<usize>, room: [u64; 2]) -> Made {
        let step = studio.step();
        let fit = Fit {
            content: [5 * step[0], step[1]],
            canvas: [5 * step[0], step[1]],
        };
        let mut encoder = Encoder::new(studio, Task::quiet());
        [encoder.working, encoder.waiting] = room;
        let frame = |i: usize, k: usize| {
            let number = |n: usize| ((n + 991 * i + 17 * k) * 7919 % 10_007) as f32 / 5003.5 - 1.;
            let [wide, tall] = fit.canvas;
            let values = (0..wide * tall * 3).map(number).collect();
            FeatureMap::from_rows(tall, wide, 3, values)
        };
        // The second is given at both ends alone, and for long not at all.
        let given = |i: usize| !(3..150).contains(&i);
        let mut frames = |i| Ok(vec![Some(frame(i, 0)), given(i).then(|| frame(i, 1))]);
        let mut made = Vec::new();
        let take = &mut |latent, parts| {
            made.push((latent, parts));
            Ok(())
        };
        encoder.run(range, 2, fit, &mut frames, take).unwrap();
        made
    }

    #[test]
    fn in_tiles_and_from_the_middle_on_frames_become_the_same_bits() {
        for (name, vae) in [("vace", "vae-2.1"), ("ti2v", "vae-2.2")] {
            let studio = studio(name, vae);
            let large = [WORKING, WAITING];
            let whole = encoded(&studio, 0..44, large);
            assert_eq!(whole.len(), 44);
            // So little that tiles are as small as they become, and wait a few at a time.
            let tiled = encoded(&studio, 0..44, [1, 1]);
            assert!(tiled == whole, "{vae}: tiled");
            let late = encoded(&studio, 37..44, large);
            assert!(late[..] == whole[37..], "{vae}: the end alone");
            let late = encoded(&studio, 35..44, [1, 1]);
            assert!(late[..] == whole[35..], "{vae}: the end alone, tiled");
        }
    }
}
