//! Makes and writes the frames of a take on several threads: while one reads or
//! writes a file, others gather.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::error::{JobError, Kind};
use super::provenance::Origin;
use super::shared_plate::SharedPlate;
use super::shot::Matte;
use super::spec::Job;
use super::watch::{Event, State, Watch};
use crate::device::{Cancel, Progress, Task};
use crate::engine::{Engine, Sources};
use crate::frame::{
    FrameError, FrameHeaders, Picture, PlateInfo, PlateReader, SequenceWriter, Window,
};
use crate::sequence::plan::Plan;
use crate::sequence::{Mode, Take};

/// Frames that were made, kept and found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Made from the plate.
    pub made: usize,
    /// Plate frames written untouched.
    pub kept: usize,
    /// There already, of this same take.
    pub there: usize,
    /// Where the threads' time went.
    pub stages: Stages,
}

/// Seconds that threads spent in each stage, all threads together. Stages of
/// different frames overlap, so their sum is more than the time that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stages {
    /// Waiting for plate frames to be read and unpacked.
    pub reading: f64,
    /// Gathering frames from them.
    pub making: f64,
    /// Packing and writing frames.
    pub writing: f64,
}

/// A plate that notes how long it is waited for.
struct Timed<'p, 'a> {
    plate: &'p mut SharedPlate<'a>,
    waited: Duration,
}

impl PlateReader for Timed<'_, '_> {
    fn info(&self) -> &PlateInfo {
        self.plate.info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let begun = Instant::now();
        let picture = self.plate.read(frame);
        self.waited += begun.elapsed();
        picture
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.plate.prefetch(frames);
    }
}

/// What the threads work on.
pub struct Work<'a, E: Engine> {
    /// The job.
    pub job: &'a Job,
    /// What each frame is.
    pub take: &'a Take<E>,
    /// Which block each frame is of.
    pub plan: &'a Plan,
    /// The plate at the size of the output.
    pub plate: &'a SharedPlate<'a>,
    /// Where frames go.
    pub writer: &'a SequenceWriter,
    /// What frames tell of where they come from.
    pub origin: &'a Origin,
    /// What each plate frame carries.
    pub headers: &'a FrameHeaders,
    /// Opens the matte, for each thread its own.
    pub matte: &'a (dyn Fn() -> Result<Option<Matte>, FrameError> + Sync),
    /// Told of each frame.
    pub watch: &'a dyn Watch,
    /// Asked between frames.
    pub cancel: &'a Cancel,
}

/// Makes and writes `frames` on `threads` threads. At most that many frames are
/// in the making at a time.
///
/// # Errors
/// The first that any thread met. Frames that were written stay.
pub fn make<E: Engine>(
    work: &Work<'_, E>,
    frames: &[i32],
    threads: usize,
) -> Result<Tally, JobError> {
    let mut tally = Tally::default();
    let mut wanted = Vec::new();
    for &frame in frames {
        if work.cancel.is_cancelled() {
            return Err(crate::engine::EngineError::from(crate::device::Cancelled).into());
        }
        if work.writer.is_made(frame) {
            tally.there += 1;
            tell(work, frame, State::There);
        } else {
            wanted.push(frame);
        }
    }
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let outcome = Mutex::new((tally, None::<JobError>));
    let run = || -> Result<(), JobError> {
        let mut plate = work.plate.clone();
        let mut matte = (work.matte)()?;
        while !stop.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(&frame) = wanted.get(i) else { break };
            let ahead: Vec<i32> = wanted[i..]
                .iter()
                .take(threads + 1)
                .flat_map(|&f| work.take.frames_needed(f))
                .collect();
            plate.prefetch(&ahead);
            let (state, spent) = one(work, frame, &mut plate, matte.as_mut())
                .map_err(|e| of_block(work.plan, frame, e))?;
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            {
                let tally = &mut outcome.lock().0;
                match state {
                    State::Kept => tally.kept += 1,
                    _ => tally.made += 1,
                }
                tally.stages.reading += spent.reading;
                tally.stages.making += spent.making;
                tally.stages.writing += spent.writing;
            }
            tell(work, frame, state);
            work.watch
                .report("Making frames", count as f64 / wanted.len() as f64);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.min(wanted.len()).max(1) {
            scope.spawn(|| {
                if let Err(error) = run() {
                    stop.store(true, Ordering::Relaxed);
                    outcome.lock().1.get_or_insert(error);
                }
            });
        }
    });
    match outcome.into_inner() {
        (_, Some(error)) => Err(error),
        (tally, None) => Ok(tally),
    }
}

fn tell<E: Engine>(work: &Work<'_, E>, frame: i32, state: State) {
    work.watch.event(&Event::Frame {
        frame,
        file: &work.writer.path(frame),
        state,
    });
}

/// Names the block that could not be made, so that it can be made again alone.
fn of_block(plan: &Plan, frame: i32, error: JobError) -> JobError {
    match (error.kind, plan.maker_of(frame)) {
        // Not the block's fault: the same command goes on from here.
        (Kind::Cancelled | Kind::Full | Kind::Output, _) | (_, None) => error,
        (kind, Some(block)) => JobError::new(
            kind,
            format!(
                "{} (frame {frame} of block {id}; once mended, 'longtake block {id}' with the same options makes it alone)",
                error.message,
                id = block.id
            ),
        ),
    }
}

/// Hands progress on.
struct Onwards<'a>(&'a dyn Watch);

impl Progress for Onwards<'_> {
    fn report(&self, stage: &str, fraction: f64) {
        self.0.report(stage, fraction);
    }
}

/// Makes and writes one frame.
fn one<E: Engine>(
    work: &Work<'_, E>,
    frame: i32,
    plate: &mut SharedPlate<'_>,
    matte: Option<&mut Matte>,
) -> Result<(State, Stages), JobError> {
    // Where frames come from pieces that take long, it is these that are told of.
    let in_pieces = work.plan.levels.len() > 3;
    let task = Task {
        cancel: work.cancel,
        progress: match in_pieces {
            true => &Onwards(work.watch),
            false => &crate::device::Silent,
        },
    };
    let begun = Instant::now();
    let (picture, state, waited) = match work.take.timeline().kept(frame) {
        Some(from) => {
            task.check().map_err(crate::engine::EngineError::from)?;
            let picture = plate.read_kept(from, &work.job.plate, &work.job.options)?;
            (picture, State::Kept, begun.elapsed())
        }
        None => {
            let window = Window::whole(plate.info().width, plate.info().height);
            let mut plate = Timed {
                plate,
                waited: Duration::ZERO,
            };
            let mut sources = Sources {
                plate: &mut plate,
                matte: matte.map(|m| m as &mut dyn PlateReader),
                guide: None,
                subjects: Default::default(),
            };
            let picture = work.take.make(frame, window, &mut sources, task)?;
            (picture, State::Made, plate.waited)
        }
    };
    let made = begun.elapsed();
    let kept = work.take.timeline().kept(frame);
    let told = work.origin.text(frame, kept);
    // Where a matte is filled the rest of the frame, and its camera, is the plate's.
    let filled = (work.job.setup.mode == Mode::Fill).then_some(frame);
    let own = match kept.or(filled) {
        Some(from) => work.headers.read(from)?,
        None => None,
    };
    work.writer
        .write_kept(frame, &picture, Some(&told), own.as_ref())?;
    let spent = Stages {
        reading: waited.as_secs_f64(),
        making: made.saturating_sub(waited).as_secs_f64(),
        writing: begun.elapsed().saturating_sub(made).as_secs_f64(),
    };
    Ok((state, spent))
}
