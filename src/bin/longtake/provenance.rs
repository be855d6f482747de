//! `longtake provenance`: what a written frame tells of where it comes from, and
//! the frame made again.

use std::path::PathBuf;

use clap::builder::PathBufValueParser;
use clap::{Arg, ArgMatches, Command};
use longtake::device::Cancel;
use longtake::job::{self, JobError, Kind, Likeness, Moved, Provenance};
use serde_json::json;

use crate::exit;
use crate::show::Show;

/// The command; `json` is that of all commands.
pub fn command(json: Arg) -> Command {
    let file = |name: &'static str, value: &'static str, help: &'static str| {
        let arg = Arg::new(name).value_name(value).help(help);
        arg.value_parser(PathBufValueParser::new())
    };
    Command::new("provenance")
        .about("Tells where a frame comes from, and makes it again")
        .long_about(
            "Tells where a frame that Longtake wrote comes from: whether it was made or is the \
             plate's own, by which engine and version, from which plate and parameters. With \
             --remake it makes the frame again from that and holds the two against each other: \
             it succeeds where they are the same, bit for bit.",
        )
        .after_long_help(exit::help())
        .arg(file("frame", "FRAME", "An EXR or PNG frame").required(true))
        .arg(file("remake", "OUT", "Make the frame again as this file").long("remake"))
        .arg(
            file("plate", "FILE", "Where the plate lies now, if it has moved")
                .long("plate")
                .requires("remake"),
        )
        .arg(
            file("matte", "FILE", "Where the matte lies now, if it has moved")
                .long("matte")
                .requires("remake"),
        )
        .arg(
            file("guide", "FILE", "Where the guide lies now, if it has moved")
                .long("guide")
                .requires("remake"),
        )
        .arg(
            file("model", "FILE", "Where the model lies now, if it has moved")
                .long("model")
                .requires("remake"),
        )
        .arg(json)
}

/// Carries the command out.
pub fn run(show: &Show, matches: &ArgMatches, cancel: &Cancel) -> Result<(), JobError> {
    let path = |name: &str| matches.get_one::<PathBuf>(name);
    let frame = path("frame").ok_or_else(|| JobError::new(Kind::Usage, "name the frame"))?;
    let told = job::provenance(frame)?;
    show.result(
        &json!({ "event": "provenance", "provenance": &told }),
        || text(&told),
    );
    let Some(out) = path("remake") else {
        return Ok(());
    };
    let moved = Moved {
        plate: path("plate").cloned(),
        matte: path("matte").cloned(),
        guide: path("guide").cloned(),
        model: path("model").cloned(),
    };
    let likeness = job::remake(frame, out, &moved, cancel, show)?;
    show.clear();
    show.result(
        &json!({ "event": "remade", "file": out, "same": likeness }),
        || {
            let out = out.display();
            match likeness {
                Likeness::Bytes => format!("{out} is the same file, byte for byte"),
                Likeness::Pixels => format!("{out} has the same pixels, bit for bit"),
            }
        },
    );
    Ok(())
}

fn text(told: &Provenance) -> String {
    let what = match told.kept_from {
        Some(frame) => format!("plate frame {frame}, untouched"),
        None => "generated".to_owned(),
    };
    let mut lines = vec![
        ("frame", format!("{}: {what}", told.frame)),
        (
            "made by",
            format!("{}, longtake {}", told.engine, told.longtake),
        ),
        (
            "weights",
            told.weights.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("seed", told.seed.to_string()),
    ];
    for (name, hash) in [
        ("plate", &told.plate_hash),
        ("matte", &told.matte_hash),
        ("guide", &told.guide_hash),
    ] {
        lines.extend(hash.clone().map(|h| (name, h)));
    }
    let blocks = told.block_frames.map(|n| format!("{n} frames each"));
    lines.extend(blocks.map(|b| ("blocks", b)));
    lines.push(("parameters", told.parameters_hash.clone()));
    let mut out: Vec<String> = lines.iter().map(|(a, b)| format!("{a:<11}{b}")).collect();
    let widest = told.parameters.keys().map(String::len).max().unwrap_or(0);
    out.extend(
        told.parameters
            .iter()
            .map(|(name, value)| format!("  {name:<widest$} {value}")),
    );
    out.join("\n")
}
