//! The store on disk: one file for each entry, named by its key.
//!
//! Correct by construction rather than by locks, which network disks keep
//! badly: a file gets its name only when it is whole and on the disk, its name
//! tells what is in it, so writers of one key write the same, and a checksum
//! is read with every entry. Whatever a process does when it is killed, the
//! others see either no entry or a whole one.
//!
//! ```text
//! FOLDER/ab/abcd….entry     an entry, see `entry`
//! FOLDER/ab/abcd….frame     a made frame, see `frames`
//! FOLDER/tmp/….part         entries in the making
//! FOLDER/growth             a byte for each 64 KiB written since the last sweep
//! FOLDER/sweep              held by the process that sweeps
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Vault, entry, frames, sweep};

/// Why an entry could not be kept. The work can go on without.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store may not be written.
    #[error(
        "the store {folder} cannot be written ({source}): set LONGTAKE_STORE to a folder of yours; until then results are not kept"
    )]
    ReadOnly {
        /// The store.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk of the store is full.
    #[error(
        "the disk of the store {folder} is full ({source}): free some space or set LONGTAKE_STORE to another disk; until then results are not kept"
    )]
    Full {
        /// The store.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An entry is larger than the store may become.
    #[error(
        "a result of {bytes} bytes does not fit into the store {folder} of {bound}: raise LONGTAKE_STORE_SIZE; until then it is not kept"
    )]
    TooLarge {
        /// The store.
        folder: PathBuf,
        /// Bytes of the entry.
        bytes: u64,
        /// Bytes of the store at most.
        bound: u64,
    },
    /// Anything else.
    #[error(
        "the store {folder} failed ({source}): check its disk; until then results are not kept"
    )]
    Io {
        /// The store.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The store on disk. Threads, processes and hosts may share one folder.
#[derive(Debug)]
pub struct DiskStore {
    folder: PathBuf,
    bound: u64,
    trouble: Mutex<Option<StoreError>>,
}

/// An entry's time of use is set anew when it is older than this.
const FRESH: Duration = Duration::from_secs(60);

impl DiskStore {
    /// The store in `folder`, which is made at the first entry, of at most
    /// `bound` bytes. Touches nothing yet.
    pub fn new(folder: impl Into<PathBuf>, bound: u64) -> Self {
        Self {
            folder: folder.into(),
            bound,
            trouble: Mutex::new(None),
        }
    }

    /// The store where the environment says it lies, if anywhere; see
    /// [`default_folder`](super::default_folder) and
    /// [`default_size`](super::default_size).
    pub fn from_environment() -> Option<Self> {
        Some(Self::new(super::default_folder()?, super::default_size()))
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes that it may hold.
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// The number of its entries and their bytes. Looks at all of them.
    pub fn usage(&self) -> (usize, u64) {
        sweep::usage(&self.folder)
    }

    /// Removes its entries, which can all be made again; gives their number
    /// and bytes.
    pub fn clear(&self) -> (usize, u64) {
        sweep::clear(&self.folder)
    }

    fn path(&self, key: &blake3::Hash) -> PathBuf {
        self.path_of(key, false)
    }

    /// Where an entry lies, or a made frame.
    pub(super) fn path_of(&self, key: &blake3::Hash, frame: bool) -> PathBuf {
        let name = key.to_hex();
        let ending = if frame { frames::FRAME } else { "entry" };
        self.folder
            .join(&name[..2])
            .join(format!("{name}.{ending}"))
    }

    /// The entry under `key`, if there is one and it is whole. One that is
    /// damaged is removed, so that it is made again.
    pub fn load(&self, key: &blake3::Hash) -> Option<Vec<u8>> {
        self.load_from(&self.path(key), key)
    }

    fn load_from(&self, path: &Path, key: &blake3::Hash) -> Option<Vec<u8>> {
        let bytes = fs::read(path).ok()?;
        let payload = entry::payload(key, bytes);
        if payload.is_none() {
            // One that cannot be removed is refused again next time.
            let _ = fs::remove_file(path);
            return None;
        }
        touch(path);
        payload
    }

    /// Keeps `bytes` under `key`. When this returns well the entry survives
    /// the process and the machine. Old entries give way where the store grew
    /// beyond its bound.
    pub fn save(&self, key: &blake3::Hash, bytes: &[u8]) -> Result<(), StoreError> {
        self.save_as(key, bytes, false)
    }

    /// As [`save`](Self::save); a frame need not outlive the machine.
    pub(super) fn save_as(
        &self,
        key: &blake3::Hash,
        bytes: &[u8],
        frame: bool,
    ) -> Result<(), StoreError> {
        let size = (bytes.len() + entry::OVERHEAD) as u64;
        if size > self.bound {
            return Err(StoreError::TooLarge {
                folder: self.folder.clone(),
                bytes: size,
                bound: self.bound,
            });
        }
        let mut result = self.write(key, bytes, frame);
        if let Err(e) = &result
            && is_full(e)
        {
            // Others' results may give way to this one.
            sweep::make_room(&self.folder, size);
            result = self.write(key, bytes, frame);
        }
        result.map_err(|e| self.error(e))?;
        sweep::after_growth(&self.folder, size, self.bound);
        Ok(())
    }

    fn write(&self, key: &blake3::Hash, bytes: &[u8], frame: bool) -> io::Result<()> {
        let path = self.path_of(key, frame);
        let making = self.folder.join(sweep::MAKING);
        fs::create_dir_all(&making)?;
        let (part, mut file) = create_part(&making)?;
        let result = (|| {
            // Held while this process lives, so that a sweep can tell.
            let _ = file.try_lock();
            let head = entry::head(key, bytes.len());
            file.write_all(&head)?;
            file.write_all(bytes)?;
            file.write_all(&entry::sum(&head, bytes))?;
            if !frame {
                file.sync_all()?;
            }
            if let Some(shelf) = path.parent() {
                fs::create_dir_all(shelf)?;
            }
            fs::rename(&part, &path)
        })();
        if let Err(e) = result {
            // The failure matters, not that of the clean-up.
            let _ = fs::remove_file(&part);
            return Err(e);
        }
        // Only the name's survival of a power cut hangs on this.
        if let Some(shelf) = path.parent().filter(|_| !frame) {
            let _ = File::open(shelf).and_then(|f| f.sync_all());
        }
        Ok(())
    }

    fn error(&self, source: io::Error) -> StoreError {
        let folder = self.folder.clone();
        match source.kind() {
            _ if is_full(&source) => StoreError::Full { folder, source },
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => StoreError::ReadOnly { folder, source },
            _ => StoreError::Io { folder, source },
        }
    }

    /// The last failure to keep an entry, told once, for the artist.
    pub fn take_trouble(&self) -> Option<StoreError> {
        self.trouble.lock().take()
    }
}

impl Vault for DiskStore {
    fn get(&self, key: &blake3::Hash) -> Option<Vec<u8>> {
        let lent = || self.load_from(&self.path_of(key, true), key);
        self.load(key).or_else(lent)
    }

    fn has(&self, key: &blake3::Hash) -> bool {
        self.path(key).is_file() || self.path_of(key, true).is_file()
    }

    fn lend(&self, key: &blake3::Hash, bytes: &[u8]) {
        if let Err(e) = self.save_as(key, bytes, true) {
            *self.trouble.lock() = Some(e);
        }
    }

    fn put(&self, key: &blake3::Hash, bytes: &[u8]) {
        if let Err(e) = self.save(key, bytes) {
            *self.trouble.lock() = Some(e);
        }
    }

    fn remove(&self, key: &blake3::Hash) {
        // One that is not there need not be removed.
        let _ = fs::remove_file(self.path(key));
        let _ = fs::remove_file(self.path_of(key, true));
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Creates a file that nobody else writes, on whatever host.
fn create_part(making: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |t| t.as_nanos());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let part = making.join(format!("{}-{count}-{nanos}.part", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&part) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            other => return other.map(|file| (part, file)),
        }
    }
}

/// Marks an entry as used now; in a store that may only be read, in vain.
pub(super) fn touch(path: &Path) {
    let age = fs::metadata(path)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|t| t.elapsed().ok());
    if age.is_some_and(|a| a > FRESH)
        && let Ok(file) = OpenOptions::new().append(true).open(path)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}
