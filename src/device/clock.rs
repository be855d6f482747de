//! The time that a disk goes by. Machines on one disk have clocks of their own,
//! some of them wrong by hours, so the age of a file is told from the time stamps
//! of that disk alone.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// What the disk of `folder` would stamp a file with now; this machine's time where
/// no file can be made there.
pub fn disk_now(folder: &Path) -> SystemTime {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let probe = folder.join(format!(".longtake-{}-{count}.clock", std::process::id()));
    let stamp = (|| {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&probe)?;
        let stamp = file.metadata()?.modified();
        // A stray empty file does no harm.
        let _ = fs::remove_file(&probe);
        stamp
    })();
    stamp.unwrap_or_else(|_: std::io::Error| SystemTime::now())
}
