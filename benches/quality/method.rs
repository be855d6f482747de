//! What every method of the table hands over, and how it is measured.

use longtake::device::{Cancel, Silent, Task};
use longtake::sequence::report::{Report, Subject, report};

use crate::footage::Clip;

/// A sequence that was made.
pub struct Made {
    pub clip: Clip,
    /// For each frame the plate index of each pixel, where a pixel has one.
    pub source: Option<Vec<Vec<i32>>>,
    /// How many frames from the first are the plate's.
    pub kept: usize,
    pub closed: bool,
    /// Wall time of the making.
    pub seconds: f64,
}

impl Made {
    /// Measures the sequence against the plate.
    pub fn measure(&mut self, plate: &Clip) -> Result<Report, String> {
        let cancel = Cancel::default();
        let kept = self.kept as i32;
        let source = self.source.as_ref();
        let map = |frame: i32, _: usize, _: usize| -> Vec<i32> {
            source.map_or_else(Vec::new, |s| s[(frame - 1) as usize].clone())
        };
        let mut reader = plate.clone();
        let mut subject = Subject {
            output: &mut self.clip,
            plate: Some(&mut reader),
            matte: None,
            kept: &|f| (f <= kept).then_some(f),
            closed: self.closed,
            source: source.is_some().then_some(&map),
        };
        let task = Task {
            cancel: &cancel,
            progress: &Silent,
        };
        report(&mut subject, task).map_err(|e| e.to_string())
    }
}
