//! What a farm says on the command line and reads on standard output.

use clap::{Arg, Command};
use longtake::job::{self, JobError};

/// How progress is told to whoever runs the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Open Job Description: `openjd_progress: 42.0`, `openjd_status: …`,
    /// `openjd_fail: …`.
    OpenJd,
    /// Tractor: `ALF_PROGRESS 42%`, and at the end `TR_EXIT_STATUS 0`.
    Alf,
    /// `Progress: 42%`, which Deadline reads.
    Plain,
}

impl Style {
    const NAMES: [(&'static str, Self); 3] = [
        ("openjd", Self::OpenJd),
        ("alf", Self::Alf),
        ("plain", Self::Plain),
    ];

    /// The style that `arguments` ask for. Asked before they are parsed, so that
    /// what is wrong with them is told in that style too.
    pub fn asked(arguments: &[String]) -> Option<Self> {
        let name = value(arguments, "--progress-style")?;
        Self::NAMES.iter().find(|n| n.0 == name).map(|n| n.1)
    }

    /// How far a stage is, `fraction` in 0 to 1.
    pub fn progress(self, fraction: f64) -> String {
        match self {
            Self::OpenJd => format!("openjd_progress: {:.1}", fraction * 100.0),
            Self::Alf => format!("ALF_PROGRESS {:.0}%", fraction * 100.0),
            Self::Plain => format!("Progress: {:.0}%", fraction * 100.0),
        }
    }

    /// What is being done now.
    pub fn status(self, stage: &str) -> Option<String> {
        match self {
            Self::OpenJd => Some(format!("openjd_status: {stage}")),
            Self::Alf | Self::Plain => None,
        }
    }

    /// What is said at the end: the exit code and, where it is not 0, why.
    pub fn end(self, code: u8, message: &str) -> Option<String> {
        match (self, code) {
            (Self::Alf, _) => Some(format!("TR_EXIT_STATUS {code}")),
            (Self::OpenJd, 1..) => {
                // One line is read.
                let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
                Some(format!("openjd_fail: {message}"))
            }
            _ => None,
        }
    }
}

/// `command` with the options by which a farm runs it.
pub fn options(command: Command) -> Command {
    command
        .arg(
            Arg::new("progress-style")
                .long("progress-style")
                .value_name("STYLE")
                .value_parser(Style::NAMES.map(|n| n.0))
                .conflicts_with("json")
                .help_heading("Farm")
                .help("Tell progress in lines that a queue reads: openjd, alf (Tractor), plain (Deadline)"),
        )
        .arg(
            Arg::new("plan-version")
                .long("plan-version")
                .value_name("VERSION")
                .help_heading("Farm")
                .help("Refuse to work, with exit code 13, where this Longtake is another than the plan's"),
        )
}

/// Checks the version that `arguments` ask for, before they are parsed: another
/// version may have other options.
///
/// # Errors
/// Where this Longtake is another.
pub fn check_version(arguments: &[String]) -> Result<(), JobError> {
    value(arguments, "--plan-version").map_or(Ok(()), job::check_version)
}

/// The value of option `name`, as `--name value` or `--name=value`.
fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == name {
            return rest.next().map(String::as_str);
        }
        if let Some(value) = argument
            .strip_prefix(name)
            .and_then(|a| a.strip_prefix('='))
        {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_queues_read_them() {
        let (openjd, alf, plain) = (Style::OpenJd, Style::Alf, Style::Plain);
        assert_eq!(openjd.progress(0.421), "openjd_progress: 42.1");
        assert_eq!(alf.progress(0.421), "ALF_PROGRESS 42%");
        assert_eq!(plain.progress(1.0), "Progress: 100%");
        assert_eq!(openjd.end(0, ""), None);
        assert_eq!(alf.end(0, "").unwrap(), "TR_EXIT_STATUS 0");
        let told = openjd.end(3, "not\n  there").unwrap();
        assert_eq!(told, "openjd_fail: not there");
    }

    #[test]
    fn options_are_found_before_they_are_parsed() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let asked = |line| Style::asked(&words(line));
        assert_eq!(asked("block --progress-style alf"), Some(Style::Alf));
        assert_eq!(asked("block --progress-style=plain x"), Some(Style::Plain));
        assert_eq!(asked("block --progress-style none"), None);
        assert_eq!(asked("block --progress-style"), None);
        assert!(check_version(&words("block --plan-version=0")).is_err());
    }
}
