//! A folder to work in, plates of real footage, and the real binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;
use tempfile::TempDir;

/// The footage that comes with the project.
pub const FOOTAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/plates/stream-of-water.mp4"
);

/// What a run of the binary came to.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The JSON lines on standard output.
    pub fn events(&self) -> Vec<Json> {
        self.stdout
            .lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}")))
            .collect()
    }

    /// The events of one name.
    pub fn events_of(&self, name: &str) -> Vec<Json> {
        let mut events = self.events();
        events.retain(|e| e["event"] == name);
        events
    }
}

/// A folder of its own with a store of its own.
pub struct Work {
    dir: TempDir,
}

impl Work {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with `args`, in the folder, not yet started.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longtake"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("LONGTAKE_STORE", self.path("store"))
            .env_remove("OCIO")
            .stdin(Stdio::null());
        command
    }

    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Outcome {
        let output = self.command(args).output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `generate` with words parted at spaces and one plan, which takes
    /// seconds; it must succeed.
    pub fn generate(&self, line: &str) -> Outcome {
        let words: Vec<&str> = ["generate"]
            .into_iter()
            .chain(line.split_whitespace())
            .chain(["--plans", "1"])
            .collect();
        let out = self.run(&words);
        assert_eq!(out.code, 0, "generate {line}\n{}{}", out.stdout, out.stderr);
        out
    }

    /// The files of the folder `name`, by name.
    pub fn files(&self, name: &str) -> Vec<String> {
        files(&self.path(name))
    }

    /// The bytes of file `name`.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|d| {
            d.map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// The footage's first 48 frames, 120 by 90, as PNG numbered from 1001, made
/// once for all tests; gives `folder/plate.####.png`.
pub fn plate() -> String {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-i", FOOTAGE])
            .args(["-vf", "scale=120:90", "-frames:v", "48"])
            .args(["-start_number", "1001"])
            .arg(folder.path().join("plate.%04d.png"))
            .status()
            .expect("ffmpeg is needed: ./test.sh installs it");
        assert!(status.success());
        folder
    });
    format!("{}/plate.####.png", folder.path().display())
}

/// A copy of the [`plate`] in `folder` of `work`, to be spoilt; gives its
/// pattern.
pub fn copied_plate(work: &Work, folder: &str) -> String {
    let to = work.path(folder);
    std::fs::create_dir_all(&to).unwrap();
    let pattern = plate();
    let from = Path::new(&pattern).parent().unwrap();
    for name in files(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
    format!("{folder}/plate.####.png")
}
