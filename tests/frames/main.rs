//! Frames in and out of real files. Needs ffmpeg (`apt-get install ffmpeg`)
//! for movies and as a second opinion on EXR; tests fail without it.

mod bad_input;
mod exr;
mod exr_attributes;
mod exr_channels;
mod movies;
mod png;
mod readers;
mod whole_frames;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use longtake::frame::{
    FilePlate, FrameError, FrameHeader, FrameRange, Picture, PlateInfo, PlateOptions,
    SequenceWriter, Transfer, WriteOptions,
};

/// Footage that ships with the project.
fn stream() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4")
}

fn open(path: &Path) -> Result<FilePlate, FrameError> {
    FilePlate::open(path, &PlateOptions::default())
}

fn open_range(path: &Path, first: i32, last: i32) -> Result<FilePlate, FrameError> {
    let range = FrameRange::new(first, last);
    FilePlate::open(
        path,
        &PlateOptions {
            range,
            ..PlateOptions::default()
        },
    )
}

fn info(width: usize, height: usize, channels: &[&str]) -> PlateInfo {
    PlateInfo {
        range: FrameRange { first: 1, last: 1 },
        width,
        height,
        full_size: (width, height),
        channels: channels.iter().map(|c| c.to_string()).collect(),
        fps: 25.0,
        transfer: Transfer::Linear,
        pixel_aspect: 1.0,
        ids: Vec::new(),
    }
}

/// A picture whose samples are all different, exact as halves, and reach far
/// above 1 and below 0.
fn picture(width: usize, height: usize, channels: usize, seed: usize) -> Arc<Picture> {
    let value = |i: usize| {
        let bits = ((i * 7919 + seed * 104_729) % 0x7bff) as u16;
        let sign = if i.is_multiple_of(5) { 0x8000 } else { 0 };
        half::f16::from_bits(bits | sign).to_f32()
    };
    let data = (0..width * height * channels).map(value).collect();
    Arc::new(Picture::from_data(width, height, channels, data).unwrap())
}

fn write(path: &Path, frame: i32, picture: &Arc<Picture>, channels: &[&str]) {
    let header = FrameHeader::new(&info(picture.width(), picture.height(), channels));
    let writer = SequenceWriter::new(path, header, WriteOptions::default()).unwrap();
    writer.write(frame, picture).unwrap();
}

fn bits(picture: &Picture) -> Vec<u32> {
    picture.data().iter().map(|v| v.to_bits()).collect()
}

/// Runs ffmpeg, which must be installed, and gives what it wrote.
fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is needed for this test: apt-get install ffmpeg");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output.stdout
}

/// This test program again, running only the test `name`.
fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        name,
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
}

fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
