//! A plate that lies in files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::files::{Files, Kind, has, headers, on_canvas};
use super::header::{FrameHeader, SampleDepth};
use super::movie::Movie;
use super::prefetch::Prefetch;
use super::{content, exr_read};
use crate::frame::colour::rgb;
use crate::frame::finite::{Samples, mend};
use crate::frame::sequence::in_words;
use crate::frame::{
    Conversion, FrameError, FrameRange, Picture, PlateInfo, PlateReader, Sequence, Transfer,
    Warning, Window,
};

/// What is known of a plate better than its files tell.
#[derive(Clone, Debug, Default)]
pub struct PlateOptions {
    /// The frames to use; by default all that there are.
    pub range: Option<FrameRange>,
    /// How sample values relate to light; by default EXR is linear, PNG and
    /// movies are for display.
    pub transfer: Option<Transfer>,
    /// Frames in a second; by default as the files tell, else 24.
    pub fps: Option<f64>,
    /// The part of the plate's coordinates that pictures show; by default all
    /// that any frame stores. A matte takes its plate's.
    pub canvas: Option<Window>,
}

/// A plate in EXR or PNG frames or a movie.
///
/// All frames must have one display window (the format of the shot) and the
/// same channels. Their data windows may differ, as renders crop them: the
/// pictures show the smallest window that holds them all, zero where a frame
/// stores nothing. Samples that are not finite are replaced and reported; see
/// [`read_untouched`](Self::read_untouched).
pub struct FilePlate {
    info: PlateInfo,
    /// What the artist knows it by.
    name: String,
    header: FrameHeader,
    frames: Frames,
    /// Looked for when it is first asked for.
    content: OnceLock<blake3::Hash>,
    /// How the samples in the files relate to light.
    own_transfer: Transfer,
    warnings: Vec<Warning>,
    prefetch: Prefetch,
    /// What is done with R, G and B, and where they are.
    colour: Option<(Conversion, [usize; 3])>,
    /// Whether the artist knows that whole numbers are too large.
    told_large: bool,
}

/// Whole numbers up to this are floats too.
const LARGEST_WHOLE: f32 = 16_777_216.0;

/// The headers of a plate's frames, to be read one by one, by any thread.
#[derive(Clone)]
pub struct FrameHeaders(Option<Arc<Files>>);

impl FrameHeaders {
    /// The header of `frame`; `None` where the frames have no attributes of their own, as
    /// those of a movie.
    ///
    /// # Errors
    /// Where its file cannot be read.
    pub fn read(&self, frame: i32) -> Result<Option<FrameHeader>, FrameError> {
        let files = self.0.as_ref().filter(|files| files.kind == Kind::Exr);
        let path = files.and_then(|files| files.paths.get(&frame));
        let found = path.map(|path| exr_read::header(path)).transpose()?;
        Ok(found.map(|found| found.header))
    }
}

enum Frames {
    /// Shared with workers that read ahead.
    Files(Arc<Files>),
    Movie(Box<Movie>),
    /// Black.
    Blank,
}

impl FilePlate {
    /// Opens the plate that `path` names: a sequence by pattern or by one of
    /// its files (see [`Sequence`]), a single picture, or a movie (anything
    /// that is neither EXR nor PNG), whose frames count from 1. Reads the
    /// headers of all frames, no pixels.
    pub fn open(path: &Path, options: &PlateOptions) -> Result<Self, FrameError> {
        if path.is_dir() {
            return Err(FrameError::Pattern {
                path: path.to_owned(),
                advice: "this is a folder; name the frames in it, as in plate.####.exr".to_owned(),
            });
        }
        if options.fps.is_some_and(|f| !(f > 0.0 && f.is_finite())) {
            return Err(FrameError::Unsupported {
                path: path.to_owned(),
                message: "the frame rate must be a number above 0".to_owned(),
            });
        }
        Self::open_as(path, &Sequence::find(path)?, options)
    }

    /// Opens the one picture `path`, numbered 1, whatever number its name ends in and
    /// whatever files lie beside it.
    pub fn open_one(path: &Path) -> Result<Self, FrameError> {
        Self::open_as(path, &Sequence::parse(path)?, &PlateOptions::default())
    }

    fn open_as(
        path: &Path,
        sequence: &Sequence,
        options: &PlateOptions,
    ) -> Result<Self, FrameError> {
        match Kind::of(sequence) {
            Some(kind) => Self::open_files(path, sequence, kind, options),
            None => Self::open_movie(path, options),
        }
    }

    fn open_files(
        path: &Path,
        sequence: &Sequence,
        kind: Kind,
        options: &PlateOptions,
    ) -> Result<Self, FrameError> {
        let mut paths = sequence.files()?;
        let Some((&first, &last)) = paths.keys().next().zip(paths.keys().next_back()) else {
            return Err(FrameError::NotFound {
                path: path.to_owned(),
                advice: "no such frames were found; check the folder, the name and the padding"
                    .to_owned(),
            });
        };
        let range = options.range.unwrap_or(FrameRange { first, last });
        let name = sequence.pattern()?;
        // Asked for from the files that there are: a range may be very long.
        if (paths.range(range.first..=range.last).count()) < range.count() {
            let missing = range.iter().find(|f| !paths.contains_key(f));
            return Err(FrameError::Missing {
                frame: missing.unwrap_or(range.first),
                have: has(&name, &in_words(paths.keys().copied())),
            });
        }
        paths.retain(|&frame, _| range.contains(frame));
        let (header, mut warnings) = headers(&paths, kind, options.canvas)?;
        warnings.extend(no_rate(&header, options));
        let header = FrameHeader {
            fps: options.fps.or(header.fps),
            transfer: options.transfer.unwrap_or(header.transfer),
            ..header
        };
        Ok(Self {
            info: info(&header, range),
            name: name.clone(),
            frames: Frames::Files(Arc::new(Files {
                kind,
                name,
                paths,
                header: header.clone(),
            })),
            content: OnceLock::new(),
            own_transfer: header.transfer,
            header,
            warnings,
            prefetch: Prefetch::default(),
            colour: None,
            told_large: false,
        })
    }

    fn open_movie(path: &Path, options: &PlateOptions) -> Result<Self, FrameError> {
        if Sequence::parse(path).is_ok_and(|s| !s.is_single()) && !path.exists() {
            return Err(FrameError::Unsupported {
                path: path.to_owned(),
                message: "sequences are read as .exr or .png; convert the frames to one of them"
                    .to_owned(),
            });
        }
        let mut movie = Movie::open(path)?;
        let all = FrameRange {
            first: 1,
            last: movie.count,
        };
        let range = options.range.unwrap_or(all);
        for frame in [range.first, range.last] {
            if !all.contains(frame) {
                let have = format!("{all}, since a movie's frames count from 1");
                return Err(FrameError::Missing {
                    frame,
                    have: has(&path.display().to_string(), &have),
                });
            }
        }
        let mut header = movie.header()?;
        header.time_code = movie.time_code(header.fps).map(|code| (1, code));
        let mut warnings: Vec<Warning> = no_rate(&header, options).into_iter().collect();
        if movie.is_interlaced() {
            warnings.push(Warning::Interlaced(path.to_owned()));
        }
        header.fps = options.fps.or(header.fps);
        header.transfer = options.transfer.unwrap_or(header.transfer);
        if let Some(canvas) = options.canvas {
            header.data_window = canvas;
        }
        Ok(Self {
            info: info(&header, range),
            name: path.display().to_string(),
            content: OnceLock::new(),
            own_transfer: header.transfer,
            frames: Frames::Movie(Box::new(movie)),
            header,
            warnings,
            prefetch: Prefetch::default(),
            colour: None,
            told_large: false,
        })
    }

    /// A plate of black as `info` tells, where frames are made from nothing and only
    /// their size counts.
    pub fn blank(info: PlateInfo) -> Self {
        let content = blake3::hash(format!("longtake blank 2 {info:?}").as_bytes());
        Self {
            header: FrameHeader::new(&info),
            own_transfer: info.transfer,
            info,
            name: "the blank plate".to_owned(),
            frames: Frames::Blank,
            content: OnceLock::from(content),
            warnings: Vec::new(),
            prefetch: Prefetch::default(),
            colour: None,
            told_large: false,
        }
    }

    /// This plate with its colours converted to a scene-linear space as it is read
    /// ([`read_untouched`](Self::read_untouched) alone still gives what the files
    /// have), which makes it another plate with another [`key`](Self::key).
    ///
    /// # Errors
    /// Where it has no channels R, G and B.
    pub fn converted(mut self, path: &Path, to_linear: Conversion) -> Result<Self, FrameError> {
        let at = rgb(self.info.channels.iter().map(String::as_str));
        let at = at.ok_or_else(|| FrameError::Unsupported {
            path: path.to_owned(),
            message: "only channels R, G and B have a colour space, and the plate lacks one of them: leave inputColorspace out".to_owned(),
        })?;
        self.info.transfer = Transfer::Linear;
        self.header.transfer = Transfer::Linear;
        self.colour = Some((to_linear, at));
        Ok(self)
    }

    /// Whether reading converts colours.
    pub fn converts(&self) -> bool {
        self.colour.is_some()
    }

    /// What frames written beside this plate should carry.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The headers of the frames, each with the attributes of its own.
    pub fn frame_headers(&self) -> FrameHeaders {
        FrameHeaders(match &self.frames {
            Frames::Files(files) => Some(files.clone()),
            _ => None,
        })
    }

    /// Names what the files hold by the numbers of the frames, the length of each file
    /// and its first and last 64 KiB, or by all of a movie; wherever the files lie and
    /// whatever they are called. Looked at once.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn content(&self) -> Result<blake3::Hash, FrameError> {
        if let Some(known) = self.content.get() {
            return Ok(*known);
        }
        let found = match &self.frames {
            Frames::Files(files) => content::of_frames(&files.paths)?,
            Frames::Movie(movie) => content::of_movie(movie.path())?,
            // Known from the beginning.
            Frames::Blank => blake3::hash(b"longtake blank"),
        };
        Ok(*self.content.get_or_init(|| found))
    }

    /// Names the plate's pixels: its [`content`](Self::content), its range, and all
    /// that alters how pixels are understood. Of EXR files the times of change count
    /// too, in whole seconds, since a few changed samples may leave the ends of a file
    /// as they were: a copy of such a plate has the same key where the times were copied
    /// along (`cp -p`, `rsync -a`, the job attachments of Deadline Cloud). A changed
    /// frame makes another key, unless its length, both ends and its time are forged.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn key(&self) -> Result<blake3::Hash, FrameError> {
        let times = match &self.frames {
            Frames::Files(files) if files.kind == Kind::Exr => {
                Some(content::times(files.paths.values())?.to_hex())
            }
            _ => None,
        };
        let colour = self.colour.as_ref().map(|(conversion, _)| conversion.id());
        let named = format!(
            "longtake plate 2 {} {times:?} {} {:?} {:?} {:?} {colour:?}",
            self.content()?.to_hex(),
            self.info.range,
            self.own_transfer,
            self.header.fps,
            self.header.data_window,
        );
        Ok(blake3::hash(named.as_bytes()))
    }

    /// Whether the frames come from a movie, decoded to a file on disk.
    pub fn is_movie(&self) -> bool {
        matches!(self.frames, Frames::Movie(_))
    }

    /// Whether `frame` has been read ahead and lies ready.
    #[cfg(test)]
    pub(crate) fn is_ready(&self, frame: i32) -> bool {
        self.prefetch.is_ready(frame)
    }

    /// As [`read`](PlateReader::read), with samples that are not finite left
    /// as they are: for frames that are kept bit for bit.
    pub fn read_untouched(&mut self, frame: i32) -> Result<Picture, FrameError> {
        if !self.info.range.contains(frame) {
            return Err(FrameError::Missing {
                frame,
                have: has(&self.name, &self.info.range.to_string()),
            });
        }
        match &mut self.frames {
            Frames::Files(files) => match self.prefetch.take(frame) {
                Some(result) => result,
                None => files.read(frame, false),
            },
            Frames::Movie(movie) => {
                let picture = movie.read(frame)?;
                on_canvas(picture, &self.header, frame)
            }
            Frames::Blank => {
                let info = &self.info;
                Ok(Picture::new(info.width, info.height, info.channels.len()))
            }
        }
    }

    /// Tells once of whole numbers in `picture` that a float does not hold.
    fn look_for_large(&mut self, picture: &Picture) {
        if self.told_large {
            return;
        }
        let whole = |c: &usize| self.header.channels[*c].depth == SampleDepth::Uint;
        let channels = self.header.channels.len();
        let large = (0..channels).filter(whole).find(|&c| {
            let mut samples = picture.data().iter().skip(c).step_by(channels);
            samples.any(|v| *v >= LARGEST_WHOLE)
        });
        if let Some(channel) = large {
            self.told_large = true;
            self.warnings.push(Warning::Rounded {
                channel: self.header.channels[channel].name.clone(),
            });
        }
    }
}

impl PlateReader for FilePlate {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let mut picture = self.read_untouched(frame)?;
        self.look_for_large(&picture);
        let channels = &self.info.channels;
        let ids = &self.info.ids;
        let samples = |c: usize| match channels[c].as_str() {
            "R" | "G" | "B" | "Y" | "A" => Samples::Colour,
            name if ids.iter().any(|id| id == name) => Samples::Ids,
            _ => Samples::Data,
        };
        let mut mended = mend(&mut picture, samples);
        let mut picture = Arc::new(picture);
        if let Some((conversion, rgb)) = &self.colour {
            let alpha = self.header.multiplied_by();
            let made = conversion.apply(&picture, *rgb, alpha);
            let mut made = made.ok_or_else(|| FrameError::Unsupported {
                path: PathBuf::from(format!("frame {frame}")),
                message: "OpenColorIO failed at its colours: choose another colour space"
                    .to_owned(),
            })?;
            // A log value far above 1 may be more light than a float holds.
            let more = mend(&mut made, samples);
            mended.nan += more.nan;
            mended.infinite += more.infinite;
            picture = Arc::new(made);
        }
        if mended != Default::default() {
            self.warnings.push(Warning::NotFinite {
                frame,
                nan: mended.nan,
                infinite: mended.infinite,
            });
        }
        Ok(picture)
    }

    fn prefetch(&mut self, frames: &[i32]) {
        if let Frames::Files(files) = &self.frames {
            let samples = self.info.width * self.info.height * self.info.channels.len();
            let files = files.clone();
            let read: Arc<dyn Fn(i32) -> _ + Send + Sync> = Arc::new(move |f| files.read(f, true));
            let bytes = samples * size_of::<f32>();
            self.prefetch.request(frames, bytes, &read);
        }
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

fn no_rate(header: &FrameHeader, options: &PlateOptions) -> Option<Warning> {
    options
        .fps
        .or(header.fps)
        .is_none()
        .then_some(Warning::NoRate)
}

fn info(header: &FrameHeader, range: FrameRange) -> PlateInfo {
    let (width, height) = (header.data_window.width(), header.data_window.height());
    PlateInfo {
        range,
        width,
        height,
        full_size: (width, height),
        channels: header
            .channels
            .iter()
            .map(|c| c.called().to_owned())
            .collect(),
        fps: header.fps.unwrap_or(24.0),
        transfer: header.transfer,
        pixel_aspect: header.pixel_aspect,
        ids: header
            .channels
            .iter()
            .filter(|c| c.is_id)
            .map(|c| c.called().to_owned())
            .collect(),
    }
}
