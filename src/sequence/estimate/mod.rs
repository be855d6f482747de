//! What a take needs of a machine and how long it takes there, told before any work.

mod calibration;
mod speed;

use std::fmt;
use std::ops::Add;

use serde::Serialize;

use super::plan;
use crate::device::gpu;
use crate::engine::plate::{GPU_PICTURES, PlateEngine};
use crate::engine::wan::WanEngine;
use crate::engine::{AnyEngine, Engine as _, Span, Timeline};
use crate::frame::PlateInfo;

pub use calibration::{Calibration, Machine};
pub use speed::Speed;

/// Frames in a block where nobody says how many.
pub const BLOCK: usize = 24;
/// What is needed beside pictures: the program, its threads' stacks, what is
/// learned of the plate.
const BASE: u64 = 192 << 20;
/// The same of the plate engine, whose tables are counted: the program and its threads'
/// stacks, and what it decodes and packs with.
const PROGRAM: u64 = 48 << 20;
/// Pictures that a thread holds at most while it makes a frame: the frame, what it
/// is gathered from, what is read ahead, and the file being packed. (Of 4K 2.5 to 3.5 were
/// measured, 4.2 in 1,440 frames: benches/results/memory-2026-11-27.txt.)
const PICTURES: u64 = 5;
/// Pictures that are held at most while the plate is read for the first time, beside those
/// that are kept: the one that is looked at, and what it is unpacked from.
const READ: u64 = 2;
/// Bytes of decoded movie frames kept on disk at most.
const SPOOL: u64 = 16 << 30;
/// What is allowed for on a GPU beside pictures: its driver's own, the kernels and the
/// tables of a frame.
const GPU_BASE: u64 = 1 << 30;
/// Bytes a second at which a model's files are read from a fast disk, and from a slow one.
const FAST_DISK: f64 = 2e9;
const SLOW_DISK: f64 = 2e8;
/// How much longer a model's work takes at most than its largest operations alone: small
/// ones, weights that are widened, a machine that does other things too.
const SLOWER: f64 = 2.;
/// Results that a process keeps in memory, at most.
pub(crate) const RESULTS: u64 = 512 << 20;

/// What a machine has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Processor cores.
    pub cpus: usize,
    /// GPUs: one where the job insists on it.
    pub gpus: usize,
    /// Bytes of the GPU's memory, where one is insisted on.
    pub gpu_memory: Option<u64>,
    /// Of these, bytes with which the work can be done at all, slower: a model's matrices
    /// are brought over while they are needed.
    pub gpu_memory_least: Option<u64>,
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
    /// How long it takes; `None` where that is not known: the machine was not measured
    /// yet, or a model cannot be opened.
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
    /// To study the plate, where that is not known already; with a model, to read the
    /// words and encode the plate.
    pub analysis: f64,
    /// To decide the take, likewise; with a model, to make its latents.
    pub decision: f64,
    /// To make and write the frames that are not there yet; with a model, to decode them.
    pub frames: f64,
    /// All stages at most, where that is far from `seconds`: with a model, whose files
    /// are read from disks of all kinds, and which other programs slow down.
    pub most: Option<f64>,
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
        // One frame is kept however large it is.
        let held = plate.min(self.memory.max(picture));
        let threads = self.threads as u64;
        let on_gpu = |device: gpu::Choice, bytes: u64| {
            (device == gpu::Choice::Gpu).then_some(GPU_BASE + bytes)
        };
        let (memory, [gpu_memory, gpu_memory_least], store) = match self.engine {
            AnyEngine::Plate(engine) => (
                Some(PROGRAM + held + self.beside_plate(engine, picture)),
                [on_gpu(engine.device, GPU_PICTURES as u64 * picture); 2],
                engine.kept_bytes(self.timeline, self.plate),
            ),
            // A model that cannot be used is told of when it is to be.
            AnyEngine::Wan(engine) => match engine.needs(self.timeline, self.plate) {
                Ok(needs) => {
                    // Frames that come from words alone read no plate.
                    let spans = &self.timeline.spans;
                    let words = spans.iter().all(|s| matches!(s, Span::Free { .. }));
                    let plate = if words { 0 } else { held };
                    let plate = plate + threads * PICTURES * picture;
                    let kept = needs.store.min(RESULTS);
                    let both = [needs.on_gpu, needs.least_on_gpu];
                    let there = both.map(|bytes| on_gpu(engine.device, bytes));
                    (Some(BASE + plate + kept + needs.memory), there, needs.store)
                }
                Err(_) => (None, [on_gpu(engine.device, 0); 2], 0),
            },
        };
        Needs {
            cpus,
            gpus: usize::from(gpu_memory.is_some()),
            gpu_memory,
            gpu_memory_least,
            memory,
            scratch: if self.movie { plate.min(SPOOL) } else { 0 },
            store,
        }
    }

    /// Bytes that the plate engine takes beside kept plate frames, whose `picture` is so
    /// large: while it learns and decides, or makes frames.
    fn beside_plate(&self, engine: &PlateEngine, picture: u64) -> u64 {
        let deciding = engine.deciding_bytes(self.timeline, self.plate, self.threads);
        let making = engine.making_bytes(self.timeline, self.plate);
        let pictures = self.threads as u64 * PICTURES * picture;
        (READ * picture + deciding).max(making + pictures)
    }

    /// Blocks of the plan.
    pub fn blocks(&self) -> usize {
        let pieces = self.engine.pieces(self.timeline, self.plate);
        // What cannot be made is told of when it is to be made.
        plan::count(self.timeline, &pieces.unwrap_or_default(), self.block)
    }

    /// Seconds in which a plate frame is read from an EXR file on `machine`; beside a
    /// model's own time it is nothing.
    pub fn reading(&self, machine: &Machine) -> f64 {
        match machine {
            Machine::Plate(machine) => self.samples() as f64 * machine.read,
            Machine::Model(_) => 0.0,
        }
    }

    /// How long it takes on `machine`, where a plate frame is read in `reading` seconds;
    /// `None` where a model cannot be opened or is to work on a GPU, whose speed nobody
    /// measured, or `machine` was measured for another engine.
    pub fn time(
        &self,
        machine: &Machine,
        known: Known,
        output: &Output<'_>,
        reading: f64,
    ) -> Option<Time> {
        match (self.engine, machine) {
            (AnyEngine::Plate(engine), Machine::Plate(machine)) => {
                Some(self.time_of_plate(engine, machine, known, output, reading))
            }
            (AnyEngine::Wan(engine), Machine::Model(speed)) => {
                self.time_of_model(engine, speed, known, output)
            }
            _ => None,
        }
    }

    fn time_of_model(
        &self,
        engine: &WanEngine,
        speed: &Speed,
        known: Known,
        output: &Output<'_>,
    ) -> Option<Time> {
        if engine.device == gpu::Choice::Gpu {
            return None;
        }
        let known = (known.analysis || known.take, known.take);
        let work = engine.work(self.timeline, self.plate, output.frames, known);
        let work = work.ok()?;
        let read = |rate: f64| work.read as f64 / rate;
        let analysis = speed.seconds(work.conditions) + read(FAST_DISK);
        let frames = speed.seconds(work.decoding);
        let sampling = speed.seconds(work.sampling);
        // A step cache saves three steps of four at most.
        let decision = if work.cached {
            0.25 * sampling
        } else {
            sampling
        };
        let all = speed.seconds(work.conditions) + sampling + frames;
        Some(Time {
            seconds: analysis + decision + frames,
            analysis,
            decision,
            frames,
            most: Some(SLOWER * all + read(SLOW_DISK)),
        })
    }

    fn time_of_plate(
        &self,
        engine: &PlateEngine,
        machine: &Calibration,
        known: Known,
        output: &Output<'_>,
        reading: f64,
    ) -> Time {
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
        // Not `sum`, which is -0 where no frame is left to make.
        let frames = output.frames.iter().map(one).fold(0.0, Add::add) / self.threads as f64;
        Time {
            seconds: analysis + decision + frames,
            analysis,
            decision,
            frames,
            most: None,
        }
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

/// A time as people say it.
struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s < 120. => write!(f, "{s:.1} s"),
            s if s < 7200. => write!(f, "{:.0} min", s / 60.),
            s if s < 172_800. => write!(f, "{:.1} h", s / 3600.),
            s => write!(f, "{:.1} days", s / 86_400.),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mega = |bytes: u64| format!("{:.0} MB", (bytes as f64 / 1e6).ceil());
        write!(f, "{} blocks, ", self.blocks)?;
        match &self.time {
            Some(
                time @ Time {
                    most: Some(most), ..
                },
            ) => write!(
                f,
                "about {} and at most {} on this machine with {} threads ({} to read words and plate, {} to make latents, {} to decode)",
                Seconds(time.seconds),
                Seconds(*most),
                self.threads,
                Seconds(time.analysis),
                Seconds(time.decision),
                Seconds(time.frames)
            )?,
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
            // As it is said: to the megabyte.
            let least = self.needs.gpu_memory_least.map(mega);
            if let Some(least) = least.filter(|least| *least != mega(bytes)) {
                write!(f, " ({least} at least, slower)")?;
            }
        }
        write!(f, ", at most {} in the store", mega(self.needs.store))?;
        match self.needs.scratch {
            0 => Ok(()),
            bytes => write!(f, ", up to {} of temporary files", mega(bytes)),
        }
    }
}
