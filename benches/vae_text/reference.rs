//! The process that runs torch.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Cost, Failure};

pub struct Torch {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

pub fn start(python: &Path, folder: &Path, threads: usize) -> Result<Torch, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/vae_text/reference.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(folder)
        .arg(threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes to python".into());
    };
    Ok(Torch {
        child,
        to,
        from: BufReader::new(from),
    })
}

impl Torch {
    /// Runs one task.
    pub fn run(&mut self, line: &str) -> Result<Cost, Failure> {
        writeln!(self.to, "{line}")?;
        let mut answer = String::new();
        self.from.read_line(&mut answer)?;
        let numbers: Vec<f64> = answer
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [cpu, wall, memory] = numbers[..] else {
            return Err(format!("python ended at {line:?}").into());
        };
        Ok(Cost { cpu, wall, memory })
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
