//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::device::disk_now;
use crate::frame::FrameError;

/// Ending of a file in the making.
const PART: &str = ".part";

/// Writes the file `path` by `fill` under another name in the same folder and
/// gives it its name when it is whole and on the disk. The folder is made
/// where it is missing. On failure nothing is left behind, and a file that had
/// the name before stays.
pub(super) fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FrameError> {
    let part = part_name(path);
    let result = (|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        fill(&mut out)?;
        out.flush()?;
        out.get_ref().sync_data()?;
        drop(out);
        fs::rename(&part, path)
    })();
    result.map_err(|source| {
        // The reason for the failure matters, not that of the clean-up.
        let _ = fs::remove_file(&part);
        FrameError::Write {
            path: path.to_owned(),
            advice: advice(source.kind()),
            source,
        }
    })
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "the disk is full; free some space and run again, finished frames are kept"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "writing is not allowed there; choose another output folder or mend its permissions"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a part of the path is a file, not a folder; choose another output folder"
        }
        io::ErrorKind::InvalidFilename => {
            "the name is longer than the disk takes, with some letters that are added while a file is written; choose a shorter one"
        }
        _ => "check the output disk and run again, finished frames are kept",
    }
}

fn part_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |t| t.subsec_nanos());
    let unique = format!(".{name}.{}-{count}-{time}{PART}", std::process::id());
    path.with_file_name(unique)
}

/// Removes what killed writers left in `folder` of files whose names begin
/// with `prefix`. A writer at work touches its file far more often than the
/// hour that is waited here.
pub(super) fn remove_stale(folder: &Path, prefix: &str) {
    let hidden = format!(".{prefix}");
    let mut now = None;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_part = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.starts_with(&hidden) && n.ends_with(PART));
        if !is_part {
            continue;
        }
        let now = *now.get_or_insert_with(|| disk_now(folder));
        let changed = entry.metadata().and_then(|m| m.modified());
        let age = changed.ok().and_then(|t| now.duration_since(t).ok());
        if age.is_some_and(|a| a > Duration::from_secs(3600)) {
            // One that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}
