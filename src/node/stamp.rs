//! Whether the files of a plate are still what they were when it was opened.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::FileChoice;
use crate::frame::Sequence;

/// Time of change and size; none where there is no such file.
type Look = Option<(SystemTime, u64)>;

/// What the files of a plate are known by.
#[derive(Debug, PartialEq)]
pub(super) struct Stamp {
    /// What stands for all of them: a movie or a picture itself; of a sequence its
    /// folder, which changes with every file in it.
    outside: Look,
    /// The files of a sequence.
    files: Vec<(PathBuf, Look)>,
}

impl Stamp {
    /// Of the plate that `choice` names, as its files are now.
    pub fn of(choice: &FileChoice) -> Self {
        match sequence(choice) {
            Some(sequence) => Self {
                outside: look(folder(&sequence)),
                files: files(&sequence, choice),
            },
            None => Self {
                outside: look(&choice.path),
                files: Vec::new(),
            },
        }
    }

    /// Whether the files of `choice` are still these. All of them are looked at only
    /// where something in their folder has changed, which may have been anything.
    pub fn still(&mut self, choice: &FileChoice) -> bool {
        let Some(sequence) = sequence(choice) else {
            return self.outside == look(&choice.path);
        };
        let outside = look(folder(&sequence));
        let ends = [self.files.first(), self.files.last()];
        let same = |(path, known): &(PathBuf, Look)| look(path) == *known;
        let still = match outside == self.outside {
            true => ends.into_iter().flatten().all(same),
            false => files(&sequence, choice) == self.files,
        };
        self.outside = outside;
        still
    }
}

/// The sequence that `choice` names; none of a movie or one picture.
fn sequence(choice: &FileChoice) -> Option<Sequence> {
    let sequence = Sequence::find(&choice.path).ok()?;
    (!sequence.is_single() && sequence.is_of_pictures()).then_some(sequence)
}

/// The files of `sequence` in the range of `choice`.
fn files(sequence: &Sequence, choice: &FileChoice) -> Vec<(PathBuf, Look)> {
    let all = sequence.files().unwrap_or_default();
    let wanted = |frame: i32| choice.range.is_none_or(|r| r.contains(frame));
    let own = all.into_iter().filter(|(frame, _)| wanted(*frame));
    own.map(|(_, path)| {
        let look = look(&path);
        (path, look)
    })
    .collect()
}

fn folder(sequence: &Sequence) -> &Path {
    let folder = sequence.folder();
    match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    }
}

fn look(path: &Path) -> Look {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
