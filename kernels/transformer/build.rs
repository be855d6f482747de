//! Lets the object be linked on a machine without CUDA: the libraries that it will find
//! in the process that opens it are stood in for by empty ones of the same names, which
//! it does not come to need.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// What candle's feature `cuda` links.
const LIBRARIES: [&str; 7] = [
    "cuda", "cudart", "cublas", "cublasLt", "curand", "nvrtc", "cudnn",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let empty = out.join("empty.c");
    fs::write(&empty, "")?;
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    for name in LIBRARIES {
        let library = out.join(format!("lib{name}.so"));
        let status = Command::new(&compiler)
            .args(["-shared", "-o"])
            .arg(&library)
            .arg(&empty)
            .status()?;
        if !status.success() {
            return Err(format!("{compiler} makes no shared object").into());
        }
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    // Names are found when the object is opened; a library of which none was found at
    // link time is not written down as needed.
    println!("cargo:rustc-cdylib-link-arg=-Wl,--as-needed,--unresolved-symbols=ignore-all");
    Ok(())
}
