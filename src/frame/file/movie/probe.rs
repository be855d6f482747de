//! What ffprobe tells of a movie.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::decoder::{not_started, source};
use crate::frame::FrameError;

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
}

#[derive(Deserialize)]
pub(super) struct Probe {
    streams: Vec<Stream>,
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
        .and_then(|p| p.streams.into_iter().next())
        .ok_or_else(|| FrameError::Unsupported {
            path: path.to_owned(),
            message: "there is no video in this file; give a movie, or EXR or PNG frames"
                .to_owned(),
        })
}
