//! Chores of the project: `cargo xtask bundle`, `install`, `kernels`, `cuda`, `host` and
//! `soak`.

use std::process::ExitCode;

mod bundle;
mod cuda;
mod host;
mod install;
mod kernels;
mod soak;

const USAGE: &str = "\
usage: cargo xtask bundle [--debug]         build target/bundle/Longtake.ofx.bundle
       cargo xtask install [DIR] [--debug]  and put it into DIR, by default the system's folder
       cargo xtask kernels                  compile the CUDA kernels, with nvcc from PyPI if need be
       cargo xtask cuda [--on-cpu]          build the transformer for NVIDIA GPUs (some ten minutes)
       cargo xtask host                     build the headless host of tests/host
       cargo xtask valgrind                 run the bundle in the host under a memory checker
       cargo xtask soak [OPTIONS]           sixty seconds at 4K, killed, checked, measured";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "soak") {
        return tell(soak::soak(&args[1..]));
    }
    let debug = args.iter().any(|a| a == "--debug");
    let words: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|a| *a != "--debug")
        .collect();
    let outcome = match words[..] {
        ["bundle"] => bundle::bundle(debug).map(|path| path.display().to_string()),
        ["kernels"] => kernels::kernels(true),
        ["cuda"] => cuda::cuda(false),
        ["cuda", "--on-cpu"] => cuda::cuda(true),
        ["host"] => host::build().map(|path| path.display().to_string()),
        ["valgrind"] => host::valgrind().map(|()| "no memory errors".to_owned()),
        ["install"] => install::install(None, debug),
        ["install", folder] if !folder.starts_with('-') => install::install(Some(folder), debug),
        _ => Err(USAGE.into()),
    };
    tell(outcome)
}

fn tell(outcome: Result<String, Box<dyn std::error::Error + Send + Sync>>) -> ExitCode {
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
