//! What names a checkpoint's numbers without reading all of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use once_cell::sync::Lazy;
use parking_lot::Mutex;

/// A file is told apart by so many pieces of it, evenly spread.
const PIECES: u64 = 256;
const PIECE: u64 = 4096;
/// Files of other endings are no part of a model.
const ENDINGS: [&str; 3] = ["safetensors", "gguf", "json"];
/// Folders in folders are looked into so deep: a pipeline's parts lie in one.
const DEPTH: usize = 2;
/// Files of a model, at most; a folder with more is none.
const MOST: usize = 4096;

type Stamp = (u64, Option<SystemTime>);

/// Hashes of files that stayed as they were.
static KNOWN: Lazy<Mutex<HashMap<PathBuf, (Stamp, blake3::Hash)>>> = Lazy::new(Mutex::default);

/// Names what lies at `path`, a file with the settings beside it or a model's folder: its
/// length and pieces all over it, so that a 28 GB checkpoint takes a moment. Where it lies and when it was
/// written do not matter, so machines agree. A file is looked at again when its size or
/// time changes.
///
/// # Errors
/// Where something cannot be read.
pub fn identity(path: &Path) -> io::Result<blake3::Hash> {
    let mut files = Vec::new();
    walk(path, DEPTH, &mut files)?;
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(path).unwrap_or(&file);
        hasher.update(name.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(of_file(&file)?.as_bytes());
    }
    if !path.is_dir() {
        for (place, file) in beside(path).into_iter().enumerate() {
            if file != path && file.is_file() {
                hasher.update(&[1, place as u8]);
                hasher.update(of_file(&file)?.as_bytes());
            }
        }
    }
    Ok(hasher.finalize())
}

/// What is read beside a file: a model's configuration, and how much a LoRA counts.
fn beside(path: &Path) -> [PathBuf; 2] {
    [
        path.with_extension("json"),
        path.with_file_name("adapter_config.json"),
    ]
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?.path();
        let ending = entry.extension().and_then(|e| e.to_str());
        let wanted = match entry.is_dir() {
            true => depth > 0,
            false => ending.is_some_and(|e| ENDINGS.contains(&e)),
        };
        if wanted {
            walk(&entry, depth.saturating_sub(1), files)?;
        }
        if files.len() > MOST {
            return Err(io::Error::other("there are too many files in it"));
        }
    }
    Ok(())
}

fn of_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let stamp = (meta.len(), meta.modified().ok());
    if let Some((known, hash)) = KNOWN.lock().get(path)
        && *known == stamp
    {
        return Ok(*hash);
    }
    let length = meta.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length.to_le_bytes());
    if length <= PIECES * PIECE {
        io::copy(&mut file, &mut hasher)?;
    } else {
        let mut piece = vec![0; PIECE as usize];
        for i in 0..PIECES {
            // The first piece is the header's beginning, the last the file's end.
            let at = (length - PIECE) / (PIECES - 1) * i;
            let at = if i + 1 == PIECES { length - PIECE } else { at };
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut piece)?;
            hasher.update(&piece);
        }
    }
    let hash = hasher.finalize();
    KNOWN.lock().insert(path.to_owned(), (stamp, hash));
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_its_name_from_its_numbers_alone() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let mut large: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        put("a/t/model.safetensors", &large);
        put("a/config.json", b"{}");
        put("b/t/model.safetensors", &large);
        put("b/config.json", b"{}");
        put("b/readme.md", b"words");
        let of = |name: &str| identity(&folder.path().join(name)).unwrap();
        assert_eq!(of("a"), of("b"));
        // Another training changes numbers everywhere.
        for v in large.iter_mut().step_by(1000) {
            *v ^= 1;
        }
        put("c/t/model.safetensors", &large);
        put("c/config.json", b"{}");
        assert_ne!(of("a"), of("c"));
        put("a/config.json", b"{ }");
        assert_ne!(of("a"), of("b"));
        assert!(identity(&folder.path().join("none")).is_err());
        // Of a file, what is read beside it counts.
        let before = of("c/t/model.safetensors");
        put("c/t/other.json", b"{}");
        assert_eq!(of("c/t/model.safetensors"), before);
        put("c/t/model.json", b"{}");
        let configured = of("c/t/model.safetensors");
        put("c/t/adapter_config.json", b"{}");
        let scaled = of("c/t/model.safetensors");
        assert!(configured != before && scaled != configured && scaled != before);
    }
}
