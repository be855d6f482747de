//! What a frame of a long take costs from files to files, beside what the
//! machine cannot do it without: `cargo bench --bench length`.
//!
//! ```text
//! cargo bench --bench length -- --size 3840x2160 --plate-frames 24 --frames 24
//! cargo bench --bench length -- --plate 'plate.####.exr'
//! ```
//!
//! The plate is the stream that ships with the project, enlarged, with grain
//! laid over it (enlarged footage has none and packs far too well), in half with
//! ZIP. The take is four times as long as the plate; its last frames are made
//! and timed, with the edit list known. The floor is measured in the same run:
//! copying a frame in memory, and writing the very same frames with the EXR
//! library alone on as many threads.

mod meter;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, WritableImage,
};
use longtake::device::{Cancel, Progress};
use longtake::frame::{
    ChannelFormat, FilePlate, FrameHeader, FrameRange, Picture, PlateOptions, PlateReader,
    SampleDepth, SequenceWriter, Transfer, Window, WriteOptions, to_linear,
};
use longtake::job::{self, Draft, Event, Stages, Watch};
use longtake::sampler::Philox;
use meter::{memory, processor_time};

type Failure = Box<dyn std::error::Error>;

/// Notes the last event that tells what was done.
#[derive(Default)]
struct Note(Mutex<Option<(usize, f64, Stages)>>);

impl Progress for Note {
    fn report(&self, _stage: &str, _fraction: f64) {}
}

impl Watch for Note {
    fn event(&self, event: &Event<'_>) {
        if let Event::Done {
            made,
            kept,
            seconds,
            stages,
            ..
        } = event
            && let Ok(mut done) = self.0.lock()
        {
            *done = Some((made + kept, *seconds, *stages));
        }
    }
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    // Cargo asks for tests of benches in this way.
    if args.iter().any(|a| a == "--test") {
        return Ok(());
    }
    let option = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    let number = |name: &str, usual: i32| option(name).map_or(Ok(usual), |v| v.parse());
    let frames = number("--frames", 24)?;
    let threads = number("--threads", 2)?;
    let folder = tempfile::tempdir()?;
    let plate = match option("--plate") {
        Some(plate) => PathBuf::from(plate),
        None => {
            let size = option("--size").unwrap_or_else(|| "3840x2160".to_owned());
            let (w, h) = size.split_once('x').ok_or("--size WIDTHxHEIGHT")?;
            let count = number("--plate-frames", 24)?;
            enlarged(folder.path(), (w.parse()?, h.parse()?), count)?
        }
    };
    let info = FilePlate::open(&plate, &PlateOptions::default())?
        .info()
        .clone();
    let (first, last) = (
        info.range.first,
        info.range.first + 4 * info.range.count() as i32 - 1,
    );
    let out = folder.path().join("out/o.####.exr");
    let run = |only: String| -> Result<(usize, f64, Stages), Failure> {
        let mut draft = Draft::new()?;
        let options = job::options()?;
        for (name, text) in [
            ("plate", plate.display().to_string()),
            ("out", out.display().to_string()),
            ("frames", format!("{first}-{last}")),
            ("only", only),
            ("store", folder.path().join("store").display().to_string()),
            ("plans", "1".to_owned()),
            ("fps", "24".to_owned()),
            ("threads", threads.to_string()),
        ] {
            let param = options.param(name).ok_or("a parameter is gone")?;
            draft.set(name, job::value(param, &text)?)?;
        }
        let note = Note::default();
        job::generate(&draft.job()?, &Cancel::default(), &note)?;
        let done = note.0.into_inner().map_err(|e| e.to_string())?;
        Ok(done.ok_or("nothing was told")?)
    };
    let begun = Instant::now();
    run(format!("{first}"))?;
    let learned = begun.elapsed().as_secs_f64();
    let before = processor_time();
    let (count, seconds, stages) = run(format!("{}-{last}", last - frames + 1))?;
    let processor = (processor_time() - before) / count.max(1) as f64;
    let each = seconds / count.max(1) as f64;
    println!(
        "{} x {}, {} channels, half, ZIP; plate of {} frames; {threads} threads",
        info.width,
        info.height,
        info.channels.len(),
        info.range.count()
    );
    println!("plate studied and edit list decided in {learned:.1} s");

    // The floor, of the frames that were made.
    let range = FrameRange::new(last - frames + 1, last);
    let options = PlateOptions {
        range,
        ..PlateOptions::default()
    };
    let mut made = FilePlate::open(&out, &options)?;
    let all: Vec<i32> = (last - frames + 1..=last).collect();
    let some: Vec<i32> = all.iter().copied().step_by(all.len().div_ceil(6)).collect();
    let (mut copying, mut writing, mut floor, mut bytes) = (0.0, 0.0, 0.0, 0);
    let (mut theirs, mut ours) = (0, 0);
    for &frame in &some {
        let picture = made.read(frame)?;
        bytes += picture.bytes();
        let begun = Instant::now();
        std::hint::black_box(Picture::clone(&picture));
        copying += begun.elapsed().as_secs_f64();
        let image = image(&picture, &info.channels);
        let file = folder.path().join("floor.exr");
        let (begun, before) = (Instant::now(), processor_time());
        image.write().to_file(&file)?;
        writing += begun.elapsed().as_secs_f64();
        floor += processor_time() - before;
        theirs += std::fs::metadata(&file)?.len();
        ours += std::fs::metadata(out.with_file_name(format!("o.{frame:04}.exr")))?.len();
    }
    let n = some.len() as f64;
    println!("{:<44} {:>9} {:>10}", "mean of a frame", "s", "of the take");
    let row = |name: &str, seconds: f64| {
        println!("{name:<44} {seconds:>9.3} {:>10.2}", seconds / each);
    };
    row("copy in memory", copying / n);
    row("written by the EXR library alone", writing / n);
    row("the take, end to end", each);
    println!(
        "of processors, all threads: the EXR library alone {:.2} s, the take {processor:.2} s a frame",
        floor / n
    );
    let all = (stages.reading + stages.making + stages.writing).max(1e-9);
    println!(
        "shares of the threads' time: reading {:.0} %, making {:.0} %, writing {:.0} %",
        100.0 * stages.reading / all,
        100.0 * stages.making / all,
        100.0 * stages.writing / all
    );
    println!(
        "a frame is {:.1} MB in memory; its file {:.1} MB, by the EXR library {:.1} MB",
        bytes as f64 / n / 1e6,
        ours as f64 / n / 1e6,
        theirs as f64 / n / 1e6
    );
    if let Some(peak) = memory("VmHWM") {
        println!("peak memory of all this: {:.2} GB", peak as f64 / 1e6);
    }
    Ok(())
}

/// The picture as the EXR library takes it, its samples rounded already.
fn image(picture: &Picture, names: &[String]) -> Image<Layer<AnyChannels<FlatSamples>>> {
    let n = picture.channels();
    let channels = names.iter().enumerate().map(|(c, name)| {
        let samples = picture.data().iter().skip(c).step_by(n);
        let samples = samples.map(|&s| exr::prelude::f16::from_f32(s)).collect();
        AnyChannel::new(name.as_str(), FlatSamples::F16(samples))
    });
    let encoding = Encoding {
        compression: exr::prelude::Compression::ZIP16,
        blocks: exr::prelude::Blocks::ScanLines,
        line_order: exr::prelude::LineOrder::Increasing,
    };
    Image::from_layer(Layer::new(
        (picture.width(), picture.height()),
        LayerAttributes::default(),
        encoding,
        AnyChannels::sort(channels.collect()),
    ))
}

/// The stream enlarged, with grain, in half with ZIP; gives its pattern.
fn enlarged(
    folder: &Path,
    (width, height): (usize, usize),
    count: i32,
) -> Result<PathBuf, Failure> {
    let footage = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4");
    let mut movie = FilePlate::open(&footage, &PlateOptions::default())?;
    let window = Window::whole(width, height);
    let mut header: FrameHeader = movie.header().clone();
    header.channels = ["R", "G", "B"]
        .map(|name| ChannelFormat::new(name, SampleDepth::Half))
        .to_vec();
    header.display_window = window;
    header.data_window = window;
    header.transfer = Transfer::Linear;
    header.pixel_aspect = 1.0;
    let path = folder.join("plate.####.exr");
    let writer = SequenceWriter::new(&path, header, WriteOptions::default())?;
    for frame in 1..=count {
        let source = movie.read(frame)?;
        let mut rng = Philox::new(frame as u64, [0, 0, 0]);
        let grain: Vec<f32> = (0..65_536).map(|_| 0.012 * rng.normal() as f32).collect();
        let mut picture = Picture::new(width, height, 3);
        let at = |i: usize, to: usize, from: usize| {
            let v = (i as f32 + 0.5) * from as f32 / to as f32 - 0.5;
            let v = v.clamp(0.0, from as f32 - 1.001);
            (v as usize, v.fract())
        };
        for y in 0..height {
            let (sy, fy) = at(y, height, source.height());
            let (up, down) = (source.row(sy), source.row(sy + 1));
            // Another part of the grain for each line.
            let from = (y * 40_503) % 50_000;
            for (x, pixel) in picture.row_mut(y).chunks_exact_mut(3).enumerate() {
                let (sx, fx) = at(x, width, source.width());
                for (c, value) in pixel.iter_mut().enumerate() {
                    let i = sx * source.channels() + c;
                    let j = i + source.channels();
                    let a = up[i] + fx * (up[j] - up[i]);
                    let b = down[i] + fx * (down[j] - down[i]);
                    let grain = grain[(from + 3 * x + c) % grain.len()];
                    *value = to_linear(a + fy * (b - a) + grain);
                }
            }
        }
        writer.write(frame, &Arc::new(picture))?;
    }
    Ok(path)
}
