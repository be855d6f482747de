//! Carries a job out: from the plate's files to the take's.

use std::time::Instant;

use super::error::{JobError, Kind};
use super::frames::{self, Matte, Work};
use super::output;
use super::shared_plate::SharedPlate;
use super::spec::Job;
use super::take_reader::TakeReader;
use super::watch::{Event, Watch};
use crate::device::{self, Cancel, Task};
use crate::engine::Sources;
use crate::engine::plate::suitability;
use crate::frame::{FilePlate, FrameError, MattePlate, PlateReader, ScaledPlate};
use crate::sequence::report::Subject;
use crate::sequence::{Take, key_of};
use crate::store::{DiskStore, Vault};

/// Makes what `job` asks for. Tells `watch` what happens and stops within
/// 100 ms or so where `cancel` says so; what was written before stays, and a
/// job that is run again continues.
///
/// # Errors
/// Where something is missing, unreadable, unsuitable or not to be written;
/// each error says what to do.
pub fn generate(job: &Job, cancel: &Cancel, watch: &dyn Watch) -> Result<(), JobError> {
    let started = Instant::now();
    let warn = |message: &str| watch.event(&Event::Warning { message });
    let task = Task {
        cancel,
        progress: watch,
    };
    device::limit(job.threads.unwrap_or(0));
    job.idle.iter().for_each(|i| warn(i));

    let options = &job.options;
    let plate = FilePlate::open(&job.plate, options)?;
    let info = plate.info().clone();
    let request = job.setup.request(info.range, info.fps)?;
    let timeline = request.timeline()?;
    let frames: Vec<i32> = match &job.only {
        Some(only) => only.iter().filter(|f| timeline.out.contains(*f)).collect(),
        None => timeline.out.iter().collect(),
    };
    if frames.is_empty() {
        return Err(JobError::new(
            Kind::Usage,
            format!(
                "none of the frames in 'only' is of the take, which is {}",
                timeline.out
            ),
        ));
    }
    let open_matte = || -> Result<Option<MattePlate<FilePlate>>, FrameError> {
        let Some(path) = &job.matte else {
            return Ok(None);
        };
        MattePlate::open(path, &FilePlate::open(&job.plate, options)?).map(Some)
    };
    let mut matte = open_matte()?;
    output::check(job, &output::writer(job, &plate, "")?, &frames)?;
    job.looks.check()?;
    watch.event(&Event::Start {
        mode: request.mode,
        plate: &info,
        out: timeline.out,
        kept: timeline
            .out
            .iter()
            .filter(|f| timeline.kept(*f).is_some())
            .count(),
    });

    // Decisions are made on the full size, so that every scale shows the same
    // motion; at full size what was read for them is not read again.
    let matte_key = matte.as_ref().map(|m| m.inner().key().to_hex());
    let key = key_of(&[
        plate.key().to_hex().as_str(),
        matte_key.as_deref().unwrap_or_default(),
    ]);
    let header_plate = FilePlate::open(&job.plate, options)?;
    let full = SharedPlate::new(plate, 1, job.setup.memory, watch);
    let store = job.setup.disk_store();
    let vault: &dyn Vault = match &store {
        Some(store) => store,
        None => &(),
    };
    let mut sources = Sources {
        plate: &mut full.clone(),
        matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
    };
    let take = Take::prepare(
        job.setup.engine.clone(),
        &key,
        timeline,
        &mut sources,
        vault,
        task,
    )?;
    if let Some(trouble) = store.as_ref().and_then(DiskStore::take_trouble) {
        warn(&trouble.to_string());
    }
    let found = suitability(take.analysis(), take.timeline().plate, task)?;
    watch.event(&Event::Suitability {
        found: &found,
        summary: &found.summary(),
    });
    let name = take.hash().to_hex();
    watch.event(&Event::Take { take: &name });
    let writer = output::writer(job, &header_plate, &name)?;
    let shared = match job.reduce {
        1 => full,
        reduce => {
            drop(full);
            SharedPlate::new(header_plate, reduce, job.setup.memory, watch)
        }
    };
    let scaled_matte = || -> Result<Option<Matte>, FrameError> {
        let Some(matte) = open_matte()? else {
            return Ok(None);
        };
        Ok(Some(Box::new(ScaledPlate::new(matte, job.reduce as usize))))
    };
    let tally = frames::make(
        &Work {
            job,
            take: &take,
            plate: &shared,
            writer: &writer,
            matte: &scaled_matte,
            watch,
            cancel,
        },
        &frames,
        job.threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)),
    )?;
    if !job.looks.is_empty() {
        let mut output = TakeReader::new(&take, shared.clone(), scaled_matte()?, cancel);
        let mut matte = scaled_matte()?;
        let mut subject = Subject {
            output: &mut output,
            plate: Some(&mut shared.clone()),
            matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
            kept: &|frame| take.timeline().kept(frame),
            closed: take.timeline().closed,
            source: Some(&|frame, width, height| {
                take.decision().plate_indices(frame, width, height)
            }),
        };
        job.looks.leave(&mut subject, &found, task, watch)?;
    }
    watch.event(&Event::Done {
        made: tally.made,
        kept: tally.kept,
        there: tally.there,
        seconds: started.elapsed().as_secs_f64(),
    });
    Ok(())
}
