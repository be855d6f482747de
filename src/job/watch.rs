//! What a running job tells whoever watches it.

use std::path::Path;

use serde::{Serialize, Serializer};

use super::frames::Stages;
use crate::device::{Progress, notices};
use crate::engine::plate::Suitability;
use crate::frame::{FrameRange, PlateInfo};
use crate::sequence::Mode;

/// Something that happened. As JSON it is an object with the name of the event
/// under `event`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<'a> {
    /// All is open and the work begins.
    Start {
        /// What becomes of the plate.
        mode: Mode,
        /// The plate.
        plate: &'a PlateInfo,
        /// The output frames of the take.
        out: FrameRange,
        /// How many of them are plate frames untouched.
        kept: usize,
    },
    /// Something to know; the work goes on.
    Warning {
        /// One sentence: what, and what to do.
        message: &'a str,
    },
    /// How well the plate lends itself.
    Suitability {
        /// What was found.
        #[serde(flatten, serialize_with = "with_advice")]
        found: &'a Suitability,
        /// One sentence, and what to do.
        summary: &'a str,
    },
    /// The take is decided: `take` names its pixels.
    Take {
        /// A hash; equal hashes, equal pixels.
        take: &'a str,
    },
    /// The wan engine's latents are there.
    Latents {
        /// Their shapes, [1, channels, frames, rows, columns] of each shot.
        shapes: Vec<&'a [usize]>,
        /// Steps that the step cache left out; none where it is off.
        cached_steps: Option<usize>,
        /// The largest relative error that it estimates to have caused.
        cache_error: Option<f64>,
    },
    /// A block of the plan that makes no frames is in the store.
    Block {
        /// Its name.
        block: &'a str,
    },
    /// A frame is there.
    Frame {
        /// Its number.
        frame: i32,
        /// Its file.
        file: &'a Path,
        /// Where it came from.
        state: State,
    },
    /// A file beside the frames is there.
    File {
        /// What it is: `contact sheet`, `preview`, `report`, `page` or `latents`.
        what: &'a str,
        /// The file.
        file: &'a Path,
    },
    /// All that was asked for is there.
    Done {
        /// Frames made from the plate.
        made: usize,
        /// Plate frames written untouched.
        kept: usize,
        /// Frames that were there already.
        there: usize,
        /// How long it took.
        seconds: f64,
        /// Where the threads' time went while frames were made.
        stages: Stages,
    },
}

/// What was found, and as `advice` a sentence for each concern in it.
fn with_advice<S: Serializer>(found: &Suitability, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Advised<'a> {
        #[serde(flatten)]
        found: &'a Suitability,
        advice: Vec<&'static str>,
    }
    let advice = found.concerns.iter().map(|c| c.advice()).collect();
    Advised { found, advice }.serialize(to)
}

/// Where an output frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Made.
    Made,
    /// A plate frame, untouched.
    Kept,
    /// It was there already, of this same take.
    There,
}

/// Watches a job. Called from any thread.
pub trait Watch: Progress {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// A [`Watch`] that is also told, as warnings, what was noticed deep in the work: with the
/// next thing that happens, while an artist may still stop it, and at the latest at its end,
/// however that comes.
pub(super) struct Noticing<'a>(pub &'a dyn Watch);

impl Noticing<'_> {
    fn tell(&self) {
        while let Some(message) = &notices::next() {
            self.0.event(&Event::Warning { message });
        }
    }
}

impl Progress for Noticing<'_> {
    fn report(&self, stage: &str, fraction: f64) {
        self.tell();
        self.0.report(stage, fraction);
    }
}

impl Watch for Noticing<'_> {
    fn event(&self, event: &Event<'_>) {
        self.tell();
        self.0.event(event);
    }
}

impl Drop for Noticing<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
