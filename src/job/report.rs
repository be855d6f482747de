//! Measures a sequence against its plate and leaves the report's files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{JobError, Kind};
use super::output;
use super::shared_plate::SharedPlate;
use super::shot::{Matte, Shot};
use super::sources::Sources;
use super::spec::{Draft, Job};
use super::traced::trace;
use super::watch::{Event, Watch};
use crate::device::{self, Cancel, Task};
use crate::engine::plate::{
    Camera, EditList, Exposure, PlateEngine, Steadied, Steady, Suitability, Use, suitability,
};
use crate::engine::{self, AnyEngine, Timeline};
use crate::frame::{
    Compression, FilePlate, FrameError, Picture, PlateInfo, PlateOptions, PlateReader, SampleDepth,
    Sequence, Transfer, Warning, to_display, to_linear,
};
use crate::manifest::Values;
use crate::sequence::plan::Plan;
use crate::sequence::report::{
    Album, Borders, Encoded, Missing, Movie, Page, Report, ReportError, Subject, Viewer, reference,
    report_to,
};
use crate::sequence::{Colour, Take};
use crate::store::Vault;

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
            missing,
        } = known;
        let range = output.info().range;
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
            kept: &|frame| timeline.kept(frame),
            closed: timeline.closed && range == timeline.out,
            source: edit.is_some().then_some(&indices),
            camera: camera.as_ref(),
            exposure: exposure.as_ref(),
            borders: borders(plan, plate.info()),
            missing,
        };
        let halves = (&mut plate.clone(), &mut plate.clone());
        let halves = edit.is_some().then_some(halves);
        self.leave(&mut subject, halves, found, task, watch)
    }

    /// Measures `subject` and leaves the files. `again` is its plate, read twice, if there
    /// is one to tell what footage measures against itself.
    fn leave(
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

/// What is known of a take whose frames are measured.
pub(super) struct Known<'a> {
    pub plan: &'a Plan,
    pub timeline: &'a Timeline,
    /// Where its pixels come from, where these are the plate's.
    pub edit: Option<&'a EditList>,
    pub found: Option<&'a Suitability>,
    /// At the size of the frames.
    pub matte: Option<Matte>,
    /// What cannot be measured.
    pub missing: Vec<Missing>,
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
    output: &mut Encoding,
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

/// A sequence in the encoding of its plate, in which a camera's motion is taken out of
/// both.
struct Encoding {
    files: FilePlate,
    info: PlateInfo,
}

impl PlateReader for Encoding {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let picture = self.files.read(frame)?;
        let convert = match (self.files.info().transfer, self.info.transfer) {
            (Transfer::Linear, Transfer::Display) => to_display,
            (Transfer::Display, Transfer::Linear) => to_linear,
            _ => return Ok(picture),
        };
        let names = self.info.channels.iter().map(String::as_str);
        let colour: Vec<bool> = names.map(|n| matches!(n, "R" | "G" | "B" | "Y")).collect();
        let mut picture = Picture::clone(&picture);
        for pixel in picture.data_mut().chunks_exact_mut(colour.len().max(1)) {
            for (value, _) in pixel.iter_mut().zip(&colour).filter(|(_, is)| **is) {
                *value = convert(*value);
            }
        }
        Ok(Arc::new(picture))
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.files.prefetch(frames);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.files.take_warnings()
    }
}

/// Opens the frames `files` of a sequence whose plate is `plate` and lies at `of`, to be
/// measured in its space.
fn open(
    files: &Path,
    plate: &FilePlate,
    of: &Path,
    options: &PlateOptions,
    colour: Option<&Colour>,
) -> Result<Encoding, JobError> {
    let kind = |path: &Path| Sequence::find(path).map(|s| s.extension()).ok();
    // Files of the plate's own kind hold what it holds.
    let alike = (kind(files) == kind(of)).then_some(plate.header().transfer);
    let output = FilePlate::open(
        files,
        &PlateOptions {
            fps: options.fps,
            transfer: match colour {
                Some(colour) => Some(colour.transfer()),
                None => alike,
            },
            ..PlateOptions::default()
        },
    )?;
    let (files, transfer) = match colour.and_then(|c| c.ways.as_ref()) {
        // Both come to light.
        Some(ways) => (
            output.converted(files, ways.back.clone())?,
            Transfer::Linear,
        ),
        None => (output, plate.info().transfer),
    };
    let info = PlateInfo {
        transfer,
        ..files.info().clone()
    };
    Ok(Encoding { files, info })
}

/// Measures the sequence `files` against the plate that `draft` names. What its frames
/// tell of the take that they are of is made use of: where blocks, tiles and clips meet,
/// which frames are kept, the plate where `draft` names none.
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
    match trace(files, &draft) {
        Ok(job) => measure_take(files, &job, cancel, watch),
        Err(why) => measure_any(files, draft, why, cancel, watch),
    }
}

/// What cannot be told of a sequence of which it is not known how it was made.
const NEEDS_TAKE: [&str; 11] = [
    "seam_tile",
    "seam_block",
    "seam_switch",
    "spurious",
    "jump",
    "copy",
    "pairings_back",
    "jumps_back",
    "join",
    "kept",
    "outside",
];

/// Measures frames of the take that `job` makes.
fn measure_take(
    files: &Path,
    job: &Job,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Report, JobError> {
    device::limit(job.threads.unwrap_or(0));
    let task = Task {
        cancel,
        progress: watch,
    };
    let shot = Shot::open(job)?;
    let mut output = open(
        files,
        &shot.plate,
        &job.plate,
        &job.options,
        job.colour.as_ref(),
    )?;
    let mut sources = Sources::of(&job.values);
    sources.add(Sequence::find(files), "a frame of the sequence");
    job.looks.check(sources)?;
    job.looks.tell(watch);
    let holds = |of: &FilePlate| -> Vec<(String, SampleDepth)> {
        let channels = of.header().channels.iter();
        channels.map(|c| (c.name.clone(), c.depth)).collect()
    };
    let exact = job.reduce == 1
        && job.colour.as_ref().is_none_or(|c| c.ways.is_none())
        && holds(&output.files) == holds(&shot.plate)
        && !matches!(job.compression, Compression::Dwaa(_));
    let missing = (!exact).then(|| Missing {
        measures: vec!["kept".to_owned(), "outside".to_owned()],
        why: "the files hold their samples otherwise than the plate's do, so that bits cannot be compared".to_owned(),
    });
    let full = SharedPlate::new(shot.plate, 1, job.setup.memory, watch);
    let store = job.setup.disk_store();
    let vault: &dyn Vault = match &store {
        Some(store) => store,
        None => &(),
    };
    // What a model makes is not asked for: its frames are there.
    let take = match &job.setup.engine {
        AnyEngine::Wan(_) => None,
        AnyEngine::Plate(engine) => {
            let mut matte = Shot::matte_of(job)?;
            let mut sources = engine::Sources {
                plate: &mut full.clone(),
                matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
                guide: None,
                subjects: Default::default(),
            };
            let timeline = shot.timeline.clone();
            let engine = AnyEngine::Plate(engine.clone());
            Some(Take::prepare(
                engine,
                &shot.key,
                timeline,
                &mut sources,
                vault,
                task,
            )?)
        }
    };
    let edit = take.as_ref().and_then(|t| t.decision().edit_list());
    let analysis = take.as_ref().and_then(|t| t.analysis().plate());
    let found = match analysis {
        Some(analysis) => {
            let purpose = edit.map(Use::of).unwrap_or_default();
            Some(suitability(analysis, shot.timeline.plate, purpose, task)?)
        }
        None => None,
    };
    if let Some(found) = &found {
        watch.event(&Event::Suitability {
            found,
            summary: &found.summary(),
        });
    }
    let plate = match job.reduce {
        1 => full,
        reduce => {
            drop(full);
            SharedPlate::new(job.open_plate()?, reduce, job.setup.memory, watch)
        }
    };
    let known = Known {
        plan: &shot.plan,
        timeline: &shot.timeline,
        edit,
        found: found.as_ref(),
        matte: Shot::scaled_matte(job)?,
        missing: missing.into_iter().collect(),
    };
    job.looks
        .leave_take(&mut output, &plate, known, task, watch)
}

/// Measures any sequence; `why` it is not known how it was made.
fn measure_any(
    files: &Path,
    draft: Draft,
    why: String,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Report, JobError> {
    let mut sources = Sources::of(draft.values());
    let sight = draft.sight()?;
    device::limit(sight.threads.unwrap_or(0));
    let colour = sight.colour.as_ref();
    let mut plate = FilePlate::open(&sight.plate, &sight.options)?;
    let mut output = open(files, &plate, &sight.plate, &sight.options, colour)?;
    if let Some(ways) = colour.and_then(|c| c.ways.as_ref()) {
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
        missing: vec![Missing {
            measures: NEEDS_TAKE.map(str::to_owned).to_vec(),
            why,
        }],
        ..Subject::of(&mut output, Some(&mut plate))
    };
    sight
        .looks
        .leave(&mut subject, Some(halves), Some(&found), task, watch)
}
