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

/// How ffprobe counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// The packets, which takes no decoding.
    Packets,
    /// The frames that come out of the decoder.
    Frames,
}

/// The first video stream, and how many of its packets are decoded for the sake of
/// others and not shown, as where an edit list trims the movie.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) stream: Stream,
    pub(super) discarded: usize,
}

#[derive(Deserialize)]
struct Probe {
    streams: Vec<Stream>,
    #[serde(default)]
    packets: Vec<Packet>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize)]
struct Packet {
    #[serde(default)]
    flags: String,
}

impl Probed {
    /// What ffprobe's answer says; none where it tells of no video.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        let probe: Probe = serde_json::from_slice(answer).ok()?;
        let discarded = probe.packets.iter().filter(|p| p.flags.contains('D'));
        let mut stream = probe.streams.into_iter().next()?;
        // Some containers have it for all streams.
        let of_all = probe.format.tags.timecode;
        stream.tags.timecode = stream.tags.timecode.or(of_all);
        Some(Self {
            discarded: discarded.count(),
            stream,
        })
    }
}

pub(super) fn probe(path: &Path, count: Count) -> Result<Probed, FrameError> {
    let count: &[&str] = match count {
        Count::Packets => &["-count_packets", "-show_entries", "packet=flags"],
        Count::Frames => &["-count_frames"],
    };
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0"])
        .args(count)
        .args(["-show_streams", "-show_format"])
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
    Probed::parse(&output.stdout).ok_or_else(|| FrameError::Unsupported {
        path: path.to_owned(),
        message: "there is no video in this file; give a movie, or EXR or PNG frames".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_are_not_shown_are_counted_whatever_else_their_flags_say() {
        let answer = |packets: &str| {
            format!(r#"{{{packets} "streams": [{{"width": 4, "height": 2, "nb_frames": "5"}}]}}"#)
        };
        for (packets, discarded) in [
            ("", 0),
            (r#""packets": [{"flags": "K_"}, {"flags": "__"}],"#, 0),
            (r#""packets": [{"flags": "KD"}, {"flags": "_D"}, {}],"#, 2),
            (r#""packets": [{"flags": "K__"}, {"flags": "_DC"}],"#, 1),
        ] {
            let probed = Probed::parse(answer(packets).as_bytes()).unwrap();
            assert_eq!(probed.discarded, discarded, "{packets}");
            assert_eq!(probed.stream.nb_frames.as_deref(), Some("5"));
        }
        assert!(Probed::parse(br#"{"streams": []}"#).is_none());
    }
}
