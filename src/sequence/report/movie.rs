//! A preview that plays: H.264 through ffmpeg where it is installed, an
//! animated PNG where it is not.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::encoded::Encoded;
use super::raster::Raster;

/// Width of an animated PNG at most; it is much larger than a movie.
const STILL_WIDTH: usize = 480;

/// Writes a preview frame by frame, under another name until it is whole.
pub struct Movie {
    path: PathBuf,
    part: PathBuf,
    fps: f64,
    frames: usize,
    /// Of x264: larger is smaller.
    quality: &'static str,
    into: Into,
}

enum Into {
    /// Nothing yet: the size is that of the first frame.
    Nothing,
    Ffmpeg(Child),
    Png(Box<png::Writer<BufWriter<File>>>),
}

impl Movie {
    /// A preview of `frames` frames at `fps` frames a second. `path` names a
    /// movie file (`.mp4`, `.mov`, `.mkv`); where ffmpeg is not installed, or
    /// `path` ends in `.png`, an animated PNG of the same name is written.
    pub fn new(path: &Path, frames: usize, fps: f64) -> Self {
        let path = Self::place(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The extension stays last: ffmpeg goes by it.
        let part = path.with_file_name(format!(".part-{}-{name}", std::process::id()));
        Self {
            path,
            part,
            fps: if fps > 0.0 { fps } else { 24.0 },
            frames,
            quality: "16",
            into: Into::Nothing,
        }
    }

    /// Where a preview that is asked for as `path` will be: there, or where ffmpeg is not
    /// installed, beside it as an animated PNG.
    pub fn place(path: &Path) -> PathBuf {
        if is_png(path) || has_ffmpeg() {
            path.to_owned()
        } else {
            path.with_extension("png")
        }
    }

    /// As [`new`](Self::new), packed tighter, to be sent about.
    pub fn small(path: &Path, frames: usize, fps: f64) -> Self {
        let mut movie = Self::new(path, frames, fps);
        movie.quality = "23";
        movie
    }

    /// Where the preview will be: `path`, or the animated PNG in its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_png(&self) -> bool {
        is_png(&self.path)
    }

    /// The next frame; all must have one size.
    ///
    /// # Errors
    /// Where the file cannot be written or ffmpeg fails.
    pub fn push(&mut self, frame: &Encoded) -> io::Result<()> {
        let raster = if self.is_png() {
            Raster::of(frame, STILL_WIDTH)
        } else {
            Raster::of(frame, frame.width)
        };
        if matches!(self.into, Into::Nothing) {
            self.into = self.open(&raster)?;
        }
        match &mut self.into {
            Into::Ffmpeg(child) => child
                .stdin
                .as_mut()
                .map_or(Ok(()), |s| s.write_all(&raster.rgb)),
            Into::Png(writer) => writer
                .write_image_data(&raster.rgb)
                .map_err(io::Error::other),
            Into::Nothing => Ok(()),
        }
    }

    fn open(&self, first: &Raster) -> io::Result<Into> {
        if self.is_png() {
            let file = BufWriter::new(File::create(&self.part)?);
            let mut encoder = png::Encoder::new(file, first.width as u32, first.height as u32);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_compression(png::Compression::Fast);
            encoder
                .set_animated(self.frames.max(1) as u32, 0)
                .and_then(|()| {
                    let thousandths = (1000.0 / self.fps).round().clamp(1.0, 65_535.0);
                    encoder.set_frame_delay(thousandths as u16, 1000)
                })
                .map_err(io::Error::other)?;
            let writer = encoder.write_header().map_err(io::Error::other)?;
            return Ok(Into::Png(Box::new(writer)));
        }
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"])
            .args(["-s", &format!("{}x{}", first.width, first.height)])
            .args(["-r", &format!("{}", self.fps), "-i", "-"])
            // Players want even sides.
            .args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"])
            .args([
                "-c:v",
                "libx264",
                "-crf",
                self.quality,
                "-pix_fmt",
                "yuv420p",
            ])
            .args(["-movflags", "+faststart"])
            .arg(&self.part)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Into::Ffmpeg(child))
    }

    /// Ends the preview and gives it its name, which is returned.
    ///
    /// # Errors
    /// Where the file cannot be written or ffmpeg fails; nothing is left then.
    pub fn finish(mut self) -> io::Result<PathBuf> {
        match std::mem::replace(&mut self.into, Into::Nothing) {
            Into::Nothing => return Err(io::Error::other("there are no frames to preview")),
            Into::Png(writer) => writer.finish().map_err(io::Error::other)?,
            Into::Ffmpeg(mut child) => {
                drop(child.stdin.take());
                let out = child.wait_with_output()?;
                if !out.status.success() {
                    let said = String::from_utf8_lossy(&out.stderr);
                    return Err(io::Error::other(format!(
                        "ffmpeg could not write the movie: {}",
                        said.trim()
                    )));
                }
            }
        }
        fs::rename(&self.part, &self.path)?;
        Ok(self.path.clone())
    }
}

impl Drop for Movie {
    fn drop(&mut self) {
        if let Into::Ffmpeg(child) = &mut self.into {
            drop(child.stdin.take());
            let _ = child.kill();
            let _ = child.wait();
        }
        // Gone already where the movie was finished.
        let _ = fs::remove_file(&self.part);
    }
}

fn is_png(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("png"))
}

/// Whether ffmpeg can be started.
fn has_ffmpeg() -> bool {
    Command::new("ffmpeg")
        .arg("-version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
