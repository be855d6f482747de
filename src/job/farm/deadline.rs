//! Thinkbox Deadline 10: for each step a job info and a plug-in info file for its
//! CommandLine plug-in, and a script that submits them, each after those it needs.
//! (AWS Deadline Cloud takes the job bundle of Open Job Description instead.)

use std::fmt::Write;

use super::steps::{Farm, Step, Tasks};
use crate::job::error::{JobError, Kind};

/// Submits the steps; @STEPS@ stands for their list.
const SUBMIT: &str = r#"#!/usr/bin/env python3
"""Submits this folder's jobs to Deadline 10 with deadlinecommand, each after those that
it needs. Another path of it: in the variable DEADLINECOMMAND."""

import os
import pathlib
import re
import subprocess
import tempfile

STEPS = @STEPS@


def main():
    folder = pathlib.Path(__file__).resolve().parent
    command = os.environ.get("DEADLINECOMMAND", "deadlinecommand")
    ids = []
    for name, after in STEPS:
        text = (folder / (name + ".job")).read_text(encoding="utf-8")
        if after:
            text += "JobDependencies=" + ",".join(ids[k] for k in after) + "\n"
        with tempfile.TemporaryDirectory() as scratch:
            info = pathlib.Path(scratch) / (name + ".job")
            info.write_text(text, encoding="utf-8")
            done = subprocess.run(
                [command, str(info), str(folder / (name + ".plugin"))],
                stdout=subprocess.PIPE, universal_newlines=True, check=True)
        found = re.search(r"JobID=(\S+)", done.stdout)
        if not found:
            raise SystemExit("deadlinecommand gave no JobID for " + name + ":\n" + done.stdout)
        ids.append(found.group(1))
        print(name, ids[-1])


if __name__ == "__main__":
    main()
"#;

/// `1-analysis.job`, `1-analysis.plugin` and so on, and `submit.py`.
///
/// # Errors
/// Where a value cannot be told to the plug-in.
pub fn files(farm: &Farm) -> Result<Vec<(String, String)>, JobError> {
    let mut files = Vec::new();
    let mut names = Vec::new();
    for (n, step) in (1..).zip(&farm.steps) {
        let name = format!("{n}-{}", step.name);
        let (frames, chunk, piece) = tasks(step);
        let mut info = String::new();
        // A string takes all that is written to it.
        let _ = write!(
            info,
            "Plugin=CommandLine\nName={} {}\nBatchName={}\nFrames={frames}\nChunkSize={chunk}\n",
            farm.title, step.name, farm.title
        );
        let mut words = farm.command(step, piece, |s| s.value.to_string());
        words.extend(["--progress-style", "plain"].map(str::to_owned));
        let words = words
            .iter()
            .map(|w| quoted(w))
            .collect::<Result<Vec<_>, _>>()?;
        let plugin = format!(
            "Executable={}\nArguments={}\nSingleFramesOnly=False\nShellExecute=False\n",
            farm.program,
            words.join(" ")
        );
        files.push((format!("{name}.job"), info));
        files.push((format!("{name}.plugin"), plugin));
        names.push((name, &step.after));
    }
    let steps: Vec<String> = names
        .iter()
        .map(|(name, after)| format!("    ({name:?}, {after:?}),\n"))
        .collect();
    let list = format!("[\n{}]", steps.concat());
    files.push(("submit.py".to_owned(), SUBMIT.replace("@STEPS@", &list)));
    Ok(files)
}

/// Frames, frames in a task, and how a task is told its own.
fn tasks(step: &Step) -> (String, usize, Option<&'static str>) {
    match &step.tasks {
        Tasks::Frames { all, count, .. } => match all.as_range() {
            Some(range) => (range.to_string(), *count, Some("<STARTFRAME>-<ENDFRAME>")),
            // Between the ends of a chunk may be frames that are not wanted.
            None => (all.to_string(), 1, Some("<STARTFRAME>")),
        },
        Tasks::Blocks(count) if *count > 1 => (format!("1-{count}"), 1, Some("<STARTFRAME>")),
        Tasks::Blocks(_) | Tasks::Looks => ("1".to_owned(), 1, None),
    }
}

/// A word of the plug-in's line of arguments.
fn quoted(word: &str) -> Result<String, JobError> {
    if word.contains(['"', '\n']) {
        return Err(JobError::new(
            Kind::Usage,
            format!("Deadline cannot be told '{word}': choose a name without quotes"),
        ));
    }
    let plain = !word.is_empty() && !word.contains(char::is_whitespace);
    Ok(if plain {
        word.to_owned()
    } else {
        format!("<QUOTE>{word}<QUOTE>")
    })
}
