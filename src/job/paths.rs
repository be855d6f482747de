//! Paths in the values of a job: told in full, or from a folder.

use std::path::{Component, Path, PathBuf};

use super::error::{JobError, Kind};
use crate::manifest::{Param, ParamKind};

/// Parameters that are texts of several paths, `;` between them, a strength or a part
/// after each.
pub const LISTS: [&str; 2] = ["references", "loras"];

/// `path` from the root of the disk, for machines that work in another folder.
///
/// # Errors
/// Where the working folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf, JobError> {
    std::path::absolute(path).map_err(|e| {
        let said = path.display();
        JobError::new(
            Kind::Usage,
            format!("the full path of {said} cannot be told ({e}): write it in full"),
        )
    })
}

/// The value `text` of `param` with `change` made to each path in it; `None` where the
/// parameter takes no paths.
///
/// # Errors
/// Those of `change`.
pub fn each(
    param: &Param,
    text: &str,
    change: impl Fn(&Path) -> Result<PathBuf, JobError>,
) -> Result<Option<String>, JobError> {
    let changed = |text: &str| change(Path::new(text)).map(|path| path.display().to_string());
    match param.kind {
        ParamKind::File | ParamKind::Folder => changed(text).map(Some),
        ParamKind::String if LISTS.contains(&param.name.as_str()) => {
            let items = text.split(';').map(str::trim).filter(|i| !i.is_empty());
            let all: Result<Vec<_>, _> = items.map(changed).collect();
            Ok(Some(all?.join("; ")))
        }
        _ => Ok(None),
    }
}

/// The way from `folder` to `path`, both absolute, where they have a folder in common
/// beside the root; else `path` as it is.
pub fn from_folder(folder: &Path, path: &Path) -> PathBuf {
    let parts = |path: &Path| -> Vec<PathBuf> {
        let normal = path.components();
        normal.map(|c| PathBuf::from(c.as_os_str())).collect()
    };
    let climbs = |path: &Path| path.components().any(|c| c == Component::ParentDir);
    let (from, to) = (parts(folder), parts(path));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b);
    let root = path.components();
    let root = root.take_while(|c| matches!(c, Component::Prefix(_) | Component::RootDir));
    let (common, root) = (common.count(), root.count());
    if common <= root || climbs(folder) || climbs(path) {
        return path.to_owned();
    }
    let up = from[common..].iter().map(|_| PathBuf::from(".."));
    up.chain(to[common..].iter().cloned()).collect()
}

/// The path that [`from_folder`] told from `folder` as `told`.
pub fn to_path(folder: &Path, told: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    for part in told.components() {
        match part {
            Component::ParentDir if path.file_name().is_some() => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_path_is_told_from_a_folder_of_the_same_tree() {
        for (folder, path, told) in [
            (
                "/shows/a/out",
                "/shows/a/plate/p.####.exr",
                "../plate/p.####.exr",
            ),
            ("/shows/a", "/shows/a/p.####.exr", "p.####.exr"),
            ("/shows/a/out", "/models/m.gguf", "/models/m.gguf"),
            ("/shows/a/../out", "/shows/p.exr", "/shows/p.exr"),
        ] {
            let found = from_folder(Path::new(folder), Path::new(path));
            assert_eq!(found, Path::new(told));
            assert_eq!(to_path(Path::new(folder), &found), Path::new(path));
        }
    }
}
