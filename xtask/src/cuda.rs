//! `cargo xtask cuda`: builds the shared object with the transformer for NVIDIA GPUs
//! (`kernels/transformer`), with nvcc from the path or from PyPI. No GPU is needed. It
//! takes some ten minutes of a processor, so no other command does it by itself.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{bundle, kernels};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The object's file.
pub const NAME: &str = "liblongtake_transformer.so";
/// What PTX is made for; drivers of newer GPUs compile it once more.
const COMPUTE: &str = "80";

/// Builds the object; `on_cpu` without CUDA, for tests of what crosses to it.
pub fn cuda(on_cpu: bool) -> Result<String> {
    let root = bundle::root()?;
    let target = bundle::target(&root).join(if on_cpu { "transformer" } else { "cuda" });
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root.join("kernels/transformer"))
        .args(["build", "--locked"])
        .env("CARGO_TARGET_DIR", &target);
    let profile = if on_cpu {
        command.args(["--no-default-features", "--features", "on-cpu"]);
        "debug"
    } else {
        command.arg("--release");
        // The first looks for a compiler; then they are compiled unless they are.
        kernels::find(&root, true)?;
        println!("{}", kernels::kernels(false)?);
        with_nvcc(&mut command, &root)?;
        "release"
    };
    if !command.status()?.success() {
        return Err("the object did not build; the message above says why".into());
    }
    let built = target.join(profile).join(NAME);
    if !on_cpu {
        check(&built)?;
    }
    let object = target.join(NAME);
    fs::copy(&built, &object)?;
    Ok(object.display().to_string())
}

/// The object, where it was built.
pub fn built(root: &Path) -> Option<PathBuf> {
    let object = bundle::target(root).join("cuda").join(NAME);
    object.is_file().then_some(object)
}

/// Lets candle's build find nvcc and its headers.
fn with_nvcc(command: &mut Command, root: &Path) -> Result<()> {
    let Some(compiler) = kernels::find(root, true)? else {
        return Err("there is no nvcc here, and none could be fetched from PyPI".into());
    };
    if let Some(home) = compiler.include.as_deref().and_then(Path::parent) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [home.join("bin")].into_iter();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)))?;
        command.env("PATH", path);
        for name in [
            "CUDA_HOME",
            "CUDA_PATH",
            "CUDA_ROOT",
            "CUDA_TOOLKIT_ROOT_DIR",
        ] {
            command.env(name, home);
        }
    }
    command
        .env("CUDA_COMPUTE_CAP", COMPUTE)
        .env("NVCC_CCBIN", "g++");
    Ok(())
}

/// Fails where the object names a library of CUDA as needed: it would not be opened
/// where there is none, to say so.
fn check(object: &Path) -> Result<()> {
    let output = Command::new("readelf").arg("-d").arg(object).output()?;
    let text = String::from_utf8(output.stdout)?;
    let needed = text.lines().filter(|l| l.contains("(NEEDED)"));
    match needed
        .clone()
        .find(|l| l.contains("libcu") || l.contains("libnv"))
    {
        _ if !output.status.success() || needed.count() == 0 => {
            Err(format!("{} cannot be looked at", object.display()).into())
        }
        Some(line) => Err(format!("the object needs CUDA: {}", line.trim()).into()),
        None => Ok(()),
    }
}
