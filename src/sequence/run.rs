//! Carries a request out: analysis, decision, frames, each kept under its own
//! hash so that what is known is not found out twice.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::device::Task;
use crate::engine::{Engine, EngineError, Sources, Timeline};
use crate::frame::{Picture, Window};
use crate::store::Vault;

/// Width and height that a plate must have.
const SMALLEST: usize = 4;

/// The names of what is kept of a take, told before any of it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of what is learned of the plate.
    pub analysis: blake3::Hash,
    /// Of what is decided, and so of the pixels of every frame.
    pub take: blake3::Hash,
}

impl Names {
    /// The names of a take of `timeline` of the plate called `plate_key`.
    pub fn of(engine: &impl Engine, plate_key: &blake3::Hash, timeline: &Timeline) -> Self {
        let analysis = analysis_key(engine, plate_key, timeline);
        Self {
            analysis,
            take: take_key(engine, &analysis, timeline),
        }
    }
}

/// A sequence that has been decided: any frame of it can be made.
pub struct Take<E: Engine> {
    engine: E,
    analysis: Arc<E::Analysis>,
    decision: Arc<E::Decision>,
    timeline: Timeline,
    analysis_key: blake3::Hash,
    hash: blake3::Hash,
}

impl<E: Engine> Take<E> {
    /// Finds out and decides all that the frames of `timeline` need.
    /// `plate_key` names the pixels of plate and matte: equal keys, equal
    /// pixels.
    pub fn prepare(
        engine: E,
        plate_key: &blake3::Hash,
        timeline: Timeline,
        sources: &mut Sources<'_>,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        check(&engine, &timeline, sources)?;
        let key = analysis_key(&engine, plate_key, &timeline);
        let analysis = kept(vault, &key, || engine.analyse(&timeline, sources, task));
        let analysis = Arc::new(analysis?);
        Self::decide(engine, key, analysis, timeline, vault, task)
    }

    /// Finds out what there is to learn of the plate called `plate_key`, and
    /// nothing more, for takes of it that are prepared elsewhere.
    pub fn study(
        engine: &E,
        plate_key: &blake3::Hash,
        timeline: &Timeline,
        sources: &mut Sources<'_>,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<(), EngineError> {
        check(engine, timeline, sources)?;
        let key = analysis_key(engine, plate_key, timeline);
        kept(vault, &key, || engine.analyse(timeline, sources, task)).map(drop)
    }

    /// As [`prepare`](Self::prepare) for a plate that can be named only once
    /// its frames have been read: `plate_key` is asked after that, and what was
    /// learned is kept under its answer.
    pub fn prepare_unnamed(
        engine: E,
        plate_key: impl FnOnce() -> Result<blake3::Hash, EngineError>,
        timeline: Timeline,
        sources: &mut Sources<'_>,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        check(&engine, &timeline, sources)?;
        let analysis = engine.analyse(&timeline, sources, task)?;
        let key = analysis_key(&engine, &plate_key()?, &timeline);
        keep(vault, &key, &analysis);
        Self::decide(engine, key, Arc::new(analysis), timeline, vault, task)
    }

    /// Another take of the same plate, of an engine with the same
    /// [`analysis_key`](Engine::analysis_key): what was learned serves again.
    pub fn again(
        &self,
        engine: E,
        timeline: Timeline,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        let analysis = Arc::clone(&self.analysis);
        Self::decide(engine, self.analysis_key, analysis, timeline, vault, task)
    }

    fn decide(
        engine: E,
        analysis_key: blake3::Hash,
        analysis: Arc<E::Analysis>,
        timeline: Timeline,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        let hash = take_key(&engine, &analysis_key, &timeline);
        let decision = kept(vault, &hash, || engine.decide(&analysis, &timeline, task))?;
        Ok(Self {
            engine,
            analysis,
            decision: Arc::new(decision),
            timeline,
            analysis_key,
            hash,
        })
    }

    /// Has `vault` forget what this take was made with.
    pub fn forget(&self, vault: &dyn Vault) {
        vault.remove(&self.analysis_key);
        vault.remove(&self.hash);
    }

    /// Has `vault` forget what was learned of the plate called `plate_key`.
    pub fn forget_plate(
        engine: &E,
        plate_key: &blake3::Hash,
        timeline: &Timeline,
        vault: &dyn Vault,
    ) {
        vault.remove(&analysis_key(engine, plate_key, timeline));
    }

    /// Names the pixels of every frame: equal hashes, equal pixels.
    pub fn hash(&self) -> &blake3::Hash {
        &self.hash
    }

    /// Which frames are kept and which made.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What was learned of the plate.
    pub fn analysis(&self) -> &E::Analysis {
        &self.analysis
    }

    /// What was decided.
    pub fn decision(&self) -> &E::Decision {
        &self.decision
    }

    /// Makes a piece of the take, and what it needs, and keeps it: see
    /// [`Engine::make_piece`].
    ///
    /// # Errors
    /// Where it cannot be made, or the work is to stop.
    pub fn make_piece(
        &self,
        piece: (usize, usize),
        again: bool,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<(), EngineError> {
        let (analysis, decision) = (&self.analysis, &self.decision);
        self.engine
            .make_piece(analysis, decision, piece, again, sources, task)
    }

    /// The engine, with the settings that the take was made under.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The plate frames that output frame `frame` needs.
    pub fn frames_needed(&self, frame: i32) -> Vec<i32> {
        match self.timeline.kept(frame) {
            Some(plate) => vec![plate],
            None => self
                .engine
                .frames_needed(&self.analysis, &self.decision, frame),
        }
    }

    /// The part `window` of output frame `frame`; of a kept frame, the plate's
    /// own bits.
    pub fn make(
        &self,
        frame: i32,
        window: Window,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Arc<Picture>, EngineError> {
        if let Some(kept) = make_kept(&self.timeline, frame, window, sources, task) {
            return kept;
        }
        self.engine
            .make(&self.analysis, &self.decision, frame, window, sources, task)
    }
}

/// The part `window` of output frame `frame` where that frame is the plate's
/// own, which takes neither analysis nor decision; `None` where it is to be
/// made.
pub fn make_kept(
    timeline: &Timeline,
    frame: i32,
    window: Window,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Option<Result<Arc<Picture>, EngineError>> {
    let plate = timeline.kept(frame)?;
    Some(task.check().map_err(EngineError::from).and_then(|()| {
        let picture = sources.plate.read(plate)?;
        Ok(Picture::crop(&picture, window))
    }))
}

/// Refuses plates that are too small to judge, and what the engine cannot make.
fn check(
    engine: &impl Engine,
    timeline: &Timeline,
    sources: &Sources<'_>,
) -> Result<(), EngineError> {
    let info = sources.plate.info();
    let (width, height) = info.full_size;
    if width.min(height) < SMALLEST {
        return Err(EngineError::Request(format!(
            "the plate is {width}x{height} pixels and nothing can be told from so few: give one of at least {SMALLEST}x{SMALLEST}"
        )));
    }
    engine.check(timeline, info)
}

/// Names what `engine` learns of the plate called `plate_key`.
fn analysis_key<E: Engine>(
    engine: &E,
    plate_key: &blake3::Hash,
    timeline: &Timeline,
) -> blake3::Hash {
    let plate = plate_key.to_hex();
    key_of(&[
        engine.version(),
        "analysis 2",
        plate.as_str(),
        &engine.analysis_key(timeline),
    ])
}

/// Names what `engine` decides for `timeline`.
fn take_key<E: Engine>(
    engine: &E,
    analysis_key: &blake3::Hash,
    timeline: &Timeline,
) -> blake3::Hash {
    key_of(&[
        analysis_key.to_hex().as_str(),
        "decision 2",
        &engine.settings_key(),
        &format!("{timeline:?}"),
    ])
}

/// A hash of `parts` that no other list of parts has.
pub fn key_of(parts: &[&str]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

fn kept<T: Serialize + DeserializeOwned>(
    vault: &dyn Vault,
    key: &blake3::Hash,
    make: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    if let Some(bytes) = vault.get(key)
        && let Ok(value) = postcard::from_bytes(&bytes)
    {
        return Ok(value);
    }
    let value = make()?;
    keep(vault, key, &value);
    Ok(value)
}

fn keep<T: Serialize>(vault: &dyn Vault, key: &blake3::Hash, value: &T) {
    if let Ok(bytes) = postcard::to_stdvec(value) {
        vault.put(key, &bytes);
    }
}
