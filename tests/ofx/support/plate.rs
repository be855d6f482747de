//! Plates for tests: made up, so that each pixel is known, and small.

use std::path::Path;

use exr::prelude as ex;
use tempfile::TempDir;

/// A frame: rows from the top, four floats a pixel.
#[derive(Clone, PartialEq)]
pub struct Frame {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<f32>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let some: Vec<_> = self.rgba.iter().take(12).collect();
        write!(f, "{}x{} {some:?}…", self.width, self.height)
    }
}

impl Frame {
    /// A frame from a function of column and row.
    pub fn from_fn(width: usize, height: usize, f: impl Fn(usize, usize) -> [f32; 4]) -> Self {
        let rgba = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| f(x, y))
            .collect();
        Self {
            width,
            height,
            rgba,
        }
    }

    /// Reads an EXR with any of the channels R, G, B and A.
    pub fn read(path: &Path) -> Result<Self, exr::error::Error> {
        let image = ex::read_first_flat_layer_from_file(path)?;
        let layer = image.layer_data;
        let (width, height) = (layer.size.0, layer.size.1);
        let mut rgba = vec![0.0; width * height * 4];
        for channel in &layer.channel_data.list {
            let name = channel.name.to_string();
            if let Some(c) = "RGBA".find(name.as_str()) {
                for (i, v) in channel.sample_data.values_as_f32().enumerate() {
                    rgba[4 * i + c] = v;
                }
            }
        }
        Ok(Self {
            width,
            height,
            rgba,
        })
    }

    /// The pixel at column `x` of row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [f32; 4] {
        let i = (y * self.width + x) * 4;
        [
            self.rgba[i],
            self.rgba[i + 1],
            self.rgba[i + 2],
            self.rgba[i + 3],
        ]
    }

    /// Largest difference of any sample of the channels `channels`.
    pub fn difference(&self, other: &Self, channels: &[usize]) -> f32 {
        assert_eq!((self.width, self.height), (other.width, other.height));
        let mut worst = 0.0f32;
        for (a, b) in self.rgba.chunks(4).zip(other.rgba.chunks(4)) {
            for &c in channels {
                worst = worst.max((a[c] - b[c]).abs());
            }
        }
        worst
    }
}

/// A plate in a folder that goes with it.
pub struct Plate {
    folder: TempDir,
    pub first: i32,
    pub frames: Vec<Frame>,
}

impl Plate {
    /// Writes frames, numbered from `first`, as EXR.
    pub fn new(first: i32, frames: Vec<Frame>) -> Self {
        let plate = Self {
            folder: tempfile::tempdir().unwrap(),
            first,
            frames,
        };
        for (i, frame) in plate.frames.iter().enumerate() {
            super::write_exr(&plate.path(first + i as i32), frame);
        }
        plate
    }

    /// The same frames, each a window of the format: its columns and rows, from the
    /// top left.
    pub fn cropped(&self, window: impl Fn(i32) -> [usize; 4]) -> Self {
        let plate = Self {
            folder: tempfile::tempdir().unwrap(),
            first: self.first,
            frames: Vec::new(),
        };
        let mut frames = Vec::new();
        for (number, frame) in (self.first..).zip(&self.frames) {
            let [x0, y0, x1, y1] = window(number);
            let part = Frame::from_fn(x1 - x0, y1 - y0, |x, y| frame.pixel(x0 + x, y0 + y));
            super::write_window(
                &plate.path(number),
                &part,
                [x0, y0],
                [frame.width, frame.height],
                1.0,
            );
            frames.push(Frame::from_fn(frame.width, frame.height, |x, y| {
                let inside = (x0..x1).contains(&x) && (y0..y1).contains(&y);
                if inside { frame.pixel(x, y) } else { [0.0; 4] }
            }));
        }
        Self { frames, ..plate }
    }

    /// Water: waves that cross, with grain, glints far above 1, a dark corner a
    /// little below 0, and an alpha that varies.
    pub fn water(width: usize, height: usize, first: i32, count: usize) -> Self {
        let frames = (0..count)
            .map(|t| Frame::from_fn(width, height, |x, y| water(x, y, t)))
            .collect();
        Self::new(first, frames)
    }

    /// The first frames of the stream that comes with the project, decoded by
    /// ffmpeg at another size.
    pub fn stream(width: usize, height: usize, first: i32, count: usize) -> Self {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/examples/plates/stream-of-water.mp4"
        );
        let output = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-i", file, "-frames:v", &count.to_string()])
            .args(["-vf", &format!("scale={width}:{height}")])
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            .output()
            .expect("ffmpeg is installed");
        assert_eq!(output.stdout.len(), width * height * 3 * count);
        let frames = output
            .stdout
            .chunks_exact(width * height * 3)
            .map(|rgb| {
                Frame::from_fn(width, height, |x, y| {
                    let i = (y * width + x) * 3;
                    let v = |c| f32::from(rgb[i + c]) / 255.0;
                    [v(0), v(1), v(2), 1.0]
                })
            })
            .collect();
        Self::new(first, frames)
    }

    /// The last frame's number.
    pub fn last(&self) -> i32 {
        self.first + self.frames.len() as i32 - 1
    }

    /// The frame with a number.
    pub fn frame(&self, number: i32) -> &Frame {
        &self.frames[(number - self.first) as usize]
    }

    /// Path of a frame.
    pub fn path(&self, number: i32) -> std::path::PathBuf {
        self.folder.path().join(format!("plate.{number:04}.exr"))
    }

    /// The path with `#` for the number.
    pub fn pattern(&self) -> String {
        let path = self.folder.path().join("plate.####.exr");
        path.to_str().unwrap().to_owned()
    }

    /// The pattern and the range, as the host's `--clip` takes them.
    pub fn spec(&self) -> String {
        format!("{}@{}-{}", self.pattern(), self.first, self.last())
    }
}

fn water(x: usize, y: usize, t: usize) -> [f32; 4] {
    let (fx, fy, ft) = (x as f32, y as f32, t as f32);
    let a = (0.35 * fx + 0.5 * ft).sin() + (0.27 * fy - 0.41 * ft + 0.1 * fx).sin();
    let b = (0.22 * (fx + fy) - 0.33 * ft).sin();
    // An integer hash of place and time for the grain.
    let mut h = (x as u32)
        .wrapping_mul(374_761_393)
        .wrapping_add((y as u32).wrapping_mul(668_265_263))
        .wrapping_add((t as u32).wrapping_mul(2_246_822_519));
    h = (h ^ (h >> 13)).wrapping_mul(1_274_126_177);
    let grain = ((h >> 16) as f32 / 65_536.0 - 0.5) * 0.04;
    let value = 0.3 + 0.1 * a + 0.06 * b + grain;
    let glint = if a + b > 2.2 {
        3.0 * (a + b - 2.2)
    } else {
        0.0
    };
    let dark = if x < 4 && y < 4 { -0.35 } else { 0.0 };
    [
        value + glint + dark,
        value * 0.9 + glint + dark,
        value * 0.7 + 0.05 * b + glint + dark,
        0.75 + 0.25 * ((0.1 * fx + 0.3 * ft).sin() * (0.1 * fy).cos()),
    ]
}
