//! The bench of a GPU: every kernel held against its twin, each measured beside what the
//! same GPU does at best in the same run, bytes a second of a plain copy, and a memory
//! checker run over them.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use longtake_kernels::driver::{Device, DeviceError, Timer};
use serde_json::{Value, json};

use crate::checks::CHECKS;
use crate::lab::Lab;

/// What one kernel did in a time.
pub struct Rate {
    /// The kernel and its size.
    pub what: String,
    /// Bytes that it must read and write.
    pub bytes: usize,
    /// Seconds of the median run.
    pub seconds: f64,
    /// Whether the host's memory takes part, which a copy on the device says nothing of.
    pub to_host: bool,
}

impl Rate {
    /// Of a kernel that is bound by memory.
    pub fn memory(what: &str, bytes: usize, seconds: f64) -> Self {
        Self {
            what: what.to_owned(),
            bytes,
            seconds,
            to_host: false,
        }
    }

    /// Of work that ends in host memory, `seconds` by the clock.
    pub fn to_host(what: &str, bytes: usize, seconds: f64) -> Self {
        Self {
            to_host: true,
            ..Self::memory(what, bytes, seconds)
        }
    }
}

/// Runs before any is measured, and runs that are.
const RUNS: (usize, usize) = (3, 21);
/// Seconds that short runs take together, where they are shorter, and how many they are at most.
const TOGETHER: f64 = 1e-3;
const MOST_TOGETHER: usize = 20;
/// As [`RUNS`], where measuring is only tried.
const TRIED: (usize, usize) = (0, 1);

impl Lab {
    /// Seconds of a run of `work`, measured on the device: short ones many behind each
    /// other, as in an engine's queue, since until the first of them begins the device
    /// waits for the CPU; the median of several times.
    pub fn time(
        &self,
        mut work: impl FnMut(&Lab) -> Result<(), DeviceError>,
    ) -> Result<f64, DeviceError> {
        let mut timed = |runs: usize| {
            self.median(|lab| {
                let timer = Timer::start(&lab.stream)?;
                for _ in 0..runs {
                    work(lab)?;
                }
                Ok(timer.stop()? / runs as f64)
            })
        };
        let alone = timed(1)?;
        match self.size(TOGETHER / alone, 1.0) as usize {
            0 | 1 => Ok(alone),
            runs => timed(runs.min(MOST_TOGETHER)),
        }
    }

    /// Seconds of the median run by the clock; `work` ends when all is done.
    pub fn clock(
        &self,
        mut work: impl FnMut(&Lab) -> Result<(), DeviceError>,
    ) -> Result<f64, DeviceError> {
        self.median(|lab| {
            let begun = Instant::now();
            work(lab)?;
            Ok(begun.elapsed().as_secs_f64())
        })
    }

    fn median(
        &self,
        mut run: impl FnMut(&Lab) -> Result<f64, DeviceError>,
    ) -> Result<f64, DeviceError> {
        let (warm, runs) = self.size(RUNS, TRIED);
        for _ in 0..warm {
            run(self)?;
        }
        let mut seconds = Vec::new();
        for _ in 0..runs {
            seconds.push(run(self)?);
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[runs / 2])
    }
}

/// Goes through all that would be measured, in the emulation, small, so that nothing
/// is tried on a GPU for the first time.
pub fn rehearse(lab: &mut Lab) -> Result<(), Failed> {
    for check in CHECKS {
        if (check.rate)(lab)?.is_empty() {
            return Err(format!("nothing of {} would be measured", check.name).into());
        }
    }
    Ok(())
}

/// Seconds after which a check, or the memory checker, is ended: a kernel that hangs is not
/// to keep a machine that is lent for minutes.
const LONGEST: u64 = 90;

/// Checks and measures all, prints it and writes it to `json`, at every stage what there is
/// by then. Fails where a check does or something is not measured, after the rest is done.
pub fn bench(json: Option<&str>) -> ExitCode {
    let device = match open() {
        Ok(device) => device,
        Err(error) => {
            eprintln!("{}", error.message().unwrap_or("not measured"));
            return ExitCode::FAILURE;
        }
    };
    let mut told = json!({
        "date": std::env::var("LONGTAKE_BENCH_DATE").unwrap_or_default(),
        "command": "benches/gpu/run.sh",
        "device": device.name(),
    });
    let mut write = |what: &str, value: Value| {
        told[what] = value;
        if let Some(path) = json
            && let Err(error) = std::fs::write(path, format!("{told:#}\n"))
        {
            eprintln!("{path}: {error}");
        }
    };
    let checks = checks();
    let passed = |name: &str| checks.get(name).is_some_and(|said| said == PASSED);
    let all_pass = CHECKS.iter().all(|check| passed(check.name));
    write("checks", checks.clone().into());
    let (measured, all_measured) = measure(&device, passed);
    write("measured", measured);
    write("compute_sanitizer", sanitizer());
    match all_pass && all_measured {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// A GPU that kernels can be measured on.
fn open() -> Result<Arc<Device>, Failed> {
    let device = Device::open(0)?;
    if device.is_emulation() {
        return Err("the emulation is no GPU: it is not measured".into());
    }
    if !longtake_kernels::are_built() {
        return Err("this build has no kernels for a GPU: run `cargo xtask kernels` first".into());
    }
    Ok(device)
}

/// What is said of a kernel that gives what its twin gives.
const PASSED: &str = "as its twin";

/// Every kernel against its twin, each in a process of its own: a GPU is lost to the one
/// that a kernel failed in, and to no other.
fn checks() -> serde_json::Map<String, Value> {
    let mut outcomes = serde_json::Map::new();
    for check in CHECKS {
        let said = match run_again(None, &["--exact", &format!("gpu::{}", check.name)]) {
            // As many as were asked for: none is no proof.
            Ok((true, said)) if said.contains("1 passed") => PASSED.to_owned(),
            Ok((_, said)) => said,
            Err(error) => error,
        };
        println!("{:14} {said}", check.name);
        outcomes.insert(check.name.to_owned(), said.into());
    }
    outcomes
}

/// The checks once more under NVIDIA's memory checker, where it is installed.
fn sanitizer() -> Value {
    let memcheck = [
        "compute-sanitizer",
        "--tool",
        "memcheck",
        "--error-exitcode",
        "9",
    ];
    let said = match run_again(Some(&memcheck), &[]) {
        Ok((true, _)) => "no errors".to_owned(),
        Ok((false, said)) => said,
        Err(error) => format!("not run: {error}"),
    };
    println!("compute-sanitizer: {said}");
    said.into()
}

/// Runs this program's checks on the GPU, by itself or `under` another; whether they passed,
/// and what it printed.
fn run_again(under: Option<&[&str]>, arguments: &[&str]) -> Result<(bool, String), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = match under {
        None => Command::new(own),
        Some(words) => {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(own);
            command
        }
    };
    command.arg("--gpu").args(arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    // Read beside: a pipe that is full would hold it up.
    let readers = [
        child
            .stdout
            .take()
            .map(|from| thread::spawn(|| all_of(from))),
        child
            .stderr
            .take()
            .map(|from| thread::spawn(|| all_of(from))),
    ];
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > Duration::from_secs(LONGEST) => {
                let _ = child.kill();
                // What it began may hold the pipes open.
                return Err(format!("ended after {LONGEST} s"));
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let said = readers.into_iter().flatten().filter_map(|r| r.join().ok());
    Ok((
        status.success(),
        said.collect::<Vec<_>>().join("").trim().to_owned(),
    ))
}

fn all_of(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // What came until then.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The rates of all kernels that `passed` their checks, beside a copy of the same run, and
/// whether none failed.
fn measure(device: &Arc<Device>, passed: impl Fn(&str) -> bool) -> (Value, bool) {
    let mut rows = Vec::new();
    let mut told = json!({
        "device": device.name(),
        "capability": format!("{}.{}", device.capability().0, device.capability().1),
    });
    let mut failed = serde_json::Map::new();
    match Lab::new(device, "rate").and_then(|lab| Ok((copy(&lab)?, lab))) {
        Err(error) => {
            failed.insert("a copy".to_owned(), error.message().into());
        }
        Ok((copy, mut lab)) => {
            println!("{}: copies {:.0} GB/s", device.name(), copy / 1e9);
            told["copy_bytes_per_second"] = copy.into();
            for check in CHECKS.iter().filter(|check| passed(check.name)) {
                match (check.rate)(&mut lab) {
                    Ok(rates) => rows.extend(rates.iter().map(|rate| row(check.name, rate, copy))),
                    Err(error) => {
                        let text = error.message().unwrap_or("failed");
                        println!("{:14} not measured: {text}", check.name);
                        failed.insert(check.name.to_owned(), text.into());
                    }
                }
            }
        }
    }
    let none_failed = failed.is_empty();
    told["kernels"] = rows.into();
    told["failed"] = failed.into();
    (told, none_failed)
}

/// Bytes a second of a plain copy, read and written.
fn copy(lab: &Lab) -> Result<f64, Failed> {
    let bytes = 1usize << 30;
    let (from, mut to) = (lab.stream.room::<u8>(bytes)?, lab.stream.room::<u8>(bytes)?);
    let seconds = lab.time(|lab| lab.stream.copy(&from, &mut to))?;
    Ok(2.0 * bytes as f64 / seconds)
}

fn row(kernel: &str, rate: &Rate, copy: f64) -> Value {
    let speed = rate.bytes as f64 / rate.seconds;
    let part = match rate.to_host {
        true => "to the host".to_owned(),
        false => format!("{:4.0}% of a copy", 100.0 * speed / copy),
    };
    println!(
        "{kernel:14} {:8.1} us {:6.0} GB/s {part}  {}",
        rate.seconds * 1e6,
        speed / 1e9,
        rate.what
    );
    json!({
        "kernel": kernel,
        "what": rate.what,
        "seconds": rate.seconds,
        "bytes": rate.bytes,
        "of_copy": (!rate.to_host).then_some(speed / copy),
        "runs_per_second": 1.0 / rate.seconds,
    })
}
