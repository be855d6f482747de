//! Longtake as a library: decides a take of a plate, tells what it is made of, and
//! makes one frame of it.
//!
//! ```sh
//! cargo run --release --example library -- examples/plates/stream-of-water.mp4 1-300
//! ```

use std::error::Error;
use std::path::Path;

use longtake::device::Task;
use longtake::engine::{AnyDecision, Sources};
use longtake::frame::{CachedPlate, FilePlate, FrameRange, PlateOptions, PlateReader, Window};
use longtake::manifest::{Value, Values, manifest};
use longtake::sequence::{Setup, Take};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(frames)) = (args.next(), args.next()) else {
        return Err("give a plate and the output frames, as in plate.####.exr 1001-1240".into());
    };
    let frames: FrameRange = frames.parse()?;

    // Parameters are those of the node's panel.
    let manifest = manifest()?;
    let mut values = Values::default_of(manifest);
    let range = [i64::from(frames.first), i64::from(frames.last)];
    values.set(manifest, "frames", Value::Range(range))?;
    values.set(manifest, "mode", Value::Text("extend".to_owned()))?;
    let setup = Setup::of(&values);

    let plate = FilePlate::open(Path::new(&path), &PlateOptions::default())?;
    let (info, key) = (plate.info().clone(), plate.key()?);
    let mut plate = CachedPlate::new(plate, 512 << 20);
    let task = Task::quiet();
    let timeline = setup.request(info.range, info.fps)?.timeline()?;
    let mut sources = Sources {
        plate: &mut plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    // `()` keeps nothing; a `store::DiskStore` keeps what was learned and decided.
    let take = Take::prepare(setup.engine, &key, timeline, &mut sources, &(), task)?;

    if let AnyDecision::Plate(edit) = take.decision() {
        println!(
            "{} frames of {path} become {}; the clips of the plate that follow one another:",
            info.range.count(),
            frames.count()
        );
        println!(
            "from the start: plate frame = output frame {:+}",
            edit.offset
        );
        for event in &edit.events {
            println!(
                "from output frame {}, within {} frames: {:+} ({:?})",
                edit.first_out + event.at as i32,
                event.window,
                event.offset,
                event.kind
            );
        }
    }
    let picture = take.make(
        frames.last,
        Window::whole(info.width, info.height),
        &mut sources,
        task,
    )?;
    let mean = picture.data().iter().sum::<f32>() / picture.data().len() as f32;
    println!(
        "frame {} shows plate frames {:?}; its mean is {mean:.3}",
        frames.last,
        take.frames_needed(frames.last)
    );
    Ok(())
}
