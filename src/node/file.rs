//! A plate in files, for hosts that hand over only the current frame and for
//! the generator: opened once in the process, read on our own threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::frames::FrameCache;
use crate::frame::{
    Conversion, FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader,
    ScaledPlate, Sequence, Transfer, Warning, Window,
};
use crate::sequence::{Colour, Ways, key_of};

/// For how long files are taken to be as they were.
const FRESH: Duration = Duration::from_secs(1);
/// Plates kept open at most.
const OPEN: usize = 4;

/// What the artist says of a plate file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileChoice {
    /// The file or pattern.
    pub path: PathBuf,
    /// The frames to use.
    pub range: Option<FrameRange>,
    /// How its values relate to light.
    pub transfer: Option<Transfer>,
    /// What is done with its colours.
    pub colour: Option<Arc<Colour>>,
}

/// An open plate.
pub(super) struct FileSource {
    /// What the engine is told, at full size.
    pub info: PlateInfo,
    /// Names its pixels.
    pub key: blake3::Hash,
    /// The format of the shot, in the plate's own coordinates.
    pub display: Window,
    /// Where the pictures lie in the same coordinates.
    pub data: Window,
    /// Whether colours are multiplied by alpha, as EXR has them.
    pub premultiplied: bool,
    /// Whether it is a movie, decoded to a file.
    pub movie: bool,
    /// From the space of the pictures to that of the output, where they differ.
    pub write: Option<Conversion>,
    reader: Mutex<FilePlate>,
    warning: Mutex<Option<Warning>>,
}

impl FileSource {
    fn open(choice: &FileChoice) -> Result<Self, FrameError> {
        let options = PlateOptions {
            range: choice.range,
            transfer: choice.transfer,
            ..PlateOptions::default()
        };
        let mut plate = FilePlate::open(&choice.path, &options)?;
        let ways = choice.colour.as_ref().and_then(|c| c.ways.as_ref());
        if let Some(ways) = ways {
            plate = plate.converted(&choice.path, ways.read.clone())?;
        }
        Self::of(plate, ways)
    }

    /// What stands for a plate where frames are made from nothing.
    ///
    /// # Errors
    /// None that a blank has.
    pub fn blank(info: PlateInfo, colour: Option<&Colour>) -> Result<Self, FrameError> {
        let ways = colour.and_then(|c| c.ways.as_ref());
        Self::of(FilePlate::blank(info), ways)
    }

    fn of(plate: FilePlate, ways: Option<&Ways>) -> Result<Self, FrameError> {
        Ok(Self {
            info: plate.info().clone(),
            key: plate.key()?,
            display: plate.header().display_window,
            data: plate.header().data_window,
            premultiplied: plate.header().premultiplied,
            movie: plate.is_movie(),
            write: ways.map(|w| w.write.clone()),
            reader: Mutex::new(plate),
            warning: Mutex::new(None),
        })
    }

    /// Frame `frame` as its file has it.
    pub fn read_untouched(&self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.reader.lock().read_untouched(frame).map(Arc::new)
    }

    /// Names frame `frame` at one `factor`-th of its size in the memory of the process.
    pub fn name_of(&self, frame: i32, factor: usize) -> blake3::Hash {
        key_of(&[
            self.key.to_hex().as_str(),
            &format!("frame {frame} at 1/{factor}"),
        ])
    }

    /// Has the files of `frames` read before they are asked for, at most about `bound`
    /// bytes of them.
    pub fn prefetch(&self, frames: &[i32], bound: usize) {
        let info = &self.info;
        let bytes = info.width * info.height * info.channels.len() * size_of::<f32>();
        let most = (bound / bytes.max(1)).min(frames.len());
        self.reader.lock().prefetch(&frames[..most]);
    }

    /// Whether `frame` has been read ahead and lies ready.
    #[cfg(test)]
    pub fn is_ready(&self, frame: i32) -> bool {
        self.reader.lock().is_ready(frame)
    }

    /// The first frame read that has samples which are no numbers.
    pub fn warning(&self) -> Option<String> {
        self.warning.lock().as_ref().map(ToString::to_string)
    }
}

/// Open plates, and those that could not be opened, for as long as their files
/// stay as they are.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<Vec<Entry>>);

struct Entry {
    choice: FileChoice,
    stamp: Stamp,
    looked: Instant,
    result: Result<Arc<FileSource>, String>,
}

/// Time of change and size of what stands for a whole sequence: its folder and
/// the files at its ends.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl OpenFiles {
    /// The plate that `choice` names. The error is a sentence for the artist.
    pub fn get(&self, choice: &FileChoice) -> Result<Arc<FileSource>, String> {
        let mut entries = self.0.lock();
        if let Some(at) = entries.iter().position(|e| e.choice == *choice) {
            let mut entry = entries.remove(at);
            let fresh = entry.looked.elapsed() < FRESH;
            if fresh || (entry.result.is_ok() && entry.stamp == stamp(&choice.path)) {
                if !fresh {
                    entry.looked = Instant::now();
                }
                let result = entry.result.clone();
                entries.push(entry);
                return result;
            }
        }
        let before = stamp(&choice.path);
        let result = FileSource::open(choice)
            .map(Arc::new)
            .map_err(|e| e.to_string());
        entries.push(Entry {
            choice: choice.clone(),
            stamp: before,
            looked: Instant::now(),
            result: result.clone(),
        });
        if entries.len() > OPEN {
            entries.remove(0);
        }
        result
    }

    /// Closes all.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

fn stamp(path: &Path) -> Stamp {
    let look = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    let Ok(sequence) = Sequence::find(path) else {
        return vec![look(path)];
    };
    let mut stamp = vec![look(path), look(sequence.folder())];
    if let Ok(files) = sequence.files() {
        let ends = [files.values().next(), files.values().next_back()];
        stamp.extend(ends.into_iter().flatten().map(|p| look(p)));
    }
    stamp
}

/// Reads a plate file at one `factor`-th of its size, through the cache.
pub(super) struct FileReader<'a> {
    source: &'a FileSource,
    cache: &'a FrameCache,
    info: PlateInfo,
    factor: usize,
    bound: usize,
}

impl<'a> FileReader<'a> {
    /// A reader that keeps at most `bound` bytes of pictures in `cache`.
    pub fn new(source: &'a FileSource, cache: &'a FrameCache, factor: usize, bound: usize) -> Self {
        let info = ScaledPlate::new(Straight(source), factor).info().clone();
        Self {
            source,
            cache,
            info,
            factor,
            bound,
        }
    }
}

impl PlateReader for FileReader<'_> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let name = self.source.name_of(frame, self.factor);
        if let Some(picture) = self.cache.get(&name) {
            return Ok(picture);
        }
        let picture = ScaledPlate::new(Straight(self.source), self.factor).read(frame)?;
        self.cache.put(name, &picture, self.bound);
        Ok(picture)
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.source.reader.lock().prefetch(frames);
    }
}

/// The file itself.
struct Straight<'a>(&'a FileSource);

impl PlateReader for Straight<'_> {
    fn info(&self) -> &PlateInfo {
        &self.0.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let mut reader = self.0.reader.lock();
        let picture = reader.read(frame)?;
        for warning in reader.take_warnings() {
            if matches!(warning, Warning::NotFinite { .. }) {
                self.0.warning.lock().get_or_insert(warning);
            }
        }
        Ok(picture)
    }
}
