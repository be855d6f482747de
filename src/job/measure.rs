//! Measures the frames of a sequence against its plate: as the take that they tell they
//! are of, or as any frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{JobError, Kind};
use super::paths;
use super::report::{Called, Known};
use super::shared_plate::SharedPlate;
use super::shot::Shot;
use super::sources::Sources;
use super::spec::{Draft, Job};
use super::traced::{Traced, trace};
use super::watch::{Event, Noticing, Watch};
use crate::device::{self, Cancel, Task};
use crate::engine::plate::{Camera, PlateEngine, Steadied, Steady, Use, suitability};
use crate::engine::{self, AnyEngine};
use crate::frame::{
    Compression, FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader,
    SampleDepth, Sequence, Transfer, Warning, recoded,
};
use crate::sequence::report::{Missing, Report, ReportError, Subject};
use crate::sequence::{Colour, Take};
use crate::store::Vault;

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
/// both, its frames numbered as in their take.
struct Encoding {
    files: FilePlate,
    info: PlateInfo,
    /// What is added to the numbers of the files.
    offset: i32,
}

impl Encoding {
    /// The same, its frames numbered `offset` higher than the files.
    fn numbered(self, offset: i32) -> Result<Self, JobError> {
        let range = self.files.info().range;
        let ends = [range.first, range.last].map(|end| end.checked_add(offset));
        let range = match ends {
            [Some(first), Some(last)] => FrameRange::new(first, last),
            _ => None,
        };
        let range = range.ok_or_else(|| {
            let text = "the numbers that the frames have in their take are none";
            JobError::new(Kind::Unreadable, text)
        })?;
        let info = PlateInfo { range, ..self.info };
        Ok(Self {
            info,
            offset,
            ..self
        })
    }
}

impl PlateReader for Encoding {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let picture = self.files.read(frame.saturating_sub(self.offset))?;
        let names = self.info.channels.iter().map(String::as_str);
        let (from, to) = (self.files.info().transfer, self.info.transfer);
        Ok(recoded(&picture, names, from, to))
    }

    fn prefetch(&mut self, frames: &[i32]) {
        let shift = |f: &i32| f.saturating_sub(self.offset);
        let frames: Vec<i32> = frames.iter().map(shift).collect();
        self.files.prefetch(&frames);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.files.take_warnings()
    }
}

/// Opens the frames `files` of a sequence.
fn open_files(files: &Path, options: &PlateOptions) -> Result<FilePlate, JobError> {
    FilePlate::open(files, options).map_err(|error| match error {
        FrameError::Missing { frame, have } => JobError::new(
            Kind::Missing,
            format!(
                "frame {frame} of the sequence is missing; {have}: supply it ('longtake generate' as before makes what is missing), or measure the parts in folders of their own"
            ),
        ),
        other => other.into(),
    })
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
    let transfer = match colour {
        Some(colour) => Some(colour.transfer()),
        None => alike,
    };
    let output = open_files(
        files,
        &PlateOptions {
            fps: options.fps,
            transfer,
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
    Ok(Encoding {
        files,
        info,
        offset: 0,
    })
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
    let watch = &Noticing(watch);
    match trace(files, &draft) {
        Ok(traced) => measure_take(files, &draft, traced, cancel, watch),
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
    draft: &Draft,
    traced: Traced,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Report, JobError> {
    let Traced {
        job,
        offset,
        mut missing,
    } = traced;
    let job = &job;
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
    )?
    .numbered(offset)?;
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
    missing.extend((!exact).then(|| Missing {
        measures: vec!["kept".to_owned(), "outside".to_owned()],
        why: "the files hold their samples otherwise than the plate's do, so that bits cannot be compared".to_owned(),
    }));
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
        missing,
        called: Called::of(job, files, &named_plate(draft, job), offset),
    };
    job.looks
        .leave_take(&mut output, &plate, known, task, watch)
}

/// The plate as it was named; where it was not, from the folder of the frames, as these
/// tell it.
fn named_plate(draft: &Draft, job: &Job) -> PathBuf {
    match (draft.values().text("plate"), &job.told_from) {
        ("", Some(folder)) => paths::from_folder(folder, &job.plate),
        ("", None) => job.plate.clone(),
        (said, _) => said.into(),
    }
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
    if draft.values().text("plate").is_empty() {
        // What is not there or no picture is told as that.
        open_files(files, &PlateOptions::default())?;
        let files = files.display();
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "{files} does not tell its plate ({why}): give it, as in --plate plate.####.exr, to measure what can be without"
            ),
        ));
    }
    let sight = draft.sight()?;
    device::limit(sight.threads.unwrap_or(0));
    let colour = sight.colour.as_ref();
    let mut plate = FilePlate::open(&sight.plate, &sight.options)?;
    let mut output = open(files, &plate, &sight.plate, &sight.options, colour)?;
    if let Some(ways) = colour.and_then(|c| c.ways.as_ref()) {
        plate = plate.converted(&sight.plate, ways.read.clone())?;
    }
    let size = |info: &PlateInfo| (info.width, info.height);
    let [output_size, plate_size] = [output.info(), plate.info()].map(size);
    if output_size != plate_size {
        let error = ReportError::Size {
            output: output_size,
            plate: plate_size,
        };
        return Err(JobError::new(
            Kind::Mismatch,
            format!("{error} (it is not measured as a take of Longtake: {why})"),
        ));
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
    let called = Called::any(files, &sight.plate);
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
    sight.looks.leave(
        &mut subject,
        Some(halves),
        (Some(&found), called),
        task,
        watch,
    )
}
