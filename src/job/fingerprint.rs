//! What the files of a plate are known by, wherever they lie.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{JobError, Kind};
use crate::frame::{FrameRange, Sequence};

/// Bytes at either end of a file that its fingerprint is taken from: enough to tell
/// files apart, and quick on a network disk.
const ENDS: u64 = 64 << 10;

/// The beginning of `hash`, for people to read.
pub fn short(hash: blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}

/// Names the files of `source`, those with frames in `range` where there is one, or
/// its movie, wherever they lie.
///
/// # Errors
/// Where a file cannot be read.
pub fn fingerprint(source: &Path, range: Option<FrameRange>) -> Result<String, JobError> {
    let sequence = Sequence::find(source)?;
    let single = sequence.is_single();
    let mut hasher = blake3::Hasher::new();
    for (frame, path) in sequence.files()? {
        if single || range.is_none_or(|r| r.contains(frame)) {
            add(&mut hasher, &path).map_err(|e| {
                let text = format!("{} cannot be read ({e})", path.display());
                JobError::new(Kind::Unreadable, text)
            })?;
        }
    }
    Ok(short(hasher.finalize()))
}

fn add(hasher: &mut blake3::Hasher, path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update(&length.to_le_bytes());
    io::copy(&mut (&mut file).take(ENDS), hasher)?;
    file.seek(SeekFrom::Start(
        length.saturating_sub(ENDS).max(ENDS.min(length)),
    ))?;
    io::copy(&mut file, hasher)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_names_sizes_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let range = FrameRange::new(1, 3).unwrap();
        let print = |folder: &Path| fingerprint(&folder.join("p.####.exr"), Some(range)).unwrap();
        let write = |folder: &Path, frame: u32, bytes: &[u8]| {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join(format!("p.{frame:04}.exr")), bytes).unwrap();
        };
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let long = vec![7u8; 300_000];
        for place in [&a, &b] {
            for frame in 1..=4 {
                write(place, frame, &long);
            }
        }
        assert_eq!(print(&a), print(&b), "wherever they lie");
        let first = print(&a);
        write(&a, 4, b"other");
        assert_eq!(print(&a), first, "a frame that is not used");
        for at in [0, 65_535, 300_000 - 65_536, 299_999] {
            let mut other = long.clone();
            other[at] = 8;
            write(&a, 2, &other);
            assert_ne!(print(&a), first, "byte {at}");
        }
        write(&a, 2, b"");
        assert_ne!(print(&a), first);
    }
}
