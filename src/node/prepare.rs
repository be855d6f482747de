//! Getting a take ready: the plate is studied and the take decided once,
//! however many threads ask.

use std::sync::Arc;

use parking_lot::Mutex;

use super::errand::{Desk, Errand, Failure};
use super::host::{Host, Input};
use super::known::{Prepared, known};
use super::plate::{HostPlate, HostReader, Record, Watch};
use crate::engine::plate::PlateEngine;
use crate::engine::{Engine, EngineError, Sources, Timeline};
use crate::sequence::{Take, key_of};
use crate::store::Vault;

/// What is to be made of which plate.
#[derive(Clone)]
pub(super) struct Job {
    /// The plate.
    pub plate: HostPlate,
    /// Which frames are kept and which made.
    pub timeline: Timeline,
    /// The engine under its settings.
    pub engine: PlateEngine,
    /// Where results are kept beyond the process.
    pub vault: Arc<dyn Vault>,
}

impl Job {
    /// Names the order: equal orders of equal plates are equal takes, at any
    /// render scale.
    pub fn order(&self) -> blake3::Hash {
        key_of(&[
            "order",
            self.plate.facts().to_hex().as_str(),
            &self.engine.settings_key(),
            &format!("{:?}", self.timeline),
        ])
    }
}

/// A take of the job's plate. Where several threads ask, one errand serves
/// all.
pub(super) fn prepare(job: &Job, host: &mut dyn Host) -> Result<Arc<Prepared>, Failure> {
    let order = job.order();
    let (errand, first) = {
        let mut flights = known().flights.lock();
        match flights.get(&order).filter(|e| !e.is_given_up()) {
            Some(errand) => {
                errand.join();
                (Arc::clone(errand), false)
            }
            None => {
                let job = job.clone();
                let errand = Errand::send(move |desk| work(&job, desk));
                errand.join();
                flights.insert(order, Arc::clone(&errand));
                (errand, true)
            }
        }
    };
    let result = errand.attend_joined(host, first);
    let mut flights = known().flights.lock();
    let ended = result.is_ok() || errand.is_given_up() || errand.has_ended();
    if ended && flights.get(&order).is_some_and(|e| Arc::ptr_eq(e, &errand)) {
        flights.remove(&order);
    }
    result
}

fn work(job: &Job, desk: &Desk<'_, Arc<Prepared>>) -> Result<Arc<Prepared>, Failure> {
    let facts = job.plate.facts();
    let vault = &*job.vault;
    let prepared = match recognise(job, &facts, desk)? {
        Some(record) => {
            let take = match known().take_of(&record) {
                Some(other) => other.take.again(
                    job.engine.clone(),
                    job.timeline.clone(),
                    vault,
                    desk.task(),
                )?,
                None => study(job, desk, &record, record.key(&facts))?,
            };
            Prepared {
                take,
                record: Some(record),
            }
        }
        None => learn(job, &facts, desk)?,
    };
    let prepared = Arc::new(prepared);
    known().keep(&job.order(), &prepared);
    Ok(prepared)
}

/// The plate among those known, by a look at its ends and its middle.
fn recognise(
    job: &Job,
    facts: &blake3::Hash,
    desk: &Desk<'_, Arc<Prepared>>,
) -> Result<Option<Arc<Record>>, Failure> {
    let mut records = known().records(facts);
    let nothing = Mutex::new(Record::default());
    let readers = [
        (
            Input::Source,
            HostReader::source(desk, &job.plate, Watch::Note(&nothing)),
        ),
        (
            Input::Matte,
            HostReader::matte(desk, &job.plate, Watch::Note(&nothing)),
        ),
    ];
    let range = job.plate.info.range;
    let middle = range.first + (range.last - range.first) / 2;
    for (input, reader) in &readers[..if job.plate.matte { 2 } else { 1 }] {
        for frame in [range.first, middle, range.last] {
            if records.is_empty() {
                return Ok(None);
            }
            let (_, likeness) = reader.look(frame)?;
            records.retain(|r| r.admits(*input, frame, &likeness));
        }
    }
    Ok(records.into_iter().next())
}

/// A take of a known plate, by what was kept of it.
fn study(
    job: &Job,
    desk: &Desk<'_, Arc<Prepared>>,
    record: &Record,
    key: blake3::Hash,
) -> Result<Take<PlateEngine>, Failure> {
    let changed = Mutex::new(false);
    let mut plate = HostReader::source(desk, &job.plate, Watch::Check(record, &changed));
    let mut matte = HostReader::matte(desk, &job.plate, Watch::Check(record, &changed));
    let mut sources = Sources {
        plate: &mut plate,
        matte: job.plate.matte.then_some(&mut matte as _),
    };
    Ok(Take::prepare(
        job.engine.clone(),
        &key,
        job.timeline.clone(),
        &mut sources,
        &*job.vault,
        desk.task(),
    )?)
}

/// A take of a plate that is seen for the first time.
fn learn(
    job: &Job,
    facts: &blake3::Hash,
    desk: &Desk<'_, Arc<Prepared>>,
) -> Result<Prepared, Failure> {
    let seen = Mutex::new(Record::default());
    let mut plate = HostReader::source(desk, &job.plate, Watch::Note(&seen));
    let mut matte = HostReader::matte(desk, &job.plate, Watch::Note(&seen));
    let mut sources = Sources {
        plate: &mut plate,
        matte: job.plate.matte.then_some(&mut matte as _),
    };
    let name = || {
        let record = seen.lock();
        if record.is_still() {
            return Err(EngineError::Request(STILL.to_owned()));
        }
        Ok(record.key(facts))
    };
    let take = Take::prepare_unnamed(
        job.engine.clone(),
        name,
        job.timeline.clone(),
        &mut sources,
        &*job.vault,
        desk.task(),
    )?;
    let record = Arc::new(seen.into_inner());
    known().note(facts, Arc::clone(&record));
    Ok(Prepared {
        take,
        record: Some(record),
    })
}

/// Said where every frame of the plate is the same picture.
const STILL: &str = "every frame of Source is the same picture: either it is a still, or this host hands over only the current frame. Set Plate file to the plate's frame sequence";
