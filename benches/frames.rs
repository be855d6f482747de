//! How long reading and writing of 4K frames takes, side by side with copying
//! the same pixels: `cargo bench --bench frames`. Needs ffmpeg.
//!
//! The pixels are the stream that ships with the project, laid side by side to
//! 4096 by 2160, in half with alpha, as a plate often is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longtake::frame::{
    ChannelFormat, Compression, FilePlate, FrameError, FrameHeader, Picture, PlateOptions,
    PlateReader, SampleDepth, SequenceWriter, Transfer, Window, WriteOptions, to_linear,
};

const WIDTH: usize = 4096;
const HEIGHT: usize = 2160;
const FRAMES: i32 = 6;

fn main() -> Result<(), FrameError> {
    // Cargo asks for tests of benches in this way.
    if std::env::args().any(|a| a == "--test") {
        return Ok(());
    }
    let folder = tempfile::tempdir().map_err(|e| FrameError::File {
        path: std::env::temp_dir(),
        message: e.to_string(),
    })?;
    let footage = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4");
    let mut movie = FilePlate::open(&footage, &PlateOptions::default())?;
    let window = Window::whole(WIDTH, HEIGHT);
    let channel = |name: &str| ChannelFormat::new(name, SampleDepth::Half);
    let mut header: FrameHeader = movie.header().clone();
    header.channels = ["R", "G", "B", "A"].map(channel).to_vec();
    header.display_window = window;
    header.data_window = window;
    header.transfer = Transfer::Linear;
    let pictures = (1..=FRAMES)
        .map(|frame| Ok(wall(&*movie.read(frame)?)))
        .collect::<Result<Vec<_>, FrameError>>()?;

    println!("{WIDTH}x{HEIGHT} RGBA half, {FRAMES} frames, mean of a frame:");
    let mut copy = pictures[0].data().to_vec();
    let copying = timed(
        |picture| {
            copy.copy_from_slice(picture.data());
            std::hint::black_box(&mut copy);
            Ok(())
        },
        &pictures,
    )?;
    show("copy in memory", copying, copying);
    for compression in [Compression::Zip, Compression::Zips, Compression::None] {
        let path = folder.path().join(format!("{compression:?}.####.exr"));
        let options = WriteOptions {
            compression,
            ..WriteOptions::default()
        };
        let writer = SequenceWriter::new(&path, header.clone(), options)?;
        let mut frame = 0;
        let writing = timed(
            |picture| {
                frame += 1;
                writer.write(frame, picture).map(drop)
            },
            &pictures,
        )?;
        show(&format!("write {compression:?}"), writing, copying);
        for ahead in [false, true] {
            let mut plate = FilePlate::open(&path, &PlateOptions::default())?;
            let mut frame = 0;
            let order: Vec<i32> = (1..=FRAMES).collect();
            let reading = timed(
                |_| {
                    if ahead {
                        plate.prefetch(&order[frame..]);
                    }
                    frame += 1;
                    plate.read(frame as i32).map(drop)
                },
                &pictures,
            )?;
            let how = if ahead { ", read ahead" } else { "" };
            show(&format!("read {compression:?}{how}"), reading, copying);
        }
    }
    Ok(())
}

fn wall(frame: &Picture) -> Arc<Picture> {
    let mut picture = Picture::new(WIDTH, HEIGHT, 4);
    for y in 0..HEIGHT {
        let row = picture.row_mut(y);
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let source = frame.pixel(x % frame.width(), y % frame.height());
            for (value, display) in pixel.iter_mut().zip(source) {
                *value = to_linear(*display);
            }
            pixel[3] = 1.0;
        }
    }
    Arc::new(picture)
}

fn timed(
    mut work: impl FnMut(&Arc<Picture>) -> Result<(), FrameError>,
    pictures: &[Arc<Picture>],
) -> Result<Duration, FrameError> {
    let start = Instant::now();
    for picture in pictures {
        work(picture)?;
    }
    Ok(start.elapsed() / pictures.len() as u32)
}

fn show(what: &str, time: Duration, copying: Duration) {
    let ratio = time.as_secs_f64() / copying.as_secs_f64();
    println!(
        "{what:>24} {:7.1} ms, {ratio:6.1} copies",
        time.as_secs_f64() * 1e3
    );
}
