//! `cargo xtask bundle`: builds the plug-in and lays it out as a bundle, the way
//! `plugin_manifest/bundle.toml` describes it for this system.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// `plugin_manifest/bundle.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Folder name of the bundle.
    pub name: String,
    /// File name of the plug-in in it.
    binary: String,
    /// Files of `plugin_manifest` and their names in the bundle.
    resources: BTreeMap<String, String>,
    #[serde(rename = "platform")]
    platforms: Vec<Platform>,
}

/// How one system has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    os: String,
    arch: String,
    /// Folder in `Contents` that the plug-in lies in.
    folder: String,
    /// What cargo calls the built library.
    library: String,
    /// Where hosts look for bundles by default.
    pub plugins: PathBuf,
}

/// What of `node.toml` goes into `Info.plist`.
#[derive(Deserialize)]
struct Node {
    plugin: Plugin,
}

#[derive(Deserialize)]
struct Plugin {
    identifier: String,
    label: String,
}

impl Layout {
    /// Reads `plugin_manifest/bundle.toml`.
    pub fn read(root: &Path) -> Result<Self> {
        Ok(toml::from_str(&fs::read_to_string(
            root.join("plugin_manifest/bundle.toml"),
        )?)?)
    }

    /// The entry for the system that this runs on.
    pub fn platform(&self) -> Result<&Platform> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        self.platforms
            .iter()
            .find(|p| p.os == os && p.arch == arch)
            .ok_or_else(|| {
                format!("plugin_manifest/bundle.toml describes no bundle for {os} on {arch}: add a [[platform]] entry").into()
            })
    }
}

/// The root of the project.
pub fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("xtask lies in no project")?
        .to_path_buf())
}

/// Builds and lays out the bundle in `target/bundle`; returns its path.
pub fn bundle(debug: bool) -> Result<PathBuf> {
    let root = root()?;
    let layout = Layout::read(&root)?;
    let platform = layout.platform()?;
    let target = target(&root);
    println!("{}", crate::kernels::kernels(false)?);
    let library = build(&root, &target, &platform.library, debug)?;

    // Laid out beside its place and moved there whole, so that a host that
    // scans meanwhile never sees half a bundle.
    let folder = target.join("bundle");
    let bundle = folder.join(&layout.name);
    let fresh = folder.join(format!(".{}.{}", layout.name, std::process::id()));
    let contents = fresh.join("Contents");
    fs::create_dir_all(contents.join(&platform.folder))?;
    fs::create_dir_all(contents.join("Resources"))?;
    fs::copy(
        library,
        contents.join(&platform.folder).join(&layout.binary),
    )?;
    // Opened where CUDA is found, and where it is not the bundle works without.
    if let Some(object) = crate::cuda::built(&root) {
        let beside = contents.join(&platform.folder).join(crate::cuda::NAME);
        fs::copy(object, beside)?;
    }
    for (from, to) in &layout.resources {
        fs::copy(
            root.join("plugin_manifest").join(from),
            contents.join("Resources").join(to),
        )?;
    }
    fs::write(contents.join("Info.plist"), plist(&root, &layout)?)?;
    if bundle.exists() {
        fs::remove_dir_all(&bundle)?;
    }
    fs::rename(&fresh, &bundle)?;
    Ok(bundle)
}

/// Cargo's folder for what is built.
pub fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}

fn build(root: &Path, target: &Path, library: &str, debug: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).arg("build");
    if debug {
        // With the features that the tests ask for of what we depend on, so that
        // `cargo test` need not build all of it once more: a test has to be among the
        // targets for that.
        command.args(["--workspace", "--lib", "--test", "manifest"]);
    } else {
        command.args(["--package", "longtake", "--lib", "--release"]);
    }
    if !command.status()?.success() {
        return Err("the plug-in did not build; the compiler's message above says why".into());
    }
    Ok(target
        .join(if debug { "debug" } else { "release" })
        .join(library))
}

/// `Info.plist` from its template, for the version of this build.
fn plist(root: &Path, layout: &Layout) -> Result<String> {
    let node: Node = toml::from_str(&fs::read_to_string(root.join("plugin_manifest/node.toml"))?)?;
    Ok(fs::read_to_string(root.join("plugin_manifest/Info.plist"))?
        .replace("@binary@", &layout.binary)
        .replace("@identifier@", &node.plugin.identifier)
        .replace("@label@", &node.plugin.label)
        .replace("@version@", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_its_layout() {
        let root = root().unwrap();
        let layout = Layout::read(&root).unwrap();
        for (os, arch, folder) in [
            ("linux", "x86_64", "Linux-x86-64"),
            ("macos", "x86_64", "MacOS-x86-64"),
            ("macos", "aarch64", "MacOS"),
            ("windows", "x86_64", "Win64"),
        ] {
            let found = layout
                .platforms
                .iter()
                .find(|p| p.os == os && p.arch == arch);
            assert_eq!(found.map(|p| p.folder.as_str()), Some(folder));
        }
        for file in layout.resources.keys() {
            assert!(root.join("plugin_manifest").join(file).exists(), "{file}");
        }
    }

    #[test]
    fn the_property_list_names_the_binary() {
        let root = root().unwrap();
        let text = plist(&root, &Layout::read(&root).unwrap()).unwrap();
        assert!(text.contains("<key>CFBundleExecutable</key>\n\t<string>Longtake.ofx</string>"));
        assert!(!text.contains('@'), "a mark of the template is left");
    }
}
