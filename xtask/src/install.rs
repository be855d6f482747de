//! `cargo xtask install [DIR]`: puts the bundle where hosts look, and says where
//! that is and what a host must see.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::bundle::{Layout, bundle, root};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Builds the bundle and copies it into `folder`, by default the system's own
/// plug-in folder. Returns what to tell.
pub fn install(folder: Option<&str>, debug: bool) -> Result<String> {
    let layout = Layout::read(&root()?)?;
    let standard = layout.platform()?.plugins.clone();
    let folder = folder.map_or_else(|| standard.clone(), PathBuf::from);
    let made = bundle(debug)?;
    let place = place(&made, &folder, &layout.name).map_err(|e| advice(&e, &folder))?;
    let folder = fs::canonicalize(&folder)?;
    let path = std::env::var_os("OFX_PLUGIN_PATH").unwrap_or_default();
    let seen = folder == standard
        || std::env::split_paths(&path).any(|p| fs::canonicalize(p).is_ok_and(|p| p == folder));
    let sight = if seen {
        format!("Hosts look in {}: restart yours.", folder.display())
    } else {
        format!(
            "Hosts look in {} and in the folders of OFX_PLUGIN_PATH, which does not name this one.\nStart yours with\n  export OFX_PLUGIN_PATH={}",
            standard.display(),
            match path.is_empty() {
                true => folder.display().to_string(),
                false => format!("{}:$OFX_PLUGIN_PATH", folder.display()),
            }
        )
    };
    Ok(format!(
        "Installed {}\n{sight}\nThe node is called Longtake, in the menu Time.",
        place.display()
    ))
}

/// Copies the bundle `made` into `folder` under `name`, in place of an older one.
fn place(made: &Path, folder: &Path, name: &str) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let place = folder.join(name);
    let fresh = folder.join(format!(".{name}.{}", std::process::id()));
    let old = folder.join(format!(".{name}.{}.old", std::process::id()));
    let outcome = copy(made, &fresh).and_then(|()| {
        // A host that has the old plug-in open keeps its file; it is moved away,
        // never written over.
        if place.exists() {
            fs::rename(&place, &old)?;
        }
        fs::rename(&fresh, &place)
    });
    for rest in [&fresh, &old] {
        if rest.exists() {
            let _ = fs::remove_dir_all(rest);
        }
    }
    outcome.map(|()| place)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn advice(error: &std::io::Error, folder: &Path) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "{} may not be written by you: run the command as root, or give a folder of your own, \
             cargo xtask install ~/OFX, and set OFX_PLUGIN_PATH to it",
            folder.display()
        ),
        _ => format!(
            "the bundle could not be copied to {}: {error}",
            folder.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_bundle_takes_the_place_of_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        fs::create_dir_all(made.join("Contents/Linux-x86-64")).unwrap();
        let folder = dir.path().join("plug-ins");
        for text in ["one", "two"] {
            fs::write(made.join("Contents/Linux-x86-64/L.ofx"), text).unwrap();
            let there = place(&made, &folder, "L.ofx.bundle").unwrap();
            let read = fs::read_to_string(there.join("Contents/Linux-x86-64/L.ofx")).unwrap();
            assert_eq!(read, text);
        }
        let left: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside the bundle");
    }
}
