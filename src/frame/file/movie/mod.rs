//! Reads movie files by the programs of ffmpeg, where they are installed.
//!
//! A movie can only be decoded from its start with certainty, so it is decoded
//! once, as far as it is asked for, and its frames are spooled to an unnamed
//! temporary file (in the system's temporary folder; `TMPDIR` moves it) that
//! the system removes with the process, however that ends. The spool is
//! bounded: of a longer movie it holds the frames decoded last, and a frame
//! that fell out is decoded again from the start.

mod decoder;
mod pixel_format;
mod probe;
mod spool;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::decoder::{Decoder, Raw, source};
use self::pixel_format::PixelFormat;
use self::probe::{Count, Probed, Stream, probe};
use self::spool::Spool;
use super::MAX_SAMPLES;
use super::header::{ChannelFormat, FrameHeader, SampleDepth};
use crate::frame::{FrameError, Picture, Transfer, Window};

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
        let Probed {
            mut stream,
            discarded,
        } = probe(path, Count::Packets)?;
        let number = |s: &Option<String>| s.as_ref().and_then(|n| n.parse::<i32>().ok());
        let mut count = number(&stream.nb_read_packets);
        if count != number(&stream.nb_frames) || discarded > 0 {
            // The container's word is not good, or not all of it is shown; only
            // decoding tells.
            stream = probe(path, Count::Frames)?.stream;
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

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
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
                .map(|&name| ChannelFormat::new(name, self.format.depth()))
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
            premultiplied: true,
            carried: None,
            png_colours: None,
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
                if message.is_empty() && at > 1 {
                    // ffmpeg has nothing to say against it: it is as long as that.
                    return Err(FrameError::Missing {
                        frame,
                        have: format!("1-{}; a movie's frames count from 1", at - 1),
                    });
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
