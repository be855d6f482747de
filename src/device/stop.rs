//! Stopping inside an operation. A transformer's block over a long clip takes a
//! processor many seconds, far more than the time in which work is to stop, and the
//! operations that it is made of are handed no task: they ask what was said around them.

use std::cell::RefCell;

use super::{Cancel, Cancelled};

thread_local! {
    static AROUND: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

/// Puts back what was there before, whichever way `work` ends.
struct Before(Option<Cancel>);

impl Drop for Before {
    fn drop(&mut self) {
        let before = self.0.take();
        AROUND.with(|around| *around.borrow_mut() = before);
    }
}

/// Runs `work`; long operations called by it on this thread end early, with an error,
/// once `cancel` is raised.
pub fn stoppable<R>(cancel: &Cancel, work: impl FnOnce() -> R) -> R {
    let before = AROUND.with(|around| around.borrow_mut().replace(cancel.clone()));
    let _before = Before(before);
    work()
}

/// What an operation asks, on whichever thread.
#[derive(Clone)]
pub(crate) struct Stop(Option<Cancel>);

impl Stop {
    /// What was said around the operation that this thread begins.
    pub fn here() -> Self {
        Self(AROUND.with(|around| around.borrow().clone()))
    }

    /// Whether to stop; what is computed after is thrown away.
    pub fn asked(&self) -> bool {
        self.0.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// Fails when asked to stop.
    pub fn check(&self) -> candle_core::Result<()> {
        match self.asked() {
            true => Err(candle_core::Error::wrap(Cancelled)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::device::ops::attention;

    #[test]
    fn what_is_said_holds_inside_and_no_longer() {
        let (outer, inner) = (Cancel::default(), Cancel::default());
        outer.cancel();
        stoppable(&outer, || {
            assert!(Stop::here().asked());
            stoppable(&inner, || assert!(!Stop::here().asked()));
            assert!(Stop::here().check().is_err());
        });
        assert!(!Stop::here().asked());
    }

    #[test]
    fn a_long_attention_ends_when_asked_to() {
        // Some 800 billion operations: many seconds on any processor.
        let zeros = |n: usize| Tensor::zeros((1, n, 512), DType::F32, &Device::Cpu).unwrap();
        let (q, kv) = (zeros(20_000), zeros(20_000));
        let cancel = Cancel::default();
        let raised = cancel.clone();
        let begun = Instant::now();
        let raiser = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            raised.cancel();
        });
        let result = stoppable(&cancel, || attention(&q, &kv, &kv, 8));
        assert!(result.is_err());
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        raiser.join().unwrap();
    }
}
