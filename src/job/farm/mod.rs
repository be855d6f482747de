//! A job handed to a render farm: what its plan comes to in steps and tasks, and
//! that written as each queue reads it.
//!
//! A step is a level of the plan, a task a block of it. Tasks are told by level and
//! frames, not by the blocks' names, so that a submission's parameters can still be
//! changed where a queue shows them.

mod commands;
mod deadline;
mod opencue;
mod openjd;
mod settings;
mod steps;
mod tractor;

use std::path::{Path, PathBuf};

use super::error::{JobError, Kind};
use super::output;
use super::paths;
use super::shot::Shot;
use super::spec::Draft;
use crate::manifest::Value;

pub use steps::{Farm, Step, Tasks};

/// The queues that jobs are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Open Job Description: a job bundle.
    OpenJd,
    /// OpenCue: a script that makes the job's outline and launches it.
    OpenCue,
    /// Deadline 10: files for `deadlinecommand`, and a script that submits them.
    Deadline,
    /// Tractor: a job script.
    Tractor,
    /// Any other: a shell script of commands for each level.
    Commands,
}

impl Queue {
    /// All, as the command line names them.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("openjd", Self::OpenJd),
        ("opencue", Self::OpenCue),
        ("deadline", Self::Deadline),
        ("tractor", Self::Tractor),
        ("commands", Self::Commands),
    ];

    /// The queue called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|n| n.0 == name).map(|n| n.1)
    }

    /// What to do with the files that were written into `folder`.
    fn next(self, folder: &Path) -> String {
        let folder = folder.display();
        match self {
            Self::OpenJd => format!(
                "openjd check {folder}/template.yaml; deadline bundle submit {folder}; or any queue that takes Open Job Description"
            ),
            Self::OpenCue => format!("python {folder}/job.py launches it; --xml only prints it"),
            Self::Deadline => {
                format!("python {folder}/submit.py, where deadlinecommand is installed")
            }
            Self::Tractor => format!("tractor-spool {folder}/job.alf"),
            Self::Commands => {
                format!("run the lines of {folder}/1-*.sh, then those of 2, and so on")
            }
        }
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The files, in the order in which a reader wants them.
    pub files: Vec<PathBuf>,
    /// Where the store of all machines lies.
    pub store: PathBuf,
    /// What to do with them.
    pub next: String,
    /// What was asked for and is not in them, a sentence each.
    pub notes: Vec<String>,
}

/// Writes the job of `draft` into `folder` for `queue`. Reads headers, makes
/// nothing. `program` is how the machines call Longtake.
///
/// Where nobody names a store, the job has one beside its frames, which all
/// machines see.
///
/// # Errors
/// Where the job cannot be planned or the files cannot be written.
pub fn submit(
    mut draft: Draft,
    queue: Queue,
    folder: &Path,
    program: &str,
) -> Result<Submission, JobError> {
    let store = shared_store(&draft)?;
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            let said = path.display();
            JobError::new(
                Kind::Usage,
                format!("the path '{said}' is not valid UTF-8: name the folder with plain letters"),
            )
        })
    };
    draft.set("store", Value::Text(text(&store)?))?;
    let job = draft.clone().job()?;
    let shot = Shot::open(&job)?;
    let wanted = shot.frames()?;
    let farm = Farm::of(draft.options(), &shot, &wanted, program)?;
    let mut notes = job.idle.clone();
    notes.extend(shot.beyond());
    notes.extend(farm.note.clone());
    let written = match queue {
        Queue::OpenJd => openjd::files(&farm)?,
        Queue::OpenCue => opencue::files(&farm)?,
        Queue::Deadline => deadline::files(&farm)?,
        Queue::Tractor => tractor::files(&farm),
        Queue::Commands => commands::files(&farm),
    };
    output::probe(folder)?;
    let mut files = Vec::new();
    for (name, text) in written {
        let path = folder.join(name);
        output::write(&path, text.as_bytes())?;
        files.push(path);
    }
    Ok(Submission {
        files,
        store,
        next: queue.next(folder),
        notes,
    })
}

/// The store that the draft names, else one beside the frames.
fn shared_store(draft: &Draft) -> Result<PathBuf, JobError> {
    let named = draft.values().text("store").to_owned();
    let said = std::env::var_os("LONGTAKE_STORE").filter(|v| !v.is_empty());
    let store = match (named.is_empty(), said) {
        (false, _) => PathBuf::from(named),
        (true, Some(said)) => PathBuf::from(said),
        (true, None) => {
            let out = PathBuf::from(draft.values().text("out"));
            out.parent().unwrap_or(Path::new("")).join("longtake-store")
        }
    };
    paths::absolute(&store)
}

/// A list of words as a POSIX shell reads them.
fn shell(words: &[String]) -> String {
    let quoted: Vec<String> = words
        .iter()
        // No word of ours has a zero byte, the one thing that cannot be quoted.
        .map(|w| shlex::try_quote(w).map_or_else(|_| w.clone(), Into::into))
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::estimate::Needs;

    #[test]
    fn a_worker_is_asked_for_the_least_gpu_memory_that_will_do() {
        let farm = Farm {
            title: "water".to_owned(),
            program: "longtake".to_owned(),
            settings: Vec::new(),
            looks: Vec::new(),
            steps: vec![Step {
                name: "edit-list".to_owned(),
                tasks: Tasks::Blocks(1),
                after: Vec::new(),
            }],
            needs: Needs {
                cpus: 1,
                gpus: 1,
                gpu_memory: Some(33 << 30),
                gpu_memory_least: Some(9 << 30),
                memory: None,
                scratch: 0,
                store: 0,
            },
            version: "0".to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            note: None,
        };
        let text =
            |files: Vec<(String, String)>| files.into_iter().map(|f| f.1).collect::<String>();
        let openjd = text(openjd::files(&farm).unwrap());
        assert!(openjd.contains("gpu.memory\n      min: 9216\n"), "{openjd}");
        let opencue = text(opencue::files(&farm).unwrap());
        assert!(opencue.contains("\"9216m\""), "{opencue}");
    }
}
