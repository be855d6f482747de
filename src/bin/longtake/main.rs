//! The command line of Longtake.

mod exit;
mod model;
mod options;
mod show;
mod wan;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use longtake::device::Cancel;
use longtake::job::{self, JobError, Kind};

use show::Show;

fn main() -> ExitCode {
    let json = std::env::args_os().any(|a| a == "--json");
    let show = Show::new(json);
    let outcome = run(&show);
    show.clear();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show.error(&error);
            ExitCode::from(exit::code(error.kind))
        }
    }
}

fn run(show: &Show) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let mut arguments = Vec::new();
    for argument in std::env::args_os() {
        arguments.push(argument.into_string().map_err(|a| {
            JobError::new(
                Kind::Usage,
                format!(
                    "the argument '{}' is not valid UTF-8: rename the file, or write the argument with plain letters",
                    a.to_string_lossy()
                ),
            )
        })?);
    }
    let asks_wan = wan::is_asked(&arguments);
    let command = match asks_wan {
        true => wan::command(),
        false => options::command(options),
    };
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        // Help and version come as errors that belong on standard output.
        Err(text) if !text.use_stderr() => {
            let _ = text.print();
            return Ok(());
        }
        Err(text) => {
            let text = text.to_string();
            let text = text.trim_start_matches("error: ").trim_end();
            return Err(JobError::new(Kind::Usage, text));
        }
    };
    match matches.subcommand() {
        Some(("generate", m)) if asks_wan => wan::run(show, m, &cancel_on_signal()?),
        Some(("generate", m)) => generate(show, m),
        Some(("plan", m)) => plan(show, m),
        Some(("block", m)) => block(show, m),
        Some(("report", m)) => report(show, m),
        Some(("store", m)) => store(m),
        Some(("model", m)) => model::run(show, m),
        Some(("schema", _)) => {
            let text = serde_json::to_string_pretty(&job::schema(options))
                .map_err(|e| JobError::new(Kind::Internal, e.to_string()))?;
            println!("{text}");
            Ok(())
        }
        _ => Err(JobError::new(
            Kind::Usage,
            "give a command: longtake --help",
        )),
    }
}

/// A flag that Ctrl-C and the polite signals raise. A second signal ends the
/// program at once.
fn cancel_on_signal() -> Result<Cancel, JobError> {
    let cancel = Cancel::default();
    let raised = cancel.clone();
    ctrlc::set_handler(move || {
        if raised.is_cancelled() {
            std::process::exit(i32::from(exit::code(Kind::Cancelled)));
        }
        raised.cancel();
    })
    .map_err(|e| JobError::new(Kind::Internal, format!("signals cannot be handled: {e}")))?;
    Ok(cancel)
}

fn generate(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let job = options::draft(options, matches)?.job()?;
    let cancel = cancel_on_signal()?;
    job::generate(&job, &cancel, show)
}

fn plan(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let job = options::draft(options, matches)?.job()?;
    let picture = matches.get_one::<PathBuf>("picture");
    let outlook = job::outlook(&job, picture.map(PathBuf::as_path))?;
    show.plan(&outlook);
    Ok(())
}

fn block(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let job = options::draft(options, matches)?.job()?;
    let id = matches
        .get_one::<String>("block")
        .ok_or_else(|| JobError::new(Kind::Usage, "name the block: longtake plan lists them"))?;
    let cancel = cancel_on_signal()?;
    job::make_block(&job, id, matches.get_flag("again"), &cancel, show)
}

fn report(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let draft = options::draft(options, matches)?;
    let sequence = matches
        .get_one::<PathBuf>("sequence")
        .ok_or_else(|| JobError::new(Kind::Usage, "name the sequence to measure"))?;
    let cancel = cancel_on_signal()?;
    let report = job::measure(sequence, draft, &cancel, show)?;
    show.report(&report);
    Ok(())
}

fn store(matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let store = options::draft(options, matches)?.store().ok_or_else(|| {
        JobError::new(
            Kind::Usage,
            "there is no home folder to keep a store in: name one, as in --store FOLDER",
        )
    })?;
    let (entries, bytes) = if matches.get_flag("clear") {
        store.clear()
    } else {
        store.usage()
    };
    println!(
        "{} {} {entries} entries, {:.1} MB; it may hold {:.1} GB",
        store.folder().display(),
        if matches.get_flag("clear") {
            "held"
        } else {
            "holds"
        },
        bytes as f64 / 1e6,
        store.bound() as f64 / 1e9,
    );
    Ok(())
}
