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
use std::sync::Arc;

use candle_core::Tensor;
use parking_lot::Mutex;

use super::compose::composed;
use super::conditions::{self, Conditions, Lesson, Told};
use super::develop::{Desk, Latents, Wanted};
use super::error::WanError;
use super::expose::read_noise;
use super::fit::Fit;
use super::length::{Bench, Making, Scheme, Sizes, stages};
use super::naming::{VERSION, names};
use super::settings::Settings;
use super::shot::Shot;
use super::studio::Studio;
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::engine::{Engine, EngineError, Keep, Sources, Stage, Timeline};
use crate::frame::{Picture, PlateInfo, Window};

/// The engine, with the settings it works under.
#[derive(Clone)]
pub struct WanEngine {
    /// What the artist chose.
    pub settings: Settings,
    /// Where the transformers work.
    pub device: Choice,
    pub(super) keep: Arc<dyn Keep>,
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

/// A stop inside a model may come out as an error of another kind.
fn stopped_or<T>(result: Result<T, WanError>, task: Task<'_>) -> Result<T, EngineError> {
    result.map_err(|error| match task.check() {
        Err(cancelled) => cancelled.into(),
        Ok(()) => error.into(),
    })
}
