//! The bench of a GPU: every kernel held against its twin, a memory checker run over
//! them, and each measured beside what the same GPU does at best in the same run,
//! bytes a second of a plain copy.

use std::process::{Command, ExitCode};
use std::time::Instant;

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
/// The same where measuring is only tried.
const TRIED: (usize, usize) = (0, 1);

impl Lab {
    /// Seconds of the median run of `work`, measured on the device.
    pub fn time(
        &self,
        mut work: impl FnMut(&Lab) -> Result<(), DeviceError>,
    ) -> Result<f64, DeviceError> {
        self.median(|lab| {
            let timer = Timer::start(&lab.stream)?;
            work(lab)?;
            timer.stop()
        })
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

/// Checks and measures all, prints it and writes it to `json`. Fails where a check
/// does, after the rest is done.
pub fn bench(json: Option<&str>) -> ExitCode {
    let measured = match try_measure() {
        Ok(value) => value,
        Err(error) => {
            eprintln!("{}", error.message().unwrap_or("not measured"));
            return ExitCode::FAILURE;
        }
    };
    let (checks, all_pass) = match try_checks() {
        Ok(checks) => checks,
        Err(error) => {
            eprintln!("{}", error.message().unwrap_or("not checked"));
            return ExitCode::FAILURE;
        }
    };
    let sanitized = sanitizer();
    let value = json!({
        "date": std::env::var("LONGTAKE_BENCH_DATE").unwrap_or_default(),
        "command": "benches/gpu/run.sh",
        "checks": checks,
        "compute_sanitizer": sanitized,
        "measured": measured,
    });
    if let Some(path) = json
        && let Err(error) = std::fs::write(path, format!("{value:#}\n"))
    {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    match all_pass {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Every kernel against its twin.
fn try_checks() -> Result<(Value, bool), Failed> {
    let device = Device::open(0)?;
    let (mut outcomes, mut all_pass) = (serde_json::Map::new(), true);
    for check in CHECKS {
        let outcome = Lab::new(&device, check.name).and_then(|mut lab| (check.run)(&mut lab));
        let text = match &outcome {
            Ok(()) => "as its twin",
            Err(error) => error.message().unwrap_or("failed"),
        };
        all_pass &= outcome.is_ok();
        println!("{:14} {text}", check.name);
        outcomes.insert(check.name.to_owned(), text.into());
    }
    Ok((outcomes.into(), all_pass))
}

/// The checks once more under NVIDIA's memory checker, where it is installed.
fn sanitizer() -> Value {
    let Ok(own) = std::env::current_exe() else {
        return "not run".into();
    };
    let mut command = Command::new("compute-sanitizer");
    command.args(["--tool", "memcheck", "--error-exitcode", "9"]);
    match command.arg(own).arg("--gpu").output() {
        Err(_) => "not run: compute-sanitizer is not installed".into(),
        Ok(output) if output.status.success() => "no errors".into(),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            println!("{said}");
            said.into()
        }
    }
}

fn try_measure() -> Result<Value, Failed> {
    let device = Device::open(0)?;
    if device.is_emulation() {
        return Err("the emulation is no GPU: it is not measured".into());
    }
    if !longtake_kernels::are_built() {
        return Err("this build has no kernels for a GPU: run `cargo xtask kernels` first".into());
    }
    let mut lab = Lab::new(&device, "rate")?;
    let bytes = 1usize << 30;
    let (from, mut to) = (lab.stream.room::<u8>(bytes)?, lab.stream.room::<u8>(bytes)?);
    let seconds = lab.time(|lab| lab.stream.copy(&from, &mut to))?;
    drop((from, to));
    // Read and written.
    let copy = 2.0 * bytes as f64 / seconds;
    println!("{}: copies {:.0} GB/s", device.name(), copy / 1e9);
    let mut rows = Vec::new();
    for check in CHECKS {
        for rate in (check.rate)(&mut lab)? {
            let speed = rate.bytes as f64 / rate.seconds;
            let part = match rate.to_host {
                true => "to the host".to_owned(),
                false => format!("{:4.0}% of a copy", 100.0 * speed / copy),
            };
            println!(
                "{:14} {:8.1} us {:6.0} GB/s {part}  {}",
                check.name,
                rate.seconds * 1e6,
                speed / 1e9,
                rate.what
            );
            rows.push(json!({
                "kernel": check.name,
                "what": rate.what,
                "seconds": rate.seconds,
                "bytes": rate.bytes,
                "of_copy": (!rate.to_host).then_some(speed / copy),
                "runs_per_second": 1.0 / rate.seconds,
            }));
        }
    }
    Ok(json!({
        "device": device.name(),
        "capability": format!("{}.{}", device.capability().0, device.capability().1),
        "copy_bytes_per_second": copy,
        "kernels": rows,
    }))
}
