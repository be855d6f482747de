//! Measures kernels on a GPU, each beside what the same GPU does at best in the same
//! run: bytes a second of a plain copy.

use std::process::ExitCode;

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
}

impl Rate {
    /// Of a kernel that is bound by memory.
    pub fn memory(what: &str, bytes: usize, seconds: f64) -> Self {
        Self {
            what: what.to_owned(),
            bytes,
            seconds,
        }
    }
}

/// Runs before any is measured, and runs that are.
const RUNS: (usize, usize) = (3, 21);

impl Lab {
    /// Seconds of the median run of `work`, measured on the device.
    pub fn time(
        &self,
        mut work: impl FnMut(&Lab) -> Result<(), DeviceError>,
    ) -> Result<f64, DeviceError> {
        for _ in 0..RUNS.0 {
            work(self)?;
        }
        let mut seconds = Vec::new();
        for _ in 0..RUNS.1 {
            let timer = Timer::start(&self.stream)?;
            work(self)?;
            seconds.push(timer.stop()?);
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[RUNS.1 / 2])
    }
}

/// Measures all, prints a table and writes the figures to `json`.
pub fn measure(json: Option<&str>) -> ExitCode {
    match try_measure() {
        Ok(value) => {
            let Some(path) = json else {
                return ExitCode::SUCCESS;
            };
            match std::fs::write(path, format!("{value:#}\n")) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{path}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            eprintln!("{}", error.message().unwrap_or("not measured"));
            ExitCode::FAILURE
        }
    }
}

fn try_measure() -> Result<Value, Failed> {
    let device = Device::open(0)?;
    if device.is_emulation() {
        return Err("the emulation is no GPU: it is not measured".into());
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
            println!(
                "{:14} {:8.1} us {:6.0} GB/s {:4.0}% of a copy  {}",
                check.name,
                rate.seconds * 1e6,
                speed / 1e9,
                100.0 * speed / copy,
                rate.what
            );
            rows.push(json!({
                "kernel": check.name,
                "what": rate.what,
                "seconds": rate.seconds,
                "bytes": rate.bytes,
                "of_copy": speed / copy,
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
