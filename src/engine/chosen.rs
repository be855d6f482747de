//! The engine that somebody chose, where any of them may have been: what stands
//! between the parameters and a take.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plate::{Analysis, EditList, PlateEngine};
use super::wan::{Conditions, Latents, WanEngine};
use super::{Engine, EngineError, Sources, Stage, Timeline};
use crate::device::Task;
use crate::frame::{Picture, PlateInfo, Window};

/// One of the engines, with its settings.
#[derive(Clone, Debug)]
pub enum AnyEngine {
    /// The plate, re-timed place by place.
    Plate(PlateEngine),
    /// A video diffusion model.
    Wan(Box<WanEngine>),
}

/// What one of the engines learned.
#[derive(Serialize, Deserialize)]
pub enum AnyAnalysis {
    /// Of the plate engine.
    Plate(Box<Analysis>),
    /// Of the wan engine.
    Wan(Box<Conditions>),
}

/// What one of the engines decided.
#[derive(Serialize, Deserialize)]
pub enum AnyDecision {
    /// Of the plate engine.
    Plate(Box<EditList>),
    /// Of the wan engine.
    Wan(Box<Latents>),
}

impl AnyEngine {
    /// As parameters name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plate(_) => "plate",
            Self::Wan(_) => "wan",
        }
    }

    /// What its first and second stage make, for a plan's reader.
    pub fn stages(&self) -> [&'static str; 2] {
        match self {
            Self::Plate(_) => ["analysis", "edit list"],
            Self::Wan(_) => ["conditions", "latents"],
        }
    }
}

impl Default for AnyEngine {
    fn default() -> Self {
        Self::Plate(PlateEngine::default())
    }
}

impl AnyAnalysis {
    /// That of the plate engine, if it is one.
    pub fn plate(&self) -> Option<&Analysis> {
        match self {
            Self::Plate(analysis) => Some(analysis),
            Self::Wan(_) => None,
        }
    }
}

impl AnyDecision {
    /// The plate engine's, if it is one.
    pub fn edit_list(&self) -> Option<&EditList> {
        match self {
            Self::Plate(edit) => Some(edit),
            Self::Wan(_) => None,
        }
    }

    /// The wan engine's, if it is one.
    pub fn latents(&self) -> Option<&Latents> {
        match self {
            Self::Plate(_) => None,
            Self::Wan(latents) => Some(latents),
        }
    }
}

/// Said where what is kept of one engine is handed to another, which does not
/// happen: their names differ.
fn stranger() -> EngineError {
    EngineError::Request(
        "what was kept is another engine's: clear the store and run again".to_owned(),
    )
}

impl Engine for AnyEngine {
    type Analysis = AnyAnalysis;
    type Decision = AnyDecision;

    fn version(&self) -> &'static str {
        match self {
            Self::Plate(engine) => engine.version(),
            Self::Wan(engine) => engine.version(),
        }
    }

    fn settings_key(&self) -> String {
        match self {
            Self::Plate(engine) => engine.settings_key(),
            Self::Wan(engine) => engine.settings_key(),
        }
    }

    fn analysis_key(&self, timeline: &Timeline) -> String {
        match self {
            Self::Plate(engine) => engine.analysis_key(timeline),
            Self::Wan(engine) => engine.analysis_key(timeline),
        }
    }

    fn check(&self, timeline: &Timeline, plate: &PlateInfo) -> Result<(), EngineError> {
        match self {
            Self::Plate(engine) => engine.check(timeline, plate),
            Self::Wan(engine) => engine.check(timeline, plate),
        }
    }

    fn analyse(
        &self,
        timeline: &Timeline,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<AnyAnalysis, EngineError> {
        Ok(match self {
            Self::Plate(engine) => {
                AnyAnalysis::Plate(Box::new(engine.analyse(timeline, sources, task)?))
            }
            Self::Wan(engine) => {
                AnyAnalysis::Wan(Box::new(engine.analyse(timeline, sources, task)?))
            }
        })
    }

    fn decide(
        &self,
        analysis: &AnyAnalysis,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<AnyDecision, EngineError> {
        match (self, analysis) {
            (Self::Plate(engine), AnyAnalysis::Plate(analysis)) => engine
                .decide(analysis, timeline, task)
                .map(|d| AnyDecision::Plate(Box::new(d))),
            (Self::Wan(engine), AnyAnalysis::Wan(analysis)) => engine
                .decide(analysis, timeline, task)
                .map(|d| AnyDecision::Wan(Box::new(d))),
            _ => Err(stranger()),
        }
    }

    fn pieces(&self, timeline: &Timeline, plate: &PlateInfo) -> Result<Vec<Stage>, EngineError> {
        match self {
            Self::Plate(engine) => engine.pieces(timeline, plate),
            Self::Wan(engine) => engine.pieces(timeline, plate),
        }
    }

    fn make_piece(
        &self,
        analysis: &AnyAnalysis,
        decision: &AnyDecision,
        piece: (usize, usize),
        again: bool,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<(), EngineError> {
        match (self, analysis, decision) {
            (Self::Plate(e), AnyAnalysis::Plate(a), AnyDecision::Plate(d)) => {
                e.make_piece(a, d, piece, again, sources, task)
            }
            (Self::Wan(e), AnyAnalysis::Wan(a), AnyDecision::Wan(d)) => {
                e.make_piece(a, d, piece, again, sources, task)
            }
            _ => Err(stranger()),
        }
    }

    fn frames_needed(
        &self,
        analysis: &AnyAnalysis,
        decision: &AnyDecision,
        frame: i32,
    ) -> Vec<i32> {
        match (self, analysis, decision) {
            (Self::Plate(e), AnyAnalysis::Plate(a), AnyDecision::Plate(d)) => {
                e.frames_needed(a, d, frame)
            }
            (Self::Wan(e), AnyAnalysis::Wan(a), AnyDecision::Wan(d)) => {
                e.frames_needed(a, d, frame)
            }
            _ => Vec::new(),
        }
    }

    fn make(
        &self,
        analysis: &AnyAnalysis,
        decision: &AnyDecision,
        frame: i32,
        window: Window,
        sources: &mut Sources<'_>,
        task: Task<'_>,
    ) -> Result<Arc<Picture>, EngineError> {
        match (self, analysis, decision) {
            (Self::Plate(e), AnyAnalysis::Plate(a), AnyDecision::Plate(d)) => {
                e.make(a, d, frame, window, sources, task)
            }
            (Self::Wan(e), AnyAnalysis::Wan(a), AnyDecision::Wan(d)) => {
                e.make(a, d, frame, window, sources, task)
            }
            _ => Err(stranger()),
        }
    }
}
