//! The pieces of a shot, made when they are asked for and kept.

use std::ops::Range;
use std::time::Duration;

use candle_core::{Device, Tensor};
use parking_lot::{Mutex, MutexGuard};

use super::axis::Axis;
use super::enlarge::{enlarged, fused};
use super::level::levelled;
use super::scheme::{Part, Scheme};
use crate::device::Task;
use crate::engine::Keep;
use crate::engine::wan::array::Array;
use crate::engine::wan::conditions::{Conditions, Given};
use crate::engine::wan::develop::{Exposed, Latents};
use crate::engine::wan::error::WanError;
use crate::engine::wan::packed::{Laid, unpacked};
use crate::engine::wan::sampling::{Anchors, Sampling, Scene};
use crate::engine::wan::settings::{Settings, Way};
use crate::engine::wan::shot::{STEP, Shot};
use crate::engine::wan::studio::{Kind, Studio};
use crate::engine::wan::track::Track;
use crate::engine::wan::vae::{self, Tiling, VaeDecoder};
use crate::sampler::{Place, noise};

/// How long a thread waits for another's work before it asks whether to stop.
const POLL: Duration = Duration::from_millis(20);
/// Latents that are decoded around a tile and left out again: the decoder looks about so
/// far, beside its attention over all that it is given.
const AROUND: usize = 8;
/// Noise of a refinement is drawn from a seed so far from that of the first pass: at one
/// place the two have nothing in common.
const REFINED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where one model at a time is at work. Threads that want what another is making wait
/// for it.
#[derive(Default)]
pub struct Bench {
    sampling: Mutex<Option<(Settings, Sampling)>>,
    decoding: Mutex<()>,
}

/// Waits for `mutex`, or to be stopped.
fn held<'a, T>(mutex: &'a Mutex<T>, task: Task<'_>) -> Result<MutexGuard<'a, T>, WanError> {
    loop {
        task.check()?;
        if let Some(guard) = mutex.try_lock_for(POLL) {
            return Ok(guard);
        }
    }
}

/// What pieces are made with.
pub struct Making<'a> {
    /// The model.
    pub studio: &'a Studio,
    /// What the artist chose.
    pub settings: &'a Settings,
    /// Where pieces are kept.
    pub keep: &'a dyn Keep,
    /// Where the work is done.
    pub bench: &'a Bench,
    /// What the model is given.
    pub conditions: &'a Conditions,
    /// What was decided.
    pub latents: &'a Latents,
}

impl Making<'_> {
    /// Makes `part` of shot `shot` and keeps it; what is kept already, only where
    /// `again`.
    ///
    /// # Errors
    /// Where the model cannot be run, or the work is to stop.
    pub fn part(
        &self,
        shot: usize,
        part: Part,
        again: bool,
        task: Task<'_>,
    ) -> Result<(), WanError> {
        match part {
            Part::Group(group) => self.group(shot, group, again, task).map(drop),
            Part::Tile(tile) => self.tile(shot, tile, again, task).map(drop),
            Part::Run(run) => {
                let all = self.frames_of(shot, run)?;
                let there = |f: &usize| self.keep.get(&self.frame_key(shot, run, *f)).is_some();
                if again || !all.iter().all(there) {
                    let _one = held(&self.bench.decoding, task)?;
                    self.decode(shot, run, None, task)?;
                }
                Ok(())
            }
        }
    }

    /// The plate's part of output frame `frame` of shot `shot`: RGB of -1 to 1, row by
    /// row.
    ///
    /// # Errors
    /// As of [`part`](Self::part).
    pub fn frame(&self, shot: usize, frame: i32, task: Task<'_>) -> Result<Vec<f32>, WanError> {
        let (exposed, scheme) = self.of(shot)?;
        let index = frame - exposed.shot.frames.first;
        let index = usize::try_from(index).map_err(|_| no_part())?;
        let latent = index.div_ceil(STEP);
        let run = scheme.runs.parts_of(&(latent..latent + 1)).start;
        let key = self.frame_key(shot, run, index);
        let kept = || unpacked(&self.keep.get(&key)?, scheme.fit.content);
        if let Some(found) = kept() {
            return Ok(found);
        }
        let _one = held(&self.bench.decoding, task)?;
        // Another may have come past it meanwhile.
        if let Some(found) = kept() {
            return Ok(found);
        }
        let bytes = self.decode(shot, run, Some(index), task)?;
        let found = bytes.and_then(|bytes| unpacked(&bytes, scheme.fit.content));
        found.ok_or_else(no_part)
    }

    /// Latent frames `range` of shot `shot` as they are decoded, [1, z, range, rows,
    /// columns]: refined where that is asked for.
    ///
    /// # Errors
    /// As of [`part`](Self::part).
    pub fn latents(
        &self,
        shot: usize,
        range: Range<usize>,
        task: Task<'_>,
    ) -> Result<Tensor, WanError> {
        let (_, scheme) = self.of(shot)?;
        let Some(grid) = &scheme.grid else {
            return self.unrefined(shot, range, task);
        };
        let [columns, rows] = grid
            .fit
            .canvas
            .map(|s| s / self.studio.vae().spatial_factor());
        let z = self.studio.vae().z_dim;
        let mut out = vec![0f32; z * range.len() * rows * columns];
        for tile in grid.tiles_of(&range) {
            let made = self.tile(shot, tile, false, task)?;
            let values = made.flatten_all()?.to_vec1::<f32>()?;
            let [t, i, j] = grid.at(tile);
            let (times, down, across) = (
                &grid.times.parts[t],
                &grid.rows.parts[i],
                &grid.columns.parts[j],
            );
            let mut values = values.chunks_exact(across.len().max(1));
            let weights: Vec<f32> = across.clone().map(|x| grid.columns.weight(j, x)).collect();
            for c in 0..z {
                for time in times.clone() {
                    let in_time = grid.times.weight(t, time);
                    for y in down.clone() {
                        let Some(row) = values.next() else { break };
                        if !range.contains(&time) {
                            continue;
                        }
                        let weight = in_time * grid.rows.weight(i, y);
                        let at = ((c * range.len() + time - range.start) * rows + y) * columns;
                        let to = &mut out[at + across.start..at + across.end];
                        for ((to, from), w) in to.iter_mut().zip(row).zip(&weights) {
                            *to += weight * w * from;
                        }
                    }
                }
            }
        }
        let shape = (1, z, range.len(), rows, columns);
        Ok(Tensor::from_vec(out, shape, &Device::Cpu)?)
    }

    /// The same as they are made first, at the model's size.
    fn unrefined(
        &self,
        shot: usize,
        range: Range<usize>,
        task: Task<'_>,
    ) -> Result<Tensor, WanError> {
        let (exposed, scheme) = self.of(shot)?;
        if let Some(made) = &exposed.latents {
            return Ok(made.tensor()?.narrow(2, range.start, range.len())?);
        }
        let layout = &scheme.layout;
        let [_, z, _, rows, columns] = self.shape(shot)?;
        let size = rows * columns;
        let mut out = vec![0f32; z * range.len() * size];
        for fill in layout.fills_of(range.clone()) {
            let made = self.group(shot, *fill, false, task)?;
            let values = made.flatten_all()?.to_vec1::<f32>()?;
            let places = &layout.groups[*fill].places;
            for (i, place) in places.iter().enumerate() {
                let weights = layout.weights(*place).into_iter();
                let weight = weights.filter(|(f, _)| f == fill).map(|(_, w)| w).next();
                let (Some(weight), true) = (weight, range.contains(place)) else {
                    continue;
                };
                for c in 0..z {
                    let from = &values[(c * places.len() + i) * size..][..size];
                    let to = (c * range.len() + place - range.start) * size;
                    for (to, from) in out[to..to + size].iter_mut().zip(from) {
                        *to += weight * from;
                    }
                }
            }
        }
        let shape = (1, z, range.len(), rows, columns);
        Ok(Tensor::from_vec(out, shape, &Device::Cpu)?)
    }

    /// The latent frames of group `group`, [1, z, places, rows, columns].
    fn group(
        &self,
        shot: usize,
        group: usize,
        again: bool,
        task: Task<'_>,
    ) -> Result<Tensor, WanError> {
        let key = self.key("group", shot, group, &self.latents.unrefined);
        if let Some(found) = self.kept(&key).filter(|_| !again) {
            return Ok(found.tensor()?);
        }
        let (exposed, scheme) = self.of(shot)?;
        let layout = &scheme.layout;
        let own = layout.groups.get(group).ok_or_else(no_part)?;
        let given = self.given(shot)?;
        let anchors = match own.needs().next() {
            Some(_) => Some(self.anchors(shot, group, task)?),
            None => None,
        };
        let made = match &anchors {
            Some(anchors) if own.free().is_empty() => anchors.latents.clone(),
            _ => {
                let [_, z, _, rows, columns] = self.shape(shot)?;
                let noise = of_places(&own.places, given.references, |frame, count| {
                    let place = Place {
                        frame: exposed.place + frame,
                        ..Place::default()
                    };
                    let shape = [z, count, rows, columns];
                    noise(self.settings.seed, place, shape, &Device::Cpu)
                })?;
                let scene = Scene {
                    given,
                    places: &own.places,
                    anchors: anchors.as_ref(),
                    noise: &noise,
                };
                // What a refinement is to be does not matter here.
                let settings = self.settings.unrefined();
                let made = self.sample(&settings, task, |s| s.make(&scene, &settings, task));
                let made = made?.latents;
                match self.settings.way {
                    Way::Frames => levelled(&made, &own.places, own.free())?,
                    // The plate has its own light at every moment.
                    _ => made,
                }
            }
        };
        self.put(&key, &made)?;
        Ok(made)
    }

    /// What earlier groups made of the latent frames of group `group`.
    fn anchors(&self, shot: usize, group: usize, task: Task<'_>) -> Result<Anchors, WanError> {
        let (_, scheme) = self.of(shot)?;
        let layout = &scheme.layout;
        let own = &layout.groups[group];
        let ends = [(own.before, 0), (own.after, own.free().end)];
        let mut pieces = Vec::new();
        for (known, at) in ends {
            let Some(known) = known else { continue };
            let maker = self.group(shot, known.from, false, task)?;
            let places = &layout.groups[known.from].places;
            let first = own.places.get(at).ok_or_else(no_part)?;
            let there = places.binary_search(first).map_err(|_| no_part())?;
            pieces.push((at, maker.narrow(2, there, known.count)?));
        }
        let [_, z, _, rows, columns] = self.shape(shot)?;
        let mut known = vec![false; own.places.len()];
        let mut parts = Vec::new();
        let mut next = 0;
        let blank = |count: usize| {
            let shape = (1, z, count, rows, columns);
            Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)
        };
        for (at, piece) in pieces {
            if at > next {
                parts.push(blank(at - next)?);
            }
            next = at + piece.dim(2)?;
            known[at..next].fill(true);
            parts.push(piece);
        }
        if next < known.len() {
            parts.push(blank(known.len() - next)?);
        }
        Ok(Anchors {
            latents: Tensor::cat(&parts, 2)?,
            known,
        })
    }

    /// Tile `tile` refined, [1, z, frames, rows, columns]: begun from the latents that
    /// were made first, enlarged, with the noise of a late step (as in SDEdit, Meng et
    /// al., 2022), and with what of these is coarse put back.
    fn tile(
        &self,
        shot: usize,
        tile: usize,
        again: bool,
        task: Task<'_>,
    ) -> Result<Tensor, WanError> {
        let key = self.key("tile", shot, tile, &self.latents.name);
        if let Some(found) = self.kept(&key).filter(|_| !again) {
            return Ok(found.tensor()?);
        }
        let (exposed, scheme) = self.of(shot)?;
        let grid = scheme.grid.as_ref().ok_or_else(no_part)?;
        let [t, i, j] = grid.at(tile);
        let part = |parts: &[Range<usize>], at: usize| parts.get(at).cloned().ok_or_else(no_part);
        let times = part(&grid.times.parts, t)?;
        let rows = part(&grid.rows.parts, i)?;
        let columns = part(&grid.columns.parts, j)?;
        let before = self.unrefined(shot, times.clone(), task)?;
        let prior = enlarged(&before, grid.scales, rows.clone(), columns.clone())?;
        let shape = [prior.dim(1)?, times.len(), rows.len(), columns.len()];
        let place = Place {
            frame: exposed.place + times.start as i32,
            row: rows.start as i32,
            column: columns.start as i32,
        };
        let seed = self.settings.seed.wrapping_add(REFINED);
        let noise = noise(seed, place, shape, &Device::Cpu)?;
        let places: Vec<usize> = (0..times.len()).collect();
        let given = self.given_tile(shot, &exposed.shot, &prior)?;
        let scene = Scene {
            given: &given,
            places: &places,
            anchors: None,
            noise: &noise,
        };
        let settings = Settings {
            strength: self.settings.refine_strength,
            ..self.settings.unrefined()
        };
        let loaded = self.settings.unrefined();
        let made = self.sample(&loaded, task, |s| s.make(&scene, &settings, task))?;
        let made = fused(&made.latents, &prior, grid.reach)?;
        self.put(&key, &made)?;
        Ok(made)
    }

    /// What the model is given of a tile whose latents were `prior` before: these to
    /// start from and, where it knows nothing but frames that follow a given one, the
    /// first of them.
    fn given_tile(&self, shot: usize, whole: &Shot, prior: &Tensor) -> Result<Given, WanError> {
        let of_shot = self.given(shot)?;
        let (_, _, frames, rows, columns) = prior.dims5()?;
        let all = |count: usize| (0..count as u32).collect::<Vec<_>>();
        let channels = match (self.studio.kind(), &of_shot.channels) {
            (Kind::Channels, Some(own)) => {
                let mut there = vec![0.; frames];
                there[0] = 1.;
                let mask = Track::uniform(&there, [rows, columns])?;
                // Where nothing is given the model has what nothing comes to.
                let blank = (0..whole.latents()).find(|l| {
                    let mut frames = Shot::of_latent(*l);
                    frames.all(|i| whole.plate(i).is_none())
                });
                let blank = match blank {
                    Some(blank) => own.select(&[blank])?.narrow(1, STEP, prior.dim(1)?)?,
                    None => prior.narrow(2, 0, 1)?.zeros_like()?,
                };
                let blank = blank.mean_keepdim((3, 4))?;
                let first = prior.narrow(2, 0, 1)?;
                let blank = blank.broadcast_as(first.shape())?;
                let latents = Tensor::cat(&[&first, &blank.contiguous()?], 2)?;
                let at = (0..frames).map(|i| u32::from(i > 0)).collect();
                let latents = Track::new(&latents, at)?;
                Some(Track::joined(&[&mask, &mask, &mask, &mask, &latents])?)
            }
            _ => None,
        };
        Ok(Given {
            shot: whole.clone(),
            references: 0,
            channels,
            kept: None,
            control: None,
            control_references: None,
            start: Some(Track::new(prior, all(frames))?),
            clip: of_shot.clip.clone(),
            members: None,
        })
    }

    /// Decodes run `run` and keeps its frames; gives that of shot frame `wanted`. Where
    /// the picture is refined it is decoded in the tiles of the refinement, each for
    /// itself, their overlaps laid over one another as the latents' are.
    fn decode(
        &self,
        shot: usize,
        run: usize,
        wanted: Option<usize>,
        task: Task<'_>,
    ) -> Result<Option<Vec<u8>>, WanError> {
        let (_, scheme) = self.of(shot)?;
        let range = scheme.decoded(run);
        let latents = self.latents(shot, range.clone(), task)?;
        // While frames are decoded the transformer leaves memory.
        *held(&self.bench.sampling, task)? = None;
        let (config, vb) = vae::open(self.studio.vae_path())?;
        let decoder = VaeDecoder::load(&config, &vb)?;
        let (_, _, _, rows, columns) = latents.dims5()?;
        let (rows, columns) = match &scheme.grid {
            Some(grid) => (grid.rows.clone(), grid.columns.clone()),
            None => (Axis::whole(rows), Axis::whole(columns)),
        };
        let factor = config.spatial_factor();
        let frames = self.frames_of(shot, run)?;
        let first = frames.first().copied().unwrap_or(0);
        let mut pictures: Vec<Laid> = frames.iter().map(|_| Laid::new(scheme.fit)).collect();
        for (i, down) in rows.parts.iter().enumerate() {
            for (j, across) in columns.parts.iter().enumerate() {
                let (y, down_weights) = around(&rows, i, down, factor);
                let (x, across_weights) = around(&columns, j, across, factor);
                let tile = latents
                    .narrow(3, y.start, y.len())?
                    .narrow(4, x.start, x.len())?;
                let weights = [down_weights, across_weights];
                let from = (range.start, first);
                decoder.decode_from(&tile, from, Tiling::Whole, task, &mut |piece| {
                    let at = frames.binary_search(&piece.frame);
                    if let Some(picture) = at.ok().and_then(|at| pictures.get_mut(at)) {
                        let place = [x.start * factor, y.start * factor];
                        picture.lay(&piece.pixels, place, &weights);
                    }
                })?;
            }
        }
        let mut found = None;
        for (frame, picture) in frames.iter().zip(pictures) {
            let bytes = picture.packed();
            self.keep.put(&self.frame_key(shot, run, *frame), &bytes);
            if wanted == Some(*frame) {
                found = Some(bytes);
            }
        }
        Ok(found)
    }

    /// The frames of the shot that run `run` is for, as the shot counts.
    fn frames_of(&self, shot: usize, run: usize) -> Result<Vec<usize>, WanError> {
        let (exposed, scheme) = self.of(shot)?;
        let part = scheme.runs.parts.get(run).ok_or_else(no_part)?;
        let shot = &exposed.shot;
        let indices = part.clone().flat_map(Shot::of_latent);
        let there = indices.filter(|i| *i < shot.frames.count());
        Ok(there
            .filter(|i| shot.made.contains(shot.frame(*i)))
            .collect())
    }

    /// Runs `run` with the model loaded for `settings`.
    fn sample<R>(
        &self,
        settings: &Settings,
        task: Task<'_>,
        run: impl FnOnce(&Sampling) -> Result<R, WanError>,
    ) -> Result<R, WanError> {
        let mut bench = held(&self.bench.sampling, task)?;
        let ready = bench.take().filter(|(of, _)| of == settings);
        let ready = match ready {
            Some(ready) => ready,
            None => (
                settings.clone(),
                Sampling::open(self.studio, settings, task)?,
            ),
        };
        run(&bench.insert(ready).1)
    }

    fn of(&self, shot: usize) -> Result<(&Exposed, &Scheme), WanError> {
        let exposed = self.latents.shots.get(shot);
        exposed.map(|e| (e, &e.scheme)).ok_or_else(no_part)
    }

    fn given(&self, shot: usize) -> Result<&Given, WanError> {
        self.conditions.shots.get(shot).ok_or_else(no_part)
    }

    /// [1, z, latents, rows, columns] of a shot as it is made first.
    fn shape(&self, shot: usize) -> Result<[usize; 5], WanError> {
        let (exposed, _) = self.of(shot)?;
        let [rows, columns] = self.studio.latent_size(self.conditions.fit.canvas);
        let z = self.studio.vae().z_dim;
        Ok([1, z, exposed.shot.latents(), rows, columns])
    }

    fn key(&self, what: &str, shot: usize, number: usize, of: &[u8; 32]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"wan part 1 ");
        hasher.update(what.as_bytes());
        hasher.update(of);
        for number in [shot, number] {
            hasher.update(&(number as u64).to_le_bytes());
        }
        hasher.finalize()
    }

    fn frame_key(&self, shot: usize, run: usize, frame: usize) -> blake3::Hash {
        let run = self.key("run", shot, run, &self.latents.name);
        self.key("frame", shot, frame, run.as_bytes())
    }

    fn kept(&self, key: &blake3::Hash) -> Option<Array> {
        postcard::from_bytes(&self.keep.get(key)?).ok()
    }

    fn put(&self, key: &blake3::Hash, made: &Tensor) -> Result<(), WanError> {
        if let Ok(bytes) = postcard::to_stdvec(&Array::of(made)?) {
            self.keep.put(key, &bytes);
        }
        Ok(())
    }
}

/// Part `part` of `axis` with what is decoded around it for its own sake, and how much
/// each pixel of that counts, `factor` to a latent.
fn around(axis: &Axis, part: usize, own: &Range<usize>, factor: usize) -> (Range<usize>, Vec<f32>) {
    let length = axis.parts.last().map_or(own.end, |p| p.end);
    let all = own.start.saturating_sub(AROUND)..(own.end + AROUND).min(length);
    let pixels = axis.clone().times(factor);
    let weights = (all.start * factor..all.end * factor).map(|at| pixels.weight(part, at));
    (all, weights.collect())
}

/// Said where a piece is asked for that the shot does not have.
fn no_part() -> WanError {
    WanError::Request(
        "this piece is none of the take's: ask 'longtake plan' for those there are".to_owned(),
    )
}

/// What `of` gives for stretches of neighbours among `places`, one behind the other;
/// `references` latent frames stand before the first place.
fn of_places(
    places: &[usize],
    references: usize,
    of: impl Fn(i32, usize) -> candle_core::Result<Tensor>,
) -> candle_core::Result<Tensor> {
    let mut stretches: Vec<(i32, usize)> = Vec::new();
    let before = (-(references as i32)..0).chain(places.iter().map(|p| *p as i32));
    for place in before {
        match stretches.last_mut() {
            Some((first, count)) if *first + *count as i32 == place => *count += 1,
            _ => stretches.push((place, 1)),
        }
    }
    let made = stretches.into_iter().map(|(first, count)| of(first, count));
    Tensor::cat(&made.collect::<candle_core::Result<Vec<_>>>()?, 2)
}
