//! Builds the headless OpenFX host of `tests/host` and the example plug-ins of
//! the OpenFX Support library, into `target/host`.
//!
//! The OpenFX sources come from the package `openfx-sys`, found with cargo's
//! metadata. A file is compiled again only where it, a header that it includes
//! or its command changed, so a rebuild takes no time.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cargo_metadata::MetadataCommand;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What Debian calls the packages that the host is built with.
const PACKAGES: &str = "g++ libexpat1-dev libopenexr-dev libpng-dev";

/// Example plug-ins of the Support library that the host is tried on: folder
/// and sources.
const EXAMPLES: [(&str, &[&str]); 6] = [
    ("Invert", &["invert.cpp"]),
    ("Basic", &["basic.cpp"]),
    ("Generator", &["noise.cpp"]),
    ("Retimer", &["retimer.cpp"]),
    ("Transition", &["crossFade.cpp"]),
    (
        "MultiBundle",
        &[
            "PluginRegistration.cpp",
            "multibundle1.cpp",
            "multibundle2.cpp",
        ],
    ),
];

/// A source file, what it is compiled to and the flags that do it.
struct Unit {
    source: PathBuf,
    object: PathBuf,
    flags: Vec<String>,
}

/// Builds what is stale and returns the path of the host.
pub fn build() -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .or_else(|_| MetadataCommand::new().exec())?;
    let root = metadata.workspace_root.clone().into_std_path_buf();
    let out = metadata.target_directory.join("host").into_std_path_buf();
    let openfx = metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == "openfx-sys")
        .and_then(|p| Some(p.manifest_path.parent()?.join("openfx")))
        .ok_or("the package openfx-sys is missing: run `cargo fetch`")?
        .into_std_path_buf();

    let mut units = Vec::new();
    let include = [
        format!("-I{}", openfx.join("include").display()),
        format!("-I{}", openfx.join("HostSupport/include").display()),
    ];
    // The library predates C++17 and leans on what old compilers let pass.
    let library = flags(
        &[
            "-std=gnu++14",
            "-O1",
            "-g",
            "-w",
            "-fpermissive",
            "-include",
            "cstring",
        ],
        &include,
    );
    let mut host = Vec::new();
    for source in sources(&openfx.join("HostSupport/src"))? {
        // tests/host/binary.cpp stands in for it, to see each call.
        if source.ends_with("ofxhBinary.cpp") {
            continue;
        }
        host.push(add(&mut units, source, &out.join("obj/support"), &library));
    }
    let own = flags(
        &[
            "-std=gnu++14",
            "-O1",
            "-g",
            "-Wall",
            "-Wextra",
            "-include",
            "cstring",
            "-I/usr/include/OpenEXR",
            "-I/usr/include/Imath",
        ],
        &include.clone().map(|i| i.replacen("-I", "-isystem", 1)),
    );
    for source in sources(&root.join("tests/host"))? {
        host.push(add(&mut units, source, &out.join("obj/host"), &own));
    }

    let support = flags(
        &[
            "-std=gnu++14",
            "-O1",
            "-w",
            "-fPIC",
            "-fvisibility=hidden",
            "-fpermissive",
            "-include",
            "cstring",
        ],
        &[
            include[0].clone(),
            format!("-I{}", openfx.join("Support/include").display()),
            format!("-I{}", openfx.join("Support/Plugins/include").display()),
            format!("-I{}", openfx.join("Support/Library").display()),
        ],
    );
    let mut shared = Vec::new();
    for source in sources(&openfx.join("Support/Library"))? {
        shared.push(add(&mut units, source, &out.join("obj/library"), &support));
    }
    let mut plugins = Vec::new();
    for (name, files) in EXAMPLES {
        let folder = openfx.join("Support/Plugins").join(name);
        let mut objects = shared.clone();
        for file in files {
            objects.push(add(
                &mut units,
                folder.join(file),
                &out.join("obj").join(name),
                &support,
            ));
        }
        plugins.push((bundled(&out, name), objects));
    }

    let rude = add(
        &mut units,
        root.join("tests/host/rude/rude.cpp"),
        &out.join("obj/rude"),
        &support,
    );
    plugins.push((bundled(&out, "Rude"), vec![rude]));

    compile(&units)?;
    let program = out.join("longtake-host");
    link(
        &program,
        &host,
        &[
            "-lOpenEXR",
            "-lIex",
            "-lImath",
            "-lpng",
            "-lexpat",
            "-ldl",
            "-lpthread",
        ],
    )?;
    for (binary, objects) in &plugins {
        link(binary, objects, &["-shared"])?;
    }
    Ok(program)
}

/// Where the plug-in called `name` lies in its bundle.
fn bundled(out: &Path, name: &str) -> PathBuf {
    out.join(format!(
        "examples/{name}.ofx.bundle/Contents/Linux-x86-64/{name}.ofx"
    ))
}

/// The slow check: the bundle in the host under valgrind.
pub fn valgrind() -> Result<()> {
    let found = Command::new("valgrind").arg("--version").output();
    if !found.is_ok_and(|o| o.status.success()) {
        return Err("valgrind is missing: install the package valgrind".into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--test", "ofx", "valgrind", "--", "--ignored"])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("valgrind found errors; the output above has them".into())
    }
}

fn flags(words: &[&str], more: &[String]) -> Vec<String> {
    words
        .iter()
        .map(|w| (*w).to_owned())
        .chain(more.iter().cloned())
        .collect()
}

/// The C++ files in `folder`, by name.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "cpp"))
        .collect();
    files.sort();
    Ok(files)
}

/// Adds a unit and returns its object file.
fn add(units: &mut Vec<Unit>, source: PathBuf, folder: &Path, flags: &[String]) -> PathBuf {
    let name = source.file_stem().unwrap_or_default();
    let object = folder.join(name).with_extension("o");
    units.push(Unit {
        source,
        object: object.clone(),
        flags: flags.to_vec(),
    });
    object
}

/// Compiles the stale units on as many threads as there are processors.
fn compile(units: &[Unit]) -> Result<()> {
    let stale: Vec<&Unit> = units.iter().filter(|u| !is_fresh(u)).collect();
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(unit) = stale.get(next.fetch_add(1, Ordering::Relaxed)) {
                        compile_one(unit)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for handle in handles {
            handle.join().map_err(|_| "a compile thread panicked")??;
        }
        Ok(())
    })
}

fn compile_one(unit: &Unit) -> Result<()> {
    if let Some(folder) = unit.object.parent() {
        fs::create_dir_all(folder)?;
    }
    run(Command::new(compiler())
        .args(&unit.flags)
        .args(["-MMD", "-c"])
        .arg(&unit.source)
        .arg("-o")
        .arg(&unit.object))?;
    fs::write(unit.object.with_extension("flags"), unit.flags.join("\n"))?;
    Ok(())
}

/// Whether the object file is newer than all that it was made from.
fn is_fresh(unit: &Unit) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let Some(made) = modified(&unit.object) else {
        return false;
    };
    let same = fs::read_to_string(unit.object.with_extension("flags"))
        .is_ok_and(|old| old == unit.flags.join("\n"));
    let Ok(depends) = fs::read_to_string(unit.object.with_extension("d")) else {
        return false;
    };
    let files = depends.split_once(": ").map_or("", |(_, files)| files);
    same && files
        .split_whitespace()
        .filter(|word| *word != "\\")
        .all(|file| modified(Path::new(file)).is_some_and(|time| time < made))
}

/// Links `objects` into `target` where one of them is newer.
fn link(target: &Path, objects: &[PathBuf], more: &[&str]) -> Result<()> {
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if let Some(made) = modified(target)
        && objects
            .iter()
            .all(|o| modified(o).is_some_and(|time| time < made))
    {
        return Ok(());
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    run(Command::new(compiler())
        .args(objects)
        .args(more)
        .arg("-o")
        .arg(target))
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|e| format!("{:?}: {e}; install {PACKAGES}", command.get_program()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed; it needs {PACKAGES}").into())
    }
}
