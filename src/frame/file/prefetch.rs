//! Frames that workers get ready before they are asked for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::device;
use crate::frame::{FrameError, Picture};

/// Bytes of pictures that may be ready or in work.
const AHEAD: usize = 1 << 30;

/// Reads one frame on the calling thread alone.
type Read = dyn Fn(i32) -> Result<Picture, FrameError> + Send + Sync;

/// The frames in work.
#[derive(Default)]
pub(super) struct Prefetch {
    slots: HashMap<i32, Arc<Slot>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Queued,
    Working,
    Done(Result<Picture, FrameError>),
    /// Nobody wants it any more, or the reader does it itself.
    Dropped,
}

impl Prefetch {
    /// Has workers read the first of `frames`, each of `bytes`, by `read`.
    /// What was asked for before and is not among them is forgotten.
    pub(super) fn request(&mut self, frames: &[i32], bytes: usize, read: &Arc<Read>) {
        self.slots.retain(|frame, slot| {
            let keep = frames.contains(frame);
            if !keep {
                *slot.state.lock() = State::Dropped;
            }
            keep
        });
        let most = (AHEAD / bytes.max(1)).clamp(1, 2 * device::worker_count());
        for &frame in frames {
            if self.slots.len() >= most {
                break;
            }
            self.slots.entry(frame).or_insert_with(|| {
                let slot = Arc::new(Slot::default());
                let (work, read) = (slot.clone(), read.clone());
                device::spawn(move || work.run(frame, &*read));
                slot
            });
        }
    }

    /// Whether a worker has read `frame`, which nobody has taken yet.
    #[cfg(test)]
    pub(super) fn is_ready(&self, frame: i32) -> bool {
        let slot = self.slots.get(&frame);
        slot.is_some_and(|s| matches!(*s.state.lock(), State::Done(_)))
    }

    /// The frame, where a worker has read it or is at it. A frame that no
    /// worker has begun is left to the caller: waiting for it could be for
    /// ever where the caller is the last free worker.
    pub(super) fn take(&mut self, frame: i32) -> Option<Result<Picture, FrameError>> {
        let slot = self.slots.remove(&frame)?;
        let mut state = slot.state.lock();
        while matches!(*state, State::Working) {
            slot.done.wait(&mut state);
        }
        match std::mem::replace(&mut *state, State::Dropped) {
            State::Done(result) => Some(result),
            _ => None,
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        for slot in self.slots.values() {
            *slot.state.lock() = State::Dropped;
        }
    }
}

impl Slot {
    fn run(&self, frame: i32, read: &Read) {
        {
            let mut state = self.state.lock();
            if !matches!(*state, State::Queued) {
                return;
            }
            *state = State::Working;
        }
        let unwound = std::panic::AssertUnwindSafe(|| read(frame));
        let result = std::panic::catch_unwind(unwound);
        let mut state = self.state.lock();
        if matches!(*state, State::Working) {
            *state = match result {
                Ok(result) => State::Done(result),
                // The caller will meet it again, on its own stack.
                Err(_) => State::Dropped,
            };
        }
        self.done.notify_all();
    }
}
