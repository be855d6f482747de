//! The pieces of a shot, made when they are asked for and kept.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use candle_core::{Device, Tensor};
use parking_lot::{Mutex, MutexGuard};

use super::level::levelled;
use super::scheme::{Part, Scheme};
use crate::device::Task;
use crate::engine::wan::array::Array;
use crate::engine::wan::conditions::{Conditions, Given, Lesson, Told};
use crate::engine::wan::develop::{Exposed, Latents};
use crate::engine::wan::error::WanError;
use crate::engine::wan::sampling::{Anchors, Sampling, Scene};
use crate::engine::wan::settings::{Settings, Way};
use crate::engine::wan::studio::Studio;
use crate::engine::{Keep, Sources};
use crate::sampler::{Place, noise};

/// How long a thread waits for another's work before it asks whether to stop.
const POLL: Duration = Duration::from_millis(20);
/// Where one model at a time is at work. Threads that want what another is making wait
/// for it.
#[derive(Default)]
pub struct Bench {
    pub(super) sampling: Mutex<Option<(Settings, Sampling)>>,
    pub(super) decoding: Mutex<Decoded>,
}

/// The frames of the run that was decoded last, as they are kept.
#[derive(Default)]
pub(super) struct Decoded {
    /// The run's name.
    pub run: Option<blake3::Hash>,
    /// The frames, as the shot counts.
    pub frames: Vec<(usize, Vec<u8>)>,
}

/// Waits for `mutex`, or to be stopped.
pub(super) fn held<'a, T>(
    mutex: &'a Mutex<T>,
    task: Task<'_>,
) -> Result<MutexGuard<'a, T>, WanError> {
    loop {
        task.check()?;
        if let Some(guard) = mutex.try_lock_for(POLL) {
            return Ok(guard);
        }
    }
}

/// What pieces are made with.
pub struct Making<'a, 's> {
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
    /// What can be read, where something of the conditions is lost.
    pub sources: RefCell<&'a mut Sources<'s>>,
}

impl Making<'_, '_> {
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
                    let mut decoding = held(&self.bench.decoding, task)?;
                    self.decode(shot, run, &mut decoding, task)?;
                }
                Ok(())
            }
        }
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
    pub(super) fn unrefined(
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
    pub(super) fn group(
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
                let references = given.references.len();
                let noise = of_places(&own.places, references, |frame, count| {
                    let place = Place {
                        frame: exposed.place + frame,
                        ..Place::default()
                    };
                    let shape = [z, count, rows, columns];
                    noise(self.settings.seed, place, shape, &Device::Cpu)
                })?;
                let told = self.told(shot, &own.places, task)?;
                let scene = Scene {
                    given,
                    told: &told,
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

    /// Runs `run` with the model loaded for `settings`.
    pub(super) fn sample<R>(
        &self,
        settings: &Settings,
        task: Task<'_>,
        run: impl FnOnce(&Sampling) -> Result<R, WanError>,
    ) -> Result<R, WanError> {
        let mut bench = held(&self.bench.sampling, task)?;
        let ready = bench.take().filter(|(of, _)| of == settings);
        let ready = match ready {
            Some(ready) => ready,
            None => {
                let latents = self.conditions.latents_at_once(settings);
                let sampling = Sampling::open(self.studio, settings, latents, task)?;
                (settings.clone(), sampling)
            }
        };
        run(&bench.insert(ready).1)
    }

    pub(super) fn of(&self, shot: usize) -> Result<(&Exposed, &Scheme), WanError> {
        let exposed = self.latents.shots.get(shot);
        exposed.map(|e| (e, &e.scheme)).ok_or_else(no_part)
    }

    /// What the model is given of the latent frames `places` of shot `shot`.
    pub(super) fn told(
        &self,
        shot: usize,
        places: &[usize],
        task: Task<'_>,
    ) -> Result<Told, WanError> {
        let mut sources = self.sources.borrow_mut();
        let mut lesson = Lesson {
            studio: self.studio,
            settings: self.settings,
            keep: self.keep,
            sources: Some(&mut **sources),
        };
        self.conditions.told(shot, places, &mut lesson, task)
    }

    pub(super) fn given(&self, shot: usize) -> Result<&Given, WanError> {
        self.conditions.shots.get(shot).ok_or_else(no_part)
    }

    /// [1, z, latents, rows, columns] of a shot as it is made first.
    fn shape(&self, shot: usize) -> Result<[usize; 5], WanError> {
        let (exposed, _) = self.of(shot)?;
        let [rows, columns] = self.studio.latent_size(self.conditions.fit.canvas);
        let z = self.studio.vae().z_dim;
        Ok([1, z, exposed.shot.latents(), rows, columns])
    }

    pub(super) fn key(
        &self,
        what: &str,
        shot: usize,
        number: usize,
        of: &[u8; 32],
    ) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"wan part 1 ");
        hasher.update(what.as_bytes());
        hasher.update(of);
        for number in [shot, number] {
            hasher.update(&(number as u64).to_le_bytes());
        }
        hasher.finalize()
    }

    pub(super) fn kept(&self, key: &blake3::Hash) -> Option<Array> {
        postcard::from_bytes(&self.keep.get(key)?).ok()
    }

    pub(super) fn put(&self, key: &blake3::Hash, made: &Tensor) -> Result<(), WanError> {
        if let Ok(bytes) = postcard::to_stdvec(&Array::of(made)?) {
            self.keep.put(key, &bytes);
        }
        Ok(())
    }
}

/// Said where a piece is asked for that the shot does not have.
pub(super) fn no_part() -> WanError {
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
