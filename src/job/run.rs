//! Carries a job out: from the plate's files to the take's.

use std::path::Path;
use std::time::Instant;

use super::error::JobError;
use super::frames::{self, Work};
use super::latents;
use super::provenance::Origin;
use super::report::{Called, Known};
use super::shared_plate::SharedPlate;
use super::shot::Shot;
use super::spec::Job;
use super::take_reader::TakeReader;
use super::watch::{Event, Noticing, Watch};
use crate::device::{self, Cancel, Task};
use crate::engine::Sources;
use crate::engine::plate::{Use, suitability};
use crate::frame::PlateReader;
use crate::sequence::Take;
use crate::store::{DiskStore, Vault};

/// A job that is open, and since when.
pub(super) struct Open<'a> {
    pub shot: Shot<'a>,
    pub started: Instant,
}

/// Opens `job` and tells what in it has no effect.
pub(super) fn open<'a>(job: &'a Job, watch: &dyn Watch) -> Result<Open<'a>, JobError> {
    let started = Instant::now();
    let shot = told(job, watch)?;
    job.setup.check_device()?;
    Ok(Open { shot, started })
}

/// The shot of `job`, to be made here or elsewhere; tells what in it has no effect.
pub(super) fn told<'a>(job: &'a Job, watch: &dyn Watch) -> Result<Shot<'a>, JobError> {
    device::limit(job.threads.unwrap_or(0));
    for message in &job.idle {
        watch.event(&Event::Warning { message });
    }
    let shot = Shot::open(job)?;
    if let Some(message) = &shot.beyond() {
        watch.event(&Event::Warning { message });
    }
    Ok(shot)
}

/// Makes what `job` asks for. Tells `watch` what happens and stops within
/// 100 ms or so where `cancel` says so; what was written before stays, and a
/// job that is run again continues.
///
/// # Errors
/// Where something is missing, unreadable, unsuitable or not to be written;
/// each error says what to do.
pub fn generate(job: &Job, cancel: &Cancel, watch: &dyn Watch) -> Result<(), JobError> {
    let watch = &Noticing(watch);
    let Open { shot, started } = open(job, watch)?;
    let wanted = shot.frames()?;
    frames(shot, &wanted, started, cancel, watch)
}

/// Makes the frames `wanted` of `shot`, and shows the take where that is asked
/// for.
pub(super) fn frames(
    shot: Shot<'_>,
    wanted: &[i32],
    started: Instant,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<(), JobError> {
    let job = shot.job;
    let task = Task {
        cancel,
        progress: watch,
    };
    shot.check(wanted)?;
    job.looks.tell(watch);
    let timeline = shot.timeline.clone();
    watch.event(&Event::Start {
        mode: shot.request.mode,
        plate: &shot.info,
        out: timeline.out,
        kept: timeline
            .out
            .iter()
            .filter(|f| timeline.kept(*f).is_some())
            .count(),
    });

    // Decisions are made on the full size, so that every scale shows the same
    // motion; at full size what was read for them is not read again.
    let store = job.setup.disk_store();
    let vault: &dyn Vault = match &store {
        Some(store) => store,
        None => &(),
    };
    let origin = Origin::of(&shot)?;
    let mut matte = shot.matte()?;
    let mut guide = job.open_guide()?;
    let headers = shot.plate.frame_headers();
    let full = SharedPlate::new(shot.plate, 1, job.setup.memory, watch);
    let mut sources = Sources {
        plate: &mut full.clone(),
        matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
        guide: guide.as_mut().map(|g| g as &mut dyn PlateReader),
        subjects: Default::default(),
    };
    let take = Take::prepare(
        job.setup.engine.clone(),
        &shot.key,
        timeline,
        &mut sources,
        vault,
        task,
    )?;
    if let Some(trouble) = store.as_ref().and_then(DiskStore::take_trouble) {
        let message = &trouble.to_string();
        watch.event(&Event::Warning { message });
    }
    let edit = take.decision().edit_list();
    let found = match take.analysis().plate() {
        Some(analysis) => {
            let range = take.timeline().plate;
            let purpose = edit.map(Use::of).unwrap_or_default();
            Some(suitability(analysis, range, purpose, task)?)
        }
        None => None,
    };
    if let Some(found) = &found {
        watch.event(&Event::Suitability {
            found,
            summary: &found.summary(),
        });
    }
    if let Some(latents) = take.decision().latents() {
        latents::told(job, latents, watch)?;
    }
    watch.event(&Event::Take {
        take: &take.hash().to_hex(),
    });
    let shared = match job.reduce {
        1 => full,
        reduce => {
            drop(full);
            let plate = job.open_plate()?;
            SharedPlate::new(plate, reduce, job.setup.memory, watch)
        }
    };
    let open_matte = || Shot::scaled_matte(job);
    let tally = frames::make(
        &Work {
            job,
            take: &take,
            plan: &shot.plan,
            plate: &shared,
            writer: &shot.writer,
            origin: &origin,
            headers: &headers,
            matte: &open_matte,
            watch,
            cancel,
        },
        wanted,
        job.threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)),
    )?;
    if !job.looks.is_empty() {
        let mut output = TakeReader::new(&take, shared.clone(), open_matte()?, cancel);
        let named = job.matte.as_deref().unwrap_or(Path::new(""));
        let known = Known {
            plan: &shot.plan,
            timeline: take.timeline(),
            edit,
            found: found.as_ref(),
            matte: open_matte()?,
            stored: None,
            missing: Vec::new(),
            called: Called::of(job, &job.out, (&job.plate, named), 0),
        };
        job.looks
            .leave_take(&mut output, &shared, known, task, watch)?;
    }
    watch.event(&Event::Done {
        made: tally.made,
        kept: tally.kept,
        there: tally.there,
        seconds: started.elapsed().as_secs_f64(),
        stages: tally.stages,
    });
    Ok(())
}
