//! How fast a machine is, measured once in a few seconds and kept.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Speed;
use crate::device::Task;
use crate::engine::plate::{PlateEngine, Settings};
use crate::engine::{AnyEngine, Engine as _, EngineError, Sources};
use crate::frame::{
    FilePlate, FrameError, FrameHeader, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader,
    SequenceWriter, Transfer, Window, WriteOptions,
};
use crate::sequence::{Mode, Request, key_of};
use crate::store::Vault;

/// How fast this machine is, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// For each sample of the plate, to study it.
    pub(super) analyse: f64,
    /// For each frame of the take and each plan, to decide it.
    pub(super) decide: f64,
    /// For each sample of a frame on one thread, to make it.
    pub(super) make: f64,
    /// For each sample of a frame on one thread, to write it.
    pub(super) write: f64,
    /// For each sample of a frame, to read it from an EXR file.
    pub(super) read: f64,
}

/// Size, plate frames and output frames of what is measured.
const SIZE: (usize, usize) = (480, 270);
const PLATE: i32 = 36;
const OUT: i32 = 96;
/// Frames made and written while the clock runs.
const MADE: i32 = 8;

/// How fast this machine is, with the engine that was chosen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Machine {
    /// With the plate engine.
    Plate(Calibration),
    /// With a model.
    Model(Speed),
}

impl Machine {
    /// What `vault` has of this machine, of `engine` on `threads` threads.
    pub fn known(vault: &dyn Vault, engine: &AnyEngine, threads: usize) -> Option<Self> {
        postcard::from_bytes(&vault.get(&name(engine, threads))?).ok()
    }

    /// The same, measured where `vault` does not have it, which takes some seconds.
    ///
    /// # Errors
    /// Where nothing can be written to the folder of temporary files, or memory is short.
    pub fn kept(
        vault: &dyn Vault,
        engine: &AnyEngine,
        threads: usize,
    ) -> Result<Self, EngineError> {
        if let Some(known) = Self::known(vault, engine, threads) {
            return Ok(known);
        }
        let found = match engine {
            AnyEngine::Plate(_) => Self::Plate(Calibration::measure()?),
            AnyEngine::Wan(_) => Self::Model(Speed::measure()?),
        };
        // Not as text: a number would come back with another last bit.
        if let Ok(bytes) = postcard::to_stdvec(&found) {
            vault.put(&name(engine, threads), &bytes);
        }
        Ok(found)
    }
}

impl Calibration {
    /// Makes a small take of drifting forms in memory and looks at the clock.
    fn measure() -> Result<Self, EngineError> {
        let internal = |what: &str| EngineError::Request(format!("to calibrate: {what}"));
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
        let timeline = request.timeline();
        let timeline = timeline.map_err(|e| EngineError::Request(e.to_string()))?;
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
            subjects: Default::default(),
        };
        let begun = Instant::now();
        let analysis = engine.analyse(&timeline, &mut sources, task)?;
        let analyse = begun.elapsed().as_secs_f64() / (samples * f64::from(PLATE));
        let begun = Instant::now();
        let decision = engine.decide(&analysis, &timeline, task)?;
        let decide = begun.elapsed().as_secs_f64() / f64::from(OUT);
        let folder = tempfile::tempdir().map_err(|source| FrameError::Write {
            path: std::env::temp_dir(),
            advice: "free some space there, or set TMPDIR to another folder",
            source,
        })?;
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
        let mut written = FilePlate::open(&path, &PlateOptions::default())?;
        let begun = Instant::now();
        for frame in OUT - MADE + 1..=OUT {
            written.read(frame)?;
        }
        let all = samples * f64::from(MADE);
        Ok(Self {
            analyse,
            decide,
            make: make / all,
            write: write / all,
            read: begun.elapsed().as_secs_f64() / all,
        })
    }
}

/// Names what is kept of this machine.
fn name(engine: &AnyEngine, threads: usize) -> blake3::Hash {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_default();
    let build = if cfg!(debug_assertions) { "debug" } else { "" };
    let version = (engine.version(), env!("CARGO_PKG_VERSION"));
    let threads = threads.to_string();
    let parts = [version.0, version.1, build, host.trim(), &threads];
    key_of(&[&["calibration 4"], &parts[..]].concat())
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
                ids: Vec::new(),
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
            have: format!("the trial has {}", self.info.range),
        })
    }
}
