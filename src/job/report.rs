//! Measures a sequence against its plate and leaves the report's files.

use std::path::{Path, PathBuf};

use super::error::{JobError, Kind};
use super::output;
use super::shared_plate::SharedPlate;
use super::spec::Draft;
use super::watch::{Event, Watch};
use crate::device::{self, Cancel, Task};
use crate::frame::{FilePlate, PlateOptions};
use crate::manifest::Values;
use crate::sequence::report::{Report, ReportError, Subject, report};

/// Files that show a sequence to people and scripts.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// A PNG of frames side by side.
    pub contact_sheet: Option<PathBuf>,
    /// A movie.
    pub preview: Option<PathBuf>,
    /// The measures, in JSON.
    pub report: Option<PathBuf>,
}

impl Looks {
    /// Those that `values` names.
    pub(super) fn of(values: &Values) -> Self {
        let path = |name: &str| {
            Some(values.text(name))
                .filter(|s| !s.is_empty())
                .map(PathBuf::from)
        };
        Self {
            contact_sheet: path("contactSheet"),
            preview: path("preview"),
            report: path("report"),
        }
    }

    /// Whether none is wanted.
    pub fn is_empty(&self) -> bool {
        self.contact_sheet.is_none() && self.preview.is_none() && self.report.is_none()
    }

    /// Checks, before any work, that they can be written.
    ///
    /// # Errors
    /// Where one cannot.
    pub(super) fn check(&self) -> Result<(), JobError> {
        for path in [&self.contact_sheet, &self.preview, &self.report]
            .into_iter()
            .flatten()
        {
            output::probe(path.parent().unwrap_or(Path::new("")))?;
        }
        Ok(())
    }

    /// Measures `subject` and leaves the files.
    pub(super) fn leave(
        &self,
        subject: &mut Subject<'_>,
        task: Task<'_>,
        watch: &dyn Watch,
    ) -> Result<Report, JobError> {
        let measured = report(subject, task)?;
        if let Some(path) = &self.report {
            output::write(path, measured.json().as_bytes())?;
            watch.event(&Event::File {
                what: "report",
                file: path,
            });
        }
        Ok(measured)
    }
}

impl From<ReportError> for JobError {
    fn from(error: ReportError) -> Self {
        let message = error.to_string();
        match error {
            ReportError::Frame(e) => e.into(),
            ReportError::Size { .. } => Self::new(Kind::Mismatch, message),
            ReportError::Cancelled(_) => Self::new(Kind::Cancelled, message),
            _ => Self::new(Kind::Output, message),
        }
    }
}

/// Measures the sequence `files` against the plate that `draft` names.
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
    let sight = draft.sight()?;
    device::limit(sight.threads.unwrap_or(0));
    let mut output = FilePlate::open(
        files,
        &PlateOptions {
            fps: sight.options.fps,
            ..PlateOptions::default()
        },
    )?;
    let plate = FilePlate::open(&sight.plate, &sight.options)?;
    sight.looks.check()?;
    let mut plate = SharedPlate::new(plate, 1, sight.memory, watch);
    let task = Task {
        cancel,
        progress: watch,
    };
    let mut subject = Subject {
        output: &mut output,
        plate: Some(&mut plate),
        matte: None,
        kept: &|_| None,
        closed: false,
        source: None,
    };
    sight.looks.leave(&mut subject, task, watch)
}
