//! The command line of Longtake.

mod exit;
mod farm;
mod memory;
mod model;
mod options;
mod provenance;
mod show;
mod submit;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use longtake::device::Cancel;
use longtake::frame::FrameList;
use longtake::job::{self, JobError, Kind, Piece};
use serde_json::json;

use farm::Style;
use show::Show;

fn main() -> ExitCode {
    let arguments = arguments();
    let known = arguments.as_deref().unwrap_or_default();
    let json = known.iter().any(|a| a == "--json");
    let show = Show::new(json, Style::asked(known));
    let outcome = arguments.and_then(|a| run(&show, a));
    show.clear();
    match outcome {
        Ok(()) => {
            show.end(0, "");
            ExitCode::SUCCESS
        }
        Err(error) => {
            show.error(&error);
            ExitCode::from(exit::code(error.kind))
        }
    }
}

fn arguments() -> Result<Vec<String>, JobError> {
    let told = |argument: std::ffi::OsString| {
        argument.into_string().map_err(|a| {
            JobError::new(
                Kind::Usage,
                format!(
                    "the argument '{}' is not valid UTF-8: rename the file, or write the argument with plain letters",
                    a.to_string_lossy()
                ),
            )
        })
    };
    std::env::args_os().map(told).collect()
}

fn run(show: &Show, arguments: Vec<String>) -> Result<(), JobError> {
    farm::check_version(&arguments)?;
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let matches = match options::command(options).try_get_matches_from(arguments) {
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
        Some(("generate", m)) => generate(show, m),
        Some(("plan", m)) => plan(show, m),
        Some(("block", m)) => block(show, m),
        Some(("submit", m)) => submit::run(show, m),
        Some(("report", m)) => report(show, m),
        Some(("provenance", m)) => provenance::run(show, m, &cancel_on_signal()?),
        Some(("store", m)) => store(show, m),
        Some(("model", m)) => model::run(show, m),
        Some(("schema", _)) => {
            let text = serde_json::to_string_pretty(&job::schema(options))
                .map_err(|e| JobError::new(Kind::Internal, e.to_string()))?;
            show.say(&text);
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
    let picture = picture.map(PathBuf::as_path);
    let outlook = job::outlook(&job, picture, matches.get_flag("estimate"), show)?;
    show.plan(&outlook);
    Ok(())
}

fn block(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let job = options::draft(options, matches)?.job()?;
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let piece = match (text("block"), text("level")) {
        (Some(id), _) => Piece::Block(id),
        (None, Some(level)) => Piece::Level {
            level,
            nth: matches.get_one::<FrameList>("nth").cloned(),
        },
        (None, None) => {
            let ask = "name the block: longtake plan lists them";
            return Err(JobError::new(Kind::Usage, ask));
        }
    };
    let cancel = cancel_on_signal()?;
    job::make_piece(&job, &piece, matches.get_flag("again"), &cancel, show)
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

fn store(show: &Show, matches: &ArgMatches) -> Result<(), JobError> {
    let options = job::options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let store = options::draft(options, matches)?.store().ok_or_else(|| {
        JobError::new(
            Kind::Usage,
            "there is no home folder to keep a store in: name one, as in --store FOLDER",
        )
    })?;
    let cleared = matches.get_flag("clear");
    let (entries, bytes) = if cleared {
        store.clear()
    } else {
        store.usage()
    };
    let (folder, most) = (store.folder(), store.bound());
    show.result(
        &json!({
            "event": "store",
            "folder": folder,
            "entries": entries,
            "bytes": bytes,
            "most": most,
            "cleared": cleared,
        }),
        || {
            format!(
                "{} {} {entries} entries, {:.1} MB; it may hold {:.1} GB",
                folder.display(),
                if cleared { "held" } else { "holds" },
                bytes as f64 / 1e6,
                most as f64 / 1e9,
            )
        },
    );
    Ok(())
}
