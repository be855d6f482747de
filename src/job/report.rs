//! Measures a sequence against its plate and leaves the report's files.

use std::io;
use std::path::{Path, PathBuf};

use super::error::{JobError, Kind};
use super::output;
use super::shared_plate::SharedPlate;
use super::sources::Sources;
use super::spec::Draft;
use super::watch::{Event, Watch};
use crate::device::{self, Cancel, Task};
use crate::engine;
use crate::engine::plate::{Camera, PlateEngine, Steadied, Steady, Suitability, Use, suitability};
use crate::frame::{FilePlate, PlateOptions, Sequence};
use crate::manifest::Values;
use crate::sequence::report::{
    Album, Encoded, Movie, Page, Report, ReportError, Subject, Viewer, reference, report_to,
};

/// Files that show a sequence to people and scripts.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// A PNG of frames side by side.
    pub contact_sheet: Option<PathBuf>,
    /// A movie.
    pub preview: Option<PathBuf>,
    /// The measures, in JSON.
    pub report: Option<PathBuf>,
    /// All of it on one page for a browser.
    pub page: Option<PathBuf>,
}

impl Looks {
    /// Those that `values` names.
    pub(super) fn of(values: &Values) -> Self {
        let path = |name: &str| {
            Some(values.text(name))
                .filter(|s| !s.is_empty())
                .map(PathBuf::from)
        };
        Self {
            contact_sheet: path("contactSheet"),
            preview: path("preview"),
            report: path("report"),
            page: path("page"),
        }
    }

    /// Whether none is wanted.
    pub fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    fn files(&self) -> Vec<&PathBuf> {
        [&self.contact_sheet, &self.preview, &self.report, &self.page]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Checks, before any work, that they can be written, each under a name of its own
    /// and none over `sources`.
    ///
    /// # Errors
    /// Where one cannot.
    pub(super) fn check(&self, mut sources: Sources) -> Result<(), JobError> {
        let preview = self.preview.as_deref().map(Movie::place);
        let others = [&self.contact_sheet, &self.report, &self.page];
        let others = others.into_iter().flatten().cloned();
        let all: Vec<PathBuf> = others.chain(preview).collect();
        for path in &all {
            sources.spare([path.as_path()])?;
            sources.add(Sequence::parse(path), "asked for twice");
        }
        for path in &all {
            output::probe(path.parent().unwrap_or(Path::new("")))?;
        }
        Ok(())
    }

    /// Tells where a file will be another than was asked for.
    pub(super) fn tell(&self, watch: &dyn Watch) {
        if let Some(path) = &self.preview
            && let place = Movie::place(path)
            && place != *path
        {
            let message = &format!(
                "ffmpeg is not installed, so the preview is written as an animated PNG, {}: install ffmpeg for a movie",
                place.display()
            );
            watch.event(&Event::Warning { message });
        }
    }

    /// Measures `subject` and leaves the files. `again` is its plate, read twice, if there
    /// is one to tell what footage measures against itself.
    pub(super) fn leave(
        &self,
        subject: &mut Subject<'_>,
        again: Option<(&mut SharedPlate<'_>, &mut SharedPlate<'_>)>,
        found: Option<&Suitability>,
        task: Task<'_>,
        watch: &dyn Watch,
    ) -> Result<Report, JobError> {
        let info = subject.output.info().clone();
        let frames = info.range.count();
        let mut views = Views {
            album: (self.contact_sheet.is_some() || self.page.is_some())
                .then(|| Album::new(frames)),
            page: match &self.page {
                Some(path) => {
                    let page = Page::new(frames, info.fps);
                    Some(page.map_err(|e| JobError::writing(path, &e))?)
                }
                None => None,
            },
            movie: self
                .preview
                .as_ref()
                .map(|path| Movie::new(path, frames, info.fps)),
            failed: None,
        };
        let mut measured = report_to(subject, &mut views, task)?;
        measured.reference = match again {
            Some((plate, again)) => reference(plate, again, subject.camera, task)?,
            None => None,
        };
        let told = |what: &str, file: &Path| watch.event(&Event::File { what, file });
        if let Some(movie) = views.movie {
            let path = movie.path().to_owned();
            let finished = match views.failed {
                Some(error) => Err(error),
                None => movie.finish(),
            };
            told(
                "preview",
                &finished.map_err(|e| JobError::writing(&path, &e))?,
            );
        }
        if let Some(album) = views.album {
            let png = album.page(&measured).png();
            let wanted = self.contact_sheet.as_ref().or(self.page.as_ref());
            let writing = |e: &io::Error| JobError::writing(wanted.map_or(Path::new(""), |p| p), e);
            let png = png.map_err(|e| writing(&e))?;
            if let Some(path) = &self.contact_sheet {
                output::write(path, &png)?;
                told("contact sheet", path);
            }
            if let (Some(page), Some(path)) = (views.page, &self.page) {
                let html = page.html(&measured, &png);
                let html = html.map_err(|e| JobError::writing(path, &e))?;
                output::write(path, html.as_bytes())?;
                told("page", path);
            }
        }
        if let Some(path) = &self.report {
            output::write(path, json(&measured, found)?.as_bytes())?;
            told("report", path);
        }
        Ok(measured)
    }
}

/// The report with what was found of the plate, for people and scripts.
fn json(report: &Report, found: Option<&Suitability>) -> Result<String, JobError> {
    let text = || {
        let mut all = serde_json::to_value(report)?;
        if let Some(found) = found {
            all["suitability"] = serde_json::to_value(found)?;
            all["suitability"]["summary"] = found.summary().into();
        }
        serde_json::to_string_pretty(&all)
    };
    text().map_err(|e| JobError::new(Kind::Internal, e.to_string()))
}

/// Draws what is measured as it comes by.
struct Views {
    album: Option<Album>,
    movie: Option<Movie>,
    page: Option<Page>,
    failed: Option<io::Error>,
}

impl Viewer for Views {
    fn plate(&mut self, frame: i32, index: usize, picture: &Encoded) {
        if let Some(album) = &mut self.album {
            album.plate(frame, index, picture);
        }
        if let Some(page) = &mut self.page {
            page.plate(frame, index, picture);
        }
    }

    fn output(&mut self, frame: i32, index: usize, picture: &Encoded) {
        if let Some(album) = &mut self.album {
            album.output(frame, index, picture);
        }
        if let Some(page) = &mut self.page {
            page.output(frame, index, picture);
        }
        if let (Some(movie), None) = (&mut self.movie, &self.failed) {
            self.failed = movie.push(picture).err();
        }
    }
}

impl From<ReportError> for JobError {
    fn from(error: ReportError) -> Self {
        let message = error.to_string();
        match error {
            ReportError::Frame(e) => e.into(),
            ReportError::Size { .. } => Self::new(Kind::Mismatch, message),
            ReportError::Cancelled(_) => Self::new(Kind::Cancelled, message),
            _ => Self::new(Kind::Output, message),
        }
    }
}

/// Where the camera of `plate` looks and that of a sequence that was made elsewhere, if
/// that one can be followed.
fn follow(
    engine: &PlateEngine,
    output: &mut FilePlate,
    plate: &Steadied,
    task: Task<'_>,
) -> Result<Option<Camera>, JobError> {
    let mut sources = engine::Sources {
        plate: output,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let seen = engine.study(&mut sources, task)?;
    let steady = seen.is_steadied(Steady::Auto);
    let seen = seen.steadied.filter(|_| steady);
    Ok(seen.map(|seen| Camera {
        plate: plate.poses.clone(),
        out: seen.poses,
        withheld: Vec::new(),
    }))
}

/// Measures the sequence `files` against the plate that `draft` names.
///
/// # Errors
/// Where something is missing, unreadable, of differing size or not to be
/// written; each error says what to do.
pub fn measure(
    files: &Path,
    draft: Draft,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Report, JobError> {
    let mut sources = Sources::of(draft.values());
    let sight = draft.sight()?;
    device::limit(sight.threads.unwrap_or(0));
    let named = sight.colour.as_ref();
    let mut output = FilePlate::open(
        files,
        &PlateOptions {
            fps: sight.options.fps,
            transfer: named.map(|c| c.transfer()),
            ..PlateOptions::default()
        },
    )?;
    let mut plate = FilePlate::open(&sight.plate, &sight.options)?;
    // Measured in one space, that of light.
    if let Some(ways) = named.and_then(|c| c.ways.as_ref()) {
        output = output.converted(files, ways.back.clone())?;
        plate = plate.converted(&sight.plate, ways.read.clone())?;
    }
    sources.add(Sequence::find(files), "a frame of the sequence");
    sight.looks.check(sources)?;
    sight.looks.tell(watch);
    let mut plate = SharedPlate::new(plate, 1, sight.memory, watch);
    let task = Task {
        cancel,
        progress: watch,
    };
    let mut sources = engine::Sources {
        plate: &mut plate.clone(),
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let plate_engine = PlateEngine::default();
    let analysis = plate_engine.study(&mut sources, task)?;
    let steady = analysis.is_steadied(Steady::Auto);
    let purpose = Use {
        steadied: steady,
        ..Use::default()
    };
    let found = suitability(&analysis, analysis.info.range, purpose, task)?;
    watch.event(&Event::Suitability {
        found: &found,
        summary: &found.summary(),
    });
    let camera = match &analysis.steadied {
        Some(plate) if steady => {
            let camera = follow(&plate_engine, &mut output, plate, task)?;
            if camera.is_none() {
                let message = "the plate's camera moves and that of the sequence cannot be followed: both are measured as they are, motion of the camera and all";
                watch.event(&Event::Warning { message });
            }
            camera
        }
        _ => None,
    };
    let halves = (&mut plate.clone(), &mut plate.clone());
    let mut subject = Subject {
        camera: camera.as_ref(),
        ..Subject::of(&mut output, Some(&mut plate))
    };
    sight
        .looks
        .leave(&mut subject, Some(halves), Some(&found), task, watch)
}
