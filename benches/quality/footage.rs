//! Footage for the bench, decoded by ffmpeg into memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use longtake::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer};

/// A plate of the table: file, size, frames, frame rate, and below what mean
/// difference (0 to 255) a frame is a duplicate of the one before and dropped.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub file: String,
    pub size: Option<(usize, usize)>,
    pub frames: usize,
    pub fps: f64,
    pub duplicates_below: f64,
    /// Whether the camera moves, which excuses the spread in time.
    pub camera_moves: bool,
}

impl Case {
    /// The first 3 s of other footage, `FILE@FPS`, at its own size.
    pub fn other(text: &str) -> Result<Self, String> {
        let (file, fps) = text
            .rsplit_once('@')
            .and_then(|(file, fps)| Some((file, fps.parse::<f64>().ok()?)))
            .ok_or_else(|| format!("{text}: write FILE@FPS"))?;
        let name = Path::new(file).file_stem().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            file: file.to_owned(),
            size: None,
            frames: (3.0 * fps).round() as usize,
            fps,
            duplicates_below: 0.0,
            camera_moves: false,
        })
    }
}

/// The five texture plates: 3 s each.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, file: &str, size, frames, fps: f64, duplicates_below| Case {
        name: name.to_owned(),
        file: file.to_owned(),
        size: Some(size),
        frames,
        fps,
        duplicates_below,
        camera_moves: name == "stream",
    };
    vec![
        case("flame", "flame.mp4", (320, 180), 75, 24.0, 2.0),
        case("flag", "flag.avi", (352, 288), 75, 25.0, 0.0),
        case("fountain", "fountain.avi", (352, 288), 75, 25.0, 0.0),
        case("stream", "stream-of-water.mp4", (480, 360), 90, 30.0, 0.0),
        case("pot", "pot.avi", (352, 288), 75, 25.0, 0.0),
    ]
}

/// A sequence in memory, display-encoded RGB from 0 to 1.
#[derive(Clone)]
pub struct Clip {
    pub info: PlateInfo,
    pub frames: Vec<Arc<Picture>>,
}

impl Clip {
    /// A clip numbered from 1.
    pub fn new(frames: Vec<Arc<Picture>>, fps: f64) -> Self {
        let (width, height) = (frames[0].width(), frames[0].height());
        Self {
            info: PlateInfo {
                range: FrameRange::new(1, frames.len() as i32).expect("a clip has frames"),
                width,
                height,
                full_size: (width, height),
                channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
                fps,
                transfer: Transfer::Display,
                pixel_aspect: 1.0,
                ids: Vec::new(),
            },
            frames,
        }
    }

    /// Decodes `case` from folder `plates`.
    pub fn load(case: &Case, plates: &Path) -> Result<Self, String> {
        let path = plates.join(&case.file);
        let (width, height) = native_size(&path)?;
        let raw = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args([
                "-fps_mode",
                "passthrough",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-",
            ])
            .output()
            .map_err(|e| format!("ffmpeg could not be started ({e}): install it"))?
            .stdout;
        let bytes = width * height * 3;
        let (to_w, to_h) = case.size.unwrap_or((width, height));
        let mut frames = Vec::new();
        let mut last: Option<&[u8]> = None;
        for frame in raw.chunks_exact(bytes) {
            if let Some(last) = last
                && mean_difference(frame, last) < case.duplicates_below
            {
                continue;
            }
            last = Some(frame);
            frames.push(Arc::new(area(frame, width, height, to_w, to_h)));
            if frames.len() == case.frames {
                break;
            }
        }
        if frames.is_empty() {
            return Err(format!("{} holds no frames", path.display()));
        }
        Ok(Self::new(frames, case.fps))
    }

    /// A sequence of `frames` × `height` × `width` × 3 little-endian floats.
    pub fn raw(path: &PathBuf, shape: [usize; 4], fps: f64) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let [_, h, w, c] = shape;
        let frames = bytes
            .chunks_exact(h * w * c * 4)
            .map(|f| {
                let data = f
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect();
                Arc::new(Picture::from_data(w, h, c, data).expect("the chunk has this size"))
            })
            .collect();
        Ok(Self::new(frames, fps))
    }
}

impl PlateReader for Clip {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        usize::try_from(frame - self.info.range.first)
            .ok()
            .and_then(|i| self.frames.get(i))
            .cloned()
            .ok_or_else(|| FrameError::Missing {
                frame,
                have: self.info.range.to_string(),
            })
    }
}

fn native_size(path: &Path) -> Result<(usize, usize), String> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries"])
        .args(["stream=width,height", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .map_err(|e| format!("ffprobe could not be started ({e}): install ffmpeg"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let mut parts = text.trim().split(',').map(str::parse::<usize>);
    match (parts.next(), parts.next()) {
        (Some(Ok(w)), Some(Ok(h))) => Ok((w, h)),
        _ => Err(format!("{} is no movie that ffmpeg reads", path.display())),
    }
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| u64::from(a.abs_diff(b)))
        .sum();
    sum as f64 / a.len().max(1) as f64
}

/// Area average to a smaller (or equal) size, rounded to 8 bits as footage of
/// that size would be, then 0 to 1.
fn area(frame: &[u8], w: usize, h: usize, to_w: usize, to_h: usize) -> Picture {
    let across = weights(w, to_w);
    let down = weights(h, to_h);
    let mut out = Vec::with_capacity(to_w * to_h * 3);
    for rows in &down {
        for cols in &across {
            for c in 0..3 {
                let mut sum = 0.0;
                for &(y, wy) in rows {
                    for &(x, wx) in cols {
                        sum += wy * wx * f64::from(frame[(y * w + x) * 3 + c]);
                    }
                }
                out.push((sum.round_ties_even() / 255.0) as f32);
            }
        }
    }
    Picture::from_data(to_w, to_h, 3, out).expect("every pixel was pushed")
}

/// For each target sample the source samples that it covers, with their
/// shares.
fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let (a, b) = (i as f64 * scale, (i + 1) as f64 * scale);
            let last = (b.ceil() as usize).min(from);
            (a as usize..last)
                .map(|s| {
                    let cover = (b.min((s + 1) as f64) - a.max(s as f64)).max(0.0);
                    (s, cover / scale)
                })
                .filter(|s| s.1 > 1e-9)
                .collect()
        })
        .collect()
}
