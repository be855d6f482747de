//! The terms on which long work runs: it tells how far it is and stops when
//! asked to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::Lazy;

/// A flag that asks running work to stop. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop; it does so within 100 ms.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The work was stopped because somebody asked for it. Nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped as asked; what was finished is kept, run again to continue")]
pub struct Cancelled;

/// Receives how far work is. Called from any thread.
pub trait Progress: Sync {
    /// `stage` is a short phrase for the artist ("Reading the plate");
    /// `fraction` of that stage is done, in 0..=1.
    fn report(&self, stage: &str, fraction: f64);
}

/// A [`Progress`] that tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _stage: &str, _fraction: f64) {}
}

/// What long work is given to be polite with.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// Asked between pieces of work of at most some tens of milliseconds.
    pub cancel: &'a Cancel,
    /// Told after each such piece.
    pub progress: &'a dyn Progress,
}

impl Task<'static> {
    /// Work that nobody watches and nobody stops.
    pub fn quiet() -> Self {
        static NEVER: Lazy<Cancel> = Lazy::new(Cancel::default);
        Self {
            cancel: &NEVER,
            progress: &Silent,
        }
    }
}

impl Task<'_> {
    /// Fails when the work was asked to stop.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Reports `done` of `total` pieces and fails when asked to stop.
    pub fn step(&self, stage: &str, done: usize, total: usize) -> Result<(), Cancelled> {
        self.progress
            .report(stage, done as f64 / total.max(1) as f64);
        self.check()
    }
}
