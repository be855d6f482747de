//! How fast a made frame reaches a host's picture, beside what the machine can do
//! at most: `cargo bench --bench serving`. Needs ffmpeg.
//!
//! ```text
//! cargo bench --bench serving -- --size 3840x2160 --channels RGBA --rounds 15
//! ```
//!
//! The plate is the stream that ships with the project, laid side by side, in half
//! EXR without compression. A made frame is rendered by the node into float RGBA of
//! the host's, rows upwards as hosts have them: with the frame in memory, beside a
//! copy of as many bytes by one thread and by as many as there are cores; and with
//! the frame in the store and nowhere else, beside a plain sequential read of the
//! very same file into memory that is there. Rounds are interleaved; before each
//! read the system is told to forget the file. Medians are printed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longtake::frame::{
    ChannelFormat, Compression, FilePlate, FrameHeader, Picture, PlateOptions, PlateReader,
    SampleDepth, SequenceWriter, Transfer, Window, WriteOptions, to_linear,
};
use longtake::manifest::manifest;
use longtake::node::{
    Components, Depth, Image, Layout, NoHost, Node, RawValue, Rect, RenderArgs, Scene, Status,
};

type Failure = Box<dyn std::error::Error>;

/// Frames of the plate, and the last of the take.
const PLATE: i32 = 24;
const LAST: i32 = 96;
/// The frame that is served from the store.
const OTHER: i32 = 95;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    // Cargo asks for tests of benches in this way.
    if args.iter().any(|a| a == "--test") {
        return Ok(());
    }
    let option = |name: &str, usual: &str| {
        let at = args.iter().position(|a| a == name);
        let given = at.and_then(|at| args.get(at + 1).cloned());
        given.unwrap_or_else(|| usual.to_owned())
    };
    let size = option("--size", "3840x2160");
    let (w, h) = size.split_once('x').ok_or("--size WIDTHxHEIGHT")?;
    let (w, h): (usize, usize) = (w.parse()?, h.parse()?);
    let channels = option("--channels", "RGBA");
    let rounds: usize = option("--rounds", "15").parse()?;
    let at = option("--folder", "");
    let folder = match &*at {
        "" => tempfile::tempdir()?,
        at => tempfile::tempdir_in(at)?,
    };
    let plate = tiled(folder.path(), (w, h), &channels)?;
    let mut out = vec![0f32; w * h * 4];
    let mebi = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let bytes = out.len() * size_of::<f32>();
    let cores = std::thread::available_parallelism()?.get();
    println!(
        "{w}x{h}, plate {channels} half, host RGBA float: {:.0} MiB; {cores} cores; {rounds} rounds, medians",
        mebi(bytes)
    );

    // In memory.
    let store = folder.path().join("store");
    let shot = Shot::new(&plate, &store, 8192.0, (w, h))?;
    shot.render(LAST, &mut out)?;
    let made = out.clone();
    let mut copied = vec![0f32; out.len()];
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..rounds {
        times[0].push(timed(|| {
            copied.copy_from_slice(&made);
            Ok(())
        })?);
        times[1].push(timed(|| {
            let share = made.len().div_ceil(cores);
            std::thread::scope(|scope| {
                for (to, from) in copied.chunks_mut(share).zip(made.chunks(share)) {
                    scope.spawn(move || to.copy_from_slice(from));
                }
            });
            Ok(())
        })?);
        times[2].push(timed(|| shot.render(LAST, &mut out))?);
    }
    same(&out, &made)?;
    let [one, all, served] = times.map(median);
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e9;
    let best = one.min(all);
    println!("in memory");
    show("copied by one thread", one, rate(one));
    show("copied by all cores", all, rate(all));
    show("rendered by the node", served, rate(served));
    let ratio = best.as_secs_f64() / served.as_secs_f64();
    println!("  of the machine's copy rate: {:.0} %", 100.0 * ratio);

    // In the store alone: memory holds no frame.
    let shot = Shot::new(&plate, &store, 64.0, (w, h))?;
    shot.render(OTHER, &mut out)?;
    let made = out.clone();
    shot.render(OTHER, &mut out)?;
    let file = stored(&store)?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut read = vec![0u8; 4 << 20];
    for _ in 0..rounds {
        forget(&file)?;
        times[0].push(timed(|| {
            let mut file = File::open(&file)?;
            while file.read(&mut read)? > 0 {}
            Ok(())
        })?);
        forget(&file)?;
        times[1].push(timed(|| shot.render(OTHER, &mut out))?);
        // And from the system's own memory of files.
        times[2].push(timed(|| shot.render(OTHER, &mut out))?);
    }
    same(&out, &made)?;
    let [plain, served, warm] = times.map(median);
    let held = std::fs::metadata(&file)?.len() as f64;
    let rate = |time: Duration| held / time.as_secs_f64() / 1e9;
    println!("in the store, file of {:.0} MiB", held / f64::from(1 << 20));
    show("read, plain and in order", plain, rate(plain));
    show("rendered by the node", served, rate(served));
    show("the same, file in the system's memory", warm, rate(warm));
    let ratio = plain.as_secs_f64() / served.as_secs_f64();
    println!("  of the disk's sequential rate: {:.0} %", 100.0 * ratio);
    Ok(())
}

fn show(what: &str, time: Duration, rate: f64) {
    println!(
        "  {what:<40} {:7.1} ms {rate:6.2} GB/s",
        time.as_secs_f64() * 1e3
    );
}

fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn same(a: &[f32], b: &[f32]) -> Result<(), Failure> {
    let alike = a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
    alike
        .then_some(())
        .ok_or("the frame came out otherwise".into())
}

/// Waits for the frame to lie in the store; its file.
fn stored(store: &Path) -> Result<PathBuf, Failure> {
    for _ in 0..1200 {
        for shelf in std::fs::read_dir(store)?.flatten().map(|e| e.path()) {
            let files = std::fs::read_dir(shelf).into_iter().flatten().flatten();
            for file in files.map(|e| e.path()) {
                if file.extension().is_some_and(|e| e == "frame") {
                    return Ok(file);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the frame did not come to the store".into())
}

/// Has the system forget what it holds of a file.
fn forget(path: &Path) -> Result<(), Failure> {
    let file = File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

struct Shot {
    node: Node,
    scene: Scene,
    layout: Layout,
}

impl Shot {
    fn new(
        plate: &Path,
        store: &Path,
        memory: f64,
        (w, h): (usize, usize),
    ) -> Result<Self, Failure> {
        let params = &manifest()?.params;
        let mut values = vec![RawValue::default(); params.len()];
        let text = |path: &Path| path.display().to_string();
        for (name, text, number, second) in [
            ("plate", text(plate), 0.0, 0.0),
            ("store", text(store), 0.0, 0.0),
            ("frames", String::new(), 1.0, f64::from(LAST)),
            ("plans", String::new(), 1.0, 0.0),
            ("memory", String::new(), memory, 0.0),
        ] {
            let at = params.iter().position(|p| p.name == name);
            values[at.ok_or("a parameter is gone")?] = RawValue {
                known: true,
                text,
                number,
                second,
            };
        }
        let bounds = Rect::from([0, 0, i32::try_from(w)?, i32::try_from(h)?]);
        Ok(Self {
            node: Node::new(),
            scene: Scene {
                generator: true,
                params: values,
                fps: Some(24.0),
                temporal_access: true,
                ..Scene::default()
            },
            layout: Layout {
                row_bytes: (w * 16) as isize,
                bounds,
                region: Some(bounds),
                depth: Depth::Float,
                components: Components::Rgba,
                premultiplied: true,
            },
        })
    }

    fn render(&self, frame: i32, out: &mut [f32]) -> Result<(), Failure> {
        let args = RenderArgs {
            time: f64::from(frame),
            window: self.layout.bounds,
            scale: [1.0, 1.0],
            fielded: false,
        };
        // SAFETY: `out` holds the rows that the layout tells of.
        let image = unsafe { Image::new(out.as_mut_ptr().cast(), self.layout) };
        let image = image.ok_or("no picture")?;
        let report = self.node.render(&self.scene, &args, image, &mut NoHost);
        match report.status {
            Status::Done => Ok(()),
            _ => Err(report.message.into()),
        }
    }
}

/// The stream laid side by side; gives its pattern.
fn tiled(folder: &Path, (w, h): (usize, usize), channels: &str) -> Result<PathBuf, Failure> {
    let footage = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4");
    let mut movie = FilePlate::open(&footage, &PlateOptions::default())?;
    let window = Window::whole(w, h);
    let mut header: FrameHeader = movie.header().clone();
    let format = |name: char| ChannelFormat::new(&name.to_string(), SampleDepth::Half);
    header.channels = channels.chars().map(format).collect();
    header.display_window = window;
    header.data_window = window;
    header.transfer = Transfer::Linear;
    header.pixel_aspect = 1.0;
    let n = header.channels.len();
    let path = folder.join("plate.####.exr");
    let options = WriteOptions {
        compression: Compression::None,
        ..WriteOptions::default()
    };
    let writer = SequenceWriter::new(&path, header, options)?;
    for frame in 1..=PLATE {
        let source = movie.read(frame)?;
        let mut picture = Picture::new(w, h, n);
        for y in 0..h {
            let row = picture.row_mut(y).chunks_exact_mut(n);
            for (x, pixel) in row.enumerate() {
                let from = source.pixel(x % source.width(), y % source.height());
                for (k, value) in pixel.iter_mut().enumerate() {
                    *value = if k == 3 { 1.0 } else { to_linear(from[k]) };
                }
            }
        }
        writer.write(frame, &Arc::new(picture))?;
    }
    Ok(path)
}
