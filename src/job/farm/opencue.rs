//! OpenCue: a script for its outline library (`opencue-pyoutline`), which makes the
//! job's specification and, where a server is configured, launches it.

use std::fmt::Write;

use super::shell;
use super::steps::{Farm, Step, Tasks};
use crate::job::error::{JobError, Kind};

/// The script; words between @ stand for what is the job's.
const SCRIPT: &str = r#"#!/usr/bin/env python
"""Launches this job on OpenCue:

    python job.py [--xml] [--show SHOW] [--shot SHOT] [--pause]

Needs opencue-pycue and opencue-pyoutline, and a configured Cuebot; with --xml it prints
the job's specification and needs no server."""

import argparse
import os

import opencue.config
import outline
import outline.cuerun
from outline.modules.shell import Shell

TITLE = @TITLE@
# Name, command, range, frames in a task, the layers that have to be done before.
LAYERS = [
@LAYERS@]
MEMORY = @MEMORY@
CORES = @CORES@
GPUS = @GPUS@
GPU_MEMORY = @GPU_MEMORY@


def make(show=None, shot=None):
    """The outline of the job."""
    job = outline.Outline(name=TITLE, show=show, shot=shot)
    layers = {}
    for name, command, frames, chunk, after in LAYERS:
        layer = Shell(name, command=command, range=frames, chunk=chunk, memory=MEMORY,
                      cores=CORES, threadable=True, gpus=GPUS, gpu_memory=GPU_MEMORY)
        job.add_layer(layer)
        for earlier in after:
            layer.depend_all(layers[earlier])
        layers[name] = layer
    return job


def is_configured():
    """Whether somebody said, in one of OpenCue's own ways, where the Cuebot is."""
    said = ("CUEBOT_HOSTS", "OPENCUE_CONFIG_FILE", "OPENCUE_CONF")
    own = os.path.join(opencue.config.config_base_directory(), "opencue.yaml")
    return any(os.environ.get(name) for name in said) or os.path.exists(own)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xml", action="store_true", help="print the specification only")
    parser.add_argument("--show")
    parser.add_argument("--shot")
    parser.add_argument("--pause", action="store_true")
    said = parser.parse_args()
    launcher = outline.cuerun.OutlineLauncher(make(said.show, said.shot), pause=said.pause)
    if said.xml:
        print(launcher.serialize(use_pycuerun=False))
    elif not is_configured():
        raise SystemExit("no Cuebot is configured: set CUEBOT_HOSTS or OPENCUE_CONFIG_FILE, "
                         "or print the specification with --xml")
    else:
        for job in launcher.launch(use_pycuerun=False):
            print(job.data.name)


if __name__ == "__main__":
    main()
"#;

/// `job.py`.
///
/// # Errors
/// Where a value cannot be written down.
pub fn files(farm: &Farm) -> Result<Vec<(String, String)>, JobError> {
    let mut layers = String::new();
    for step in &farm.steps {
        let (frames, chunk, piece) = tasks(step);
        let mut words = vec![farm.program.clone()];
        words.extend(farm.command(step, piece, |s| s.value.to_string()));
        let after: Vec<&str> = step
            .after
            .iter()
            .map(|&k| farm.steps[k].name.as_str())
            .collect();
        // A string takes all that is written to it.
        let _ = writeln!(
            layers,
            "    ({}, {}, {}, {chunk}, {}),",
            python(&step.name)?,
            python(&shell(&words))?,
            python(&frames)?,
            python(&after)?
        );
    }
    // Where it is not known the service's own counts.
    let mega = |bytes: Option<u64>| match bytes {
        Some(bytes) => python(&format!("{}m", bytes.div_ceil(1 << 20))),
        None => Ok("None".to_owned()),
    };
    let title: String = farm
        .title
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let script = SCRIPT
        .replace("@TITLE@", &python(&title)?)
        .replace("@LAYERS@", &layers)
        .replace("@MEMORY@", &mega(farm.needs.memory)?)
        .replace("@GPU_MEMORY@", &mega(farm.needs.gpu_memory_least)?)
        .replace("@CORES@", &farm.needs.cpus.to_string())
        .replace("@GPUS@", &farm.needs.gpus.to_string());
    Ok(vec![("job.py".to_owned(), script)])
}

/// A value as Python writes it: text and lists are as in JSON.
fn python(value: &(impl serde::Serialize + ?Sized)) -> Result<String, JobError> {
    serde_json::to_string(value).map_err(|e| JobError::new(Kind::Internal, e.to_string()))
}

/// Frames, frames in a task, and the token by which a task is told its own.
fn tasks(step: &Step) -> (String, usize, Option<&'static str>) {
    match &step.tasks {
        Tasks::Frames { all, count, .. } => match all.as_range() {
            Some(range) => (range.to_string(), *count, Some("#FRAME_START#-#FRAME_END#")),
            // Between the ends of a chunk may be frames that are not wanted.
            None => (all.to_string(), 1, Some("#IFRAME#")),
        },
        Tasks::Blocks(count) if *count > 1 => (format!("1-{count}"), 1, Some("#IFRAME#")),
        Tasks::Blocks(_) | Tasks::Looks => ("1-1".to_owned(), 1, None),
    }
}
