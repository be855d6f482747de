//! Runs the headless OpenFX host of `tests/host` as a process of its own, and
//! makes plates for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use exr::prelude::{self as ex, WritableImage};
use serde_json::Value;
use tempfile::TempDir;

pub mod plate;

/// Cargo's folder for what is built.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Runs a chore of the project once. Cargo holds no lock while tests run.
fn xtask(args: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("xtask")
        .args(args)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(
        status.success(),
        "`cargo xtask {}` failed; its message above says what it needs",
        args.join(" ")
    );
}

/// The host: `$LONGTAKE_HOST`, else built where it is stale.
pub fn host_program() -> &'static Path {
    static HOST: OnceLock<PathBuf> = OnceLock::new();
    HOST.get_or_init(|| match std::env::var_os("LONGTAKE_HOST") {
        Some(path) => path.into(),
        None => {
            xtask(&["host"]);
            target().join("host/longtake-host")
        }
    })
}

/// The folder with the Support library's example plug-ins.
pub fn examples() -> PathBuf {
    host_program().parent().unwrap().join("examples")
}

/// The folder with the bundle: `$LONGTAKE_BUNDLE`, else built where it is stale.
pub fn bundle_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| match std::env::var_os("LONGTAKE_BUNDLE") {
        Some(path) => path.into(),
        None => {
            xtask(&["bundle", "--debug"]);
            target().join("bundle")
        }
    })
}

/// A run of the host, being put together.
pub struct Host {
    args: Vec<OsString>,
    env: BTreeMap<String, String>,
    folder: TempDir,
    wrapper: Vec<String>,
}

impl Host {
    /// The host with the plug-ins of `folder`, behaving as `like` does. Its
    /// store is empty.
    pub fn new(folder: &Path, like: &str) -> Self {
        let args = [
            "--like".into(),
            like.into(),
            "--path".into(),
            folder.as_os_str().to_owned(),
        ];
        let temp = tempfile::tempdir().unwrap();
        let store = temp.path().join("store").to_str().unwrap().to_owned();
        Self {
            args: args.to_vec(),
            env: BTreeMap::from([("LONGTAKE_STORE".to_owned(), store)]),
            folder: temp,
            wrapper: Vec::new(),
        }
    }

    /// The host with one of the examples.
    pub fn example(plugin: &str) -> Self {
        Self::new(&examples(), "plain").opt("plugin", plugin)
    }

    /// The host with our bundle.
    pub fn longtake(like: &str) -> Self {
        Self::new(bundle_folder(), like)
    }

    /// Adds a step with a value.
    pub fn opt(mut self, name: &str, value: impl ToString) -> Self {
        self.args.push(format!("--{name}").into());
        self.args.push(value.to_string().into());
        self
    }

    /// Adds a step without a value.
    pub fn flag(mut self, name: &str) -> Self {
        self.args.push(format!("--{name}").into());
        self
    }

    /// Connects a plate to a clip.
    pub fn clip(self, name: &str, plate: &plate::Plate) -> Self {
        self.opt("clip", format!("{name}={}", plate.spec()))
    }

    /// Sets a parameter.
    pub fn set(self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        self.opt("set", format!("{name}={value}"))
    }

    /// Sets a parameter to bytes that need not be a text.
    pub fn raw_set(mut self, name: &str, value: &[u8]) -> Self {
        let mut bytes = format!("{name}=").into_bytes();
        bytes.extend(value);
        self.args.push("--set".into());
        self.args.push(OsString::from_vec(bytes));
        self
    }

    /// Sets a variable of the host's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs the host under another program.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Renders frames; their pixels can be had from the [`Run`].
    pub fn render(self, frames: &str) -> Self {
        self.opt("render", frames)
    }

    /// Renders frames and keeps them as EXR under `name`.
    pub fn keep(self, name: &str, frames: &str) -> Self {
        let pattern = self.folder.path().join(format!("{name}.####.exr"));
        let pattern = pattern.to_str().unwrap().to_owned();
        self.opt("out", pattern).render(frames).opt("out", "")
    }

    /// Runs the host.
    pub fn run(self) -> Run {
        let mut command = match self.wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(host_program());
                command
            }
            None => Command::new(host_program()),
        };
        let output = command
            .args(&self.args)
            .envs(&self.env)
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}; run ./test.sh", host_program().display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Run {
            events: text
                .lines()
                .filter_map(|l| serde_json::from_str(l).ok())
                .collect(),
            code: output.status.code(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: self
                .args
                .iter()
                .map(|a| a.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            folder: self.folder,
        }
    }
}

/// What a run of the host told.
pub struct Run {
    /// The lines.
    pub events: Vec<Value>,
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to the standard error.
    pub errors: String,
    command: String,
    folder: TempDir,
}

impl Run {
    /// The lines of one kind.
    pub fn all(&self, event: &str) -> Vec<&Value> {
        self.events.iter().filter(|e| e["event"] == event).collect()
    }

    /// The one line of a kind.
    pub fn one(&self, event: &str) -> &Value {
        let all = self.all(event);
        assert_eq!(all.len(), 1, "{event}: {self:?}");
        all[0]
    }

    /// What the plug-in did that no plug-in may.
    pub fn faults(&self) -> Vec<String> {
        self.all("fault")
            .iter()
            .map(|f| f["what"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The texts of all messages.
    pub fn messages(&self) -> Vec<String> {
        self.all("message")
            .iter()
            .map(|m| m["text"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Asserts that the host ended well and found no fault.
    pub fn sound(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.faults(), Vec::<String>::new(), "{self:?}");
        self
    }

    /// Asserts that all is sound and that each frame was rendered.
    pub fn good(self) -> Self {
        let run = self.sound();
        let frames = run.all("frame");
        assert!(!frames.is_empty(), "{run:?}");
        for frame in frames {
            assert_eq!(frame["status"], "OK", "{frame} {run:?}");
        }
        run
    }

    /// The hash of each frame's pixels, by frame; a frame that was rendered
    /// more than once must have had one hash only.
    pub fn hashes(&self) -> BTreeMap<i64, String> {
        let mut found = BTreeMap::new();
        for frame in self.all("frame") {
            let number = frame["frame"].as_f64().unwrap() as i64;
            let hash = frame["hash"].as_str().unwrap_or("none").to_owned();
            let old = found.insert(number, hash.clone());
            assert!(
                old.is_none_or(|o| o == hash),
                "frame {number} differs from itself: {self:?}"
            );
        }
        found
    }

    /// A frame that was kept under `name`: rows from the top, four floats a
    /// pixel, 0 where the output has no such channel.
    pub fn frame(&self, name: &str, number: i32) -> plate::Frame {
        let path = self.folder.path().join(format!("{name}.{number:04}.exr"));
        plate::Frame::read(&path).unwrap_or_else(|e| panic!("{}: {e}: {self:?}", path.display()))
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\nlongtake-host {}\nexit {:?}", self.command, self.code)?;
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        write!(f, "{}", self.errors)
    }
}

/// Writes `frame` as float EXR.
pub fn write_exr(path: &Path, frame: &plate::Frame) {
    let size = [frame.width, frame.height];
    write_window(path, frame, [0, 0], size, 1.0);
}

/// Writes `frame` as float EXR, `at` (left, top) of a `format` whose pixels are
/// `aspect` times as wide as high.
pub fn write_window(
    path: &Path,
    frame: &plate::Frame,
    at: [usize; 2],
    format: [usize; 2],
    aspect: f32,
) {
    let (w, h) = (frame.width, frame.height);
    let pixel = |p: ex::Vec2<usize>| {
        let i = (p.y() * w + p.x()) * 4;
        (
            frame.rgba[i],
            frame.rgba[i + 1],
            frame.rgba[i + 2],
            frame.rgba[i + 3],
        )
    };
    let mut image = ex::Image::from_channels((w, h), ex::SpecificChannels::rgba(pixel));
    image.layer_data.attributes.layer_position = ex::Vec2(at[0] as i32, at[1] as i32);
    image.attributes.display_window.size = ex::Vec2(format[0], format[1]);
    image.attributes.pixel_aspect = aspect;
    image.write().to_file(path).unwrap();
}
