//! What tells plates of equal facts apart before anything is studied: their
//! frames at both ends and in the middle, and those of the other inputs there.

use std::sync::Arc;

use super::errand::{Failure, serve};
use super::host::{Host, Input};
use super::likeness::Likeness;
use super::plate::HostPlate;
use super::record::Record;
use crate::frame::{Samples, mend};

/// What the inputs look like at the ends and in the middle of the plate; nothing is
/// needed of one in files, whose key names its pixels.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Vec<(Input, i32, Likeness)>);

impl Ends {
    /// Of `plate`, fetched by the thread of an action. What cannot be had is left
    /// out: who needs it will say so.
    ///
    /// # Errors
    /// Where the host stops the action.
    pub fn of(plate: &HostPlate, host: &mut dyn Host) -> Result<Self, Failure> {
        let range = plate.info.range;
        let middle = range.first + (range.last - range.first) / 2;
        let mut frames = vec![range.first, middle, range.last];
        frames.dedup();
        let mut ends = Vec::new();
        for input in plate.inputs() {
            for &frame in &frames {
                match serve(host, &plate.ask(input, frame)) {
                    Ok(mut picture) => {
                        // As the study will see it.
                        if let Some(picture) = Arc::get_mut(&mut picture) {
                            mend(picture, |_| Samples::Colour);
                        }
                        let likeness = Likeness::of(&picture, plate.transfer_of(input));
                        ends.push((input, frame, likeness));
                    }
                    Err(_) if host.aborted() => return Err(Failure::Stopped),
                    Err(_) => {}
                }
            }
        }
        Ok(Self(ends))
    }

    /// Names them: by their samples or, where the host gives no frame twice with the
    /// same, `by_look`.
    pub fn name(&self, by_look: bool) -> String {
        let end = |(input, frame, l): &(Input, i32, Likeness)| match by_look {
            true => format!("{input:?} {frame} {:?}", l.small),
            false => format!("{input:?} {frame} {:?} {:016x}", l.size, l.exact),
        };
        let ends: Vec<String> = self.0.iter().map(end).collect();
        ends.join("; ")
    }

    /// Whether they may be those of the plate that `record` is of.
    pub fn are_of(&self, record: &Record, by_look: bool) -> bool {
        let admits =
            |(input, frame, l): &(Input, i32, Likeness)| record.admits(*input, *frame, l, by_look);
        self.0.iter().all(admits)
    }
}
