//! The files that a job reads, which nothing is written over.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{JobError, Kind};
use super::options::options;
use super::paths;
use crate::frame::{FrameError, Sequence};
use crate::manifest::{ParamKind, Values};

/// Whether the parameter `name` is of a file that a job writes.
pub fn is_written(name: &str) -> bool {
    matches!(
        name,
        "out" | "contactSheet" | "preview" | "report" | "page" | "saveLatents"
    )
}

/// The files that the parameter `name` of `values` names.
pub fn named(values: &Values, name: &str) -> Vec<PathBuf> {
    let text = values.text(name);
    match name {
        _ if paths::LISTS.contains(&name) => paths::in_list(name, text),
        _ if text.is_empty() => Vec::new(),
        _ => vec![PathBuf::from(text)],
    }
}

/// Files that are not to be written over, with those that would count as one of them.
#[derive(Default)]
pub struct Sources(Vec<Source>);

struct Source {
    /// What it is to the job.
    what: String,
    /// Without links and dots.
    folder: PathBuf,
    sequence: Sequence,
}

impl Sources {
    /// All that `values` name to be read.
    pub fn of(values: &Values) -> Self {
        let mut sources = Self::default();
        let params = options().map(|o| o.params.as_slice()).unwrap_or_default();
        for param in params {
            let name = param.name.as_str();
            let read = param.kind == ParamKind::File && !is_written(name);
            if read || paths::LISTS.contains(&name) {
                for path in named(values, name) {
                    sources.add(Sequence::find(&path), &format!("a file of '{name}'"));
                }
            }
        }
        sources
    }

    /// Adds a file or frames, which are `what`: "a frame of the output".
    pub fn add(&mut self, named: Result<Sequence, FrameError>, what: &str) {
        // What is no file name was or will be refused where it is opened.
        if let Ok(sequence) = named {
            self.0.push(Source {
                what: what.to_owned(),
                folder: real(sequence.folder()),
                sequence,
            });
        }
    }

    /// Checks that writing `paths` spoils none of these.
    ///
    /// # Errors
    /// Where one of them is such a file, or would be taken for one by its name.
    pub fn spare<'p>(&self, paths: impl IntoIterator<Item = &'p Path>) -> Result<(), JobError> {
        // Frames lie in one folder.
        let mut last: Option<(&Path, PathBuf)> = None;
        for path in paths {
            let parent = path.parent().unwrap_or(Path::new(""));
            let folder = match last.take() {
                Some((same, folder)) if same == parent => folder,
                _ => real(parent),
            };
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            let is = |s: &&Source| s.folder == folder && s.sequence.has_name(name);
            if let Some(source) = self.0.iter().find(is) {
                return Err(JobError::new(
                    Kind::Usage,
                    format!(
                        "{} is {} or would be taken for one: choose another name or folder for the output",
                        path.display(),
                        source.what
                    ),
                ));
            }
            last = Some((parent, folder));
        }
        Ok(())
    }
}

/// `folder` with links and dots resolved; as it is where it is not there yet.
fn real(folder: &Path) -> PathBuf {
    let here = folder.as_os_str().is_empty();
    let folder = if here { Path::new(".") } else { folder };
    fs::canonicalize(folder)
        .or_else(|_| std::path::absolute(folder))
        .unwrap_or_else(|_| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Value, Values};

    #[test]
    fn whatever_a_job_reads_is_spared() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let all = options().unwrap();
        let mut values = Values::default_of(all);
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        for (name, value) in [
            ("plate", text("p.####.exr")),
            ("holdOut", text("hold.png")),
            ("region2Matte", text("r.####.png")),
            ("remake", format!("1-5@{}=3", text("again.####.png"))),
            (
                "references",
                format!("{}; {}", text("a.png"), text("b.png")),
            ),
            ("guide", text("A001_C003.mov")),
            ("report", text("report.json")),
        ] {
            values.set(all, name, Value::Text(value)).unwrap();
        }
        let sources = Sources::of(&values);
        let spares = |name: &str| sources.spare([&*at(name)]).is_ok();
        for name in [
            "p.0007.exr",
            "./p.0007.exr",
            "p.-007.exr",
            "hold.png",
            "r.1001.png",
            "again.0001.png",
            "b.png",
            "A001_C003.mov",
        ] {
            assert!(!spares(name), "{name}");
        }
        for name in ["q.0007.exr", "p.0007.png", "A001_C004.mov", "report.json"] {
            assert!(spares(name), "{name}");
        }
        let frames = [at("q.0001.exr"), at("p.0002.exr")];
        let error = sources.spare(frames.iter().map(PathBuf::as_path));
        assert!(error.unwrap_err().message.contains("'plate'"));
    }
}
