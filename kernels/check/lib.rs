//! Holds every kernel against its CPU twin: random shapes and odd edges, guards on
//! both sides of every buffer, the twin's answer within a stated bound.
//!
//! `cargo test -p longtake-kernels-check` runs the kernels in the emulation of
//! `kernels/emulation`, and on a GPU where there is one; where there is none those
//! checks are listed as ignored. `longtake-kernels-check --gpu` runs them on the GPU
//! alone, and with `--rate` it also measures
//! each beside what the machine can do (`--json FILE` keeps the figures).

mod checks;
mod lab;
mod rate;

use std::env;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use longtake_kernels::driver::{Device, DeviceError};

use checks::{CHECKS, Check};
use lab::Lab;

/// Set in the process that sees the emulation in place of a driver.
const EMULATED: &str = "LONGTAKE_CHECK_EMULATED";

/// Runs the checks that the command line asks for.
pub fn main() -> ExitCode {
    let mut gpu = false;
    let mut measure = false;
    let mut json = None;
    let mut rest = Vec::new();
    let mut given = env::args();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--gpu" => gpu = true,
            "--rate" => measure = true,
            "--json" => json = given.next(),
            _ => rest.push(argument),
        }
    }
    if measure {
        return rate::bench(json.as_deref());
    }
    let arguments = Arguments::from_iter(rest);
    if gpu {
        return on_gpu(&arguments);
    }
    if env::var_os(EMULATED).is_some() {
        return emulated(&arguments);
    }
    // The dynamic linker reads its path when a process begins.
    match longtake_emulation::folder() {
        Some(folder) if folder.is_dir() => {
            let status = env::current_exe().and_then(|exe| {
                // A program to run it under, with its options: a memory checker.
                let under = env::var("LONGTAKE_CHECK_UNDER").unwrap_or_default();
                let mut words = under.split_whitespace();
                let mut command = match words.next() {
                    Some(program) => {
                        let mut command = Command::new(program);
                        command.args(words).arg(exe);
                        command
                    }
                    None => Command::new(exe),
                };
                let has_gpu = if open_gpu().is_ok() { "1" } else { "0" };
                command
                    .args(env::args_os().skip(1))
                    .env("LD_LIBRARY_PATH", folder)
                    .env(EMULATED, has_gpu)
                    .status()
            });
            match status {
                Ok(status) if status.success() => ExitCode::SUCCESS,
                Ok(_) => ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("this program cannot be run again: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            println!("The emulation is not built here (no C++ compiler, or not Linux).");
            run(
                &arguments,
                CHECKS.iter().map(|c| ignored("emulated", c)).collect(),
            )
        }
    }
}

fn run(arguments: &Arguments, trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(arguments, trials).exit_code()
}

fn open_gpu() -> Result<Arc<Device>, DeviceError> {
    let device = Device::open(0)?;
    if device.is_emulation() {
        return Err(DeviceError::NoDriver);
    }
    Ok(device)
}

/// Every check on the GPU; they fail where there is none.
fn on_gpu(arguments: &Arguments) -> ExitCode {
    match open_gpu() {
        Ok(device) => {
            println!("On {}", device.name());
            let trial = |c: &'static Check| trial("gpu", c, device.clone());
            run(arguments, CHECKS.iter().map(trial).collect())
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Every check in the emulation, and each again on the GPU where there is one.
fn emulated(arguments: &Arguments) -> ExitCode {
    let device = match Device::open(0) {
        Ok(device) if device.is_emulation() => device,
        Ok(_) => {
            eprintln!("the emulation was not found in front of the driver");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let has_gpu = env::var(EMULATED).as_deref() == Ok("1");
    let mut trials: Vec<Trial> = CHECKS
        .iter()
        .map(|c| trial("emulated", c, device.clone()))
        .collect();
    trials.push(Trial::test(
        "emulated::what_the_bench_measures",
        move || rate::rehearse(&mut Lab::new(&device, "rehearsal")?),
    ));
    trials.extend(CHECKS.iter().map(|c| match has_gpu {
        true => Trial::test(format!("gpu::{}", c.name), move || alone(c)),
        false => ignored("gpu", c),
    }));
    run(arguments, trials)
}

fn trial(place: &str, check: &'static Check, device: Arc<Device>) -> Trial {
    Trial::test(format!("{place}::{}", check.name), move || {
        let mut lab = Lab::new(&device, check.name)?;
        (check.run)(&mut lab)
    })
}

/// A check that cannot be run here.
fn ignored(place: &str, check: &'static Check) -> Trial {
    Trial::test(format!("{place}::{}", check.name), || Ok(())).with_ignored_flag(true)
}

/// One check on the GPU, in a process that does not see the emulation.
fn alone(check: &Check) -> Result<(), Failed> {
    let output = Command::new(env::current_exe()?)
        .args(["--gpu", "--exact", &format!("gpu::{}", check.name)])
        .env_remove("LD_LIBRARY_PATH")
        .env_remove(EMULATED)
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stdout).into_owned().into()),
    }
}
