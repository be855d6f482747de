//! `cargo xtask soak`: sixty seconds at 4K on the real command line, killed at
//! random moments, made twice in another order, every frame's checksum held
//! against the first.
//!
//! It can be stopped at any time and started again: what is known lies in
//! `soak.tsv` in its folder. Frames are removed once their checksum is taken, so
//! that the disk need hold only a block of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::bundle::root;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub const USAGE: &str = "\
usage: cargo xtask soak [OPTIONS]
  --frames N        output frames, by default 1440
  --plate PATTERN   a plate of your own; by default the stream that ships, enlarged to
                    3840x2160 with grain, half, ZIP (needs ffmpeg)
  --plate-frames N  frames of that plate, by default 90
  --folder DIR      where to work, by default target/soak; run again to continue
  --minutes M       stop after so long, to be continued
  --kill-every S    seconds between kills on average, by default 60; 0: never
  --threads N       by default one for each core
  --debug           the debug build of longtake";

struct Options {
    frames: u32,
    plate: Option<PathBuf>,
    plate_frames: u32,
    folder: PathBuf,
    minutes: f64,
    kill_every: f64,
    threads: u32,
    debug: bool,
}

impl Options {
    fn of(args: &[String]) -> Result<Self> {
        let mut options = Self {
            frames: 1440,
            plate: None,
            plate_frames: 90,
            folder: root()?.join("target/soak"),
            minutes: f64::INFINITY,
            kill_every: 60.0,
            threads: 0,
            debug: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--debug" {
                options.debug = true;
                continue;
            }
            let value = args.next().ok_or(USAGE)?;
            match name.as_str() {
                "--frames" => options.frames = value.parse()?,
                "--plate" => options.plate = Some(value.into()),
                "--plate-frames" => options.plate_frames = value.parse()?,
                "--folder" => options.folder = value.into(),
                "--minutes" => options.minutes = value.parse()?,
                "--kill-every" => options.kill_every = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}

/// Runs the soak; returns what to tell.
pub fn soak(args: &[String]) -> Result<String> {
    let options = Options::of(args)?;
    let soak = Soak::new(options)?;
    soak.run()
}

struct Soak {
    options: Options,
    longtake: PathBuf,
    plate: PathBuf,
    until: Option<Instant>,
}

/// What is known, kept in a file line by line.
struct Log {
    file: File,
    /// Checksums of the first and of the second pass, by frame.
    sums: [BTreeMap<i32, String>; 2],
    /// Seconds of each pass.
    seconds: [f64; 2],
    bytes: u64,
    kills: u32,
    peak: u64,
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        let mut log = Self {
            file: OpenOptions::new().create(true).append(true).open(path)?,
            sums: [BTreeMap::new(), BTreeMap::new()],
            seconds: [0.0; 2],
            bytes: 0,
            kills: 0,
            peak: 0,
        };
        for line in BufReader::new(File::open(path)?).lines() {
            let line = line?;
            let fields: Vec<&str> = line.split('\t').collect();
            log.take(&fields);
        }
        Ok(log)
    }

    /// A line that was cut short tells nothing.
    fn take(&mut self, fields: &[&str]) {
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
        let pass = usize::from(fields.get(1) == Some(&"2"));
        match (fields.first(), number(2)) {
            (Some(&"frame"), Some(frame)) if fields.len() == 5 => {
                self.sums[pass].insert(frame as i32, fields[3].to_owned());
                self.bytes += fields[4].parse::<u64>().unwrap_or(0);
            }
            (Some(&"time"), Some(seconds)) => self.seconds[pass] += seconds,
            (Some(&"kill"), _) => self.kills += 1,
            (Some(&"peak"), Some(peak)) => self.peak = self.peak.max(peak as u64),
            _ => {}
        }
    }

    fn note(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}")?;
        self.file.sync_data()?;
        self.take(&line.split('\t').collect::<Vec<_>>());
        Ok(())
    }
}

/// A block of the plan.
struct Block {
    id: String,
    frames: Vec<i32>,
}

enum Ended {
    Well,
    Killed,
    OutOfTime,
}

impl Soak {
    fn new(options: Options) -> Result<Self> {
        let root = root()?;
        let mut build = Command::new("cargo");
        build
            .args(["build", "--package", "longtake", "--bin", "longtake"])
            .current_dir(&root);
        if !options.debug {
            build.arg("--release");
        }
        run(&mut build)?;
        let profile = if options.debug { "debug" } else { "release" };
        let until = options.minutes.is_finite();
        let until = until.then(|| Instant::now() + Duration::from_secs_f64(60.0 * options.minutes));
        fs::create_dir_all(&options.folder)?;
        let mut soak = Self {
            longtake: root.join("target").join(profile).join("longtake"),
            plate: PathBuf::new(),
            options,
            until,
        };
        soak.plate = match &soak.options.plate {
            Some(plate) => std::path::absolute(plate)?,
            None => soak.enlarge(&root)?,
        };
        Ok(soak)
    }

    /// Enlarges the stream that ships, lays grain over it and writes it as EXR,
    /// where that was not done before.
    fn enlarge(&self, root: &Path) -> Result<PathBuf> {
        let folder = self.options.folder.join("plate");
        let pattern = folder.join("plate.####.exr");
        let last = self.options.plate_frames;
        if !folder.join(format!("plate.{last:04}.exr")).exists() {
            fs::create_dir_all(&folder)?;
            let movie = folder.join("enlarged.mp4");
            let footage = root.join("examples/plates/stream-of-water.mp4");
            run(Command::new("ffmpeg")
                .args(["-hide_banner", "-loglevel", "error", "-y", "-i"])
                .arg(footage)
                .args(["-frames:v", &last.to_string(), "-vf"])
                .arg("scale=3840:2160:flags=bicubic,noise=alls=5:allf=t,format=yuv420p")
                .args(["-c:v", "libx264", "-qp", "4", "-preset", "ultrafast"])
                .arg(&movie))?;
            let range = format!("1-{last}");
            run(self
                .command("generate")
                .arg("--plate")
                .arg(&movie)
                .args(["--frames", &range, "--pixel-type", "half", "--out"])
                .arg(&pattern))?;
            fs::remove_file(movie)?;
        }
        Ok(pattern)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.longtake);
        command
            .arg(what)
            .env("LONGTAKE_STORE", self.options.folder.join("store"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// `what` with the options of the take.
    fn take(&self, what: &str) -> Command {
        let mut command = self.command(what);
        command
            .arg("--plate")
            .arg(&self.plate)
            .args(["--mode", "extend", "--fps", "24", "--json"])
            .args(["--frames", &format!("1-{}", self.options.frames)])
            .args(["--threads", &self.options.threads.to_string()])
            .arg("--out")
            .arg(self.options.folder.join("out/o.####.exr"));
        command
    }

    fn blocks(&self) -> Result<Vec<Block>> {
        let told = self.take("plan").stdout(Stdio::piped()).output()?;
        let plan: Json = serde_json::from_slice(&told.stdout)
            .map_err(|_| String::from_utf8_lossy(&told.stderr).into_owned())?;
        let levels = plan["plan"]["levels"]
            .as_array()
            .ok_or("no plan was told")?;
        let frames = levels.last().and_then(|l| l["blocks"].as_array());
        let frames = frames.ok_or("the plan has no blocks")?;
        frames
            .iter()
            .map(|b| {
                let id = b["id"].as_str().ok_or("a block has no name")?;
                let range = b["frames"].as_str().ok_or("a block has no frames")?;
                let (a, z) = range.split_once('-').unwrap_or((range, range));
                Ok(Block {
                    id: id.to_owned(),
                    frames: (a.parse()?..=z.parse()?).collect(),
                })
            })
            .collect()
    }

    fn run(&self) -> Result<String> {
        let mut log = Log::open(&self.options.folder.join("soak.tsv"))?;
        let mut dice = Dice::new();
        let blocks = self.blocks()?;
        for pass in 0..2 {
            let mut order: Vec<&Block> = blocks.iter().collect();
            if pass == 1 {
                // Another order, the same each time.
                let mut fixed = Dice(0x9e37_79b9_7f4a_7c15);
                for i in (1..order.len()).rev() {
                    order.swap(i, (fixed.next() % (i as u64 + 1)) as usize);
                }
            }
            for (k, block) in order.iter().enumerate() {
                let there = |f: &i32| log.sums[pass].contains_key(f);
                if block.frames.iter().all(there) {
                    continue;
                }
                eprintln!(
                    "pass {}: block {} of {}, {}",
                    pass + 1,
                    k + 1,
                    order.len(),
                    block.id
                );
                if !self.make(block, pass, &mut log, &mut dice)? {
                    return Ok(format!(
                        "stopped with {} of {} frames made and {} checked; run again to continue",
                        log.sums[0].len(),
                        self.options.frames,
                        log.sums[1].len()
                    ));
                }
            }
        }
        let report = self.report()?;
        Ok(self.result(&log, &report))
    }

    /// Makes a block, however often it is killed, and takes or holds its
    /// checksums. Tells whether there was time enough.
    fn make(&self, block: &Block, pass: usize, log: &mut Log, dice: &mut Dice) -> Result<bool> {
        loop {
            let begun = Instant::now();
            let ended = self.attempt(block, log, dice)?;
            let seconds = begun.elapsed().as_secs_f64();
            log.note(&format!("time\t{}\t{seconds:.3}", pass + 1))?;
            match ended {
                Ended::OutOfTime => return Ok(false),
                Ended::Killed => log.note("kill\t-\t1")?,
                Ended::Well => break,
            }
        }
        for &frame in &block.frames {
            let path = self.options.folder.join(format!("out/o.{frame:04}.exr"));
            let bytes = fs::read(&path)?;
            let sum = blake3::hash(&bytes).to_hex().to_string();
            if pass == 1 && log.sums[0].get(&frame) != Some(&sum) {
                return Err(format!(
                    "frame {frame} is not what it was at first: {}",
                    path.display()
                )
                .into());
            }
            let size = if pass == 0 { bytes.len() } else { 0 };
            log.note(&format!("frame\t{}\t{frame}\t{sum}\t{size}", pass + 1))?;
            fs::remove_file(path)?;
        }
        Ok(true)
    }

    fn attempt(&self, block: &Block, log: &mut Log, dice: &mut Dice) -> Result<Ended> {
        let mut command = self.take("block");
        command.arg(&block.id).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let end = match self.options.kill_every {
            s if s > 0.0 => Duration::from_secs_f64(-s * (1.0 - dice.uniform()).ln()),
            _ => Duration::MAX,
        };
        let begun = Instant::now();
        let mut peak = 0;
        loop {
            peak = peak.max(resident(&child).unwrap_or(0));
            if let Some(status) = child.try_wait()? {
                log.note(&format!("peak\t-\t{peak}"))?;
                if status.success() {
                    return Ok(Ended::Well);
                }
                let told = child.wait_with_output()?;
                return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
            }
            let out_of_time = self.until.is_some_and(|u| Instant::now() > u);
            if out_of_time || begun.elapsed() > end {
                child.kill()?;
                child.wait()?;
                log.note(&format!("peak\t-\t{peak}"))?;
                return Ok(if out_of_time {
                    Ended::OutOfTime
                } else {
                    Ended::Killed
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The measures of the take at a quarter of its size, where the motion is
    /// the same.
    fn report(&self) -> Result<Json> {
        let path = self.options.folder.join("report.json");
        if !path.exists() {
            let small = self.options.folder.join("small/s.####.png");
            run(self
                .command("generate")
                .arg("--plate")
                .arg(&self.plate)
                .args(["--mode", "extend", "--fps", "24", "--scale", "1/4"])
                .args(["--frames", &format!("1-{}", self.options.frames)])
                .arg("--out")
                .arg(small)
                .arg("--contact-sheet")
                .arg(self.options.folder.join("sheet.png"))
                .arg("--report")
                .arg(&path))?;
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    fn result(&self, log: &Log, report: &Json) -> String {
        let n = log.sums[0].len().max(1) as f64;
        let mut text = format!(
            "{} frames made, then made again in another order: every checksum the same\n\
             {} kills at random moments\n\
             first pass {:.0} s, {:.2} s a frame; second pass {:.0} s, {:.2} s a frame; what kills cost counted in\n\
             peak memory {:.2} GB; {:.1} MB a frame on the disk\n\
             report, at a quarter of the size:\n",
            log.sums[1].len(),
            log.kills,
            log.seconds[0],
            log.seconds[0] / n,
            log.seconds[1],
            log.seconds[1] / n,
            log.peak as f64 / 1e6,
            log.bytes as f64 / n / 1e6,
        );
        if let Some(measures) = report["measures"].as_object() {
            for (name, value) in measures.iter().filter(|m| !m.1.is_null()) {
                text.push_str(&format!("  {name:<26} {value}\n"));
            }
        }
        text
    }
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed: {status}").into()),
    }
}

/// Peak resident memory of `child` in kB, where the system tells it as Linux
/// does.
fn resident(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Random numbers (xorshift, Marsaglia 2003) that differ from run to run: what
/// is to be shown must hold at any moment.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(time.map_or(1, |t| t.as_nanos() as u64) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// In 0..1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_again_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("soak.tsv");
        let mut log = Log::open(&path).unwrap();
        log.note("frame\t1\t7\tabc\t100").unwrap();
        log.note("frame\t2\t7\tabc\t0").unwrap();
        log.note("time\t1\t2.5").unwrap();
        log.note("time\t2\t4").unwrap();
        log.note("kill\t-\t1").unwrap();
        log.note("peak\t-\t2000").unwrap();
        log.note("peak\t-\t1500").unwrap();
        write!(log.file, "frame\t1\t8\tab").unwrap();
        let again = Log::open(&path).unwrap();
        assert_eq!(again.sums[0], BTreeMap::from([(7, "abc".to_owned())]));
        assert_eq!(again.sums[1], again.sums[0]);
        assert_eq!(again.seconds, [2.5, 4.0]);
        assert_eq!((again.bytes, again.kills, again.peak), (100, 1, 2000));
    }
}
