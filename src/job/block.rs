//! The plan of a job, and the making of one block of it alone.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{JobError, Kind};
use super::frames::Stages;
use super::output;
use super::run::{self, Open};
use super::space::Space;
use super::spec::Job;
use super::watch::{Event, Noticing, Watch};
use crate::device::{Cancel, Task};
use crate::engine::{AnyDecision, Sources};
use crate::frame::{FrameList, PlateReader};
use crate::sequence::estimate::Estimate;
use crate::sequence::plan::{self, Block, Level, Plan};
use crate::sequence::{Take, Vault as _};

/// Levels of a plan before an engine's own pieces.
const DECIDED: usize = 2;

/// What a job comes to, told before any of it is made.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    /// What is made, in which pieces.
    #[serde(flatten)]
    pub plan: Plan,
    /// The room that it needs on the disk.
    pub space: Space,
    /// What it comes to on this machine, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// Lays the plan of `job` and draws it as `picture`, where one is asked for.
/// Makes nothing and reads headers, no pixels; two frames where `estimate`.
///
/// # Errors
/// Where plate, range and mode do not go together, or the picture cannot be
/// written. A plan that does not fit the disk is told all the same; `watch` is told what
/// else is to be known of the job.
pub fn outlook(
    job: &Job,
    picture: Option<&Path>,
    estimate: bool,
    watch: &dyn Watch,
) -> Result<Outlook, JobError> {
    let mut shot = run::told(job, watch)?;
    for warning in shot.plate.take_warnings() {
        let message = &warning.to_string();
        watch.event(&Event::Warning { message });
    }
    let frames = shot.frames()?;
    let store = job.setup.disk_store();
    if let Some(path) = picture {
        // Drawn with what each place plays where that is known already.
        let known = store.as_ref().and_then(|s| s.get(&shot.names.take));
        let decided: Option<AnyDecision> = known.and_then(|b| postcard::from_bytes(&b).ok());
        let edit = decided.as_ref().and_then(AnyDecision::edit_list);
        output::beside(job).spare([path])?;
        let png = plan::chart(&shot.plan, edit).png();
        output::write(path, &png.map_err(|e| JobError::writing(path, &e))?)?;
    }
    Ok(Outlook {
        space: shot.space(&frames),
        estimate: match estimate {
            true => Some(shot.estimate(&frames, &store)?),
            false => None,
        },
        plan: shot.plan,
    })
}

/// Which blocks of a plan are to be made.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The one of this name.
    Block(String),
    /// Those of a level. Of the level that makes frames, only those frames that
    /// [`Job::only`] names.
    Level {
        /// The name of the level, its words joined by dashes or not.
        level: String,
        /// Which of its blocks, counted from 1; `None` for all.
        nth: Option<FrameList>,
    },
}

impl Piece {
    /// The blocks of `plan`, and the level that they are of.
    fn of<'p>(&self, plan: &'p Plan) -> Result<(usize, Vec<&'p Block>), JobError> {
        let usage = |text| Err(JobError::new(Kind::Usage, text));
        match self {
            Self::Block(id) => match plan.level_of(id).zip(plan.block(id)) {
                Some((level, block)) => Ok((level, vec![block])),
                None => usage(format!(
                    "the plan has no block {id}: the plate's files or the options are others than when it was planned; 'longtake plan' with the same options lists its blocks"
                )),
            },
            Self::Level { level, nth } => {
                let plain = |name: &str| name.to_lowercase().replace(['-', '_'], " ");
                let is = |l: &Level| plain(l.name) == plain(level);
                let Some(at) = plan.levels.iter().position(is) else {
                    let names: Vec<String> = plan
                        .levels
                        .iter()
                        .map(|l| l.name.replace(' ', "-"))
                        .collect();
                    return usage(format!(
                        "the plan has no level '{level}': it has {}",
                        names.join(", ")
                    ));
                };
                let blocks = &plan.levels[at].blocks;
                let chosen: Vec<&Block> = (1..)
                    .zip(blocks)
                    .filter(|(n, _)| nth.as_ref().is_none_or(|nth| nth.contains(*n)))
                    .map(|(_, block)| block)
                    .collect();
                match (chosen.is_empty(), nth) {
                    (true, Some(nth)) => usage(format!(
                        "level '{level}' has {} blocks and none of {nth}",
                        blocks.len()
                    )),
                    _ => Ok((at, chosen)),
                }
            }
        }
    }
}

/// Makes the blocks `piece` of `job`'s plan, and what they need where that is not
/// in the store. Where `again`, also what is there already.
///
/// # Errors
/// Where the plan has no such blocks, and as [`generate`](super::generate).
pub fn make_piece(
    job: &Job,
    piece: &Piece,
    again: bool,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<(), JobError> {
    let watch = &Noticing(watch);
    let Open { shot, started } = run::open(job, watch)?;
    let (level, blocks) = piece.of(&shot.plan)?;
    if level + 1 == shot.plan.levels.len() {
        let all = blocks.iter().filter_map(|b| b.frames.as_ref());
        let mut frames: Vec<i32> = all.flat_map(FrameList::iter).collect();
        if let (Piece::Level { .. }, Some(only)) = (piece, &job.only) {
            frames.retain(|f| only.contains(*f));
            if frames.is_empty() {
                return Err(shot.none_of(only));
            }
        }
        if again {
            for frame in &frames {
                forget(&shot.writer.path(*frame))?;
            }
        }
        return run::frames(shot, &frames, started, cancel, watch);
    }
    let ids: Vec<String> = blocks.iter().map(|b| b.id.clone()).collect();
    let numbers: Vec<usize> = (0..)
        .zip(&shot.plan.levels[level].blocks)
        .filter(|(_, b)| ids.contains(&b.id))
        .map(|(number, _)| number)
        .collect();
    let store = job.setup.disk_store().ok_or_else(|| {
        JobError::new(
            Kind::Usage,
            "there is no store to keep the block in: name a folder that all machines see, as in --store FOLDER",
        )
    })?;
    let task = Task {
        cancel,
        progress: watch,
    };
    let mut matte = shot.matte()?;
    let mut guide = job.open_guide()?;
    let mut plate = shot.plate;
    let mut sources = Sources {
        plate: &mut plate,
        matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
        guide: guide.as_mut().map(|g| g as &mut dyn PlateReader),
        subjects: Default::default(),
    };
    let engine = job.setup.engine.clone();
    match level {
        0 if again => store.remove(&shot.names.analysis),
        1 if again => store.remove(&shot.names.take),
        _ => {}
    }
    if level == 0 {
        let timeline = &shot.timeline;
        Take::study(&engine, &shot.key, timeline, &mut sources, &store, task)?;
    } else {
        let timeline = shot.timeline;
        let take = Take::prepare(engine, &shot.key, timeline, &mut sources, &store, task)?;
        if let Some(stage) = level.checked_sub(DECIDED) {
            for number in numbers {
                take.make_piece((stage, number), again, &mut sources, task)?;
            }
        }
    }
    if let Some(trouble) = store.take_trouble() {
        // The blocks that need this one would each make it for themselves.
        return Err(trouble.into());
    }
    for block in &ids {
        watch.event(&Event::Block { block });
    }
    watch.event(&Event::Done {
        made: 0,
        kept: 0,
        there: 0,
        seconds: started.elapsed().as_secs_f64(),
        stages: Stages::default(),
    });
    Ok(())
}

/// Removes a frame that is to be made again.
fn forget(path: &PathBuf) -> Result<(), JobError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(JobError::writing(path, &e)),
        _ => Ok(()),
    }
}
