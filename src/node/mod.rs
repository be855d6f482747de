//! The node as a host sees it: a request comes in, pixels go out.
//!
//! An instance holds nothing that costs: some hosts make and destroy one for
//! every frame. What is costly lives in the process ([`known`]) and in the
//! store.

mod actions;
mod ahead;
mod colours;
mod ends;
mod errand;
mod estimate;
mod extent;
mod file;
mod fit;
mod frames;
mod host;
mod known;
mod likeness;
mod make;
mod order;
mod panel;
mod pixels;
mod plate;
mod prepare;
mod record;
mod render;
mod serve;
mod shelf;
mod stamp;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use actions::{Needs, PREFERENCES, Preferences};
pub use host::{ClipFacts, Host, Input, NoHost, RawValue, Scene};
pub use panel::Change;
pub use pixels::{Components, Cuda, Depth, Image, Layout, Rect};
pub use render::{RenderArgs, Report, Status};

/// An instance of the node.
#[derive(Debug)]
pub struct Node {
    id: u64,
    /// What the artist was told last, so that it is told once and not for each
    /// frame.
    told: Mutex<String>,
}

/// What instances that are gone had told, and when they went: a host that makes
/// one for every frame is told once too.
static TOLD_BEFORE: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());
/// For how long that counts.
const TOLD_FOR: Duration = Duration::from_secs(60);

impl Node {
    /// An instance that has told nothing yet.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            told: Mutex::default(),
        }
    }

    /// Tells it from all others of the process, those that are gone too.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// `report`, which says whether the artist was told its sentence already.
    fn once(&self, report: Report) -> Report {
        let message = &report.message;
        let mut told = self.told.lock();
        let mut before = TOLD_BEFORE.lock();
        before.retain(|(_, at)| at.elapsed() < TOLD_FOR);
        let again = *told == *message
            || (told.is_empty() && before.iter().any(|(text, _)| text == message));
        told.clone_from(message);
        Report {
            told: again,
            ..report
        }
    }

    /// The artist may be told anything anew.
    fn tell_again(&self) {
        let told = std::mem::take(&mut *self.told.lock());
        TOLD_BEFORE.lock().retain(|(text, _)| *text != told);
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let told = std::mem::take(self.told.get_mut());
        if !told.is_empty() {
            let mut before = TOLD_BEFORE.lock();
            before.retain(|(text, _)| *text != told);
            before.push((told, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests;
