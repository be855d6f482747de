//! Whether what is to be written fits the disk, told before any work.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{JobError, Kind};
use super::spec::Job;
use crate::frame::{Compression, FilePlate, SampleDepth, Sequence, SequenceWriter};

/// Files of the plate that are looked at for their size.
const LOOKED_AT: usize = 32;
/// Frames may be larger than the plate's own by this much: a header, another
/// mix of grain.
const SLACK: f64 = 1.1;

/// The room that frames need on their disk, and what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// The folder that the frames go to.
    pub folder: PathBuf,
    /// Frames that are not there yet.
    pub frames: usize,
    /// Bytes of one of them.
    pub frame_bytes: u64,
    /// How sure that is.
    pub basis: Basis,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes that are free; `None` where the system does not tell.
    pub free: Option<u64>,
}

/// Where the size of a frame is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Samples that are not compressed.
    Exact,
    /// The files of the plate, which are of the same kind.
    Plate,
    /// What the samples take without compression.
    Most,
}

impl Space {
    /// The room that `frames` of `job` need.
    pub(super) fn of(
        job: &Job,
        plate: &FilePlate,
        writer: &SequenceWriter,
        frames: &[i32],
    ) -> Self {
        let most = uncompressed(job, plate);
        let (frame_bytes, basis) = match like_plate(job, plate) {
            _ if job.compression == Compression::None && extension(&job.out) == "exr" => {
                (most, Basis::Exact)
            }
            Some(bytes) if bytes < most => (bytes, Basis::Plate),
            _ => (most, Basis::Most),
        };
        let wanting = frames.iter().filter(|f| !writer.path(**f).exists()).count();
        let path = frames.first().map(|f| writer.path(*f)).unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self {
            free: free(&folder),
            folder,
            frames: wanting,
            frame_bytes,
            basis,
            bytes: frame_bytes.saturating_mul(wanting as u64),
        }
    }

    /// # Errors
    /// Where the frames do not fit.
    pub fn check(&self) -> Result<(), JobError> {
        match self.free {
            Some(free) if free < self.bytes => Err(JobError::new(
                Kind::Full,
                format!(
                    "{self}: free some space, choose another disk, write a part with 'only', or set checkSpace off to begin all the same"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = match self.basis {
            Basis::Exact => "",
            Basis::Plate => "about ",
            Basis::Most => "up to ",
        };
        if self.frames == 0 {
            return f.write_str("all frames are there already");
        }
        write!(
            f,
            "{} frames to write need {about}{} ({} each)",
            self.frames,
            size(self.bytes),
            size(self.frame_bytes)
        )?;
        match self.free {
            Some(free) => write!(f, " and {} are free", size(free)),
            None => Ok(()),
        }
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Free bytes on the disk of `folder`, or of the nearest folder above that is
/// there already.
fn free(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let there = folder.ancestors().find(|f| f.exists())?;
    fs4::available_space(there).ok()
}

/// Bytes of an output frame's samples.
fn uncompressed(job: &Job, plate: &FilePlate) -> u64 {
    let header = plate.header().scaled(job.reduce as usize);
    let png = extension(&job.out) == "png";
    let sample = |own: SampleDepth| match (job.pixel_type.as_str(), own) {
        ("8bit", _) => 1,
        ("half" | "16bit", _) => 2,
        ("float", _) => 4,
        (_, SampleDepth::Bits16) if png => 2,
        _ if png => 1,
        (_, SampleDepth::Half | SampleDepth::Bits8) => 2,
        _ => 4,
    };
    let pixel: u64 = header.channels.iter().map(|c| sample(c.depth)).sum();
    let window = header.data_window;
    (window.width() * window.height()) as u64 * pixel + 64 * window.height() as u64
}

/// What a frame takes where it is written as the plate's files are: their mean
/// size and a little more.
fn like_plate(job: &Job, plate: &FilePlate) -> Option<u64> {
    if job.reduce != 1 || extension(&job.plate) != extension(&job.out) {
        return None;
    }
    let depth = match job.pixel_type.as_str() {
        "half" => Some(SampleDepth::Half),
        "float" => Some(SampleDepth::Float),
        "8bit" => Some(SampleDepth::Bits8),
        "16bit" => Some(SampleDepth::Bits16),
        _ => None,
    };
    let mut channels = plate.header().channels.iter();
    if depth.is_some_and(|d| channels.any(|c| c.depth != d)) {
        return None;
    }
    let files = Sequence::find(&job.plate).and_then(|s| s.files()).ok()?;
    let step = files.len().div_ceil(LOOKED_AT).max(1);
    let sizes: Vec<u64> = files
        .values()
        .step_by(step)
        .filter_map(|f| Some(std::fs::metadata(f).ok()?.len()))
        .collect();
    let mean = sizes.iter().sum::<u64>() as f64 / sizes.len().max(1) as f64;
    (mean > 0.0).then_some((mean * SLACK) as u64)
}

fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_the_figure() {
        let mut space = Space {
            folder: "out".into(),
            frames: 1440,
            frame_bytes: 33_000_000,
            basis: Basis::Plate,
            bytes: 47_520_000_000,
            free: Some(47_520_000_000),
        };
        assert!(space.check().is_ok());
        space.free = Some(36_900_000_000);
        let error = space.check().unwrap_err();
        assert_eq!(error.kind, Kind::Full);
        for figure in ["1440 frames", "47.5 GB", "33.0 MB", "36.9 GB"] {
            assert!(error.message.contains(figure), "{}", error.message);
        }
        space.free = None;
        assert!(space.check().is_ok(), "a system that does not tell");
    }

    #[test]
    fn the_disk_of_a_folder_to_be_made_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join("a/b/c")).is_some_and(|f| f > 0));
    }
}
