//! `longtake model`: what a checkpoint is, before it is used.

use std::fmt::Write;
use std::path::PathBuf;

use clap::builder::PathBufValueParser;
use clap::{Arg, ArgMatches, Command};
use longtake::engine::wan::checkpoint::{CheckpointError, Inspection, inspect};
use longtake::engine::wan::{ModeMemory, modes};
use longtake::job::{JobError, Kind};
use serde_json::json;

use crate::exit;
use crate::show::Show;

/// The command with its options; `json` is that of all commands.
pub fn command(json: Arg) -> Command {
    Command::new("model")
        .about("Tells what a checkpoint of the Wan family is")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("inspect")
                .about("Tells what lies at a path, what is missing and the memory it will need")
                .long_about(
                    "Tells what lies at a path, what is missing, unexpected or of the wrong \
                     shape, and the memory that a run will need. Reads headers only. A path is a \
                     diffusers folder, or a .safetensors or .gguf file of a transformer; a file \
                     of the same name that ends in .json may hold its configuration.",
                )
                .after_long_help(exit::help())
                .arg(
                    Arg::new("path")
                        .value_name("PATH")
                        .required(true)
                        .value_parser(PathBufValueParser::new())
                        .help("A diffusers folder, or a .safetensors or .gguf file"),
                )
                .arg(json),
        )
}

/// Carries the command out.
pub fn run(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let path = match matches.subcommand() {
        Some(("inspect", m)) => m.get_one::<PathBuf>("path"),
        _ => None,
    };
    let path = path.ok_or_else(|| JobError::new(Kind::Usage, "name the checkpoint"))?;
    let found = inspect(path).map_err(|e| JobError::new(kind(&e), e.to_string()))?;
    let modes = modes(path).map_err(|e| JobError::new(kind(&e), e.to_string()))?;
    let told = json!({ "event": "model", "model": &found, "modes": &modes });
    show.result(&told, || text(&found, &modes));
    match found.transformers.iter().find(|t| !t.mismatch.is_empty()) {
        None => Ok(()),
        Some(part) => {
            let says = format!("the {} cannot be used: {}", part.name, part.mismatch);
            let missing =
                part.mismatch.unexpected.is_empty() && part.mismatch.wrong_shape.is_empty();
            let kind = if missing {
                Kind::Missing
            } else {
                Kind::Unreadable
            };
            Err(JobError::new(kind, says))
        }
    }
}

fn kind(error: &CheckpointError) -> Kind {
    match error {
        CheckpointError::MissingShard { .. } => Kind::Missing,
        _ => Kind::Unreadable,
    }
}

fn text(found: &Inspection, modes: &[ModeMemory]) -> String {
    let mut out = String::new();
    let billions = |n: u64| n as f64 / 1e9;
    // A string takes all that is written to it.
    let _ = writeln!(out, "{}: {}", found.path.display(), found.model);
    let _ = writeln!(out, "layout     {}", found.layout);
    for part in &found.transformers {
        let stored: Vec<String> = part.stored.keys().cloned().collect();
        let _ = writeln!(
            out,
            "{:<10} {:.3} billion values in {}; {}; {:.2} GB once loaded",
            part.name,
            billions(part.parameters),
            stored.join(", "),
            part.shape,
            billions(part.loaded_bytes)
        );
        for (title, names) in part.mismatch.groups() {
            for name in names {
                let _ = writeln!(out, "  {title}: {name}");
            }
        }
    }
    if let Some(scheduler) = &found.scheduler {
        let _ = writeln!(out, "scheduler  {scheduler}");
    }
    for (title, parts) in [("beside it", &found.others), ("not there", &found.absent)] {
        if !parts.is_empty() {
            let _ = writeln!(out, "{title}  {}", parts.join(", "));
        }
    }
    for m in &found.memory {
        let [width, height, frames] = m.size;
        let _ = writeln!(
            out,
            "memory     {width} x {height}, {frames} frames ({} tokens): {:.2} GB of weights and about {:.2} GB to work in; on a GPU about {:.2} GB in all, {:.2} at least",
            m.tokens,
            billions(m.weights),
            billions(m.working),
            billions(m.on_gpu),
            billions(m.least_on_gpu)
        );
    }
    for size in modes.chunk_by(|a, b| a.size == b.size) {
        let Some(ModeMemory {
            size: [width, height, frames],
            ..
        }) = size.first()
        else {
            continue;
        };
        let each = size
            .iter()
            .map(|m| format!("{} {:.1} GB", m.mode, billions(m.most)));
        let each: Vec<String> = each.collect();
        let _ = writeln!(
            out,
            "in all     {width} x {height}, {frames} frames at once: {}",
            each.join(", ")
        );
    }
    out.trim_end().to_owned()
}
