//! The VAE and the text encoder beside torch, at the sizes of the published
//! models, with random weights.
//!
//! ```text
//! cargo bench --bench vae_text -- --python python3 [--rounds 3] [--threads 0] [NAME…]
//! ```
//!
//! Both sides run in turn, in one run on one machine, f32, on as many threads.
//! What counts is the ratio of CPU time (other processes do not disturb it much)
//! and the peak of memory over what inputs and weights take. Whole parts are also
//! compared in what they give.

#[path = "../meter/mod.rs"]
mod meter;
mod reference;
mod work;

use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// What one side took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Seconds of CPU, over all threads.
    pub cpu: f64,
    /// Seconds of the clock.
    pub wall: f64,
    /// Megabytes, the peak over what was held before.
    pub memory: f64,
}

/// `(name, what the reference is told, repeats)`.
const TASKS: &[(&str, &str, usize)] = &[
    (
        "conv 384, 1 frame of 60x104, first",
        "conv {} 384 384 1 60 104 0",
        3,
    ),
    (
        "conv 384, 1 frame of 60x104, cached",
        "conv {} 384 384 1 60 104 1",
        2,
    ),
    (
        "conv 192, 2 frames of 128x128, cached",
        "conv {} 192 192 2 128 128 1",
        3,
    ),
    (
        "conv 96, 1 frame of 480x832, first",
        "conv {} 96 96 1 480 832 0",
        2,
    ),
    (
        "conv 96, 4 frames of 256x256, cached",
        "conv {} 96 96 4 256 256 1",
        2,
    ),
    (
        "decode, a tile of 256x256, 5 frames",
        "decode {} 2 32 32",
        1,
    ),
    ("text layer, 512 tokens", "text {} 512", 1),
];

fn main() -> Result<(), Failure> {
    let mut python = None;
    let (mut rounds, mut threads, mut names) = (3, 0, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--bench" => {}
            "--python" => python = Some(value()?),
            "--rounds" => rounds = value()?.parse()?,
            "--threads" => threads = value()?.parse()?,
            _ => names.push(arg),
        }
    }
    if threads == 0 {
        threads = std::thread::available_parallelism()?.get();
    }
    longtake::device::limit(threads);
    let folder = tempfile::tempdir()?;
    let mut torch = match &python {
        Some(python) => Some(reference::start(Path::new(python), folder.path(), threads)?),
        None => {
            println!("no --python: our side alone");
            None
        }
    };
    println!("{threads} threads, the middle of {rounds} rounds");
    println!(
        "{:40} {:>8} {:>8} {:>6} {:>9} {:>9}",
        "", "CPU s", "torch", "ratio", "peak MB", "torch"
    );
    for &(name, told, repeats) in TASKS {
        if !names.is_empty() && !names.iter().any(|n| name.contains(n.as_str())) {
            continue;
        }
        let line = told.replace("{}", &repeats.to_string());
        let mut costs = Vec::new();
        let mut ours: Option<work::Work> = None;
        let mut error = None;
        for _ in 0..rounds {
            let theirs = torch.as_mut().map(|t| t.run(&line)).transpose()?;
            if ours.is_none() {
                ours = work::prepare(&line, folder.path())?;
            }
            let Some(ours) = ours.as_mut() else { break };
            if error.is_none() {
                error = Some((ours.check)()?);
            }
            costs.push((work::measure(&mut ours.run, repeats)?, theirs));
        }
        report(name, costs, error.flatten());
    }
    Ok(())
}

/// Prints the round in the middle, by ratio.
fn report(name: &str, mut costs: Vec<(Cost, Option<Cost>)>, error: Option<f64>) {
    let ratio =
        |(ours, theirs): &(Cost, Option<Cost>)| theirs.map_or(ours.cpu, |t| ours.cpu / t.cpu);
    costs.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let Some((ours, theirs)) = costs.get(costs.len() / 2) else {
        println!("{name:40} needs --python");
        return;
    };
    print!("{name:40} {:8.3}", ours.cpu);
    match theirs {
        Some(t) => println!(
            " {:8.3} {:6.2} {:9.0} {:9.0}{}",
            t.cpu,
            ours.cpu / t.cpu,
            ours.memory,
            t.memory,
            error.map_or(String::new(), |e| format!("  relative error {e:.1e}"))
        ),
        None => println!(" {:8} {:6} {:9.0}", "", "", ours.memory),
    }
}
