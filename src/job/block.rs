//! The plan of a job, and the making of one block of it alone.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{JobError, Kind};
use super::frames::Stages;
use super::output;
use super::run::{self, Open};
use super::shot::Shot;
use super::space::Space;
use super::spec::Job;
use super::watch::{Event, Watch};
use crate::device::{Cancel, Task};
use crate::engine::Sources;
use crate::engine::plate::EditList;
use crate::frame::PlateReader;
use crate::sequence::plan::{self, Plan};
use crate::sequence::{Take, Vault as _};

/// What a job comes to, told before any of it is made.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    /// What is made, in which pieces.
    #[serde(flatten)]
    pub plan: Plan,
    /// The room that it needs on the disk.
    pub space: Space,
}

/// Lays the plan of `job` and draws it as `picture`, where one is asked for.
/// Reads headers, no pixels, and makes nothing.
///
/// # Errors
/// Where plate, range and mode do not go together, or the picture cannot be
/// written. A plan that does not fit the disk is told all the same.
pub fn outlook(job: &Job, picture: Option<&Path>) -> Result<Outlook, JobError> {
    let shot = Shot::open(job)?;
    let frames = shot.frames()?;
    if let Some(path) = picture {
        // Drawn with what each place plays where that is known already.
        let store = job.setup.disk_store();
        let known = store.and_then(|s| s.get(&shot.names.take));
        let edit: Option<EditList> = known.and_then(|b| postcard::from_bytes(&b).ok());
        let png = plan::chart(&shot.plan, edit.as_ref()).png();
        output::write(path, &png.map_err(|e| JobError::writing(path, &e))?)?;
    }
    Ok(Outlook {
        space: shot.space(&frames),
        plan: shot.plan,
    })
}

/// Makes the block of `job`'s plan that is called `id`, and what it needs where
/// that is not in the store. Where `again`, also what is there already.
///
/// # Errors
/// Where the plan has no such block, and as [`generate`](super::generate).
pub fn make_block(
    job: &Job,
    id: &str,
    again: bool,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<(), JobError> {
    let Open { shot, started } = run::open(job, watch)?;
    let Some((level, block)) = shot.plan.level_of(id).zip(shot.plan.block(id).cloned()) else {
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "the plan has no block {id}: the plate's files or the options are others than when it was planned; 'longtake plan' with the same options lists its blocks"
            ),
        ));
    };
    if let Some(frames) = block.frames {
        let frames: Vec<i32> = frames.iter().collect();
        if again {
            for frame in &frames {
                forget(&shot.writer.path(*frame))?;
            }
        }
        return run::frames(shot, &frames, started, cancel, watch).map(drop);
    }
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
    let mut plate = shot.plate;
    let mut sources = Sources {
        plate: &mut plate,
        matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
    };
    let engine = job.setup.engine.clone();
    let (first, key) = match level {
        0 => (true, shot.names.analysis),
        _ => (false, shot.names.take),
    };
    if again {
        store.remove(&key);
    }
    if first {
        Take::study(&engine, &shot.key, &mut sources, &store, task)?;
    } else {
        Take::prepare(engine, &shot.key, shot.timeline, &mut sources, &store, task)?;
    }
    if let Some(trouble) = store.take_trouble() {
        return Err(JobError::new(Kind::Output, trouble.to_string()));
    }
    watch.event(&Event::Block { block: id });
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
