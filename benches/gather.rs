//! How fast frames are gathered, beside the copying of the same frames and, if
//! asked, beside the Python prototype.
//!
//! ```text
//! cargo bench --bench gather                       # against plain copies
//! cargo bench --bench gather -- --size 1920x1080
//! cargo bench --bench gather -- --device gpu       # of plates that a GPU holds
//! cargo bench --bench gather -- --python python3 --prototype DIR --clip FILE
//! ```
//!
//! `DIR` holds the prototype's `time_map.py`, `FILE` is a movie that OpenCV
//! reads. The prototype solves an edit list and gathers frames from it; the same
//! frames are then gathered here from the same edit list and the same pixels.
//! Every table is printed by one run on one machine; only ratios mean anything
//! elsewhere. The floor (copies) is measured first.

mod meter;

use std::sync::Arc;
use std::time::Instant;

use longtake::device::Task;
use longtake::device::gpu::Choice;
use longtake::engine::plate::{Analysis, EditList, Event, Kind, NEVER, PlateEngine};
use longtake::engine::{Engine, Sources};
use longtake::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer, Window};
use meter::processor_time;
use rayon::prelude::*;

type Failure = Box<dyn std::error::Error>;

/// A plate in memory; frame numbers from 0 on wrap around what there is.
struct Memory {
    info: PlateInfo,
    frames: Vec<Arc<Picture>>,
}

impl PlateReader for Memory {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        Ok(Arc::clone(&self.frames[frame as usize % self.frames.len()]))
    }
}

impl Memory {
    fn new(
        (width, height): (usize, usize),
        count: usize,
        channels: &[&str],
        transfer: Transfer,
        frames: Vec<Arc<Picture>>,
    ) -> Self {
        Self {
            info: PlateInfo {
                range: FrameRange {
                    first: 0,
                    last: count as i32 - 1,
                },
                width,
                height,
                full_size: (width, height),
                channels: channels.iter().map(|&c| c.to_owned()).collect(),
                fps: 25.0,
                transfer,
                pixel_aspect: 1.0,
                ids: Vec::new(),
            },
            frames,
        }
    }
}

fn analyse(plate: &mut Memory) -> Result<Analysis, Failure> {
    let task = Task::quiet();
    let mut sources = Sources {
        plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    Ok(PlateEngine::default().study(&mut sources, task)?)
}

fn make(
    analysis: &Analysis,
    edit: &EditList,
    t: i32,
    plate: &mut Memory,
    device: Choice,
) -> Result<Arc<Picture>, Failure> {
    let task = Task::quiet();
    let window = Window::whole(plate.info.width, plate.info.height);
    let mut sources = Sources {
        plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let engine = PlateEngine {
        device,
        ..Default::default()
    };
    Ok(engine.make(analysis, edit, t, window, &mut sources, task)?)
}

fn list(analysis: &Analysis, plate_frames: usize, out_frames: u32) -> EditList {
    EditList {
        camera: None,
        cols: analysis.cols as u16,
        rows: analysis.rows as u16,
        plate_frames: plate_frames as u32,
        out_frames,
        first_out: 0,
        first_plate: 0,
        offset: 0,
        events: Vec::new(),
        kept: Vec::new(),
        matted: false,
        closed: false,
        warp: false,
        low_band: false,
        exposure: None,
        held: Vec::new(),
        layers: Vec::new(),
    }
}

/// What a call takes: elapsed, and of processors (all threads), in seconds.
#[derive(Clone, Copy)]
struct Cost {
    elapsed: f64,
    processor: f64,
}

/// The least elapsed and the mean processor time of `rounds` calls, after one
/// that does not count: what else runs on the machine only adds to the former
/// and hardly touches the latter.
fn cost(rounds: usize, mut work: impl FnMut() -> Result<(), Failure>) -> Result<Cost, Failure> {
    work()?;
    let mut elapsed = f64::MAX;
    let before = processor_time();
    for _ in 0..rounds {
        let begun = Instant::now();
        work()?;
        elapsed = elapsed.min(begun.elapsed().as_secs_f64());
    }
    let processor = (processor_time() - before) / rounds as f64;
    Ok(Cost { elapsed, processor })
}

/// Moving noise with highlights.
fn painted(width: usize, height: usize, index: usize) -> Picture {
    let mut picture = Picture::new(width, height, 4);
    let shift = 9.0 * index as f32;
    picture
        .data_mut()
        .par_chunks_mut(width * 4)
        .enumerate()
        .for_each(|(y, row)| {
            for (x, p) in row.chunks_exact_mut(4).enumerate() {
                let (x, y) = (x as f32 - shift, y as f32 * 1.3);
                let n = (x * 0.011 + y * 0.005).sin()
                    + (x * 0.027 - y * 0.019).sin()
                    + 0.5 * (x * 0.21 + y * 0.17).sin();
                let v = 0.3 + 0.1 * n;
                p.copy_from_slice(&[v, v * 0.8, v * if n > 2.2 { 30.0 } else { 0.5 }, 1.0]);
            }
        });
    picture
}

fn table((width, height): (usize, usize), threads: &str, device: Choice) -> Result<(), Failure> {
    const DISTINCT: usize = 5;
    const PLATE: usize = 60;
    let frames: Vec<_> = (0..DISTINCT)
        .map(|i| Arc::new(painted(width, height, i)))
        .collect();
    let frame = Arc::clone(&frames[0]);
    let mut plate = Memory::new(
        (width, height),
        PLATE,
        &["R", "G", "B", "A"],
        Transfer::Linear,
        frames,
    );
    let analysis = analyse(&mut plate)?;
    let megabytes = frame.bytes() as f64 / 1e6;
    println!(
        "\n{width} x {height} RGBA float ({megabytes:.0} MB), threads: {threads}\n\
         {:<56} {:>8} {:>8} {:>7} {:>8} {:>7}",
        "", "ms", "MB/s", "of copy", "cpu ms", "of copy"
    );
    let mut floor = None;
    let mut row = |name: &str, cost: Cost| {
        let copy = *floor.get_or_insert(cost);
        println!(
            "{name:<56} {:>8.1} {:>8.0} {:>7.2} {:>8.1} {:>7.2}",
            cost.elapsed * 1e3,
            megabytes / cost.elapsed,
            copy.elapsed / cost.elapsed,
            cost.processor * 1e3,
            copy.processor / cost.processor,
        );
    };
    // The copy that a frame cannot be had without: into new memory, on as many
    // threads as the gather has.
    let copy = || {
        let mut out = Picture::new(width, height, 4);
        let n = width * 4 * 16;
        longtake::device::install(|| {
            out.data_mut()
                .par_chunks_mut(n)
                .zip(frame.data().par_chunks(n))
                .for_each(|(to, from)| to.copy_from_slice(from));
        });
        std::hint::black_box(&out);
    };
    row(
        "copy of a frame, same threads, into new memory",
        cost(15, || {
            copy();
            Ok(())
        })?,
    );
    let mut out = Picture::new(width, height, 4);
    row(
        "copy of a frame, one thread, into used memory",
        cost(15, || {
            out.data_mut().copy_from_slice(frame.data());
            std::hint::black_box(&out);
            Ok(())
        })?,
    );
    row(
        "copy of a frame, one thread, into new memory",
        cost(15, || {
            std::hint::black_box(Picture::clone(&frame));
            Ok(())
        })?,
    );
    drop(out);

    let (cols, rows) = (analysis.cols, analysis.rows);
    let blocks = Event {
        at: 0,
        offset: 7,
        window: 0,
        switch: (0..cols * rows)
            .map(|i| {
                if (i % cols / 9 + i / cols / 9) % 2 == 0 {
                    0
                } else {
                    NEVER
                }
            })
            .collect(),
        kind: Kind::Aside,
    };
    let sweep = Event {
        at: 20,
        offset: 2,
        window: 12,
        switch: (0..cols * rows)
            .map(|i| ((i % cols * 13 / cols) + (i / cols % 3)).min(12) as u8)
            .collect(),
        kind: Kind::Anchor,
    };
    let one = list(&analysis, PLATE, 50);
    let mut settled = list(&analysis, PLATE, 50);
    settled.events = vec![blocks];
    let mut cut = list(&analysis, PLATE, 50);
    cut.events = vec![sweep];
    let mut timed = |name: &str, edit: &EditList, frames: &[i32]| -> Result<(), Failure> {
        let mut i = 0;
        let cost = cost(15, || {
            i += 1;
            let t = frames[i % frames.len()];
            std::hint::black_box(make(&analysis, edit, t, &mut plate, device)?);
            Ok(())
        })?;
        if device == Choice::Gpu {
            let [a, b] =
                [device, Choice::Cpu].map(|d| make(&analysis, edit, frames[0], &mut plate, d));
            let bits = |p: &Picture| -> Vec<u32> { p.data().iter().map(|v| v.to_bits()).collect() };
            if bits(&*a?) != bits(&*b?) {
                return Err(format!("{name}: a GPU makes other pixels than the CPU").into());
            }
        }
        row(name, cost);
        Ok(())
    };
    timed("gather, one clip (handed over, not copied)", &one, &[30])?;
    timed(
        "gather, two clips in a chequer, nothing warped",
        &settled,
        &[30],
    )?;
    timed("gather, in a cut, hard", &cut, &[26])?;
    cut.low_band = true;
    timed("gather, in a cut, low band", &cut, &[26])?;
    cut.low_band = false;
    cut.warp = true;
    timed("gather, in a cut, warp, flow remembered", &cut, &[26])?;
    cut.low_band = true;
    timed(
        "gather, in a cut, warp and low band, flow remembered",
        &cut,
        &[26],
    )?;
    let mut far = cut.clone();
    far.events[0].offset = 3;
    timed(
        "gather, in a cut, warp and low band, flow found",
        &far,
        &[21, 22, 23, 24, 25, 26, 27, 28, 29, 30],
    )?;
    Ok(())
}

/// The prototype's answer: an edit list and how long its gathering took.
#[derive(serde::Deserialize)]
struct Prototype {
    width: usize,
    height: usize,
    plate_frames: usize,
    out_frames: u32,
    keep: u32,
    window: u8,
    offset: i32,
    /// Output indices that were gathered.
    frames: Vec<i32>,
    /// Seconds that took, compiled and with everything set up anew.
    seconds: f64,
    /// Seconds of processors that took, all threads.
    processor: f64,
    at: Vec<u32>,
    offsets: Vec<i32>,
    switch: Vec<Vec<u8>>,
}

fn beside(python: &str, prototype: &str, clip: &str, rows: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/prototype_gather.py");
    let status = std::process::Command::new(python)
        .arg(script)
        .args([prototype, clip, &rows.to_string()])
        .arg(folder.path())
        .status()?;
    if !status.success() {
        return Err(format!("{python} {script} failed: {status}").into());
    }
    let said: Prototype = serde_json::from_slice(&std::fs::read(folder.path().join("list.json"))?)?;
    let bytes = std::fs::read(folder.path().join("plate.f32"))?;
    let size = said.width * said.height * 3;
    let frames = bytes
        .chunks_exact(4 * size)
        .filter_map(|frame| {
            let values = frame.chunks_exact(4);
            let data = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            Picture::from_data(said.width, said.height, 3, data.collect()).map(Arc::new)
        })
        .collect();
    drop(bytes);
    let mut plate = Memory::new(
        (said.width, said.height),
        said.plate_frames,
        &["R", "G", "B"],
        Transfer::Display,
        frames,
    );
    let analysis = analyse(&mut plate)?;
    let mut edit = list(&analysis, said.plate_frames, said.out_frames);
    edit.offset = said.offset;
    edit.kept = vec![(0, said.keep)];
    edit.warp = true;
    edit.low_band = true;
    let events = said.at.iter().zip(&said.offsets).zip(&said.switch);
    edit.events = events
        .map(|((&at, &offset), switch)| Event {
            at,
            offset,
            window: said.window,
            switch: switch
                .iter()
                .map(|&s| if s > said.window { NEVER } else { s })
                .collect(),
            kind: Kind::Anchor,
        })
        .collect();
    let (begun, worked) = (Instant::now(), processor_time());
    let mut made = Vec::new();
    for &t in &said.frames {
        made.push(make(&analysis, &edit, t, &mut plate, Choice::Cpu)?);
    }
    let (seconds, processor) = (begun.elapsed().as_secs_f64(), processor_time() - worked);
    let megapixels = said.frames.len() as f64 * (said.width * said.height) as f64 / 1e6;
    println!(
        "\n{} frames of {} x {} RGB float, {} events, from one edit list and one plate\n\
         {:<40} {:>10} {:>10} {:>12}",
        said.frames.len(),
        said.width,
        said.height,
        edit.events.len(),
        "",
        "s/Mpx",
        "ms/frame",
        "cpu s/Mpx",
    );
    for (name, seconds, processor) in [
        (
            "prototype (numba, OpenCV), all in",
            said.seconds,
            said.processor,
        ),
        ("longtake, all in, no flow known yet", seconds, processor),
    ] {
        println!(
            "{name:<40} {:>10.4} {:>10.1} {:>12.4}",
            seconds / megapixels,
            1e3 * seconds / said.frames.len() as f64,
            processor / megapixels,
        );
    }
    println!(
        "the prototype's over ours: {:.1} elapsed, {:.1} of processors",
        said.seconds / seconds,
        said.processor / processor,
    );
    if let Ok(keep) = std::env::var("LONGTAKE_BENCH_FRAMES") {
        let mut bytes = Vec::new();
        for picture in &made {
            for v in picture.data() {
                bytes.extend_from_slice(&v.to_le_bytes());
            }
        }
        std::fs::write(std::path::Path::new(&keep).join("longtake.f32"), bytes)?;
        std::fs::copy(
            folder.path().join("made.f32"),
            std::path::Path::new(&keep).join("prototype.f32"),
        )?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    if let (Some(python), Some(prototype), Some(clip)) =
        (option("--python"), option("--prototype"), option("--clip"))
    {
        let rows = option("--rows").map_or(Ok(1080), |r| r.parse())?;
        return beside(&python, &prototype, &clip, rows);
    }
    let size = option("--size").unwrap_or_else(|| "3840x2160".to_owned());
    let (width, height) = size.split_once('x').ok_or("--size WIDTHxHEIGHT")?;
    let size = (width.parse()?, height.parse()?);
    if option("--device").as_deref() == Some("gpu") {
        return table(size, "all, with a GPU", Choice::Gpu);
    }
    if let Ok(threads) = std::env::var("RAYON_NUM_THREADS") {
        return table(size, &threads, Choice::Cpu);
    }
    // Each number of threads in a process of its own: a pool is made once.
    for threads in ["1", "2"] {
        let status = std::process::Command::new(std::env::current_exe()?)
            .args(&args[1..])
            .env("RAYON_NUM_THREADS", threads)
            .status()?;
        if !status.success() {
            return Err(format!("the run with {threads} threads failed: {status}").into());
        }
    }
    Ok(())
}
