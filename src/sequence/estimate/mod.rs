//! What a take needs of a machine and how long it takes there, told before any work.

mod calibration;

use std::fmt;

use serde::Serialize;

use super::plan;
use crate::device::gpu;
use crate::engine::plate::GPU_PICTURES;
use crate::engine::{AnyEngine, Engine as _, Span, Timeline};
use crate::frame::PlateInfo;

pub use calibration::Calibration;

/// Frames in a block where nobody says how many.
pub const BLOCK: usize = 24;
/// What is needed beside pictures: the program, its threads' stacks, what is
/// learned of the plate.
const BASE: u64 = 192 << 20;
/// Pictures that a thread holds at most while it makes a frame: the frame, what it
/// is gathered from, and the file being packed.
const PICTURES: u64 = 6;
/// Bytes of decoded movie frames kept on disk at most.
const SPOOL: u64 = 16 << 30;
/// What is allowed for on a GPU beside pictures: its driver's own, the kernels and the
/// tables of a frame.
const GPU_BASE: u64 = 1 << 30;
/// Results that a process keeps in memory, at most.
const RESULTS: u64 = 512 << 20;

/// What a machine has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Processor cores.
    pub cpus: usize,
    /// GPUs: one where the job insists on it.
    pub gpus: usize,
    /// Bytes of the GPU's memory, where one is insisted on.
    pub gpu_memory: Option<u64>,
    /// Bytes of memory, at most; `None` where a model is used that cannot be opened.
    pub memory: Option<u64>,
    /// Bytes in the folder for temporary files, at most.
    pub scratch: u64,
    /// Bytes that the store grows by, at most.
    pub store: u64,
}

/// What a take comes to on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Blocks of the plan.
    pub blocks: usize,
    /// How long it takes; `None` where that is not known: a model is used, whose speed
    /// shows when it runs, or the machine was not measured yet.
    pub time: Option<Time>,
    /// Threads that this is for.
    pub threads: usize,
    /// What the machine has to have.
    #[serde(flatten)]
    pub needs: Needs,
}

/// How long a take is worked on by this machine alone, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// All stages.
    pub seconds: f64,
    /// To study the plate, where that is not known already.
    pub analysis: f64,
    /// To decide the take, likewise.
    pub decision: f64,
    /// To make and write the frames that are not there yet.
    pub frames: f64,
}

/// What of a take is known already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What is learned of the plate.
    pub analysis: bool,
    /// What is decided, and so what it was decided from.
    pub take: bool,
}

/// Who writes the frames, and how many samples they have against the plate's.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// The frames that are wanted.
    pub frames: &'a [i32],
    /// Their size: the plate's over this in width and height.
    pub reduce: u32,
    /// Whether they are written to files here, or handed to a host.
    pub written: bool,
}

/// A take as far as costs go by it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The engine with its settings.
    pub engine: &'a AnyEngine,
    /// Which frames are kept and which made.
    pub timeline: &'a Timeline,
    /// The plate.
    pub plate: &'a PlateInfo,
    /// Whether the plate is a movie, decoded to a file.
    pub movie: bool,
    /// Bytes of plate frames kept in memory, at most.
    pub memory: u64,
    /// Frames in a block of the plan.
    pub block: usize,
    /// Threads that work.
    pub threads: usize,
}

impl Scope<'_> {
    /// What a machine has to have to make a block of this, where `cpus` cores are asked
    /// for.
    pub fn needs(&self, cpus: usize) -> Needs {
        let picture = 4 * self.samples() as u64;
        let plate = picture.saturating_mul(self.plate.range.count() as u64);
        let threads = self.threads as u64;
        let (memory, gpus, store) = match self.engine {
            AnyEngine::Plate(engine) => (
                Some(BASE + plate.min(self.memory) + threads * PICTURES * picture),
                usize::from(engine.device == gpu::Choice::Gpu),
                engine.kept_bytes(self.timeline, self.plate),
            ),
            // A model that cannot be used is told of when it is to be.
            AnyEngine::Wan(engine) => match engine.needs(self.timeline, self.plate) {
                Ok(needs) => {
                    // Frames that come from words alone read no plate.
                    let spans = &self.timeline.spans;
                    let words = spans.iter().all(|s| matches!(s, Span::Free { .. }));
                    let plate = if words { 0 } else { plate.min(self.memory) };
                    let plate = plate + threads * PICTURES * picture;
                    let kept = needs.store.min(RESULTS);
                    (Some(BASE + plate + kept + needs.memory), 0, needs.store)
                }
                Err(_) => (None, 0, 0),
            },
        };
        Needs {
            cpus,
            gpus,
            gpu_memory: (gpus > 0).then(|| GPU_BASE + GPU_PICTURES as u64 * picture),
            memory,
            scratch: if self.movie { plate.min(SPOOL) } else { 0 },
            store,
        }
    }

    /// Blocks of the plan.
    pub fn blocks(&self) -> usize {
        let pieces = self.engine.pieces(self.timeline, self.plate);
        // What cannot be made is told of when it is to be made.
        plan::count(self.timeline, &pieces.unwrap_or_default(), self.block)
    }

    /// Seconds in which a plate frame is read from an EXR file on `machine`.
    pub fn reading(&self, machine: &Calibration) -> f64 {
        self.samples() as f64 * machine.read
    }

    /// How long it takes on `machine`, where a plate frame is read in `reading` seconds;
    /// `None` where a model is used.
    pub fn time(
        &self,
        machine: &Calibration,
        known: Known,
        output: &Output<'_>,
        reading: f64,
    ) -> Option<Time> {
        let AnyEngine::Plate(engine) = self.engine else {
            return None;
        };
        let samples = self.samples() as f64;
        let frames = self.plate.range.count() as f64;
        let mut analysis = frames * (reading + samples * machine.analyse);
        let takes = f64::from(engine.settings.plans) * self.timeline.out.count() as f64;
        let mut decision = takes * machine.decide;
        if known.analysis {
            analysis = 0.0;
        }
        if known.take {
            (analysis, decision) = (0.0, 0.0);
        }
        let smaller = samples / f64::from(output.reduce * output.reduce);
        let write = if output.written { machine.write } else { 0.0 };
        let one = |frame: &i32| match self.timeline.kept(*frame) {
            Some(_) => reading + smaller * write,
            None => reading + smaller * (machine.make + write),
        };
        let frames = output.frames.iter().map(one).sum::<f64>() / self.threads as f64;
        Some(Time {
            seconds: analysis + decision + frames,
            analysis,
            decision,
            frames,
        })
    }

    /// Samples of a full-size plate frame.
    fn samples(&self) -> usize {
        let (width, height) = self.plate.full_size;
        width * height * self.plate.channels.len()
    }
}

/// Threads that work where nobody says how many.
pub fn threads_here() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mega = |bytes: u64| format!("{:.0} MB", (bytes as f64 / 1e6).ceil());
        write!(f, "{} blocks, ", self.blocks)?;
        match &self.time {
            Some(time) => write!(
                f,
                "about {:.1} s on this machine with {} threads ({:.1} s to study the plate, {:.1} s to decide, {:.1} s to make frames)",
                time.seconds, self.threads, time.analysis, time.decision, time.frames
            )?,
            None => write!(f, "for a time that is not known yet")?,
        }
        if let Some(bytes) = self.needs.memory {
            write!(f, ", at most {} of memory", mega(bytes))?;
        }
        if let Some(bytes) = self.needs.gpu_memory {
            write!(f, ", {} of the GPU's", mega(bytes))?;
        }
        write!(f, ", at most {} in the store", mega(self.needs.store))?;
        match self.needs.scratch {
            0 => Ok(()),
            bytes => write!(f, ", up to {} of temporary files", mega(bytes)),
        }
    }
}
