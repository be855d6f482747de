//! Keeps a store within its bound: made frames give way first, which are quick to
//! make again, then the entries used longest ago.
//!
//! Looking at all entries costs time, so it is done only when enough was
//! written since the last time, by whatever process: each leaves a byte for
//! every 64 KiB in a common file, whose length is then the sum. The count is
//! rough (processes race, a byte may get lost) and only decides when to look.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::frames::is_frame;
use crate::device::disk_now;

/// The folder of entries in the making.
pub(super) const MAKING: &str = "tmp";
const GROWTH: &str = "growth";
const LOCK: &str = "sweep";
const UNIT: u64 = 64 << 10;
/// The store may grow by one part in this many before it is looked at.
const SLACK: u64 = 16;
/// A part that nobody holds and that did not change for this long is left over
/// from a process that was killed.
const STALE: Duration = Duration::from_secs(600);
/// How often a lock is asked for that another holds, and how long between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(4);

/// Notes that `size` bytes were added, and sweeps when it is time to.
pub(super) fn after_growth(folder: &Path, size: u64, bound: u64) {
    let path = folder.join(GROWTH);
    let mut options = OpenOptions::new();
    let Ok(mut file) = options.create(true).append(true).open(&path) else {
        return;
    };
    let units = size.div_ceil(UNIT).min(1 << 24) as usize;
    let noted = file.write_all(&vec![0; units]);
    let length = file.metadata().map_or(0, |m| m.len());
    if noted.is_err() || length * UNIT >= bound / SLACK {
        sweep(folder, bound - bound / SLACK);
    }
}

/// Removes old entries so that `size` bytes more fit.
pub(super) fn make_room(folder: &Path, size: u64) {
    remove_stale(folder);
    let mut entries = entries(folder);
    entries.sort();
    let mut freed = 0;
    for (_, _, bytes, path) in entries {
        if freed >= size.saturating_mul(2) {
            break;
        }
        if fs::remove_file(path).is_ok() {
            freed += bytes;
        }
    }
}

/// The number of entries and their bytes.
pub(super) fn usage(folder: &Path) -> (usize, u64) {
    let entries = entries(folder);
    (entries.len(), entries.iter().map(|e| e.2).sum())
}

/// Removes every entry; gives their number and bytes.
pub(super) fn clear(folder: &Path) -> (usize, u64) {
    remove_stale(folder);
    let mut gone = (0, 0);
    for (_, _, bytes, path) in entries(folder) {
        if fs::remove_file(path).is_ok() {
            gone = (gone.0 + 1, gone.1 + bytes);
        }
    }
    gone
}

/// Whether `lock` could be had, now or in a moment: a program that another thread starts
/// has a copy of what was open here, a lock that was given up too, until it runs.
fn taken(lock: &File) -> bool {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            _ => return true,
        }
    }
    false
}

fn sweep(folder: &Path, target: u64) {
    // One process at a time is enough. Where locks do not work several sweep,
    // which is a waste and no more.
    let Ok(lock) = File::create(folder.join(LOCK)) else {
        return;
    };
    if !taken(&lock) {
        return;
    }
    // From here on, what is added counts toward the next sweep.
    let _ = File::create(folder.join(GROWTH));
    remove_stale(folder);
    let mut entries = entries(folder);
    let mut total: u64 = entries.iter().map(|e| e.2).sum();
    if total <= target {
        return;
    }
    entries.sort();
    for (_, _, bytes, path) in entries {
        if total <= target {
            break;
        }
        // Gone already is as good.
        let _ = fs::remove_file(path);
        total -= bytes;
    }
}

/// Whether it is dear, time of last use, bytes and path of every entry: what gives
/// way first comes first when sorted.
fn entries(folder: &Path) -> Vec<(bool, SystemTime, u64, PathBuf)> {
    let shelves = fs::read_dir(folder).into_iter().flatten().flatten();
    shelves
        .filter(|shelf| shelf.file_name().len() == 2)
        .flat_map(|shelf| fs::read_dir(shelf.path()).into_iter().flatten().flatten())
        .filter_map(|entry| {
            let path = entry.path();
            let meta = entry.metadata().ok()?;
            let cheap = is_frame(&path);
            let used = meta.modified().ok()?;
            (cheap || path.extension()? == "entry").then_some((!cheap, used, meta.len(), path))
        })
        .collect()
}

fn remove_stale(folder: &Path) {
    let making = folder.join(MAKING);
    let parts: Vec<_> = fs::read_dir(&making)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    if parts.is_empty() {
        return;
    }
    let now = disk_now(&making);
    for part in parts {
        let changed = part.metadata().and_then(|m| m.modified());
        let age = changed.ok().and_then(|t| now.duration_since(t).ok());
        if age.is_some_and(|a| a > STALE)
            && let Ok(file) = OpenOptions::new().append(true).open(part.path())
            && !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock))
        {
            // Should its writer live after all, it fails to name its entry,
            // which is then not kept.
            let _ = fs::remove_file(part.path());
        }
    }
}
