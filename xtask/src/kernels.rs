//! `cargo xtask kernels`: compiles the CUDA kernels for every kind of GPU that they
//! are for, tells what each takes, and lays them where the next build finds them.
//! Needs no GPU, and no CUDA on the machine: nvcc comes from the path or from PyPI.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bundle;

#[path = "../../kernels/sources.rs"]
mod sources;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Compute capabilities that machine code is made for; newer GPUs get PTX of the last.
const KINDS: [&str; 3] = ["80", "89", "90"];
/// What nvcc is made of on PyPI.
const PACKAGES: [&str; 5] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
];

/// nvcc and the folder of its headers.
pub struct Compiler {
    program: PathBuf,
    /// None where nvcc finds them itself.
    pub include: Option<PathBuf>,
}

/// Compiles all kernels; fetches nvcc where there is none and `fetch` allows it.
pub fn kernels(fetch: bool) -> Result<String> {
    let root = bundle::root()?;
    let folder = root.join("kernels");
    let built = folder.join("built");
    let stamp = sources::stamp(&folder)?;
    let names = sources::kernels(&folder)?;
    let is_current = fs::read_to_string(built.join("sources")).is_ok_and(|s| s.trim() == stamp);
    if is_current && !fetch {
        return Ok(format!(
            "{} files of kernels are compiled already",
            names.len()
        ));
    }
    let Some(compiler) = find(&root, fetch)? else {
        return Ok(
            "there is no nvcc here, so this build works on the CPU alone; \
             `cargo xtask kernels` fetches one from PyPI"
                .to_owned(),
        );
    };
    println!(
        "{:28} {:>5} {:>9} {:>7} {:>7}",
        "kernel", "GPU", "registers", "shared", "spilled"
    );
    for name in &names {
        compile(&compiler, &folder, name, &built)?;
    }
    let fresh = built.join("sources.new");
    fs::write(&fresh, format!("{stamp}\n"))?;
    replace(&fresh, &built.join("sources"))?;
    let bytes: u64 = names
        .iter()
        .filter_map(|n| fs::metadata(built.join(format!("{n}.fatbin"))).ok())
        .map(|m| m.len())
        .sum();
    let count = names.len();
    Ok(format!(
        "{count} files of kernels for sm_80, sm_89, sm_90 and PTX, {} KB",
        bytes >> 10
    ))
}

/// nvcc of the path, or of `target/nvcc`, or fetched into it.
pub fn find(root: &Path, fetch: bool) -> Result<Option<Compiler>> {
    if let Ok(output) = Command::new("nvcc").arg("--version").output()
        && output.status.success()
    {
        let (program, include) = ("nvcc".into(), None);
        return Ok(Some(Compiler { program, include }));
    }
    let home = bundle::target(root).join("nvcc");
    if fetch && !installed(&home).is_some_and(|c| c.program.is_file()) {
        println!("fetching nvcc from PyPI into {}", home.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let pip = home.join("bin/pip");
        run(Command::new(pip)
            .args(["install", "--quiet"])
            .args(PACKAGES))?;
    }
    Ok(installed(&home))
}

/// nvcc as the packages lay it down.
fn installed(home: &Path) -> Option<Compiler> {
    for entry in fs::read_dir(home.join("lib")).ok()?.flatten() {
        let cuda = entry.path().join("site-packages/nvidia/cu13");
        let program = cuda.join("bin/nvcc");
        if program.is_file() {
            let include = Some(cuda.join("include"));
            return Some(Compiler { program, include });
        }
    }
    None
}

fn run(command: &mut Command) -> Result<()> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}").into()),
        Err(error) => Err(format!("{command:?}: {error}").into()),
    }
}

fn compile(compiler: &Compiler, folder: &Path, name: &str, built: &Path) -> Result<()> {
    let mut command = Command::new(&compiler.program);
    command
        .current_dir(folder)
        // No product is fused with a sum: the bits are those of the CPU twins.
        .args([
            "-std=c++17",
            "-O3",
            "--fmad=false",
            "-ccbin",
            "g++",
            "-fatbin",
        ])
        .args([
            "-Xptxas",
            "-v",
            "-Xfatbin=-compress-all",
            "-Werror=all-warnings",
        ]);
    if let Some(include) = &compiler.include {
        command.arg("-I").arg(include);
    }
    for (i, kind) in KINDS.iter().enumerate() {
        let code = match i + 1 == KINDS.len() {
            true => format!("[sm_{kind},compute_{kind}]"),
            false => format!("sm_{kind}"),
        };
        command.args(["-gencode", &format!("arch=compute_{kind},code={code}")]);
    }
    let fresh = built.join(format!("{name}.new"));
    command.arg("-o").arg(&fresh).arg(format!("{name}.cu"));
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{name}.cu does not compile:\n{said}").into());
    }
    replace(&fresh, &built.join(format!("{name}.fatbin")))?;
    for row in report(&said) {
        println!(
            "{:28} {:>5} {:>9} {:>7} {:>7}",
            row.kernel, row.kind, row.registers, row.shared, row.spilled
        );
    }
    Ok(())
}

/// Moves `fresh` to `old`, unless they are equal: what is old is not built again.
fn replace(fresh: &Path, old: &Path) -> Result<()> {
    if fs::read(old).is_ok_and(|o| fs::read(fresh).is_ok_and(|f| f == o)) {
        fs::remove_file(fresh)?;
    } else {
        fs::rename(fresh, old)?;
    }
    Ok(())
}

/// What a kernel takes of a kind of GPU.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    kernel: String,
    kind: String,
    registers: u32,
    /// Bytes of shared memory.
    shared: u32,
    /// Bytes that are written for want of registers.
    spilled: u32,
}

/// What ptxas told, kernel by kernel.
fn report(said: &str) -> Vec<Row> {
    let before = |line: &str, mark: &str| -> u32 {
        let text = line.split(mark).next().unwrap_or_default();
        let number = text.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next();
        number.and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let mut rows: Vec<Row> = Vec::new();
    for line in said.lines() {
        let mut quoted = line.split('\'').skip(1).step_by(2);
        if line.contains("Compiling entry function")
            && let (Some(kernel), Some(kind)) = (quoted.next(), quoted.next())
        {
            rows.push(Row {
                kernel: kernel.to_owned(),
                kind: kind.to_owned(),
                registers: 0,
                shared: 0,
                spilled: 0,
            });
        } else if let Some(row) = rows.last_mut() {
            if line.contains(" bytes spill stores") {
                row.spilled = before(line, " bytes spill stores");
            } else if line.contains("Used ") {
                row.registers = before(line, " registers");
                if line.contains(" bytes smem") {
                    row.shared = before(line, " bytes smem");
                }
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ptxas_tells_is_read() {
        let said = "ptxas info    : 0 bytes gmem\n\
            ptxas info    : Compiling entry function 'noise' for 'sm_80'\n\
            ptxas info    : Function properties for noise\n\
            \x20   0 bytes stack frame, 16 bytes spill stores, 8 bytes spill loads\n\
            ptxas info    : Used 38 registers, used 1 barriers, 1024 bytes smem, 400 bytes cmem[0]\n";
        let row = Row {
            kernel: "noise".to_owned(),
            kind: "sm_80".to_owned(),
            registers: 38,
            shared: 1024,
            spilled: 16,
        };
        assert_eq!(report(said), [row]);
    }
}
