//! The command line, made from the manifest: an option for each parameter, its
//! hint as help, its group as heading.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PathBufValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use longtake::frame::FrameList;
use longtake::job::{self, Draft, JobError, kebab};
use longtake::manifest::{Manifest, Param, ParamKind, ValueError};

use crate::{exit, farm, model, provenance, submit};

const ABOUT: &str = "Turns a plate into a longer, looping, different or whole shot.";

const EXAMPLES: &str = "\
Examples:
  Six seconds more of a plate of 90 frames at 24 frames a second:
    longtake generate --plate plate.####.exr --frames 1001-1234 --out out.####.exr
  A loop of a movie, judged at a quarter of its size first:
    longtake generate --plate water.mp4 --mode loop --frames 1-120 --scale 1/4 \\
      --out look.####.png --preview look.mp4
  Without what the matte covers:
    longtake generate --plate plate.####.exr --matte matte.####.exr --mode fill --out clean.####.exr
  A job file with another seed, read by a script:
    longtake generate --job shot.json --seed 7 --json
  One machine's part of a take:
    longtake generate --job shot.json --only 1101-1150
  New frames from words, with a Wan model of yours:
    longtake generate --engine wan --model Wan2.1-T2V-1.3B-Diffusers --prompt \"steam\" \\
      --size 832x480 --frames 1001-1081 --out f.####.exr
  The plate's first frame begins to move:
    longtake generate --engine wan --model Wan2.2-TI2V-5B-Diffusers --mode animate \\
      --plate plate.####.exr --prompt \"the flag flies\" --frames 1001-1081 --out f.####.exr
  What there is to be made, in pieces for a farm:
    longtake plan --job shot.json --json --picture plan.png

";

/// The whole command line.
pub fn command(options: &Manifest) -> Command {
    let [major, minor] = options.plugin.version;
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print a JSON object a line: progress, warnings, frames, result");
    Command::new("longtake")
        .version(format!(
            "{} (node {major}.{minor})",
            env!("CARGO_PKG_VERSION")
        ))
        .about(ABOUT)
        .long_about(format!("{ABOUT}\n\n{}", options.plugin.description))
        .after_help("'longtake generate --help' tells all.")
        .after_long_help(format!("{EXAMPLES}{}", exit::help()))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(generate(options).arg(json.clone()))
        .subcommand(plan(options).arg(json.clone()))
        .subcommand(block(options).arg(json.clone()))
        .subcommand(submit::command(with_job, options).arg(json.clone()))
        .subcommand(report(options).arg(json.clone()))
        .subcommand(provenance::command(json.clone()))
        .subcommand(store(options).arg(json.clone()))
        .subcommand(model::command(json))
        .subcommand(Command::new("schema").about("Prints the JSON schema of job files"))
}

fn generate(options: &Manifest) -> Command {
    let command = Command::new("generate")
        .about("Makes a take of a plate, from files to files")
        .long_about(
            "Makes a take of a plate, from files to files. What was made already is not made \
             again: run the same command after a stop and it continues. The same options give \
             the same pixels on any machine and any number of threads.",
        )
        .after_help("Examples and exit codes: longtake generate --help")
        .after_long_help(format!("{EXAMPLES}{}", exit::help()));
    with_job(farm::options(command), options)
}

fn plan(options: &Manifest) -> Command {
    let command = Command::new("plan")
        .about("Tells what a take comes to, in which pieces, before any is made")
        .long_about(
            "Tells what a take comes to, in which pieces, before any is made: the levels, the \
             blocks of each with what they need, and the room on the disk. Blocks of a level do \
             not need each other, so that a farm can make them side by side, each with 'longtake \
             block'. The same options and the same files give the same plan on every machine.",
        )
        .after_long_help(exit::help())
        .arg(
            Arg::new("estimate")
                .long("estimate")
                .action(ArgAction::SetTrue)
                .help("Also how long it takes on this machine and the memory it needs")
                .long_help(
                    "Also how long it takes on this machine and the memory it needs, from a \
                     measurement of some seconds that is kept in the store.",
                ),
        )
        .arg(
            Arg::new("picture")
                .long("picture")
                .value_name("FILE")
                .value_parser(PathBufValueParser::new())
                .help("A PNG of the plan: time runs right, blocks are bars")
                .long_help(
                    "A PNG of the plan: time runs right, blocks are bars. Once the edit list is \
                     in the store it also shows which clip of the plate each region plays.",
                ),
        );
    with_job(command, options)
}

fn block(options: &Manifest) -> Command {
    let command = Command::new("block")
        .about("Makes one block of a plan alone")
        .long_about(
            "Makes one block of a plan alone, on any machine that sees the same files and the \
             same store, from the options that the plan was laid with. What the block needs and \
             the store does not have is made first.",
        )
        .after_long_help(exit::help())
        .arg(
            Arg::new("block")
                .value_name("BLOCK")
                .required_unless_present("level")
                .help("The name of the block, as 'longtake plan' tells it"),
        )
        .arg(
            Arg::new("level")
                .long("level")
                .value_name("LEVEL")
                .conflicts_with("block")
                .help("In place of a block, those of this level: analysis, edit-list, frames")
                .long_help(
                    "In place of a block, those of this level: analysis, edit-list, frames. Of \
                     frames, '--only 1001-1050' makes a part. So a farm can hand out work without \
                     knowing the blocks' names, which change with every parameter.",
                ),
        )
        .arg(
            Arg::new("nth")
                .long("nth")
                .value_name("FIRST-LAST")
                .requires("level")
                .value_parser(|text: &str| text.parse::<FrameList>())
                .help("Which blocks of the level, counted from 1"),
        )
        .arg(
            Arg::new("again")
                .long("again")
                .action(ArgAction::SetTrue)
                .help("Make it again even where it is there"),
        );
    with_job(farm::options(command), options)
}

/// `command` with the options of a job.
fn with_job(command: Command, options: &Manifest) -> Command {
    let mut command = command.arg(
        Arg::new("job")
            .long("job")
            .value_name("FILE")
            .value_parser(PathBufValueParser::new())
            .help("A job file (JSON); options given beside it override it")
            .long_help(
                "A job file: a JSON object with the parameters by name ('longtake schema' \
                     lists them). Relative paths in it are meant from its own folder. Options \
                     given beside it override it.",
            ),
    );
    for group in &options.groups {
        for param in options.params.iter().filter(|p| p.group == group.name) {
            command = command.arg(option(options, param).help_heading(group.label.clone()));
        }
    }
    command
}

fn report(options: &Manifest) -> Command {
    let mut command = Command::new("report")
        .about("Measures any sequence against its plate")
        .long_about(
            "Measures any sequence against its plate: flicker, sharpness, steps, drift, \
             grain, ghosts. The sequence need not be made by Longtake; of EXR and PNG frames \
             that are, joins, seams and repetition are measured too, and --plate, --matte and so \
             on are needed only where these files have moved.",
        )
        .after_long_help(exit::help())
        .arg(
            Arg::new("sequence")
                .value_name("SEQUENCE")
                .required(true)
                .value_parser(PathBufValueParser::new())
                .help("The sequence to measure: out.####.exr, or a movie"),
        );
    let plate = ["plate", "plateRange", "encoding", "fps"];
    let colour = ["inputColorspace", "outputColorspace", "ocioConfig"];
    for name in plate.into_iter().chain(colour) {
        if let Some(param) = options.param(name) {
            command = command.arg(option(options, param));
        }
    }
    for name in ["contactSheet", "preview", "report", "page", "threads"] {
        if let Some(param) = options.param(name) {
            command = command.arg(option(options, param));
        }
    }
    for param in job::moved(options) {
        let place = option(options, param).help_heading("Where the take's files lie now");
        command = command.arg(place);
    }
    command
}

fn store(options: &Manifest) -> Command {
    let mut command = Command::new("store")
        .about("Tells what the store holds, or clears it")
        .arg(
            Arg::new("clear")
                .long("clear")
                .action(ArgAction::SetTrue)
                .help("Remove all that the store holds; nothing is lost that cannot be made again"),
        );
    for name in ["store", "storeSize"] {
        if let Some(param) = options.param(name) {
            command = command.arg(option(options, param));
        }
    }
    command
}

/// Takes any text, but no other option: its own text was forgotten then.
fn any_text(options: &Manifest) -> ValueParser {
    let names: Vec<String> = options.params.iter().map(|p| kebab(&p.name)).collect();
    ValueParser::from(move |text: &str| {
        let option = text.strip_prefix("--").map(|t| t.split('=').next());
        match option.flatten() {
            Some(name) if name == "json" || names.iter().any(|n| n == name) => Err(format!(
                "--{name} is an option, and no text stands before it"
            )),
            _ => Ok(text.to_owned()),
        }
    })
}

/// The option for `param`, one of `options`.
fn option(options: &Manifest, param: &Param) -> Arg {
    let parser: ValueParser = match param.kind {
        ParamKind::File | ParamKind::Folder => NonEmptyStringValueParser::new().into(),
        ParamKind::String => any_text(options),
        _ => ValueParser::string(),
    };
    let (first, rest) = param.hint.split_once(". ").unwrap_or((&param.hint, ""));
    let takes = takes(param);
    let short = format!("{}{takes}", first.trim_end_matches('.'));
    let long = if rest.is_empty() {
        short.clone()
    } else {
        format!("{}{takes}", param.hint.trim_end_matches('.'))
    };
    Arg::new(param.name.clone())
        .long(kebab(&param.name))
        .value_name(value_name(param))
        .value_parser(parser)
        // Frames and numbers may be below zero, and texts begin as they like.
        .allow_hyphen_values(matches!(
            param.kind,
            ParamKind::Range | ParamKind::Int | ParamKind::Double | ParamKind::String
        ))
        .help(short)
        .long_help(long)
}

fn value_name(param: &Param) -> String {
    match param.kind {
        ParamKind::Int => "N".to_owned(),
        ParamKind::Double => "X".to_owned(),
        ParamKind::Bool => "on|off".to_owned(),
        ParamKind::Range => "FIRST-LAST".to_owned(),
        ParamKind::Folder => "FOLDER".to_owned(),
        ParamKind::File => "FILE".to_owned(),
        ParamKind::Choice => param.options.join("|"),
        _ => "TEXT".to_owned(),
    }
}

/// Range and default, in brackets.
fn takes(param: &Param) -> String {
    let mut text = String::new();
    if let (Some(min), Some(max), true) = (
        param.min,
        param.max,
        matches!(param.kind, ParamKind::Int | ParamKind::Double),
    ) {
        text.push_str(&format!(" [{min} to {max}]"));
    }
    if !param.modes.is_empty() {
        text.push_str(&format!(" [modes: {}]", param.modes.join(", ")));
    }
    match &param.default {
        Some(v) if !matches!(param.kind, ParamKind::Range) && !v.to_string().is_empty() => {
            text.push_str(&format!(" [default: {v}]"));
        }
        _ => {}
    }
    text
}

/// The values that `matches` says, over those of its job file if it names one.
pub fn draft(options: &Manifest, matches: &ArgMatches) -> Result<Draft, JobError> {
    let mut draft = Draft::new()?;
    let file = ["job", "jobfile"]
        .into_iter()
        .find_map(|name| matches.try_get_one::<PathBuf>(name).ok().flatten());
    if let Some(path) = file {
        for (name, value) in job::read(path, options)? {
            draft
                .set(&name, value)
                .map_err(|source| job::FileError::Value {
                    path: path.clone(),
                    source,
                })?;
        }
    }
    for param in &options.params {
        if let Ok(Some(text)) = matches.try_get_one::<String>(&param.name) {
            let set = job::value(param, text).and_then(|v| draft.set(&param.name, v));
            set.map_err(|e| ValueError {
                name: format!("--{}", kebab(&e.name)),
                ..e
            })?;
        }
    }
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_tells_every_option() {
        let options = job::options().unwrap();
        let mut command = command(options);
        command.clone().debug_assert();
        let help = command
            .find_subcommand_mut("generate")
            .unwrap()
            .render_long_help()
            .to_string();
        for param in &options.params {
            assert!(help.contains(&format!("--{} <", kebab(&param.name))));
        }
        for group in &options.groups {
            assert!(
                help.contains(&format!("{}:", group.label)),
                "{}",
                group.label
            );
        }
        for (code, name, _) in exit::CODES {
            assert!(help.contains(&format!("{code:>2}  {name}")));
        }
    }
}
