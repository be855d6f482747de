//! A running ffmpeg that sends frames through a pipe.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::frame::FrameError;
use crate::frame::file::MAX_SAMPLES;

/// A frame as it comes through the pipe.
pub(super) struct Raw {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bytes: Vec<u8>,
}

/// A running ffmpeg and the number of the frame that it sends next.
pub(super) struct Decoder {
    child: Child,
    out: BufReader<ChildStdout>,
    errors: Option<File>,
    pub(super) next: i32,
}

impl Decoder {
    pub(super) fn start(path: &Path, mut command: Command) -> Result<Self, FrameError> {
        // A file, since a pipe that nobody empties would stop ffmpeg.
        let errors = tempfile::tempfile().ok();
        let theirs = errors.as_ref().and_then(|f| f.try_clone().ok());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(theirs.map_or_else(Stdio::null, Stdio::from))
            .spawn()
            .map_err(|e| not_started(path, "ffmpeg", &e))?;
        let Some(out) = child.stdout.take() else {
            return Err(FrameError::File {
                path: path.to_owned(),
                message: "ffmpeg gave no pipe to read from; try again".to_owned(),
            });
        };
        Ok(Self {
            child,
            out: BufReader::with_capacity(1 << 20, out),
            errors,
            next: 1,
        })
    }

    /// The next frame, or `None` where there are no more.
    pub(super) fn frame(&mut self) -> Option<Raw> {
        let (mut width, mut height, mut depth, mut maxval) = (0usize, 0usize, 0usize, 0usize);
        let mut line = String::new();
        loop {
            line.clear();
            if self.out.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let mut words = line.split_ascii_whitespace();
            let (key, value) = (words.next()?, words.next().and_then(|v| v.parse().ok()));
            match key {
                "WIDTH" => width = value?,
                "HEIGHT" => height = value?,
                "DEPTH" => depth = value?,
                "MAXVAL" => maxval = value?,
                "ENDHDR" => break,
                _ => {}
            }
        }
        let size = width
            .checked_mul(height)?
            .checked_mul(depth)
            .filter(|&n| n <= MAX_SAMPLES)?
            * if maxval > 255 { 2 } else { 1 };
        let mut bytes = vec![0; size];
        self.out.read_exact(&mut bytes).ok()?;
        self.next += 1;
        Some(Raw {
            width,
            height,
            bytes,
        })
    }

    /// What ffmpeg said last, and whether it did not know our option.
    pub(super) fn last_words(mut self) -> (String, bool) {
        let mut said = Vec::new();
        if let Some(errors) = &mut self.errors
            && let Ok(length) = errors.seek(SeekFrom::End(0))
            && errors
                .seek(SeekFrom::Start(length.saturating_sub(2000)))
                .is_ok()
        {
            // Whatever could be read is better than nothing.
            let _ = errors.read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        let unknown = said.contains("fps_mode");
        let last = said.lines().rev().find(|l| !l.trim().is_empty());
        (
            last.map_or(String::new(), |l| format!("; ffmpeg says: {}", l.trim())),
            unknown,
        )
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path as ffmpeg takes it, never for an option or a protocol.
pub(super) fn source(path: &Path) -> OsString {
    let mut source = OsString::from("file:");
    source.push(path);
    source
}

pub(super) fn not_started(path: &Path, program: &'static str, error: &io::Error) -> FrameError {
    if error.kind() == io::ErrorKind::NotFound {
        FrameError::NoProgram {
            path: path.to_owned(),
            program,
        }
    } else {
        FrameError::File {
            path: path.to_owned(),
            message: format!("{program} could not be started ({error}); check its installation"),
        }
    }
}
