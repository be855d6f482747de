//! Builds the emulation of the CUDA driver from the kernels and `emulation/*.cpp`.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // A new kernel is named there.
    println!("cargo:rerun-if-changed=../lib.rs");
    println!("cargo:rerun-if-changed=.");
    println!("cargo:rerun-if-env-changed=CXX");
    println!("cargo:rerun-if-env-changed=LONGTAKE_EMULATION_FLAGS");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Ok(());
    }
    let out = env::var("OUT_DIR")?;
    let source = Path::new(&out).join("kernels.cpp");
    let kernels = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..");
    fs::write(&source, list(&kernels)?)?;
    let compiler = env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
    let mut command = Command::new(&compiler);
    command
        .args(["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared"])
        .args([
            "-fvisibility=hidden",
            "-Wall",
            "-Wextra",
            "-Wno-unused-function",
            "-Wno-unknown-pragmas",
        ])
        // Kernels read four numbers at once through a wider type.
        .args(["-fno-strict-aliasing", "-DLONGTAKE_EMULATION"])
        .args(["-Wl,-soname,libcuda.so.1"])
        .arg("-I")
        .arg(&kernels)
        .args(
            env::var("LONGTAKE_EMULATION_FLAGS")
                .unwrap_or_default()
                .split_whitespace(),
        )
        .arg(&source)
        .args(
            ["grid.cpp", "queue.cpp", "memory.cpp", "driver.cpp"]
                .map(|f| kernels.join("emulation").join(f)),
        )
        .arg("-o")
        .arg(Path::new(&out).join("libcuda.so.1"));
    match command.status() {
        Err(_) => println!(
            "cargo:warning={compiler} is not there: the kernels are not run on the CPU either"
        ),
        Ok(status) if !status.success() => {
            return Err(
                "the kernels do not compile for the CPU; the messages above say why".into(),
            );
        }
        Ok(_) => {
            let out = Path::new(&out);
            // As a driver is installed: one library by two names.
            let link = out.join("libcuda.so");
            let _ = fs::remove_file(&link);
            #[cfg(unix)]
            std::os::unix::fs::symlink("libcuda.so.1", link)?;
            let out = out.display();
            println!("cargo:rustc-env=LONGTAKE_EMULATION_FOLDER={out}");
        }
    }
    Ok(())
}

/// A source that includes all kernels and lists them.
fn list(kernels: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut files: Vec<_> = fs::read_dir(kernels)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let is = |path: &Path, kind: &str| path.extension().is_some_and(|e| e == kind);
    for file in files.iter().filter(|f| is(f, "cu") || is(f, "cuh")) {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    files.retain(|f| is(f, "cu"));
    let (mut includes, mut table) = (String::new(), String::new());
    for file in files {
        let text = fs::read_to_string(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        writeln!(includes, "#include \"{name}\"")?;
        let waits = text.contains("__sync") || text.contains("reduce.cuh");
        for rest in text.split("KERNEL void ").skip(1) {
            // How many threads a block has at most is said in front of the name.
            let bounds = rest.strip_prefix("__launch_bounds__");
            let behind = bounds.and_then(|rest| rest.split_once(')'));
            let rest = behind.map_or(rest, |(_, rest)| rest.trim_start());
            let kernel: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            writeln!(
                table,
                "    {{\"{kernel}\", Call<&{kernel}>::with, {waits}, Call<&{kernel}>::size}},"
            )?;
        }
    }
    Ok(format!(
        "#include \"emulation/grid.h\"\n{includes}namespace emulation {{\n\
         const Kernel kernels[] = {{\n{table}}};\n\
         const unsigned kernel_count = sizeof kernels / sizeof *kernels;\n}}\n"
    ))
}
