//! Leaves the files that a report comes to.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{JobError, Kind};
use super::output;
use super::rewritten::Rewritten;
use super::shared_plate::SharedPlate;
use super::shot::Matte;
use super::sources::Sources;
use super::spec::Job;
use super::watch::{Event, Watch};
use crate::device::Task;
use crate::engine::plate::{Camera, EditList, Exposure, Suitability};
use crate::engine::{Engine as _, Timeline};
use crate::frame::{FrameRange, PlateInfo, PlateReader, Sequence};
use crate::manifest::Values;
use crate::sequence::plan::Plan;
use crate::sequence::report::{
    Album, Borders, Encoded, Missing, Movie, Page, Report, ReportError, Subject, Titles, Viewer,
    reference, report_to,
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

    /// Measures the frames `output`, those of a take of which so much is `known` or a part
    /// of them, against `plate`, and leaves the files.
    pub(super) fn leave_take(
        &self,
        output: &mut dyn PlateReader,
        plate: &SharedPlate<'_>,
        known: Known<'_>,
        task: Task<'_>,
        watch: &dyn Watch,
    ) -> Result<Report, JobError> {
        let Known {
            plan,
            edit,
            timeline,
            found,
            mut matte,
            mut stored,
            missing,
            mut called,
        } = known;
        let range = output.info().range;
        let made = range.iter().filter(|f| timeline.kept(*f).is_none());
        let made = made.map(|f| f.saturating_sub(called.offset));
        called.made = Some(FrameRange::runs(made));
        let indices = |frame, width, height| match edit {
            Some(edit) => edit.plate_indices(frame, width, height),
            None => Vec::new(),
        };
        // Both tell by the index of a frame in the take.
        let skipped = range.first.saturating_sub(timeline.out.first).max(0) as usize;
        let camera = edit.and_then(|e| e.camera.as_ref()).map(|c| Camera {
            out: c.out.iter().skip(skipped).copied().collect(),
            ..c.clone()
        });
        let exposure = edit.and_then(|e| e.exposure.as_ref()).map(|e| Exposure {
            out: e.out.iter().skip(skipped).copied().collect(),
            ..e.clone()
        });
        let mut subject = Subject {
            output,
            plate: Some(&mut plate.clone()),
            matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
            stored: stored.as_mut().map(|s| s as &mut dyn PlateReader),
            kept: &|frame| timeline.kept(frame),
            closed: timeline.closed && range == timeline.out,
            source: edit.is_some().then_some(&indices),
            camera: camera.as_ref(),
            exposure: exposure.as_ref(),
            borders: borders(plan, plate.info()),
            missing,
        };
        if subject.lacks("seam_block") {
            subject.borders.frames.clear();
        }
        let halves = (&mut plate.clone(), &mut plate.clone());
        let halves = edit.is_some().then_some(halves);
        self.leave(&mut subject, halves, (found, called), task, watch)
    }

    /// Measures `subject` and leaves the files, in which it is called `called`, with what
    /// was `found` of its plate. `again` is that plate, read twice, if there is one to tell
    /// what footage measures against itself.
    pub(super) fn leave(
        &self,
        subject: &mut Subject<'_>,
        again: Option<(&mut SharedPlate<'_>, &mut SharedPlate<'_>)>,
        (found, called): (Option<&Suitability>, Called),
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
            offset: called.offset,
        };
        let mut measured = report_to(subject, &mut views, task)?;
        measured.titles = called.titles;
        measured.made = called.made;
        for number in [&mut measured.output.first, &mut measured.output.last] {
            *number = number.saturating_sub(called.offset);
        }
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

/// What is known of a take whose frames are measured.
pub(super) struct Known<'a> {
    pub plan: &'a Plan,
    pub timeline: &'a Timeline,
    /// Where its pixels come from, where these are the plate's.
    pub edit: Option<&'a EditList>,
    pub found: Option<&'a Suitability>,
    /// At the size of the frames.
    pub matte: Option<Matte>,
    /// The plate as files like the take's hold it, where these hold it otherwise.
    pub stored: Option<Rewritten<'a>>,
    /// What cannot be measured.
    pub missing: Vec<Missing>,
    pub called: Called,
}

/// What a sequence and its frames are called, to people.
pub(super) struct Called {
    pub titles: Titles,
    /// What is taken from the numbers that frames have in their take to come to those of
    /// their files.
    pub offset: i32,
    /// Which frames were made, by the numbers of their files, where that is known.
    pub made: Option<Vec<FrameRange>>,
}

impl Called {
    /// The frames `files` of the take that `job` makes from `plate` and `matte`, which may be
    /// named in other words than the job's.
    pub fn of(job: &Job, files: &Path, (plate, matte): (&Path, &Path), offset: i32) -> Self {
        let (engine, mode) = (job.setup.engine.version(), job.setup.mode.name());
        Self {
            titles: Titles {
                engine: Some(engine.to_owned()),
                mode: Some(mode.to_owned()),
                ..Self::any(files, plate, matte).titles
            },
            offset,
            made: None,
        }
    }

    /// Frames `files` of which it is not known how they were made.
    pub fn any(files: &Path, plate: &Path, matte: &Path) -> Self {
        let named = |path: &Path| Some(pattern(path)).filter(|name| !name.is_empty());
        Self {
            titles: Titles {
                sequence: pattern(files),
                plate: named(plate),
                matte: named(matte),
                ..Titles::default()
            },
            offset: 0,
            made: None,
        }
    }
}

/// A sequence as it was named; where one of its files was, by its pattern.
fn pattern(files: &Path) -> String {
    let named = Sequence::parse(files).is_ok_and(|s| !s.is_single());
    let found = Sequence::find(files).and_then(|s| s.pattern());
    let found = found.ok().filter(|_| !named);
    found.unwrap_or_else(|| files.display().to_string())
}

/// Where the blocks of a plan meet, in time and in pictures as `info` tells.
fn borders(plan: &Plan, info: &PlateInfo) -> Borders {
    let frames = plan
        .blocks()
        .filter_map(|b| b.frames.as_ref()?.iter().next());
    let mut frames: Vec<i32> = frames.collect();
    frames.sort_unstable();
    frames.dedup();
    let mut borders = Borders {
        frames,
        ..Borders::default()
    };
    for level in &plan.levels {
        borders.add(&level.tiles, [info.width, info.height]);
    }
    borders
}

/// The report with what was found of the plate, for people and scripts.
fn json(report: &Report, found: Option<&Suitability>) -> Result<String, JobError> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        report: &'a Report,
        #[serde(skip_serializing_if = "Option::is_none")]
        suitability: Option<Suited<'a>>,
    }
    #[derive(Serialize)]
    struct Suited<'a> {
        summary: String,
        #[serde(flatten)]
        found: &'a Suitability,
    }
    let whole = Whole {
        report,
        suitability: found.map(|found| Suited {
            summary: found.summary(),
            found,
        }),
    };
    let text = serde_json::to_string_pretty(&whole);
    text.map_err(|e| JobError::new(Kind::Internal, e.to_string()))
}

/// Draws what is measured as it comes by.
struct Views {
    album: Option<Album>,
    movie: Option<Movie>,
    page: Option<Page>,
    offset: i32,
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
        let frame = frame.saturating_sub(self.offset);
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
