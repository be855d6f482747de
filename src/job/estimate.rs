//! What a job needs of a machine and how long it takes there, told before any work.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::error::{JobError, Kind};
use super::shot::Shot;
use super::version::plan_version;
use crate::device::Task;
use crate::engine::plate::{PlateEngine, Settings};
use crate::engine::{AnyEngine, Engine as _, Sources};
use crate::frame::{
    FrameError, FrameHeader, FrameRange, Picture, PlateInfo, PlateReader, SequenceWriter, Transfer,
    Window, WriteOptions,
};
use crate::sequence::{Mode, Request, key_of};
use crate::store::Vault;

/// What is needed beside pictures: the program, its threads' stacks, what is
/// learned of the plate.
const BASE: u64 = 192 << 20;
/// Pictures that a thread holds at most while it makes a frame: the frame, what it
/// is gathered from, and the file being packed.
const PICTURES: u64 = 6;
/// Bytes of decoded movie frames kept on disk at most.
const SPOOL: u64 = 16 << 30;

/// What a machine has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Processor cores.
    pub cpus: usize,
    /// GPUs: one where the job insists on it.
    pub gpus: usize,
    /// Bytes of memory, at most; `None` where a model is used, which 'longtake model
    /// inspect' tells of.
    pub memory: Option<u64>,
    /// Bytes in the folder for temporary files, at most.
    pub scratch: u64,
}

/// What a job comes to on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Blocks of the plan.
    pub blocks: usize,
    /// How long it takes; `None` where a model is used, whose speed is not known
    /// before it has run.
    pub time: Option<Time>,
    /// Threads that this is for.
    pub threads: usize,
    /// What the machine has to have.
    #[serde(flatten)]
    pub needs: Needs,
}

/// How long a job takes on this machine alone, in seconds.
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

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mega = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        write!(f, "{} blocks, ", self.blocks)?;
        match &self.time {
            Some(time) => write!(
                f,
                "about {:.1} s on this machine with {} threads ({:.1} s to study the plate, {:.1} s to decide, {:.1} s to make frames)",
                time.seconds, self.threads, time.analysis, time.decision, time.frames
            )?,
            None => write!(f, "for a time that is not known before the model has run")?,
        }
        if let Some(bytes) = self.needs.memory {
            write!(f, ", at most {} of memory", mega(bytes))?;
        }
        match self.needs.scratch {
            0 => Ok(()),
            bytes => write!(f, ", up to {} of temporary files", mega(bytes)),
        }
    }
}

impl Shot<'_> {
    /// What a machine has to have to make a block of this. Where the job does not
    /// say how many threads, on those that are here.
    pub fn needs(&self) -> Needs {
        let picture = 4 * self.samples() as u64;
        let plate = picture.saturating_mul(self.plate.info().range.count() as u64);
        let threads = self.threads() as u64;
        let movie = self.plate.is_movie();
        Needs {
            cpus: self.job.threads.unwrap_or(1),
            gpus: usize::from(self.job.values.text("device") == "gpu"),
            memory: matches!(self.job.setup.engine, AnyEngine::Plate(_))
                .then(|| BASE + plate.min(self.job.setup.memory) + threads * PICTURES * picture),
            scratch: if movie { plate.min(SPOOL) } else { 0 },
        }
    }

    /// What the job comes to on this machine, of the frames `wanted`. Reads two
    /// frames of the plate; measures the machine where `vault` does not have that
    /// already, which takes some seconds.
    ///
    /// # Errors
    /// Where the plate cannot be read, or nothing can be written to the folder of
    /// temporary files.
    pub fn estimate(&self, wanted: &[i32], vault: &dyn Vault) -> Result<Estimate, JobError> {
        let mut estimate = Estimate {
            blocks: self.plan.blocks().count(),
            time: None,
            threads: self.threads(),
            needs: self.needs(),
        };
        let job = self.job;
        let AnyEngine::Plate(engine) = &job.setup.engine else {
            return Ok(estimate);
        };
        let machine = Calibration::kept(vault, &plan_version(&job.setup.engine), self.threads())?;
        let range = self.info.range;
        let samples = self.samples() as f64;
        let mut plate = job.open_plate()?;
        // The first frame of a movie waits for the program that decodes it.
        plate.read(range.first)?;
        let begun = Instant::now();
        plate.read(range.last.min(range.first.saturating_add(1)))?;
        let reading = begun.elapsed().as_secs_f64();

        let share = self.threads() as f64;
        let known = |name| vault.get(name).is_some();
        let mut analysis = range.count() as f64 * (reading + samples * machine.analyse);
        let takes = f64::from(engine.settings.plans) * self.timeline.out.count() as f64;
        let mut decision = takes * machine.decide;
        if known(&self.names.analysis) {
            analysis = 0.0;
        }
        if known(&self.names.take) {
            (analysis, decision) = (0.0, 0.0);
        }
        let there = |f: &&i32| !self.writer.path(**f).exists();
        let smaller = f64::from(job.reduce * job.reduce);
        let mut frames = 0.0;
        for frame in wanted.iter().filter(there) {
            let make = match self.timeline.kept(*frame) {
                Some(_) => 0.0,
                None => machine.make,
            };
            frames += reading + samples / smaller * (make + machine.write);
        }
        let frames = frames / share;
        estimate.time = Some(Time {
            seconds: analysis + decision + frames,
            analysis,
            decision,
            frames,
        });
        Ok(estimate)
    }

    /// Samples of a full-size plate frame.
    fn samples(&self) -> usize {
        let info = self.plate.info();
        let (width, height) = info.full_size;
        width * height * info.channels.len()
    }

    fn threads(&self) -> usize {
        let here = || std::thread::available_parallelism().map_or(1, Into::into);
        self.job.threads.unwrap_or_else(here)
    }
}

/// How fast this machine is, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Calibration {
    /// For each sample of the plate, to study it.
    analyse: f64,
    /// For each frame of the take and each plan, to decide it.
    decide: f64,
    /// For each sample of a frame on one thread, to make it.
    make: f64,
    /// For each sample of a frame on one thread, to write it.
    write: f64,
}

/// Size, plate frames and output frames of what is measured.
const SIZE: (usize, usize) = (480, 270);
const PLATE: i32 = 36;
const OUT: i32 = 96;
/// Frames made and written while the clock runs.
const MADE: i32 = 8;

impl Calibration {
    /// What is kept of this machine, measured where nothing is.
    fn kept(vault: &dyn Vault, version: &str, threads: usize) -> Result<Self, JobError> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .or_else(|| std::env::var("COMPUTERNAME").ok())
            .unwrap_or_default();
        let build = if cfg!(debug_assertions) { "debug" } else { "" };
        let threads = threads.to_string();
        let key = key_of(&["calibration 2", version, build, host.trim(), &threads]);
        let known = vault.get(&key);
        if let Some(known) = known.and_then(|bytes| postcard::from_bytes(&bytes).ok()) {
            return Ok(known);
        }
        let found = Self::measure()?;
        // Not as text: a number would come back with another last bit.
        if let Ok(bytes) = postcard::to_stdvec(&found) {
            vault.put(&key, &bytes);
        }
        Ok(found)
    }

    /// Makes a small take of drifting forms in memory and looks at the clock.
    fn measure() -> Result<Self, JobError> {
        let internal = |what: &str| JobError::new(Kind::Internal, format!("to calibrate: {what}"));
        let ranges = FrameRange::new(1, PLATE).zip(FrameRange::new(1, OUT));
        let (plate, out) = ranges.ok_or_else(|| internal("no range"))?;
        let mut drift = Drift::new(plate).ok_or_else(|| internal("no picture"))?;
        let request = Request {
            mode: Mode::Extend,
            plate,
            out,
            fps: 24.0,
            keep: None,
        };
        let timeline = request.timeline()?;
        let engine = PlateEngine {
            settings: Settings {
                plans: 1,
                ..Settings::default()
            },
            ..PlateEngine::default()
        };
        let task = Task::quiet();
        let samples = (SIZE.0 * SIZE.1 * 3) as f64;
        let info = drift.info.clone();
        let mut sources = Sources {
            plate: &mut drift,
            matte: None,
            guide: None,
        };
        let begun = Instant::now();
        let analysis = engine.analyse(&timeline, &mut sources, task)?;
        let analyse = begun.elapsed().as_secs_f64() / (samples * f64::from(PLATE));
        let begun = Instant::now();
        let decision = engine.decide(&analysis, &timeline, task)?;
        let decide = begun.elapsed().as_secs_f64() / f64::from(OUT);
        let folder =
            tempfile::tempdir().map_err(|e| JobError::writing(&std::env::temp_dir(), &e))?;
        let path = folder.path().join("frame.####.exr");
        let writer = SequenceWriter::new(&path, FrameHeader::new(&info), WriteOptions::default())?;
        let (mut make, mut write) = (0.0, 0.0);
        for frame in OUT - MADE + 1..=OUT {
            let begun = Instant::now();
            let whole = Window::whole(SIZE.0, SIZE.1);
            let picture = engine.make(&analysis, &decision, frame, whole, &mut sources, task)?;
            make += begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            writer.write(frame, &picture)?;
            write += begun.elapsed().as_secs_f64();
        }
        let all = samples * f64::from(MADE);
        Ok(Self {
            analyse,
            decide,
            make: make / all,
            write: write / all,
        })
    }
}

/// A plate in memory: soft forms that drift and come back, with grain.
struct Drift {
    info: PlateInfo,
    frames: Vec<Arc<Picture>>,
}

impl Drift {
    fn new(range: FrameRange) -> Option<Self> {
        let (width, height) = SIZE;
        let frame = |t: i32| {
            let turn = f64::from(t) * std::f64::consts::TAU / 18.0;
            let (dx, dy) = (12.0 * libm::sin(turn), 7.0 * libm::cos(turn));
            let mut data = Vec::with_capacity(width * height * 3);
            for y in 0..height {
                for x in 0..width {
                    let (u, v) = (x as f64 + dx, y as f64 + dy);
                    let soft = libm::sin(u / 23.0) * libm::cos(v / 17.0) * 0.3 + 0.4;
                    let seed = (x * 7919 + y * 104_729 + t as usize * 1_299_709) % 1013;
                    let grain = seed as f64 / 1013.0 * 0.04;
                    for c in [1.0, 0.8, 0.6] {
                        data.push((soft * c + grain) as f32);
                    }
                }
            }
            Picture::from_data(width, height, 3, data).map(Arc::new)
        };
        Some(Self {
            info: PlateInfo {
                range,
                width,
                height,
                full_size: SIZE,
                channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
                fps: 24.0,
                transfer: Transfer::Linear,
                pixel_aspect: 1.0,
            },
            frames: range.iter().map(frame).collect::<Option<_>>()?,
        })
    }
}

impl PlateReader for Drift {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let index = usize::try_from(frame - self.info.range.first).ok();
        let found = index.and_then(|i| self.frames.get(i)).cloned();
        found.ok_or_else(|| FrameError::Missing {
            frame,
            have: self.info.range.to_string(),
        })
    }
}
