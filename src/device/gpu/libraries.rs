//! Shared objects that need CUDA, opened only where its libraries are: the object names
//! none of them as needed, and finds in the process what was opened before it.

use std::path::{Path, PathBuf};

use libloading::Library;

/// Why such an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// It was not built, or does not lie where it is looked for.
    #[error(
        "{name} was not found in {}: build it with `cargo xtask cuda` and lay it there, name it in {variable}, or work on the CPU",
        looked.display()
    )]
    Missing {
        /// The object's file.
        name: &'static str,
        /// The variable that may name it.
        variable: &'static str,
        /// Where it was looked for.
        looked: PathBuf,
    },
    /// A library of CUDA is not there.
    #[error(
        "CUDA's library {0} was not found: install the NVIDIA driver and CUDA 13 (its runtime, cuBLAS and cuRAND) where the system finds them, or work on the CPU"
    )]
    NoLibrary(&'static str),
    /// It does not open, or is of another version.
    #[error("{} cannot be used: {why}; take it and Longtake from the same build, or work on the CPU", path.display())]
    Foreign {
        /// The object.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// This system has none.
    #[error("Longtake has no models on a GPU on this system: work on the CPU")]
    Elsewhere,
}

/// What candle built with CUDA 13 calls, in the order in which they need one another.
#[cfg(target_os = "linux")]
const LIBRARIES: [&str; 5] = [
    "libcuda.so.1",
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
];

/// Where `name` lies: where `variable` says, else beside what this code lies in.
///
/// # Errors
/// Where it is not there.
pub fn find(name: &'static str, variable: &'static str) -> Result<PathBuf, ObjectError> {
    let told = std::env::var_os(variable).filter(|v| !v.is_empty());
    let path = match told {
        Some(path) => PathBuf::from(path),
        None => home().unwrap_or_default().join(name),
    };
    match path.is_file() {
        true => Ok(path),
        false => Err(ObjectError::Missing {
            name,
            variable,
            looked: path.parent().unwrap_or(Path::new(".")).to_owned(),
        }),
    }
}

/// The folder of the program or of the plug-in.
fn home() -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    {
        // Of the mappings of this process, the one that this very function lies in.
        let here = home as *const () as usize;
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let line = maps.lines().find(|line| {
            let ends = line.split(' ').next().and_then(|r| r.split_once('-'));
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            ends.and_then(|(a, b)| Some((number(a)?..number(b)?).contains(&here))) == Some(true)
        })?;
        let path = Path::new(&line[line.find('/')?..]);
        path.parent().map(Path::to_owned)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Opens `path` once CUDA's libraries are open. It stays open until the process ends.
///
/// # Errors
/// Where one of them is missing, or the object does not open.
#[cfg(target_os = "linux")]
pub fn open(path: &Path) -> Result<&'static Library, ObjectError> {
    use libloading::os::unix::{Library as Unix, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};
    for name in LIBRARIES {
        // SAFETY: libraries of the system by the names that NVIDIA gives them; what
        // they do when they are opened is theirs.
        let library = unsafe { Unix::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
        let library = library.map_err(|_| ObjectError::NoLibrary(name))?;
        // The object needs it for good.
        std::mem::forget(library);
    }
    // SAFETY: an object of ours, which does nothing when it is opened.
    let object = unsafe { Unix::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let object = object.map_err(|error| ObjectError::Foreign {
        path: path.to_owned(),
        // The linker's own words.
        why: std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string),
    })?;
    Ok(Box::leak(Box::new(object.into())))
}

/// As on Linux.
///
/// # Errors
/// Always: there is no such object here.
#[cfg(not(target_os = "linux"))]
pub fn open(_: &Path) -> Result<&'static Library, ObjectError> {
    Err(ObjectError::Elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_with_where_it_would_be() {
        let error = find("liblongtake_nothing.so", "LONGTAKE_NO_SUCH_VARIABLE").unwrap_err();
        let program = std::env::current_exe().unwrap();
        let folder = program.parent().unwrap().display().to_string();
        let text = error.to_string();
        assert!(text.contains(&folder), "{text}");
        assert!(text.contains("cargo xtask cuda") && text.contains("LONGTAKE_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn without_cuda_nothing_is_opened() {
        // SAFETY: opens a library by its name and closes it.
        if unsafe { Library::new("libcublas.so.13") }.is_ok() {
            return;
        }
        let program = std::env::current_exe().unwrap();
        let error = open(&program).map(drop).unwrap_err();
        assert!(matches!(error, ObjectError::NoLibrary(_)), "{error}");
    }
}
