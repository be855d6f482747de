//! How fast a take is decided (the plate analysed, plans made, the best chosen),
//! beside the Python prototype on the same pixels.
//!
//! ```text
//! cargo bench --bench decide -- --plates ../shared/plates
//! cargo bench --bench decide -- --plates DIR --python python3 --prototype DIR
//! ```
//!
//! `--prototype DIR` holds the prototype's `time_map.py`. Rounds alternate; wall
//! time and processor time of each are printed, and the ratios of their sums.
//! Times are of one machine in one run: only ratios mean anything elsewhere.

#[path = "quality/footage.rs"]
#[allow(dead_code)]
mod footage;
mod meter;

use std::path::PathBuf;
use std::time::Instant;

use footage::{Clip, cases};
use longtake::device::Task;
use longtake::engine::plate::PlateEngine;
use longtake::engine::{Engine, Sources};
use longtake::frame::FrameRange;
use longtake::sequence::{Mode, Request};
use meter::processor_time;

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 2;

/// Seconds of the wall and of the processor.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall: f64,
    processor: f64,
}

fn ours(plate: &Clip, frames: usize, keep: usize) -> Result<Taken, Failure> {
    let task = Task::quiet();
    let timeline = Request {
        mode: Mode::Extend,
        plate: plate.info.range,
        out: FrameRange::new(1, frames as i32).ok_or("no frames were asked for")?,
        fps: plate.info.fps,
        keep: Some(keep as u32),
    }
    .timeline()?;
    let engine = PlateEngine::default();
    let mut reader = plate.clone();
    let mut sources = Sources {
        plate: &mut reader,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let (begun, worked) = (Instant::now(), processor_time());
    let analysis = engine.study(&mut sources, task)?;
    engine.decide(&analysis, &timeline, task)?;
    Ok(Taken {
        wall: begun.elapsed().as_secs_f64(),
        processor: processor_time() - worked,
    })
}

fn prototype(
    (python, folder): (&str, &str),
    plate: &Clip,
    frames: usize,
    keep: usize,
) -> Result<Taken, Failure> {
    let file = tempfile::NamedTempFile::new()?;
    let mut bytes = Vec::new();
    for frame in &plate.frames {
        bytes.extend(frame.data().iter().flat_map(|v| v.to_le_bytes()));
    }
    std::fs::write(file.path(), bytes)?;
    let (w, h, n) = (plate.info.width, plate.info.height, plate.frames.len());
    let output = std::process::Command::new(python)
        .arg("benches/prototype_decide.py")
        .arg(folder)
        .arg(file.path())
        .args([n, h, w, frames, keep, 6].map(|v| v.to_string()))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let told: serde_json::Value = serde_json::from_str(text.trim())
        .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let number = |key: &str| told[key].as_f64().unwrap_or(0.0);
    Ok(Taken {
        wall: number("seconds"),
        processor: number("processor"),
    })
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let get = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let Some(plates) = get("--plates") else {
        println!("Give the folder with the plates: --plates FOLDER");
        return Ok(());
    };
    let python = get("--python").unwrap_or_else(|| "python3".to_owned());
    let folder = get("--prototype");
    println!(
        "{:<10}{:>12}{:>12}{:>14}{:>14}{:>12}{:>12}",
        "", "ours wall", "processor", "prototype wall", "processor", "wall x", "processor x"
    );
    for case in cases() {
        let plate = Clip::load(&case, &PathBuf::from(&plates))?;
        let keep = case.fps.round() as usize;
        let frames = (10.0 * case.fps).round() as usize;
        let (mut a, mut b) = (Taken::default(), Taken::default());
        for _ in 0..ROUNDS {
            let t = ours(&plate, frames, keep)?;
            a.wall += t.wall / ROUNDS as f64;
            a.processor += t.processor / ROUNDS as f64;
            if let Some(folder) = &folder {
                let t = prototype((&python, folder), &plate, frames, keep)?;
                b.wall += t.wall / ROUNDS as f64;
                b.processor += t.processor / ROUNDS as f64;
            }
        }
        println!(
            "{:<10}{:>12.2}{:>12.2}{:>14.2}{:>14.2}{:>12.2}{:>12.2}",
            case.name,
            a.wall,
            a.processor,
            b.wall,
            b.processor,
            b.wall / a.wall,
            b.processor / a.processor
        );
    }
    Ok(())
}
