//! `longtake submit`: a job written for a render farm's queue.

use std::path::PathBuf;

use clap::builder::PathBufValueParser;
use clap::{Arg, ArgMatches, Command};
use longtake::job::farm::{self, Queue};
use longtake::job::{self, Event, JobError, Kind, Watch as _};
use longtake::manifest::Manifest;
use serde_json::json;

use crate::show::Show;
use crate::{exit, options};

/// The command; `with_job` gives it the options of a job.
pub fn command(with_job: fn(Command, &Manifest) -> Command, manifest: &Manifest) -> Command {
    let command = Command::new("submit")
        .about("Writes a job for a render farm's queue")
        .long_about(
            "Writes a job for a render farm's queue: a step for each level of the plan, a task \
             for each block, from the options that 'generate' takes. Nothing is made and nothing \
             is sent. All machines need the same Longtake and must see plate, output and store \
             under the same paths. Where no store is named it is the folder 'longtake-store' \
             beside the frames.",
        )
        .after_long_help(exit::help())
        .arg(
            Arg::new("jobfile")
                .value_name("JOB.json")
                .value_parser(PathBufValueParser::new())
                .conflicts_with("job")
                .help("A job file, as after --job"),
        )
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("QUEUE")
                .required(true)
                .value_parser(Queue::NAMES.map(|n| n.0))
                .help("The queue: openjd (a job bundle), opencue, deadline (10), tractor, commands (a list for any other)"),
        )
        .arg(
            Arg::new("out-dir")
                .long("out-dir")
                .value_name("FOLDER")
                .required(true)
                .value_parser(PathBufValueParser::new())
                .help("Where the job's files are written"),
        )
        .arg(
            Arg::new("program")
                .long("program")
                .value_name("PATH")
                .default_value("longtake")
                .help("How the farm's machines call Longtake"),
        );
    with_job(command, manifest)
}

/// Carries the command out.
pub fn run(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let manifest = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let draft = options::draft(manifest, matches)?;
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let queue = text("to").and_then(Queue::named);
    let folder = matches.get_one::<PathBuf>("out-dir");
    let (Some(queue), Some(folder)) = (queue, folder) else {
        return Err(JobError::new(
            Kind::Usage,
            "name the queue and a folder: --to openjd --out-dir FOLDER",
        ));
    };
    let program = text("program").unwrap_or("longtake");
    let made = farm::submit(draft, queue, folder, program)?;
    for message in &made.notes {
        show.event(&Event::Warning { message });
    }
    let event = json!({
        "event": "submission",
        "to": text("to"),
        "files": made.files,
        "store": made.store,
        "next": made.next,
    });
    show.result(&event, || {
        let files = made.files.iter().map(|f| format!("{}\n", f.display()));
        let files: String = files.collect();
        format!(
            "{files}store: {}\nnext: {}",
            made.store.display(),
            made.next
        )
    });
    Ok(())
}
