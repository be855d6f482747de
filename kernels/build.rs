//! Puts the kernels that `cargo xtask kernels` compiled into the library, if they are
//! those of these sources; without them the build is whole and works on the CPU.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

#[path = "sources.rs"]
mod sources;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = env::var("CARGO_MANIFEST_DIR")?;
    let here = Path::new(&here);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=sources.rs");
    println!("cargo:rerun-if-changed=built");
    for file in sources::files(here)? {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let built = here.join("built");
    let mut list = String::from("&[\n");
    let stamp = fs::read_to_string(built.join("sources")).unwrap_or_default();
    if stamp.trim() == sources::stamp(here)? {
        for kernel in sources::kernels(here)? {
            let image = built.join(format!("{kernel}.fatbin"));
            writeln!(list, "    ({kernel:?}, include_bytes!({image:?})),")?;
        }
    } else if !stamp.is_empty() {
        println!(
            "cargo:warning=the kernels changed since they were compiled, so this build works on the CPU alone: run `cargo xtask kernels`"
        );
    }
    list.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("images.rs"), list)?;
    Ok(())
}
