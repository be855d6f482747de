//! Where the frames of a job go, and what is checked before any is made.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{JobError, Kind};
use super::sources::Sources;
use super::spec::Job;
use crate::frame::{
    ChannelFormat, Compression, FilePlate, FrameError, FrameHeader, SampleDepth, Sequence,
    SequenceWriter, WriteOptions,
};
use crate::sequence::Colour;

/// How a job's frames are written. `take` names their pixels.
///
/// # Errors
/// Where the pattern is none, or does not go with the pixel type.
pub fn writer(job: &Job, plate: &FilePlate, take: &str) -> Result<SequenceWriter, JobError> {
    let extension = Sequence::parse(&job.out).map_err(pattern)?.extension();
    let depth = depth(&job.pixel_type, &extension)?;
    let of_plate = Sequence::find(&job.plate).map(|s| s.extension());
    let colour = job.colour.as_ref();
    let ways = colour.and_then(|c| c.ways.as_ref());
    // What is in a space that was named is not encoded for a display on top.
    let as_it_is = colour.is_some_and(|c| c.said) || of_plate.is_ok_and(|e| e == extension);
    let options = WriteOptions {
        depth,
        compression: job.compression,
        tiles: job.tiles,
        primaries: job.primaries.or(ways.and_then(|w| w.primaries)),
        colour: ways.map(|w| w.write.clone()),
        // Into files of the plate's own kind samples go as they are.
        transfer: as_it_is.then_some(plate.header().transfer),
        take: Some(format!("{take} {}", written(job))),
    };
    let header = plate.header().scaled(job.reduce as usize);
    if let (Compression::Dwaa(_), Some(name)) = (job.compression, rounded_id(&header))
        && extension == "exr"
    {
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "compression dwaa rounds channel {name}, whose values name things (an ID or a Cryptomatte): choose zip, zips or piz"
            ),
        ));
    }
    SequenceWriter::new(&job.out, header, options).map_err(pattern)
}

/// A channel that names things and that DWAA rounds: it does so with floats whose last
/// name is one of colour.
fn rounded_id(header: &FrameHeader) -> Option<&str> {
    let rounds = |c: &&ChannelFormat| {
        let own = c.name.rsplit('.').next().unwrap_or_default();
        let colour = ["R", "G", "B", "Y", "RY", "BY"];
        let float = !matches!(c.depth, SampleDepth::Uint | SampleDepth::Bits32);
        c.is_id && float && colour.iter().any(|n| own.eq_ignore_ascii_case(n))
    };
    header.channels.iter().find(rounds).map(|c| c.name.as_str())
}

/// How frames are written, in a few words: all that their bytes depend on
/// beside the take and the plate's header.
pub fn written(job: &Job) -> String {
    let layout = if job.tiles { "tiles" } else { "lines" };
    let (packing, primaries) = (job.compression, job.primaries);
    let told = format!(
        "1/{} {} {packing:?} {layout} {primaries:?}",
        job.reduce, job.pixel_type
    );
    match &job.colour {
        None => told,
        Some(Colour { ways, said, .. }) => {
            let way = ways.as_ref().map(|w| w.write.id());
            format!("{told} {said} {}", way.unwrap_or("untouched"))
        }
    }
}

/// A name that cannot be written to is a fault of the job's.
fn pattern(error: FrameError) -> JobError {
    JobError::new(Kind::Usage, error.to_string())
}

fn depth(pixel_type: &str, extension: &str) -> Result<Option<SampleDepth>, JobError> {
    let (depth, wants) = match pixel_type {
        "half" => (SampleDepth::Half, "exr"),
        "float" => (SampleDepth::Float, "exr"),
        "8bit" => (SampleDepth::Bits8, "png"),
        "16bit" => (SampleDepth::Bits16, "png"),
        _ => return Ok(None),
    };
    if wants != extension {
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "pixel type {pixel_type} is for .{wants} files: for .{extension} choose {}",
                if extension == "png" {
                    "8bit or 16bit"
                } else {
                    "half or float"
                }
            ),
        ));
    }
    Ok(Some(depth))
}

/// Checks, before any work, that `frames` can be written: that they have names
/// of their own, that none is a file that the job reads or would be taken for one, and
/// that the folder takes files. What the job writes beside them must not be one of them
/// either.
///
/// # Errors
/// Where one of these does not hold.
pub fn check(job: &Job, writer: &SequenceWriter, frames: &[i32]) -> Result<(), JobError> {
    if let [a, b, ..] = frames
        && writer.path(*a) == writer.path(*b)
    {
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "{} names one file and {} frames are to be written: put #### where the frame number goes",
                job.out.display(),
                frames.len()
            ),
        ));
    }
    let Some(first) = frames.first().map(|f| writer.path(*f)) else {
        return Ok(());
    };
    let paths: Vec<PathBuf> = frames.iter().map(|f| writer.path(*f)).collect();
    let read = Sources::of(&job.values);
    read.spare(paths.iter().map(PathBuf::as_path))?;
    let all = with_frames(read, job);
    all.spare(job.save_latents.as_deref())?;
    job.looks.check(all)?;
    probe(first.parent().unwrap_or(Path::new("")))
}

/// What a file that `job` writes beside its frames must leave alone.
pub fn beside(job: &Job) -> Sources {
    with_frames(Sources::of(&job.values), job)
}

/// `all`, and the frames that `job` makes.
fn with_frames(mut all: Sources, job: &Job) -> Sources {
    all.add(Sequence::parse(&job.out), "a frame of the output");
    all
}

/// Makes `folder` and finds out whether files can be made in it.
///
/// # Errors
/// Where they cannot.
pub fn probe(folder: &Path) -> Result<(), JobError> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let file = folder.join(format!(".longtake-{}.part", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::File::create(&file))
        .and_then(|_| fs::remove_file(&file))
        .map_err(|e| JobError::writing(folder, &e))
}

/// Writes `bytes` as `path`, whole or not at all.
///
/// # Errors
/// Where that fails; what was there before stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    let part = path.with_file_name(format!(".longtake-{}.part", std::process::id()));
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    written.map_err(|e| {
        // The failure matters, not that of the clean-up.
        let _ = fs::remove_file(&part);
        JobError::writing(path, &e)
    })
}
