//! What ffprobe tells of a movie.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::Movie;
use super::decoder::{not_started, source};
use crate::frame::FrameError;
use crate::frame::file::time_code::{self, TimeCode};

/// What ffprobe tells of a movie's first video stream.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Stream {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pix_fmt: Option<String>,
    pub(super) sample_aspect_ratio: Option<String>,
    pub(super) color_space: Option<String>,
    pub(super) r_frame_rate: Option<String>,
    pub(super) avg_frame_rate: Option<String>,
    pub(super) nb_frames: Option<String>,
    pub(super) nb_read_packets: Option<String>,
    pub(super) nb_read_frames: Option<String>,
    field_order: Option<String>,
    #[serde(default)]
    tags: Tags,
}

/// What the makers of a movie wrote beside it.
#[derive(Clone, Debug, Default, Deserialize)]
struct Tags {
    timecode: Option<String>,
}

/// What ffprobe tells of the file as a whole.
#[derive(Debug, Default, Deserialize)]
struct Format {
    #[serde(default)]
    tags: Tags,
}

impl Movie {
    /// Whether two moments share each frame, field by field.
    pub(in crate::frame::file) fn is_interlaced(&self) -> bool {
        let order = self.stream.field_order.as_deref();
        matches!(order, Some("tt" | "bb" | "tb" | "bt"))
    }

    /// The time code of the first frame at `fps` frames a second, where the movie has one.
    pub(in crate::frame::file) fn time_code(&self, fps: Option<f64>) -> Option<TimeCode> {
        time_code::parse(self.stream.tags.timecode.as_deref()?, fps?)
    }
}

#[derive(Deserialize)]
pub(super) struct Probe {
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

pub(super) fn probe(path: &Path, count: &str) -> Result<Stream, FrameError> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            count,
            "-show_streams",
            "-show_format",
        ])
        .args(["-of", "json", "-i"])
        .arg(source(path))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| not_started(path, "ffprobe", &e))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it found no video in it");
    if !output.status.success() {
        return Err(FrameError::Damaged {
            path: path.to_owned(),
            message: format!("ffprobe says: {said}"),
        });
    }
    serde_json::from_slice::<Probe>(&output.stdout)
        .ok()
        .and_then(|p| {
            let mut stream = p.streams.into_iter().next()?;
            // Some containers have it for all streams.
            let of_all = p.format.tags.timecode;
            stream.tags.timecode = stream.tags.timecode.or(of_all);
            Some(stream)
        })
        .ok_or_else(|| FrameError::Unsupported {
            path: path.to_owned(),
            message: "there is no video in this file; give a movie, or EXR or PNG frames"
                .to_owned(),
        })
}
