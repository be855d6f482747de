//! The pass over a sequence in which it is measured: frames come one at a time, and what
//! is gathered of them comes to a report at the end.

use std::sync::Arc;

use super::against::Against;
use super::encoded::Encoded;
use super::plate::{Of, Plate, TakenOut};
use super::profile::{Profiler, longest};
use super::rhythm::spectrum;
use super::seams::Steps;
use super::{Curves, MOST_PIXELS, Measures, Report, ReportError, Subject, Titles, Viewer, facts};
use crate::device::Task;
use crate::frame::{Picture, PlateInfo, Warning};

/// Measures a sequence, see [`report_to`].
///
/// # Errors
/// As [`report_to`].
pub fn report(subject: &mut Subject<'_>, task: Task<'_>) -> Result<Report, ReportError> {
    report_to(subject, &mut (), task)
}

/// Measures a sequence and shows its frames to `viewer`. Reads each output frame once, each plate frame once
/// and, where the correspondence is given, a few plate frames again for each
/// output frame.
///
/// # Errors
/// Where a frame cannot be read, output and plate differ in size, or `task` is cancelled.
pub fn report_to(
    subject: &mut Subject<'_>,
    viewer: &mut dyn Viewer,
    task: Task<'_>,
) -> Result<Report, ReportError> {
    let mut pass = Pass::new(subject, viewer, task)?;
    let frames = pass.info.range;
    for (i, frame) in frames.iter().enumerate() {
        task.step("Measuring the sequence", i, frames.count())?;
        pass.look(subject, viewer, i, frame)?;
    }
    Ok(pass.finish(subject))
}

/// A frame of the sequence as it is measured.
pub(super) struct Look {
    /// Its index and its number.
    pub(super) index: usize,
    pub(super) frame: i32,
    /// Whether it was made, and not kept from the plate.
    pub(super) made: bool,
    /// As it was read.
    pub(super) picture: Arc<Picture>,
    /// Encoded, as a camera at rest would have taken it.
    pub(super) still: Arc<Encoded>,
    /// So, and in the mean light of the sequence.
    pub(super) level: Arc<Encoded>,
    /// Samples that are no finite numbers.
    pub(super) not_finite: usize,
}

struct Pass<'a> {
    info: PlateInfo,
    factor: usize,
    taken: TakenOut<'a>,
    /// Which frames were made.
    made: Vec<bool>,
    profiler: Profiler,
    coarse: Steps,
    not_finite: usize,
    curves: Curves,
    /// Where there is a plate.
    against: Option<Against<'a>>,
}

impl<'a> Pass<'a> {
    /// Measures the plate, where there is one.
    fn new(
        subject: &mut Subject<'a>,
        viewer: &mut dyn Viewer,
        task: Task<'_>,
    ) -> Result<Self, ReportError> {
        let info = subject.output.info().clone();
        let factor = reduction(info.width, info.height);
        let taken = TakenOut {
            camera: subject.camera,
            exposure: subject.exposure,
        };
        let is_made = |f| (subject.kept)(f).is_none();
        let made: Vec<bool> = info.range.iter().map(is_made).collect();
        let plate = match &mut subject.plate {
            None => None,
            Some(plate) => {
                let p = plate.info();
                if (p.width, p.height) != (info.width, info.height) {
                    return Err(ReportError::Size {
                        output: (info.width, info.height),
                        plate: (p.width, p.height),
                    });
                }
                let count = made.iter().filter(|&&m| m).count();
                let plate = Plate::measure(&mut **plate, taken, factor, count, viewer, task)?;
                Some(plate)
            }
        };
        Ok(Self {
            against: plate.map(|p| Against::new(p, subject, &made, factor, taken)),
            profiler: Profiler::new(made.clone()),
            coarse: Steps::default(),
            not_finite: 0,
            curves: Curves::default(),
            info,
            factor,
            taken,
            made,
        })
    }

    /// Takes the frame of index `index`, numbered `frame`.
    fn look(
        &mut self,
        subject: &mut Subject<'_>,
        viewer: &mut dyn Viewer,
        index: usize,
        frame: i32,
    ) -> Result<(), ReportError> {
        let picture = subject.output.read(frame)?;
        let (encoded, bad) = Encoded::of(&picture, &self.info, self.factor);
        let not_finite = bad + replaced(&subject.output.take_warnings());
        self.not_finite += not_finite;
        viewer.output(frame, index, &encoded);
        let of = (Of::Output, index);
        let seen = (self.taken).seen(of, &picture, encoded, &self.info, self.factor);
        self.profiler.push(&seen.still, &seen.level);
        self.coarse.push(&seen.still);
        let Some(against) = &mut self.against else {
            return Ok(());
        };
        let look = Look {
            index,
            frame,
            made: self.made[index],
            picture,
            still: seen.still,
            level: seen.level,
            not_finite,
        };
        against.look(&look, subject, &mut self.curves)
    }

    fn finish(self, subject: &Subject<'_>) -> Report {
        let Self { info, made, .. } = self;
        let mut curves = self.curves;
        let profile = self.profiler.finish();
        let first = info.range.first;
        let steps = &profile.steps;
        curves.borders = self.coarse.at(steps, &subject.borders, first, &made);
        let (mut measures, plate) = match self.against {
            Some(against) => {
                let (measures, plate) = against.finish(&profile, &made, subject, &mut curves);
                (measures, Some(plate))
            }
            None => (Measures::default(), None),
        };
        measures.set_borders(&curves.borders);
        curves.spectrum = spectrum(&profile.luma[longest(&made)], info.fps);
        curves.steps = profile.steps;
        curves.luma = profile.luma;
        curves.gradients = profile.gradients;
        Report {
            longtake: env!("CARGO_PKG_VERSION"),
            titles: Titles::default(),
            made: None,
            output: facts(&info, self.not_finite),
            reduced_by: self.factor,
            verdicts: measures.verdicts(),
            missing: subject.missing.clone(),
            reference: None,
            measures,
            curves,
            plate_curves: plate.as_ref().map(|p| Curves {
                steps: p.profile.steps.clone(),
                luma: p.profile.luma.clone(),
                gradients: p.profile.gradients.clone(),
                spectrum: spectrum(&p.profile.luma, p.facts.fps),
                ..Curves::default()
            }),
            plate: plate.map(|p| p.facts),
        }
    }
}

/// Samples that a reader replaced because they are no finite numbers.
fn replaced(warnings: &[Warning]) -> usize {
    let count = |w: &Warning| match w {
        Warning::NotFinite { nan, infinite, .. } => nan + infinite,
        _ => 0,
    };
    warnings.iter().map(count).sum()
}

/// The smallest whole number by which a picture must be reduced to be
/// measured.
fn reduction(width: usize, height: usize) -> usize {
    let mut factor = 1;
    while width.div_ceil(factor) * height.div_ceil(factor) > MOST_PIXELS {
        factor += 1;
    }
    factor
}
