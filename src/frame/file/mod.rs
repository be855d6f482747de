//! Plates from files and frames to files: EXR, PNG, and movies by ffmpeg.

mod atomic;
mod carried;
mod content;
mod exr_channels;
mod exr_head;
mod exr_read;
mod exr_write;
mod files;
mod header;
mod movie;
mod plate;
mod png;
mod prefetch;
mod time_code;
mod told;
mod writer;
mod zip;

use std::path::Path;

pub use header::{ChannelFormat, FrameHeader, SampleDepth};
pub use plate::{FilePlate, FrameHeaders, PlateOptions};
pub use time_code::TimeCode;
pub use writer::{Compression, Primaries, SequenceWriter, WriteOptions, provenance};

use super::FrameError;

/// Samples of the largest picture that is read: 8 GiB in memory.
const MAX_SAMPLES: usize = 1 << 31;

/// Puts colour and alpha before the other channels and keeps the others'
/// order.
fn first_channels_first<T>(channels: &mut [T], name: impl Fn(&T) -> &str) {
    const FIRST: [&str; 5] = ["R", "G", "B", "Y", "A"];
    channels.sort_by_key(|c| {
        let name = name(c);
        FIRST.iter().position(|&f| f == name).unwrap_or(FIRST.len())
    });
}

/// The error of a file that the system would not let us read.
fn unreadable(path: &Path, error: &std::io::Error) -> FrameError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => FrameError::NotFound {
            path: path.to_owned(),
            advice: "there is no such file; check the path".to_owned(),
        },
        ErrorKind::UnexpectedEof => FrameError::Damaged {
            path: path.to_owned(),
            message: "the file ends too early".to_owned(),
        },
        ErrorKind::PermissionDenied => FrameError::File {
            path: path.to_owned(),
            message: "reading is not allowed; change its permissions".to_owned(),
        },
        _ => FrameError::File {
            path: path.to_owned(),
            message: format!("it cannot be read ({error}); check the disk and run again"),
        },
    }
}
