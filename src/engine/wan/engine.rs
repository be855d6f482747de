//! The wan engine behind the interface of engines.
//!
//! A diffusion model makes a block of frames at once, at its own size. What is learned
//! of the plate are the model's conditions; what is decided are the latents, which is
//! where the time goes; a frame is made by decoding its shot up to it once, each frame
//! that comes by being kept, and laying it into the plate. So a take is sampled once,
//! whatever the order and the scale in which its frames are asked for. A shot that is
//! longer than the model makes well, or refined, is decided as a list of pieces: these
//! are made when a frame, or a farm, asks for them (`length`).
//!
//! The same latents give the same pixels everywhere; the same seed gives the same
//! latents on processors with the same instructions, and on others the same picture but
//! for the last bits. Machines that share a store share the latents.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use parking_lot::Mutex;

use super::array::Array;
use super::compose::composed;
use super::conditions::{self, Conditions, Given, Lesson, Told};
use super::develop::{Desk, Exposed, Latents, Wanted};
use super::error::WanError;
use super::fit::Fit;
use super::identity::identity;
use super::length::{Bench, Making, Scheme, Sizes, stages};
use super::sampling::{Sampling, Scene};
use super::settings::{Settings, SubjectMatte};
use super::shot::{STEP, Shot};
use super::studio::Studio;
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::device::ops::plainly;
use crate::engine::{Engine, EngineError, Keep, Sources, Stage, Timeline};
use crate::frame::{FilePlate, Picture, PlateInfo, PlateOptions, Window};
use crate::sampler::{Place, noise};

/// The engine, with the settings it works under.
#[derive(Clone)]
pub struct WanEngine {
    /// What the artist chose.
    pub settings: Settings,
    /// Where the transformers work.
    pub device: Choice,
    keep: Arc<dyn Keep>,
    /// Opened when it is first needed, shared by clones.
    studio: Arc<Mutex<Option<Arc<Studio>>>>,
    desk: Arc<Desk>,
    bench: Arc<Bench>,
}

impl std::fmt::Debug for WanEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WanEngine").field(&self.settings).finish()
    }
}

impl WanEngine {
    /// An engine that keeps the frames it comes past in `keep`. Touches no file.
    pub fn new(settings: Settings, keep: Arc<dyn Keep>) -> Self {
        Self {
            settings,
            device: Choice::Auto,
            keep,
            studio: Arc::default(),
            desk: Arc::default(),
            bench: Arc::default(),
        }
    }

    pub(super) fn studio(&self) -> Result<Arc<Studio>, WanError> {
        let mut studio = self.studio.lock();
        if let Some(studio) = &*studio {
            return Ok(Arc::clone(studio));
        }
        let opened = Studio::open(&self.settings.files)?.on(self.device);
        let opened = Arc::new(opened);
        *studio = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn shots(&self, timeline: &Timeline) -> Vec<Shot> {
        Shot::all(timeline, self.settings.way, self.settings.overlap)
    }

    /// Names the numbers of the files that conditions depend on.
    fn sources_key(&self) -> String {
        let files = &self.settings.files;
        let parts = [&files.vae, &files.image_encoder].into_iter().flatten();
        let paths = [&files.model].into_iter().chain(parts);
        let references = self.settings.all_references();
        let owners: Vec<_> = references.map(|(_, owner)| owner).collect();
        let references = self.settings.all_references().map(|(path, _)| path);
        let mattes = self.settings.subjects.iter();
        let mattes = mattes.map(|s| match &s.matte {
            SubjectMatte::File(path) => matte_name(path),
            // Whose pixels it has the plate's own name tells.
            SubjectMatte::Clip(clip) => format!("clip {clip}"),
        });
        let mattes: Vec<_> = mattes.collect();
        let files = names(paths.chain(references).map(PathBuf::as_path));
        match mattes.is_empty() {
            true => files,
            false => format!("{files} {owners:?} {mattes:?}"),
        }
    }

    /// A text that tells `settings` from others, whatever the place of files.
    fn key_of(&self, settings: &Settings) -> String {
        let Settings { files, noise, .. } = settings;
        // What files hold counts, not where they lie.
        let told = Settings {
            files: Default::default(),
            references: Vec::new(),
            subjects: Vec::new(),
            noise: None,
            ..settings.clone()
        };
        let prompts: Vec<_> = settings.subjects.iter().map(|s| &s.prompt).collect();
        let more = [&files.low, &files.text_encoder, &files.tokenizer, noise];
        let more = more.into_iter().flatten();
        let loras = files.loras.iter().map(|l| &l.path);
        let how: Vec<_> = files.loras.iter().map(|l| (l.strength, l.part)).collect();
        let key = format!(
            "{told:?} {} {} {how:?} {prompts:?}",
            self.sources_key(),
            names(more.chain(loras).map(PathBuf::as_path))
        );
        match self.device {
            // What a GPU makes is not to the bit what the CPU makes.
            Choice::Gpu => format!("{key} on a GPU"),
            _ => key,
        }
    }

    /// The latents of all shots that are made at once, and of others how they are made.
    fn expose(
        &self,
        conditions: &Conditions,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<Latents, WanError> {
        let settings = &self.settings;
        let studio = self.studio()?;
        let sizes = Sizes::new(&studio, settings, conditions.shape);
        let vae = names([studio.vae_path()].into_iter());
        let made_from = |settings: &Settings| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(VERSION.as_bytes());
            hasher.update(&conditions.name);
            hasher.update(self.key_of(settings).as_bytes());
            hasher.update(vae.as_bytes());
            hasher.finalize()
        };
        let mut sampling = None;
        let mut shots = Vec::new();
        let mut cached = None;
        for given in &conditions.shots {
            let scheme = Scheme::new(&given.shot, settings, &sizes, studio.vae());
            let number = shots.len();
            let place = place(&given.shot, timeline);
            let latents = if scheme.is_decided() {
                let shape = shape(&studio, conditions.fit, given);
                let noise = match &settings.noise {
                    Some(path) => read_noise(path, shape)?,
                    None => {
                        let place = Place {
                            frame: place - given.references.len() as i32,
                            ..Place::default()
                        };
                        noise(settings.seed, place, shape, &Device::Cpu)?
                    }
                };
                let mut hasher = blake3::Hasher::new();
                hasher.update(b"wan exposed 1 ");
                hasher.update(made_from(settings).as_bytes());
                hasher.update(&(number as u64).to_le_bytes());
                let key = hasher.finalize();
                let known = self.keep.get(&key);
                let known = known.and_then(|b| postcard::from_bytes::<Array>(&b).ok());
                // What decodes them may be another now.
                if let Some(known) = known.filter(|k| k.shape[2..] == noise.dims()[2..]) {
                    Some(known)
                } else {
                    let sampling = match &mut sampling {
                        Some(sampling) => sampling,
                        none => none.insert(Sampling::open(&studio, settings, task)?),
                    };
                    let places: Vec<usize> = (0..given.shot.latents()).collect();
                    let mut lesson = Lesson {
                        studio: &studio,
                        settings,
                        keep: &*self.keep,
                        sources: None,
                    };
                    let told = conditions.told(number, &places, &mut lesson, task)?;
                    let scene = Scene {
                        given,
                        told: &told,
                        places: &places,
                        anchors: None,
                        noise: &noise,
                    };
                    let made = sampling.make(&scene, settings, task)?;
                    cached = made.cached.or(cached);
                    let made = Array::of(&made.latents)?;
                    if let Ok(bytes) = postcard::to_stdvec(&made) {
                        self.keep.put(&key, &bytes);
                    }
                    Some(made)
                }
            } else {
                None
            };
            shots.push(Exposed {
                shot: given.shot.clone(),
                place,
                scheme,
                latents,
            });
        }
        let mut hasher = blake3::Hasher::new();
        for shot in &shots {
            match &shot.latents {
                Some(made) => {
                    for value in &made.values {
                        hasher.update(&value.to_le_bytes());
                    }
                }
                None => {
                    hasher.update(made_from(settings).as_bytes());
                    hasher.update(&shot.place.to_le_bytes());
                }
            }
        }
        hasher.update(vae.as_bytes());
        let mut unrefined = blake3::Hasher::new();
        unrefined.update(made_from(&settings.unrefined()).as_bytes());
        for shot in &shots {
            unrefined.update(&shot.place.to_le_bytes());
        }
        let name = hasher.finalize();
        let shown = match studio.tiny_path() {
            Some(path) => {
                let decoder = names([path].into_iter());
                blake3::keyed_hash(name.as_bytes(), decoder.as_bytes())
            }
            // A GPU decodes to other bits than the CPU.
            None if self.device == Choice::Gpu => blake3::keyed_hash(name.as_bytes(), b"GPU"),
            None => name,
        };
        Ok(Latents {
            shots,
            cached,
            name: *name.as_bytes(),
            shown: *shown.as_bytes(),
            unrefined: *unrefined.finalize().as_bytes(),
        })
    }

    /// Refuses, by headers alone, what cannot be made.
    fn refuse(&self, timeline: &Timeline, plate: &PlateInfo) -> Result<(), WanError> {
        let settings = &self.settings;
        if settings.size.contains(&0) || settings.steps == 0 {
            let text = "a size and a number of steps are needed, all above 0";
            return Err(WanError::Request(text.to_owned()));
        }
        let shots = self.shots(timeline);
        if shots.is_empty() {
            return Ok(());
        }
        let studio = self.studio()?;
        studio.readable(&settings.prompt)?;
        studio.readable(&settings.negative)?;
        for subject in &settings.subjects {
            studio.readable(&subject.prompt)?;
        }
        studio.can(&shots, settings)?;
        let fit = Fit::new(plate, settings.size, studio.step());
        let references = settings.all_references().count();
        let most = settings.latents_at_once();
        studio.fits(fit.canvas, &shots, most, references)?;
        if let Some(path) = &settings.noise {
            let sizes = Sizes::new(&studio, settings, Fit::shape(plate));
            let [shot] = &shots[..] else {
                let text = "noise is given for one shot and this take has several: ask for one end at a time";
                return Err(WanError::Request(text.to_owned()));
            };
            if !Scheme::new(shot, settings, &sizes, studio.vae()).is_decided() {
                let text = "noise is given for frames that are made at once, and this take is made in pieces: ask for fewer frames, or leave out refine";
                return Err(WanError::Request(text.to_owned()));
            }
            let [rows, columns] = studio.latent_size(fit.canvas);
            let frames = shot.latents() + references;
            read_noise(path, [studio.vae().z_dim, frames, rows, columns])?;
        }
        Ok(())
    }

    fn making<'a, 's>(
        &'a self,
        studio: &'a Studio,
        conditions: &'a Conditions,
        latents: &'a Latents,
        sources: &'a mut Sources<'s>,
    ) -> Making<'a, 's> {
        Making {
            studio,
            settings: &self.settings,
            keep: &*self.keep,
            bench: &self.bench,
            conditions,
            latents,
            sources: RefCell::new(sources),
        }
    }

    /// The shots of `timeline` in pieces.
    pub(super) fn schemes(
        &self,
        timeline: &Timeline,
        shape: [f64; 2],
    ) -> Result<Vec<(Shot, Scheme)>, WanError> {
        let shots = self.shots(timeline);
        if shots.is_empty() {
            return Ok(Vec::new());
        }
        let studio = self.studio()?;
        let sizes = Sizes::new(&studio, &self.settings, shape);
        let scheme = |shot: Shot| {
            let scheme = Scheme::new(&shot, &self.settings, &sizes, studio.vae());
            (shot, scheme)
        };
        Ok(shots.into_iter().map(scheme).collect())
    }

    /// What the model is given of the latent frames `places`, which rise, of shot `shot`.
    ///
    /// # Errors
    /// Where there are none such, or what was kept is lost and cannot be learned again.
    pub fn told(
        &self,
        conditions: &Conditions,
        shot: usize,
        places: &[usize],
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Told, EngineError> {
        let told = self.studio().and_then(|studio| {
            let mut lesson = Lesson {
                studio: &studio,
                settings: &self.settings,
                keep: &*self.keep,
                sources: Some(sources),
            };
            conditions.told(shot, places, &mut lesson, task)
        });
        stopped_or(told, task)
    }

    /// Latent frames `range` of shot `shot` as they are decoded, [1, z, range, rows,
    /// columns].
    ///
    /// # Errors
    /// Where they cannot be made, or the work is to stop.
    pub fn latents(
        &self,
        conditions: &Conditions,
        latents: &Latents,
        shot: usize,
        range: Range<usize>,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Tensor, EngineError> {
        let made = self.studio().and_then(|studio| {
            let making = self.making(&studio, conditions, latents, sources);
            making.latents(shot, range, task)
        });
        stopped_or(made, task)
    }

    fn shown(
        &self,
        conditions: &Conditions,
        latents: &Latents,
        frame: i32,
        window: Window,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Arc<Picture>, WanError> {
        task.check()?;
        let info = sources.plate.info().clone();
        let window = window.intersection(&Window::whole(info.width, info.height));
        let shots = &latents.shots;
        let Some(at) = shots.iter().position(|s| s.shot.made.contains(frame)) else {
            let text = format!("frame {frame} is none of the take's: ask for one that is");
            return Err(WanError::Request(text));
        };
        let studio = self.studio()?;
        let scheme = &shots[at].scheme;
        let made = if scheme.is_decided() {
            let wanted = Wanted {
                studio: &studio,
                keep: &*self.keep,
                latents,
                fit: conditions.fit,
            };
            self.desk.frame(&wanted, at, frame, task)?
        } else {
            self.making(&studio, conditions, latents, sources)
                .frame(at, frame, task)?
        };
        let size = (info.width, info.height);
        let made = scheme.fit.back(&made, size, window);
        let (mut plate, mut matte) = (None, None);
        if let Some(offset) = shots[at].shot.over {
            let behind = frame.saturating_add(offset);
            plate = Some(Picture::crop(&sources.plate.read(behind)?, window));
            if let Some(reader) = &mut sources.matte {
                matte = Some(Picture::crop(&reader.read(behind)?, window));
            }
        }
        Ok(composed(
            &made,
            window,
            &conditions.space,
            &info,
            self.settings.colour.as_ref().map(|c| &c.back),
            plate.as_deref(),
            matte.as_deref(),
        ))
    }
}

impl Engine for WanEngine {
    type Analysis = Conditions;
    type Decision = Latents;

    fn version(&self) -> &'static str {
        VERSION
    }

    fn settings_key(&self) -> String {
        let key = self.key_of(&self.settings);
        match &self.settings.files.tiny {
            Some(path) => format!("{key} shown by {}", names([path.as_path()].into_iter())),
            None => key,
        }
    }

    fn analysis_key(&self, timeline: &Timeline) -> String {
        let Settings { way, size, .. } = &self.settings;
        let shots = self.shots(timeline);
        // Those that are made at once are held, others kept apart.
        let held = shots.iter().map(|s| self.settings.makes_at_once(s));
        let held: Vec<bool> = held.collect();
        let sources = self.sources_key();
        let told = format!("2 {way:?} {size:?} {shots:?} {held:?} {sources}");
        let told = match self.device {
            // A GPU encodes to other bits than the CPU.
            Choice::Gpu => format!("{told} on a GPU"),
            _ => told,
        };
        match (&self.settings.colour, &self.settings.guide_colour) {
            (None, None) => told,
            colours => format!("{told} {colours:?}"),
        }
    }

    fn check(&self, timeline: &Timeline, plate: &PlateInfo) -> Result<(), EngineError> {
        Ok(self.refuse(timeline, plate)?)
    }

    fn analyse(
        &self,
        timeline: &Timeline,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Conditions, EngineError> {
        let learned = self.studio().and_then(|studio| {
            let fit = Fit::new(sources.plate.info(), self.settings.size, studio.step());
            let shots = self.shots(timeline);
            let mut lesson = Lesson {
                studio: &studio,
                settings: &self.settings,
                keep: &*self.keep,
                sources: Some(sources),
            };
            conditions::learn(&mut lesson, shots, fit, task)
        });
        stopped_or(learned, task)
    }

    fn decide(
        &self,
        analysis: &Conditions,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<Latents, EngineError> {
        stopped_or(self.expose(analysis, timeline, task), task)
    }

    fn pieces(&self, timeline: &Timeline, plate: &PlateInfo) -> Result<Vec<Stage>, EngineError> {
        let schemes = self.schemes(timeline, Fit::shape(plate))?;
        Ok(stages(&schemes).stages)
    }

    fn make_piece(
        &self,
        analysis: &Conditions,
        decision: &Latents,
        (stage, number): (usize, usize),
        again: bool,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<(), EngineError> {
        let shots = decision.shots.iter();
        let schemes: Vec<_> = shots.map(|s| (s.shot.clone(), s.scheme.clone())).collect();
        let parts = stages(&schemes).parts;
        let Some((shot, part)) = parts.get(stage).and_then(|p| p.get(number)) else {
            let text = "the take has no such piece: 'longtake plan' lists those there are";
            return Err(EngineError::Request(text.to_owned()));
        };
        let made = self.studio().and_then(|studio| {
            let making = self.making(&studio, analysis, decision, sources);
            making.part(*shot, *part, again, task)
        });
        stopped_or(made, task)
    }

    fn frames_needed(&self, _: &Conditions, decision: &Latents, frame: i32) -> Vec<i32> {
        let shots = decision.shots.iter().map(|s| &s.shot);
        let mut over = shots
            .filter(|s| s.made.contains(frame))
            .filter_map(|s| s.over);
        over.next()
            .map(|offset| frame.saturating_add(offset))
            .into_iter()
            .collect()
    }

    fn make(
        &self,
        analysis: &Conditions,
        decision: &Latents,
        frame: i32,
        window: Window,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Arc<Picture>, EngineError> {
        stopped_or(
            self.shown(analysis, decision, frame, window, sources, task),
            task,
        )
    }
}

/// Name and version, as of every engine.
pub const VERSION: &str = "wan 2";

impl WanEngine {
    /// Names the numbers of the model and of what changes them, wherever the files lie.
    pub fn weights(&self) -> String {
        let files = &self.settings.files;
        let parts = [
            &files.low,
            &files.vae,
            &files.text_encoder,
            &files.image_encoder,
            &files.tiny,
        ];
        let more = parts.into_iter().flatten();
        let loras = files.loras.iter().map(|l| &l.path);
        let all = [&files.model].into_iter().chain(more).chain(loras);
        let named = names(all.map(PathBuf::as_path));
        blake3::hash(named.as_bytes()).to_hex()[..32].to_owned()
    }
}

/// A stop inside a model may come out as an error of another kind.
fn stopped_or<T>(result: Result<T, WanError>, task: Task<'_>) -> Result<T, EngineError> {
    result.map_err(|error| match task.check() {
        Err(cancelled) => cancelled.into(),
        Ok(()) => error.into(),
    })
}

/// Names the numbers in files; one that cannot be read, by its path: the error comes
/// where it is opened.
fn names<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let name = |path: &Path| match identity(path) {
        Ok(hash) => hash.to_hex().to_string(),
        Err(_) => path.display().to_string(),
    };
    paths.map(name).collect::<Vec<_>>().join(" ")
}

/// Names a matte's pixels, wherever its files lie.
fn matte_name(path: &Path) -> String {
    let options = PlateOptions::default();
    match FilePlate::open(path, &options).and_then(|matte| matte.key()) {
        Ok(key) => key.to_hex().to_string(),
        Err(_) => path.display().to_string(),
    }
}

/// Channels, frames, rows and columns of a shot's latents.
fn shape(studio: &Studio, fit: Fit, given: &Given) -> [usize; 4] {
    let [rows, columns] = studio.latent_size(fit.canvas);
    let frames = given.shot.latents() + given.references.len();
    [studio.vae().z_dim, frames, rows, columns]
}

/// Where a shot's noise is drawn: by its place in the take, in latent frames, so that
/// shots do not repeat one another.
fn place(shot: &Shot, timeline: &Timeline) -> i32 {
    let after = i64::from(shot.frames.first) - i64::from(timeline.out.first);
    after.div_euclid(STEP as i64) as i32
}

/// The tensor `latents` of the file at `path`, which must be [1, channels, frames, rows,
/// columns].
fn read_noise(path: &Path, shape: [usize; 4]) -> Result<Tensor, WanError> {
    let refuse = |why: String| {
        WanError::Model(format!(
            "{} cannot be read as latents: {why}",
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let found = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
    let mut found = found.map_err(|e| refuse(plainly(&e)))?;
    let latents = found.remove("latents");
    let latents = latents.ok_or_else(|| refuse("it has no tensor 'latents'".to_owned()))?;
    let [c, t, h, w] = shape;
    if latents.dims() != [1, c, t, h, w] {
        return Err(WanError::Request(format!(
            "the latents in {} are {:?}, where [1, {c}, {t}, {h}, {w}] goes with this size",
            path.display(),
            latents.dims()
        )));
    }
    Ok(latents.to_dtype(DType::F32)?)
}
