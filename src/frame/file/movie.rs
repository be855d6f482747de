//! Reads movie files by the programs of ffmpeg, where they are installed.
//!
//! A movie can only be decoded from its start with certainty, so it is decoded
//! once, as far as it is asked for, and its frames are spooled to an unnamed
//! temporary file (in the system's temporary folder; `TMPDIR` moves it) that
//! the system removes with the process, however that ends. The spool is
//! bounded: of a longer movie it holds the frames decoded last, and a frame
//! that fell out is decoded again from the start.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;

use super::MAX_SAMPLES;
use super::header::{ChannelFormat, FrameHeader, SampleDepth};
use crate::frame::{FrameError, Picture, Transfer, Window};

/// Bytes of the spool at most.
const SPOOL: u64 = 16 << 30;

/// What ffprobe tells of a movie's first video stream.
#[derive(Clone, Debug, Deserialize)]
struct Stream {
    width: usize,
    height: usize,
    pix_fmt: Option<String>,
    sample_aspect_ratio: Option<String>,
    color_space: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    nb_frames: Option<String>,
    nb_read_packets: Option<String>,
    nb_read_frames: Option<String>,
}

#[derive(Deserialize)]
struct Probe {
    streams: Vec<Stream>,
}

/// A movie whose frames, numbered from 1, can be read in any order.
pub(super) struct Movie {
    path: PathBuf,
    stream: Stream,
    format: PixelFormat,
    /// Number of frames.
    pub(super) count: i32,
    decoder: Option<Decoder>,
    spool: Spool,
}

impl Movie {
    /// Opens the movie `path` and counts its frames.
    pub(super) fn open(path: &Path) -> Result<Self, FrameError> {
        // Distinguishes a missing file from one that is no movie.
        File::open(path).map_err(|e| super::unreadable(path, &e))?;
        let mut stream = probe(path, "-count_packets")?;
        let number = |s: &Option<String>| s.as_ref().and_then(|n| n.parse::<i32>().ok());
        let mut count = number(&stream.nb_read_packets);
        if count != number(&stream.nb_frames) {
            // The container's word is not good; only decoding tells.
            stream = probe(path, "-count_frames")?;
            count = number(&stream.nb_read_frames);
        }
        let count = count
            .filter(|&n| n > 0)
            .ok_or_else(|| FrameError::Damaged {
                path: path.to_owned(),
                message: "no frame of it can be decoded".to_owned(),
            })?;
        let samples = stream.width.checked_mul(stream.height).map(|n| n * 4);
        if samples.is_none_or(|n| n == 0 || n > MAX_SAMPLES) {
            return Err(FrameError::Unsupported {
                path: path.to_owned(),
                message: "its frames are too large to be held; write it smaller".to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            format: PixelFormat::of(stream.pix_fmt.as_deref().unwrap_or("")),
            stream,
            count,
            decoder: None,
            spool: Spool::default(),
        })
    }

    /// The header of the movie's frames; decodes the first.
    pub(super) fn header(&mut self) -> Result<FrameHeader, FrameError> {
        // A rotated or odd movie comes out in another size than is probed.
        let first = self.read(1)?;
        let window = Window::whole(first.width(), first.height());
        let ratio = |s: &Option<String>, by: char| {
            let (a, b) = s.as_ref()?.split_once(by)?;
            let (a, b): (f64, f64) = (a.parse().ok()?, b.parse().ok()?);
            (a > 0.0 && b > 0.0).then_some(a / b)
        };
        let aspect = ratio(&self.stream.sample_aspect_ratio, ':').unwrap_or(1.0);
        let turned = first.width() != self.stream.width;
        Ok(FrameHeader {
            channels: self
                .format
                .names()
                .iter()
                .map(|&name| ChannelFormat {
                    name: name.to_owned(),
                    depth: self.format.depth(),
                })
                .collect(),
            display_window: window,
            data_window: window,
            pixel_aspect: if turned { 1.0 / aspect } else { aspect },
            // The base rate is the nominal one; the average suffers from
            // rounded time stamps.
            fps: ratio(&self.stream.r_frame_rate, '/')
                .filter(|&r| r < 1000.0)
                .or_else(|| ratio(&self.stream.avg_frame_rate, '/')),
            time_code: None,
            transfer: Transfer::Display,
            carried: None,
        })
    }

    /// Frame `frame`, from 1.
    pub(super) fn read(&mut self, frame: i32) -> Result<Picture, FrameError> {
        if let Some(raw) = self.spool.get(frame) {
            return self.picture(&raw);
        }
        // Taken out, so that a decoder that failed is gone.
        let mut decoder = match self.decoder.take().filter(|d| d.next <= frame) {
            Some(decoder) => decoder,
            None => self.start(true)?,
        };
        let mut modern = true;
        loop {
            let at = decoder.next;
            let Some(raw) = decoder.frame() else {
                let (message, unknown) = decoder.last_words();
                if unknown && modern {
                    // An older ffmpeg, which calls the option otherwise.
                    modern = false;
                    decoder = self.start(false)?;
                    continue;
                }
                return Err(FrameError::Damaged {
                    path: self.path.clone(),
                    message: format!("it ends at frame {} of {}{message}", at - 1, self.count),
                });
            };
            self.spool.put(at, &raw);
            if at == frame {
                self.decoder = Some(decoder);
                return self.picture(&raw);
            }
        }
    }

    /// Starts decoding at frame 1.
    fn start(&self, modern: bool) -> Result<Decoder, FrameError> {
        let stream = &self.stream;
        // Unlabelled footage of high definition is Rec.709, below Rec.601.
        let matrix = match stream.color_space.as_deref() {
            Some("bt709") => "bt709",
            Some("smpte170m" | "bt470bg" | "fcc") => "bt601",
            Some("bt2020nc" | "bt2020c") => "bt2020",
            _ if stream.height >= 720 => "bt709",
            _ => "bt601",
        };
        let rgb = stream.pix_fmt.as_deref().is_some_and(|f| {
            ["rgb", "bgr", "gbr", "argb", "abgr", "pal8"]
                .iter()
                .any(|p| f.starts_with(p))
        });
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(source(&self.path))
            .args(["-map", "0:v:0", "-an", "-sn"]);
        // Every frame once: none doubled or left out to keep a clock.
        command.args([if modern { "-fps_mode" } else { "-vsync" }, "passthrough"]);
        if !rgb {
            let filter = format!(
                "scale=in_color_matrix={matrix}:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
            );
            command.args(["-vf", &filter]);
        }
        command.args([
            "-pix_fmt",
            self.format.name(),
            "-c:v",
            "pam",
            "-f",
            "image2pipe",
            "pipe:1",
        ]);
        Decoder::start(&self.path, command)
    }

    fn picture(&self, raw: &Raw) -> Result<Picture, FrameError> {
        let n = self.format.names().len();
        let data: Vec<f32> = match self.format.depth() {
            SampleDepth::Bits16 => {
                let pairs = raw.bytes.as_chunks::<2>().0.iter();
                pairs
                    .map(|b| f32::from(u16::from_be_bytes(*b)) / 65535.0)
                    .collect()
            }
            _ => raw.bytes.iter().map(|&b| f32::from(b) / 255.0).collect(),
        };
        Picture::from_data(raw.width, raw.height, n, data).ok_or_else(|| FrameError::Damaged {
            path: self.path.clone(),
            message: "ffmpeg sent a frame of another kind".to_owned(),
        })
    }
}

/// In which form frames come through the pipe.
#[derive(Clone, Copy, Debug)]
struct PixelFormat {
    grey: bool,
    alpha: bool,
    deep: bool,
}

impl PixelFormat {
    /// The form that loses nothing of ffmpeg's pixel format `name`.
    fn of(name: &str) -> Self {
        let deep = ["9", "10", "12", "14", "16", "48", "64", "f32"]
            .iter()
            .any(|d| name.trim_end_matches("le").trim_end_matches("be").ends_with(d))
            // These end in numbers that are no depth.
            && !["nv12", "yuv410p", "yuv411p", "uyyvyy411"].contains(&name);
        Self {
            grey: name.starts_with("gray"),
            alpha: ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap"]
                .iter()
                .any(|p| name.starts_with(p)),
            deep,
        }
    }

    fn names(self) -> &'static [&'static str] {
        match (self.grey, self.alpha) {
            (true, _) => &["Y"],
            (false, false) => &["R", "G", "B"],
            (false, true) => &["R", "G", "B", "A"],
        }
    }

    fn name(self) -> &'static str {
        match (self.grey, self.alpha, self.deep) {
            (true, _, false) => "gray",
            (true, _, true) => "gray16be",
            (false, false, false) => "rgb24",
            (false, false, true) => "rgb48be",
            (false, true, false) => "rgba",
            (false, true, true) => "rgba64be",
        }
    }

    fn depth(self) -> SampleDepth {
        if self.deep {
            SampleDepth::Bits16
        } else {
            SampleDepth::Bits8
        }
    }
}

/// A frame as it comes through the pipe.
struct Raw {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

/// A running ffmpeg and the number of the frame that it sends next.
struct Decoder {
    child: Child,
    out: BufReader<ChildStdout>,
    errors: Option<File>,
    next: i32,
}

impl Decoder {
    fn start(path: &Path, mut command: Command) -> Result<Self, FrameError> {
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
    fn frame(&mut self) -> Option<Raw> {
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
    fn last_words(mut self) -> (String, bool) {
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

/// Decoded frames in an unnamed file, in slots that are used round and round.
#[derive(Default)]
struct Spool {
    file: Option<File>,
    /// Size of the frames, or `None` before the first.
    frame: Option<(usize, usize, usize)>,
    /// The frame in each slot.
    slots: Vec<i32>,
    /// Set when the disk is full or cannot be written.
    broken: bool,
}

impl Spool {
    fn slot(&self, frame: i32) -> Option<(usize, u64)> {
        let (_, _, size) = self.frame?;
        let count = (SPOOL / size.max(1) as u64).max(1);
        let slot = (frame as u64 - 1) % count;
        Some((slot as usize, slot * size as u64))
    }

    fn get(&mut self, frame: i32) -> Option<Raw> {
        let (slot, offset) = self.slot(frame)?;
        let (width, height, size) = self.frame?;
        if self.slots.get(slot) != Some(&frame) {
            return None;
        }
        let file = self.file.as_mut()?;
        let mut bytes = vec![0; size];
        file.seek(SeekFrom::Start(offset)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(Raw {
            width,
            height,
            bytes,
        })
    }

    fn put(&mut self, frame: i32, raw: &Raw) {
        let shape = (raw.width, raw.height, raw.bytes.len());
        if self.broken || *self.frame.get_or_insert(shape) != shape {
            return;
        }
        let Some((slot, offset)) = self.slot(frame) else {
            return;
        };
        if self.slots.get(slot) == Some(&frame) {
            return;
        }
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, 0);
        }
        self.slots[slot] = 0;
        match self.write(offset, &raw.bytes) {
            Ok(()) => self.slots[slot] = frame,
            // Slower without, but no reason to stop.
            Err(_) => self.broken = true,
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)?;
        }
        Ok(())
    }
}

/// The path as ffmpeg takes it, never for an option or a protocol.
fn source(path: &Path) -> OsString {
    let mut source = OsString::from("file:");
    source.push(path);
    source
}

fn not_started(path: &Path, program: &'static str, error: &io::Error) -> FrameError {
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

fn probe(path: &Path, count: &str) -> Result<Stream, FrameError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_formats_lose_nothing() {
        for (name, expected) in [
            ("yuv420p", "rgb24"),
            ("nv12", "rgb24"),
            ("yuv411p", "rgb24"),
            ("yuv422p10le", "rgb48be"),
            ("p010le", "rgb48be"),
            ("yuva444p12le", "rgba64be"),
            ("argb", "rgba"),
            ("gray", "gray"),
            ("gray16le", "gray16be"),
            ("rgb48le", "rgb48be"),
            ("rgb24", "rgb24"),
            ("gbrap10le", "rgba64be"),
        ] {
            assert_eq!(PixelFormat::of(name).name(), expected, "{name}");
        }
    }
}
