//! A job with its files opened and its plan laid, before any work.

use super::error::{JobError, Kind};
use super::output;
use super::space::Space;
use super::spec::Job;
use crate::engine::{Engine, Timeline};
use crate::frame::{
    FilePlate, FrameError, FrameList, FrameRange, MattePlate, PlateInfo, PlateReader, ScaledPlate,
    Sequence, SequenceWriter,
};
use crate::sequence::plan::{self, Plan};
use crate::sequence::{Names, Request, key_of};

/// A matte at the size of the output.
pub type Matte = Box<dyn PlateReader>;

/// What is known of a job from its files' headers.
pub struct Shot<'a> {
    /// The job.
    pub job: &'a Job,
    /// The plate.
    pub plate: FilePlate,
    /// What is known of it.
    pub info: PlateInfo,
    /// What is asked for.
    pub request: Request,
    /// What that comes to.
    pub timeline: Timeline,
    /// Names the pixels of plate and matte.
    pub key: blake3::Hash,
    /// Names what the files hold, of those that there are.
    pub contents: Contents,
    /// What is made, in which pieces.
    pub plan: Plan,
    /// What the take is called.
    pub names: Names,
    /// Where frames go.
    pub writer: SequenceWriter,
}

/// Names what the files of a shot hold, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Of the plate; `None` where frames are made from nothing.
    pub plate: Option<blake3::Hash>,
    /// Of the matte.
    pub matte: Option<blake3::Hash>,
    /// Of the guide.
    pub guide: Option<blake3::Hash>,
}

impl<'a> Shot<'a> {
    /// Opens what `job` names and lays the plan of it. Reads headers and the ends of
    /// files, no pixels.
    ///
    /// # Errors
    /// Where a file is missing or unreadable, or plate, range and mode do not
    /// go together.
    pub fn open(job: &'a Job) -> Result<Self, JobError> {
        let plate = job.open_plate()?;
        let info = plate.info().clone();
        let request = job.setup.request(info.range, info.fps)?;
        let timeline = job.setup.timeline(&request);
        let timeline = timeline.map_err(|e| of_one_frame(job, info.range, e.into()))?;
        let matte = Self::matte_of(job)?;
        let guide = job.open_guide()?;
        let key = |plate: &FilePlate| plate.key().map(|key| key.to_hex());
        let matte_key = matte.as_ref().map(|m| key(m.inner())).transpose()?;
        let guide_key = guide.as_ref().map(key).transpose()?;
        let plate_key = key(&plate)?;
        let mut keys = vec![plate_key.as_str(), matte_key.as_deref().unwrap_or_default()];
        keys.extend(guide_key.as_deref());
        let key = key_of(&keys);
        let there = !job.plate.as_os_str().is_empty();
        let contents = Contents {
            plate: there.then(|| plate.content()).transpose()?,
            matte: matte.as_ref().map(|m| m.inner().content()).transpose()?,
            guide: guide.as_ref().map(FilePlate::content).transpose()?,
        };
        let engine = &job.setup.engine;
        let fits = engine.check(&timeline, &info);
        fits.map_err(|e| of_one_frame(job, info.range, e.into()))?;
        let names = Names::of(engine, &key, &timeline);
        let written = output::written(job);
        let stages = engine.stages();
        let pieces = engine.pieces(&timeline, &info)?;
        let plan = plan::lay(
            engine, stages, &pieces, &names, &timeline, job.block, &written,
        );
        plan.check()
            .map_err(|e| JobError::new(Kind::Internal, e.to_string()))?;
        let writer = output::writer(job, &plate, &names.take.to_hex())?;
        Ok(Self {
            job,
            plate,
            info,
            request,
            timeline,
            key,
            contents,
            plan,
            names,
            writer,
        })
    }

    /// The frames that the job asks for.
    ///
    /// # Errors
    /// Where none of those asked for is of the take.
    pub fn frames(&self) -> Result<Vec<i32>, JobError> {
        let out = self.timeline.out;
        let frames: Vec<i32> = match &self.job.only {
            Some(only) => only.iter().filter(|f| out.contains(*f)).collect(),
            None => out.iter().collect(),
        };
        match &self.job.only {
            Some(only) if frames.is_empty() => Err(self.none_of(only)),
            _ => Ok(frames),
        }
    }

    /// That `only` has frames that are none of the take, where it has.
    pub fn beyond(&self) -> Option<String> {
        let (only, out) = (self.job.only.as_ref()?, self.timeline.out);
        (!only.is_within(out)).then(|| {
            format!(
                "'only', {only}, goes beyond the take, which is {out}: frames outside of it are left out"
            )
        })
    }

    /// That `only` has no frame that could be made.
    pub fn none_of(&self, only: &FrameList) -> JobError {
        let out = self.timeline.out;
        JobError::new(
            Kind::Usage,
            format!("none of the frames in 'only', {only}, is of the take, which is {out}"),
        )
    }

    /// Checks, before any work, that `frames` can be written and that there is
    /// room for them.
    ///
    /// # Errors
    /// Where there is not.
    pub fn check(&self, frames: &[i32]) -> Result<(), JobError> {
        output::check(self.job, &self.writer, frames)?;
        if self.job.check_space {
            self.space(frames).check()?;
        }
        Ok(())
    }

    /// The room that `frames` need.
    pub fn space(&self, frames: &[i32]) -> Space {
        Space::of(self.job, &self.plate, &self.writer, frames)
    }

    /// The matte at the size of the plate.
    ///
    /// # Errors
    /// Where it is missing or unreadable, or does not lie over the plate.
    pub fn matte(&self) -> Result<Option<MattePlate<FilePlate>>, FrameError> {
        Self::matte_of(self.job)
    }

    /// The matte of `job` at the size of the plate.
    ///
    /// # Errors
    /// As of [`matte`](Self::matte).
    pub fn matte_of(job: &Job) -> Result<Option<MattePlate<FilePlate>>, FrameError> {
        let Some(path) = &job.matte else {
            return Ok(None);
        };
        MattePlate::open(path, &job.open_plate()?).map(Some)
    }

    /// The matte at the size of the output.
    ///
    /// # Errors
    /// As of [`matte`](Self::matte).
    pub fn scaled_matte(job: &Job) -> Result<Option<Matte>, FrameError> {
        let Some(matte) = Self::matte_of(job)? else {
            return Ok(None);
        };
        Ok(Some(Box::new(ScaledPlate::new(matte, job.reduce as usize))))
    }
}

/// `error`, with the reason where one file was named of frames that are not read as such.
fn of_one_frame(job: &Job, range: FrameRange, error: JobError) -> JobError {
    let sequence = Sequence::find(&job.plate).ok();
    let one = sequence.filter(|_| range.count() == 1);
    if !one.is_some_and(|s| s.is_of_frames_not_read().unwrap_or(false)) {
        return error;
    }
    JobError::new(
        error.kind,
        format!(
            "{}: it is read as one picture, since sequences are read as .exr or .png; convert the frames to one of them ({})",
            job.plate.display(),
            error.message
        ),
    )
}
