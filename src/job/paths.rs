//! Paths in the values of a job: told in full, or from a folder.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::error::{JobError, Kind};
use crate::manifest::{Param, ParamKind};

/// Parameters that are texts of several items with a path each, `;` between them, and
/// with something beside it: strengths, frames, seeds.
pub const LISTS: [&str; 3] = ["references", "loras", "remake"];

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
            let items: Vec<_> = items.map(|i| (i, place_of(&param.name, i))).collect();
            if items.iter().all(|(_, place)| place.is_none()) {
                return Ok(None);
            }
            let all = items.into_iter().map(|(item, place)| match place {
                None => Ok::<_, JobError>(item.to_owned()),
                Some(at) => {
                    let path = changed(&item[at.clone()])?;
                    Ok(format!("{}{path}{}", &item[..at.start], &item[at.end..]))
                }
            });
            Ok(Some(all.collect::<Result<Vec<_>, _>>()?.join("; ")))
        }
        _ => Ok(None),
    }
}

/// The paths in `text`, a value of the list `name`.
pub fn in_list(name: &str, text: &str) -> Vec<PathBuf> {
    let items = text.split(';').map(str::trim).filter(|i| !i.is_empty());
    let paths = items.filter_map(|item| Some(item[place_of(name, item)?].into()));
    paths.collect()
}

/// Where in an item of the list `name` its path stands; `None` where it has none.
fn place_of(name: &str, item: &str) -> Option<Range<usize>> {
    let path = match name {
        "remake" => {
            item.rsplit_once('=')
                .map_or(item, |i| i.0)
                .split_once('@')?
                .1
        }
        "loras" => {
            let rest = item.strip_suffix("@high").or(item.strip_suffix("@low"));
            let rest = rest.unwrap_or(item);
            rest.rsplit_once('=').map_or(rest, |i| i.0)
        }
        _ => item,
    };
    let start = path.as_ptr() as usize - item.as_ptr() as usize;
    let start = start + path.len() - path.trim_start().len();
    Some(start..start + path.trim().len())
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
    use crate::job::options;

    #[test]
    fn paths_in_lists_are_changed_and_what_is_beside_them_stays() {
        for (name, text, changed) in [
            ("references", "a.png;b/c.png ", Some("/s/a.png; /s/b/c.png")),
            (
                "loras",
                "a.safetensors=0.8@high; b.safetensors@low;c.safetensors",
                Some("/s/a.safetensors=0.8@high; /s/b.safetensors@low; /s/c.safetensors"),
            ),
            (
                "remake",
                "1-5=3; 7-9@m.####.png=4; @n.png=5",
                Some("1-5=3; 7-9@/s/m.####.png=4; @/s/n.png=5"),
            ),
            ("remake", "1-5=3;7-9=4", None),
            ("prompt", "a.png", None),
        ] {
            let param = options().unwrap().param(name).unwrap();
            let found = each(param, text, |path| Ok(Path::new("/s").join(path))).unwrap();
            assert_eq!(found.as_deref(), changed, "{text}");
        }
        assert_eq!(
            in_list("loras", "a.safetensors=0.8@high"),
            [Path::new("a.safetensors")]
        );
    }

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
