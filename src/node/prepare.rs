//! Getting a take ready: the plate is studied and the take decided once,
//! however many threads ask.

use std::sync::Arc;

use parking_lot::Mutex;

use super::ends::Ends;
use super::errand::{Desk, Errand, Failure};
use super::file::{FileReader, FileSource};
use super::host::Host;
use super::known::{Prepared, known};
use super::plate::{Check, HostPlate, HostReader, Watch, those};
use super::record::Record;
use super::shelf::Shelf;
use crate::engine::{AnyEngine, Engine, EngineError, Sources, Timeline};
use crate::sequence::{Take, key_of};

/// Where the plate is.
#[derive(Clone)]
pub(super) enum Plate {
    /// On the Source input.
    Host(HostPlate),
    /// In files.
    File(Arc<FileSource>),
}

/// What is to be made of which plate.
#[derive(Clone)]
pub(super) struct Job {
    /// The plate.
    pub plate: Plate,
    /// Which frames are kept and which made.
    pub timeline: Timeline,
    /// The engine under its settings.
    pub engine: AnyEngine,
    /// Where results are kept.
    pub shelf: Arc<Shelf>,
    /// Pictures kept in memory, in bytes, at most.
    pub memory: usize,
}

impl Job {
    /// What all plates have in common that may be this one; of a file, its
    /// very name.
    pub fn facts(&self) -> blake3::Hash {
        match &self.plate {
            // An engine that reads some frames of a plate tells plates apart by
            // these, and an engine that reads others does not know them by that.
            Plate::Host(plate) => match self.engine.analysis_key(&self.timeline) {
                part if part.is_empty() => plate.facts(),
                part => key_of(&[plate.facts().to_hex().as_str(), &part]),
            },
            // As the command line names it, so that both share the store.
            Plate::File(file) => key_of(&[file.key.to_hex().as_str(), ""]),
        }
    }

    /// Names the order: equal orders of equal plates are equal takes, at any
    /// render scale.
    pub fn order(&self) -> blake3::Hash {
        key_of(&[
            "order",
            self.facts().to_hex().as_str(),
            &self.engine.settings_key(),
            &format!("{:?}", self.timeline),
        ])
    }
}

/// A take of the job's plate, which is none of those that `not` describes.
/// Where several threads ask, one errand serves all.
pub(super) fn prepare(
    job: &Job,
    not: &[Arc<Record>],
    host: &mut dyn Host,
) -> Result<Arc<Prepared>, Failure> {
    let facts = job.facts();
    let mut name = job.order();
    let mut ends = Ends::default();
    if let Plate::Host(on_source) = &job.plate {
        // Only threads that have this plate, and at this scale, have its pictures to
        // hand over.
        ends = Ends::of(on_source, host)?;
        name = key_of(&[
            name.to_hex().as_str(),
            &format!("{:?}", on_source.canvas),
            &ends.name(known().is_unsteady(&facts)),
        ]);
    }
    for record in not {
        name = key_of(&[name.to_hex().as_str(), record.key(&facts).to_hex().as_str()]);
    }
    loop {
        let (errand, first) = {
            let mut flights = known().flights.lock();
            match flights.get(&name).filter(|e| e.join(host.instance())) {
                Some(errand) => (Arc::clone(errand), false),
                None => {
                    let (job, not, ends) = (job.clone(), not.to_vec(), ends.clone());
                    let errand = Errand::send(move |desk| work(&job, &ends, &not, desk));
                    errand.join(host.instance());
                    flights.insert(name, Arc::clone(&errand));
                    (errand, true)
                }
            }
        };
        let ended = errand.wait(host, first);
        let mut flights = known().flights.lock();
        let same = flights.get(&name).is_some_and(|e| Arc::ptr_eq(e, &errand));
        if same && errand.is_over() {
            flights.remove(&name);
        }
        drop(flights);
        match ended {
            None => return Err(Failure::Stopped),
            // Those who handed the pictures over are gone: it is begun anew with
            // this thread's.
            Some(Err(Failure::Stopped)) if !host.aborted() => {}
            Some(result) => return result,
        }
    }
}

type PrepareDesk<'a> = Desk<'a, Arc<Prepared>>;

/// `ends` are those of a plate on Source.
fn work(
    job: &Job,
    ends: &Ends,
    not: &[Arc<Record>],
    desk: &PrepareDesk<'_>,
) -> Result<Arc<Prepared>, Failure> {
    let facts = job.facts();
    let prepared = match &job.plate {
        Plate::File(file) => {
            let mut reader = FileReader::new(file, &known().frames, 1, job.memory);
            let mut sources = Sources {
                plate: &mut reader,
                matte: None,
                guide: None,
                subjects: Default::default(),
            };
            study(job, facts, &mut sources, desk).map(|take| Prepared { take, record: None })
        }
        Plate::Host(plate) => match recognise(job, plate, &facts, not, ends) {
            Some(record) => remember(job, plate, &facts, record, desk),
            None => learn(job, plate, &facts, not, ends, desk),
        },
    };
    let prepared = Arc::new(prepared?);
    known().keep(&job.order(), &prepared);
    Ok(prepared)
}

/// The plate among those known, by a look at its ends and its middle.
fn recognise(
    job: &Job,
    plate: &HostPlate,
    facts: &blake3::Hash,
    not: &[Arc<Record>],
    ends: &Ends,
) -> Option<Arc<Record>> {
    let by_look = known().is_unsteady(facts);
    let rejected = |r: &Arc<Record>| not.iter().any(|n| Arc::ptr_eq(n, r));
    let mut records = known().records(facts, &job.shelf).into_iter();
    records.find(|r| r.serves(&plate.info) && !rejected(r) && ends.are_of(r, by_look))
}

/// A take of a known plate.
fn remember(
    job: &Job,
    plate: &HostPlate,
    facts: &blake3::Hash,
    record: Arc<Record>,
    desk: &PrepareDesk<'_>,
) -> Result<Prepared, Failure> {
    let (engine, timeline) = (job.engine.clone(), job.timeline.clone());
    let take = match known().take_of(&record) {
        Some(other) => other
            .take
            .again(engine, timeline, &*job.shelf, desk.task())?,
        None => {
            let check = Check::new(&record, known().is_unsteady(facts));
            let mut source = HostReader::source(desk, plate, Watch::Check(&check));
            let mut matte = HostReader::matte(desk, plate, Watch::Check(&check));
            let mut guide = HostReader::guide(desk, plate, Watch::Check(&check));
            let mut subjects = HostReader::subjects(desk, plate, Watch::Check(&check));
            let mut sources = Sources {
                plate: &mut source,
                matte: plate.matte.then_some(&mut matte as _),
                guide: plate.guide.then_some(&mut guide as _),
                subjects: those(&mut subjects, plate.subjects),
            };
            study(job, record.key(facts), &mut sources, desk)?
        }
    };
    Ok(Prepared {
        take,
        record: Some(record),
    })
}

/// A take of the plate called `key`, by what was kept of it, if anything.
fn study(
    job: &Job,
    key: blake3::Hash,
    sources: &mut Sources<'_>,
    desk: &PrepareDesk<'_>,
) -> Result<Take<AnyEngine>, Failure> {
    Ok(Take::prepare(
        job.engine.clone(),
        &key,
        job.timeline.clone(),
        sources,
        &*job.shelf,
        desk.task(),
    )?)
}

/// A take of a plate that is seen for the first time.
fn learn(
    job: &Job,
    plate: &HostPlate,
    facts: &blake3::Hash,
    not: &[Arc<Record>],
    ends: &Ends,
    desk: &PrepareDesk<'_>,
) -> Result<Prepared, Failure> {
    let seen = Mutex::new(Record::default());
    let mut source = HostReader::source(desk, plate, Watch::Note(&seen));
    let mut matte = HostReader::matte(desk, plate, Watch::Note(&seen));
    let mut guide = HostReader::guide(desk, plate, Watch::Note(&seen));
    let mut subjects = HostReader::subjects(desk, plate, Watch::Note(&seen));
    let mut sources = Sources {
        plate: &mut source,
        matte: plate.matte.then_some(&mut matte as _),
        guide: plate.guide.then_some(&mut guide as _),
        subjects: those(&mut subjects, plate.subjects),
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
        &*job.shelf,
        desk.task(),
    )?;
    // One that learned it at another scale meanwhile was first, and its take is
    // the one that counts. Nothing is asked of a host while others wait to note.
    let noting = known().noting.lock();
    if let Some(record) = recognise(job, plate, facts, not, ends) {
        drop(noting);
        return remember(job, plate, facts, record, desk);
    }
    let record = Arc::new(seen.into_inner());
    known().note(facts, Arc::clone(&record), &job.shelf);
    Ok(Prepared {
        take,
        record: Some(record),
    })
}

/// Said where every frame of the plate is the same picture.
const STILL: &str = "every frame of Source is the same picture: either it is a still, or this host hands over only the current frame. Set Plate file to the plate's frame sequence";
