//! Sixty seconds: what one frame of 1,440 costs, however long the take.

use std::collections::BTreeSet;
use std::sync::Arc;

use longtake::device::Task;
use longtake::engine::Sources;
use longtake::engine::plate::PlateEngine;
use longtake::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer, Window};
use longtake::sequence::{Mode, Request, Take};
use longtake::store::MemoryVault;

/// A plate of waves that notes which frames are read.
struct Noted {
    info: PlateInfo,
    read: Vec<i32>,
}

impl Noted {
    fn new() -> Self {
        Self {
            info: PlateInfo {
                range: FrameRange::new(1001, 1048).unwrap(),
                width: 64,
                height: 48,
                full_size: (64, 48),
                channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
                fps: 24.0,
                transfer: Transfer::Display,
                pixel_aspect: 1.0,
                ids: Vec::new(),
            },
            read: Vec::new(),
        }
    }
}

impl PlateReader for Noted {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.read.push(frame);
        let t = (frame - 1001) as f32;
        let mut data = Vec::new();
        for y in 0..48 {
            for x in 0..64 {
                let (x, y) = (x as f32, y as f32);
                let v = (0.3 * x + 0.4 * t).sin() * (0.2 * y - 0.25 * t).cos();
                let w = (0.11 * x - 0.17 * y + 0.31 * t).sin();
                data.extend([0.5 + 0.2 * v, 0.5 + 0.2 * w, 0.5 + 0.1 * (v + w)]);
            }
        }
        Ok(Arc::new(Picture::from_data(64, 48, 3, data).unwrap()))
    }
}

#[test]
fn one_frame_of_1440_reads_only_the_plate_frames_that_it_shows() {
    let vault = MemoryVault::new(64 << 20);
    let key = blake3::hash(b"waves");
    let task = Task::quiet();
    let timeline = Request {
        mode: Mode::Extend,
        plate: FrameRange::new(1001, 1048).unwrap(),
        out: FrameRange::new(1001, 2440).unwrap(),
        fps: 24.0,
        keep: None,
    }
    .timeline()
    .unwrap();
    let prepare = |plate: &mut Noted| {
        let mut engine = PlateEngine::default();
        engine.settings.plans = 1;
        let mut sources = Sources {
            plate,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        Take::prepare(engine, &key, timeline.clone(), &mut sources, &vault, task).unwrap()
    };
    let mut plate = Noted::new();
    prepare(&mut plate);
    let once: BTreeSet<i32> = plate.read.iter().copied().collect();
    assert_eq!((plate.read.len(), once.len()), (48, 48), "each frame once");

    // Another process, with what the first one kept.
    let mut plate = Noted::new();
    let take = prepare(&mut plate);
    assert!(plate.read.is_empty(), "nothing is learned twice");
    let window = Window::whole(64, 48);
    let mut most = 0;
    for frame in [1001, 1500, 1873, 2440] {
        plate.read.clear();
        let mut sources = Sources {
            plate: &mut plate,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        take.make(frame, window, &mut sources, task).unwrap();
        let needed = take.frames_needed(frame);
        assert!(plate.read.iter().all(|f| needed.contains(f)), "{frame}");
        most = most.max(plate.read.len());
    }
    assert!(most < 24, "a few plate frames, not {most}");
}

/// A plate of the largest size that is promised, one channel less than a host's.
struct Huge(PlateInfo);

impl Huge {
    const SIZE: (usize, usize) = (8192, 4320);

    fn new(frames: i32) -> Self {
        let mut info = Noted::new().info;
        info.range = FrameRange::new(1, frames).unwrap();
        (info.width, info.height) = Self::SIZE;
        info.full_size = Self::SIZE;
        Self(info)
    }
}

impl PlateReader for Huge {
    fn info(&self) -> &PlateInfo {
        &self.0
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let (w, h) = Self::SIZE;
        let t = frame as f32;
        let wave = |n: usize, k: f32, s: f32| -> Vec<f32> {
            (0..n).map(|i| (k * i as f32 + s * t).sin()).collect()
        };
        let (across, down) = (wave(w, 0.004, 0.4), wave(h, 0.003, -0.25));
        let mut picture = Picture::new(w, h, 3);
        for (y, b) in down.iter().enumerate() {
            for (pixel, a) in picture.row_mut(y).chunks_exact_mut(3).zip(&across) {
                pixel.copy_from_slice(&[0.5 + 0.2 * a * b, 0.5 + 0.1 * a, 0.5 + 0.1 * b]);
            }
        }
        Ok(Arc::new(picture))
    }
}

/// Memory of this process in MiB, as Linux tells it: `VmRSS` or its peak `VmHWM`.
fn resident(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

/// Run by name: `cargo test --test length -- --ignored --nocapture`.
#[test]
#[ignore = "slow, and needs 3 GB; run by name"]
fn frames_of_8192_by_4320_are_made_in_the_memory_of_three() {
    let (w, h) = Huge::SIZE;
    let frame = (w * h * 3 * 4) as f64 / f64::from(1 << 20);
    let request = Request {
        mode: Mode::Extend,
        plate: Huge::new(48).0.range,
        out: FrameRange::new(1, 1440).unwrap(),
        fps: 24.0,
        keep: None,
    };
    let mut plate = Huge::new(48);
    let mut sources = Sources {
        plate: &mut plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let vault = MemoryVault::new(64 << 20);
    let task = Task::quiet();
    let before = resident("VmRSS");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let take = Take::prepare(
        PlateEngine::default(),
        &blake3::hash(b"huge"),
        request.timeline().unwrap(),
        &mut sources,
        &vault,
        task,
    )
    .unwrap();
    for number in [700, 1440] {
        let made = take.make(number, Window::whole(w, h), &mut sources, task);
        assert_eq!(made.unwrap().width(), w);
    }
    let peak = resident("VmHWM") - before;
    println!("{w} x {h}: {peak:.0} MiB at most, a frame is {frame:.0} MiB");
    assert!(peak < 3.0 * frame + 256.0);
}
