//! What the files of a plate hold, told apart wherever they lie and without reading
//! all of them.
//!
//! Of a frame's file its length, its beginning and its end are read. That tells every
//! PNG from every other: the checksum of all its samples stands at its end. In a packed
//! EXR file the places of its chunks stand at the beginning and change with almost any
//! sample, in an unpacked one they do not, so of EXR files the time of change counts too
//! where a wrong answer would do harm ([`times`]). A movie is read whole, which takes a
//! small part of the time of decoding it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use blake3::{Hash, Hasher};

use super::unreadable;
use crate::device;
use crate::frame::FrameError;

/// Bytes read at either end of a frame's file: headers, tables of places, checksums.
const ENDS: u64 = 64 << 10;

/// Names the content of frames by their numbers and the ends of their files.
///
/// # Errors
/// Where a file cannot be read.
pub(super) fn of_frames(paths: &BTreeMap<i32, PathBuf>) -> Result<Hash, FrameError> {
    let list: Vec<PathBuf> = paths.values().cloned().collect();
    let found = device::share(list.len(), move |i| {
        ends(&list[i]).map_err(|e| unreadable(&list[i], &e))
    });
    let mut all = Hasher::new();
    for ((frame, path), found) in paths.iter().zip(found) {
        let found = found.unwrap_or_else(|| {
            Err(FrameError::Damaged {
                path: path.clone(),
                message: "it could not be looked at".to_owned(),
            })
        })?;
        all.update(&frame.to_le_bytes());
        all.update(found.as_bytes());
    }
    Ok(all.finalize())
}

/// Names all that is in the file `path`.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn of_movie(path: &Path) -> Result<Hash, FrameError> {
    let whole = || -> io::Result<Hash> {
        let mut hasher = Hasher::new();
        Ok(hasher.update_reader(File::open(path)?)?.finalize())
    };
    whole().map_err(|e| unreadable(path, &e))
}

/// Names the times at which files were changed, in whole seconds: what carries files
/// about and keeps their times may round them to microseconds and less.
///
/// # Errors
/// Where a file is gone.
pub(super) fn times<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Hash, FrameError> {
    let mut all = Hasher::new();
    for path in paths {
        let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        let changed = meta.modified().ok();
        let changed = changed.and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        all.update(&changed.map_or(0, |t| t.as_secs()).to_le_bytes());
    }
    Ok(all.finalize())
}

fn ends(path: &Path) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = Hasher::new();
    hasher.update(&length.to_le_bytes());
    io::copy(&mut (&mut file).take(ENDS), &mut hasher)?;
    file.seek(SeekFrom::Start(
        length.saturating_sub(ENDS).max(ENDS.min(length)),
    ))?;
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_known_by_number_length_and_ends_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let write = |place: &str, frame: i32, bytes: &[u8]| {
            let folder = folder.path().join(place);
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("{place}.{frame:04}.exr"));
            std::fs::write(&path, bytes).unwrap();
            (frame, path)
        };
        let long = vec![7u8; 300_000];
        let all = |place| -> BTreeMap<i32, PathBuf> {
            (1..=3).map(|frame| write(place, frame, &long)).collect()
        };
        let (a, b) = (all("a"), all("b"));
        let first = of_frames(&a).unwrap();
        assert_eq!(first, of_frames(&b).unwrap(), "under any folder and name");
        let two: BTreeMap<i32, PathBuf> = a.clone().into_iter().take(2).collect();
        assert_ne!(of_frames(&two).unwrap(), first);
        let later = a.iter().map(|(f, p)| (f + 1, p.clone())).collect();
        assert_ne!(of_frames(&later).unwrap(), first, "other numbers");
        for at in [0, 65_535, 300_000 - 65_536, 299_999] {
            let mut other = long.clone();
            other[at] = 8;
            write("a", 2, &other);
            assert_ne!(of_frames(&a).unwrap(), first, "byte {at}");
        }
        write("a", 2, b"");
        assert_ne!(of_frames(&a).unwrap(), first);
        write("a", 2, &long);
        assert_eq!(of_frames(&a).unwrap(), first);
        std::fs::remove_file(&a[&2]).unwrap();
        assert!(of_frames(&a).is_err());
    }

    #[test]
    fn every_byte_of_a_movie_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.mov");
        let mut bytes = vec![7u8; 300_000];
        std::fs::write(&path, &bytes).unwrap();
        let first = of_movie(&path).unwrap();
        bytes[150_000] = 8;
        std::fs::write(&path, &bytes).unwrap();
        assert_ne!(of_movie(&path).unwrap(), first);
    }
}
