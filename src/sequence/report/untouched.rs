//! What of a sequence is its plate's to the bit: kept frames, and what lies outside the
//! matte.

use super::Subject;
use crate::frame::{FrameError, Picture, PlateReader};

/// The largest difference so far, where there was something to compare.
pub(super) struct Untouched {
    /// Of kept frames.
    pub(super) kept: Option<f64>,
    /// Of what lies outside the matte.
    pub(super) outside: Option<f64>,
    compares_kept: bool,
    compares_outside: bool,
}

impl Untouched {
    /// Compares what `subject` does not say that it lacks.
    pub(super) fn new(subject: &Subject<'_>) -> Self {
        Self {
            kept: None,
            outside: None,
            compares_kept: !subject.lacks("kept"),
            compares_outside: !subject.lacks("outside"),
        }
    }

    /// Holds frame `frame` of `subject`, which is `picture`, against its plate.
    pub(super) fn look(
        &mut self,
        frame: i32,
        picture: &Picture,
        subject: &mut Subject<'_>,
    ) -> Result<(), FrameError> {
        let Some(plate) = &mut subject.plate else {
            return Ok(());
        };
        let range = plate.info().range;
        let plate: &mut dyn PlateReader = match &mut subject.stored {
            Some(stored) => &mut **stored,
            None => &mut **plate,
        };
        if let Some(number) = (subject.kept)(frame).filter(|_| self.compares_kept) {
            let original = plate.read(number)?;
            let differs = difference(picture, &original, |_| true);
            self.kept = Some(self.kept.unwrap_or(0.0).max(differs));
        }
        if let Some(matte) = subject.matte.as_mut().filter(|_| self.compares_outside)
            && range.contains(frame)
        {
            let original = plate.read(frame)?;
            let matte = matte.read(frame)?;
            let n = matte.channels();
            let free = |i: usize| matte.data().get(i * n).is_some_and(|&m| m <= 0.0);
            let differs = difference(picture, &original, free);
            self.outside = Some(self.outside.unwrap_or(0.0).max(differs));
        }
        Ok(())
    }
}

/// Largest absolute difference of any sample of the pixels that `which`
/// picks by their place; samples of equal bits differ by 0, and a picture of
/// another shape or a sample that is no number differs by infinity.
fn difference(a: &Picture, b: &Picture, which: impl Fn(usize) -> bool) -> f64 {
    let n = a.channels();
    if (a.width(), a.height(), n) != (b.width(), b.height(), b.channels()) {
        return f64::INFINITY;
    }
    let mut worst = 0.0f64;
    for (i, (a, b)) in a
        .data()
        .chunks_exact(n)
        .zip(b.data().chunks_exact(n))
        .enumerate()
    {
        if which(i) {
            for (a, b) in a.iter().zip(b) {
                if a.to_bits() != b.to_bits() {
                    let d = f64::from((a - b).abs());
                    worst = worst.max(if d.is_finite() { d } else { f64::INFINITY });
                }
            }
        }
    }
    worst
}
