//! Measures the frames of a sequence against its plate: as the take that they tell they
//! are of, or as any frames.

use std::path::{Path, PathBuf};

use super::encoding::{Encoding, holds};
use super::error::{JobError, Kind};
use super::paths;
use super::report::{Called, Known};
use super::rewritten::Rewritten;
use super::shared_plate::SharedPlate;
use super::shot::Shot;
use super::sources::Sources;
use super::spec::{Draft, Job};
use super::traced::{Traced, moved, trace};
use super::watch::{Event, Noticing, Watch};
use crate::device::{self, Cancel, Task};
use crate::engine::plate::{Camera, PlateEngine, Steadied, Steady, Use, suitability};
use crate::engine::{self, AnyEngine};
use crate::frame::{
    Compression, FilePlate, FrameError, MattePlate, PlateInfo, PlateOptions, PlateReader, Sequence,
};
use crate::sequence::Take;
use crate::sequence::report::{Missing, Report, ReportError, Subject};
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

/// That the frames of a sequence cannot be read.
fn of_sequence(error: FrameError) -> JobError {
    match error {
        FrameError::Missing { frame, have } => JobError::new(
            Kind::Missing,
            format!(
                "frame {frame} of the sequence is missing; {have}: supply it ('longtake generate' as before makes what is missing), or measure the parts in folders of their own"
            ),
        ),
        other => other.into(),
    }
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
    for message in &job.idle {
        watch.event(&Event::Warning { message });
    }
    let task = Task {
        cancel,
        progress: watch,
    };
    let shot = Shot::open(job)?;
    let colour = job.colour.as_ref();
    let output = Encoding::open(files, &shot.plate, &job.plate, &job.options, colour);
    let mut output = output.map_err(of_sequence)?.numbered(offset)?;
    let mut sources = Sources::of(&job.values);
    sources.add(Sequence::find(files), "a frame of the sequence");
    job.looks.check(sources)?;
    job.looks.tell(watch);
    let alike = job.reduce == 1 && output.holds() == holds(&shot.plate);
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
    let mut rewritten = None;
    if let Some(why) = not_compared(job) {
        missing.push(Missing::bits(why));
    } else if !alike {
        let mut files = Rewritten::new(job, &shot.timeline, plate.clone())?;
        match files.holds()? == output.holds() {
            true => rewritten = Some(files),
            false => missing.push(Missing::bits(REWRITTEN)),
        }
    }
    let matte = job.matte.as_deref().unwrap_or(Path::new(""));
    let named = |name: &str, path: &Path| named(draft, job, name, path);
    let known = Known {
        plan: &shot.plan,
        timeline: &shot.timeline,
        edit,
        found: found.as_ref(),
        matte: Shot::scaled_matte(job)?,
        stored: rewritten,
        missing,
        called: Called::of(
            job,
            files,
            (&named("plate", &job.plate), &named("matte", matte)),
            offset,
        ),
    };
    job.looks
        .leave_take(&mut output, &plate, known, task, watch)
}

/// Bits that are not compared since the files were not left as they were written.
const REWRITTEN: &str = "another program has written the frames again in another sample type or with other channels, so that bits cannot be compared";

/// Why the bits of the take that `job` makes cannot be held against its plate's, whatever
/// files it wrote.
fn not_compared(job: &Job) -> Option<&'static str> {
    if job.colour.as_ref().is_some_and(|c| c.ways.is_some()) {
        return Some(
            "the frames are in another colour space than the plate, so that bits cannot be compared",
        );
    }
    matches!(job.compression, Compression::Dwaa(_))
        .then_some("the frames are packed with DWAA, which rounds, so that bits cannot be compared")
}

/// A file of `job` as parameter `name` of `draft` names it; where it does not, `path` from
/// the folder of the frames, as these tell it.
fn named(draft: &Draft, job: &Job, name: &str, path: &Path) -> PathBuf {
    match (draft.values().text(name), &job.told_from) {
        ("", Some(folder)) => paths::from_folder(folder, path),
        ("", None) => path.to_owned(),
        (said, _) if !path.as_os_str().is_empty() => said.into(),
        // It has no meaning in the mode.
        _ => PathBuf::new(),
    }
}

/// Measures any sequence; `why` it is not known how it was made. With a matte, only what
/// that covers is taken for changed.
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
        FilePlate::open(files, &PlateOptions::default()).map_err(of_sequence)?;
        let files = files.display();
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "{files} cannot be measured as a take of Longtake ({why}): give its plate, as in --plate plate.####.exr, to measure what can be without"
            ),
        ));
    }
    let matte = Some(PathBuf::from(draft.values().text("matte")));
    let matte = matte.filter(|path| !path.as_os_str().is_empty());
    for param in moved(draft.options()) {
        if draft.is_said(&param.name) && param.name != "matte" {
            let message = &format!(
                "{} has no effect: it is not known how the sequence was made",
                param.name
            );
            watch.event(&Event::Warning { message });
        }
    }
    let sight = draft.sight()?;
    device::limit(sight.threads.unwrap_or(0));
    let colour = sight.colour.as_ref();
    let mut plate = FilePlate::open(&sight.plate, &sight.options)?;
    let output = Encoding::open(files, &plate, &sight.plate, &sight.options, colour);
    let mut output = output.map_err(of_sequence)?;
    let named = matte.clone().unwrap_or_default();
    let matte = matte.map(|path| MattePlate::open(&path, &plate));
    let mut matte = matte.transpose()?;
    let is_alike = colour.is_none_or(|c| c.ways.is_none()) && output.holds() == holds(&plate);
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
    let called = Called::any(files, &sight.plate, &named);
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
    let outside = "outside".to_owned();
    let mut lacks = NEEDS_TAKE.map(str::to_owned).to_vec();
    lacks.retain(|name| matte.is_none() || *name != outside);
    let mut missing = vec![Missing {
        measures: lacks,
        why,
    }];
    if matte.is_some() && !is_alike {
        missing.push(Missing {
            measures: vec![outside],
            why: "the files hold their samples otherwise than the plate's do, so that bits cannot be compared: write them in the plate's type and colour space".to_owned(),
        });
    }
    let mut subject = Subject {
        camera: camera.as_ref(),
        matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
        missing,
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
