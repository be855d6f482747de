// Which files the kernels are made of. Shared by the build script and `xtask`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// All sources of the kernels in `folder`, in order.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "cu" || e == "cuh") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The names of the files of kernels, without their ending.
pub fn kernels(folder: &Path) -> io::Result<Vec<String>> {
    Ok(files(folder)?
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "cu"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect())
}

/// A number that changes with any source (FNV-1a over names and contents).
pub fn stamp(folder: &Path) -> io::Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bytes: &[u8]| {
        for &b in bytes {
            hash = (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for file in files(folder)? {
        add(file.file_name().unwrap_or_default().as_encoded_bytes());
        add(&fs::read(&file)?);
    }
    Ok(format!("{hash:016x}"))
}
