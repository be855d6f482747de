//! A plate in files, for hosts that hand over only the current frame and for
//! the generator: opened once in the process, read on our own threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::frames::FrameCache;
use super::stamp::Stamp;
use crate::frame::{
    Conversion, FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader,
    ScaledPlate, Transfer, Warning, Window,
};
use crate::sequence::{Colour, Ways, key_of};

/// For how long files are taken to be as they were, in a host.
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
pub(super) struct OpenFiles {
    slots: Mutex<Vec<(FileChoice, Slot)>>,
    /// For how long files are taken to be as they were.
    fresh: Duration,
}

/// A plate, by itself: one that takes long to open keeps nobody from another.
type Slot = Arc<Mutex<Option<Entry>>>;

struct Entry {
    stamp: Stamp,
    looked: Instant,
    result: Result<Arc<FileSource>, String>,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            fresh: FRESH,
        }
    }
}

impl OpenFiles {
    /// The plate that `choice` names. The error is a sentence for the artist.
    pub fn get(&self, choice: &FileChoice) -> Result<Arc<FileSource>, String> {
        let slot = self.slot(choice);
        let mut slot = slot.lock();
        if let Some(entry) = &mut *slot {
            let fresh = entry.looked.elapsed() < self.fresh;
            if fresh || (entry.result.is_ok() && entry.stamp.still(choice)) {
                if !fresh {
                    entry.looked = Instant::now();
                }
                return entry.result.clone();
            }
        }
        let stamp = Stamp::of(choice);
        let result = FileSource::open(choice)
            .map(Arc::new)
            .map_err(|e| e.to_string());
        *slot = Some(Entry {
            stamp,
            looked: Instant::now(),
            result: result.clone(),
        });
        result
    }

    /// Where the plate that `choice` names is kept, the most recently used last.
    fn slot(&self, choice: &FileChoice) -> Slot {
        let mut slots = self.slots.lock();
        let at = slots.iter().position(|(c, _)| c == choice);
        let own = match at {
            Some(at) => slots.remove(at),
            None => (choice.clone(), Slot::default()),
        };
        let slot = Arc::clone(&own.1);
        slots.push(own);
        if slots.len() > OPEN {
            slots.remove(0);
        }
        slot
    }

    /// Closes all.
    pub fn clear(&self) {
        self.slots.lock().clear();
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::frame::{FrameHeader, SequenceWriter, WriteOptions};

    fn write(path: &Path, frames: std::ops::RangeInclusive<i32>) {
        let info = PlateInfo {
            range: FrameRange::new(*frames.start(), *frames.end()).unwrap(),
            width: 8,
            height: 4,
            full_size: (8, 4),
            channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
            fps: 24.0,
            transfer: Transfer::Linear,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        };
        let header = FrameHeader::new(&info);
        let writer = SequenceWriter::new(path, header, WriteOptions::default()).unwrap();
        for frame in frames {
            let picture = Arc::new(Picture::new(8, 4, 3));
            writer.write(frame, &picture).unwrap();
        }
    }

    fn choice(path: &Path, range: Option<FrameRange>) -> FileChoice {
        FileChoice {
            path: path.to_owned(),
            range,
            transfer: None,
            colour: None,
        }
    }

    #[test]
    fn a_plate_is_opened_again_where_its_own_files_change_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("plate.####.exr"), 1..=3);
        std::fs::copy(at("plate.0001.exr"), at("still.exr")).unwrap();
        let files = OpenFiles {
            fresh: Duration::ZERO,
            ..OpenFiles::default()
        };
        let all = choice(&at("plate.####.exr"), None);
        let first = choice(&all.path, FrameRange::new(1, 3));
        let single = choice(&at("still.exr"), None);
        let open = || [&all, &first, &single].map(|c| files.get(c).unwrap());
        let same = |a: &[Arc<FileSource>; 3], b: &[Arc<FileSource>; 3]| {
            std::array::from_fn(|i| Arc::ptr_eq(&a[i], &b[i]))
        };
        let before = open();
        // Output is written beside it.
        write(&at("out.####.exr"), 1..=2);
        assert_eq!(same(&before, &open()), [true; 3]);
        // A frame more of the plate, which the range leaves out.
        write(&at("plate.####.exr"), 4..=4);
        let longer = open();
        assert_eq!(same(&before, &longer), [false, true, true]);
        assert_eq!(longer[0].info.range.last, 4);
        // A frame is written anew: its time tells, or its size.
        std::fs::write(at("plate.0002.exr.new"), b"longer than nothing").unwrap();
        std::fs::rename(at("plate.0002.exr.new"), at("plate.0002.exr")).unwrap();
        assert!(files.get(&first).is_err(), "it is no EXR any more");
        std::fs::copy(at("plate.0001.exr"), at("plate.0002.exr")).unwrap();
        std::fs::write(at("still.exr"), b"no picture").unwrap();
        assert!(files.get(&first).is_ok() && files.get(&single).is_err());
    }
}
