//! Work on our own thread for hosts that lend pictures on theirs.
//!
//! A host hands over pictures only on the thread of an action, and only while
//! the action runs. So the work runs on a thread of ours, and the threads that
//! the host gave us wait for it: they fetch the pictures that the work asks
//! for, show its progress, and ask the host every few milliseconds whether to
//! stop. A thread that stops is gone at once; the work goes on as long as
//! anybody waits for it.
//!
//! Pictures come from one instance of the node, the one whose thread joined
//! first: another may have another plate on its inputs, however alike they
//! seem. Work whose instance has gone ends where it needs the next picture, and
//! those who still wait begin it anew.
//!
//! No lock is held while the host is called: a host may come back to the same
//! node from inside of what we ask of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longtake_kernels::driver::DeviceError;
use parking_lot::{Condvar, Mutex};

use super::host::{Host, Input};
use super::pixels::{Image, Rect};
use crate::device::{Cancel, Cancelled, Progress, Task};
use crate::engine::EngineError;
use crate::frame::{FrameError, Picture};

/// How often a waiting thread asks its host whether to stop.
const POLL: Duration = Duration::from_millis(8);
/// Work that ends sooner shows no progress bar.
const PATIENCE: Duration = Duration::from_millis(600);

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The host or the artist stopped it.
    Stopped,
    /// The sentence says why and what to do.
    Message(String),
    /// A GPU was asked for and failed.
    Device(DeviceError),
}

impl Failure {
    /// The host handed nothing over.
    pub fn no_picture(input: Input, frame: i32) -> Self {
        FrameError::Host {
            frame,
            message: remedy(input).to_owned(),
        }
        .into()
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Cancelled(_) => Self::Stopped,
            EngineError::Device(error) => Self::Device(error),
            other => Self::Message(other.to_string()),
        }
    }
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        EngineError::from(error).into()
    }
}

/// A picture that the work wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    /// From which input.
    pub input: Input,
    /// Which frame.
    pub frame: i32,
    /// Which pixels of it.
    pub canvas: Rect,
    /// Which samples.
    pub names: &'static [&'static str],
    /// Whether pictures show windows of their own of the canvas, so that a smaller
    /// one is not of another size.
    pub cropped: bool,
}

struct State<T> {
    ask: Option<Ask>,
    answer: Option<Result<Arc<Picture>, FrameError>>,
    stage: String,
    fraction: f64,
    waiting: usize,
    /// The instance that hands pictures over.
    server: u64,
    /// Those of its threads that wait; none before the first has joined.
    serving: Option<usize>,
    result: Option<Result<T, Failure>>,
}

/// Work under way.
pub(super) struct Errand<T> {
    state: Mutex<State<T>>,
    /// Woken when there is something for a host's thread to do.
    news: Condvar,
    /// Woken when an answer has come.
    answered: Condvar,
    cancel: Cancel,
}

/// What the work has of those who wait for it.
pub(super) struct Desk<'a, T>(&'a Errand<T>);

impl<T> Desk<'_, T> {
    /// The terms on which the work runs.
    pub fn task(&self) -> Task<'_>
    where
        T: Send,
    {
        Task {
            cancel: &self.0.cancel,
            progress: self,
        }
    }

    /// Has a picture fetched.
    pub fn fetch(&self, ask: Ask) -> Result<Arc<Picture>, FrameError> {
        let mut state = self.0.state.lock();
        state.answer = None;
        state.ask = Some(ask);
        self.0.news.notify_all();
        loop {
            if self.0.cancel.is_cancelled() || state.serving == Some(0) {
                state.ask = None;
                return Err(Cancelled.into());
            }
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            self.0.answered.wait_for(&mut state, POLL);
        }
    }
}

impl<T: Send> Progress for Desk<'_, T> {
    fn report(&self, stage: &str, fraction: f64) {
        let mut state = self.0.state.lock();
        if state.stage != stage {
            stage.clone_into(&mut state.stage);
        }
        state.fraction = fraction.clamp(0.0, 1.0);
    }
}

impl<T: Clone + Send + 'static> Errand<T> {
    /// Sends `work` off. It runs until it ends or nobody waits for it.
    pub fn send(
        work: impl FnOnce(&Desk<'_, T>) -> Result<T, Failure> + Send + 'static,
    ) -> Arc<Self> {
        let errand = Arc::new(Self {
            state: Mutex::new(State {
                ask: None,
                answer: None,
                stage: String::new(),
                fraction: 0.0,
                waiting: 0,
                server: 0,
                serving: None,
                result: None,
            }),
            news: Condvar::new(),
            answered: Condvar::new(),
            cancel: Cancel::default(),
        });
        let own = Arc::clone(&errand);
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&Desk(&own))))
                .unwrap_or_else(|_| Err(Failure::Message(BROKEN.to_owned())));
            own.state.lock().result = Some(result);
            own.news.notify_all();
        };
        let spawned = std::thread::Builder::new()
            .name("longtake".to_owned())
            .spawn(run);
        if let Err(error) = spawned {
            errand.state.lock().result = Some(Err(Failure::Message(format!(
                "the system grants no thread to work on ({error}): close other programs and render again"
            ))));
        }
        errand
    }

    /// Whether there is a result, or nobody waited for it.
    pub fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.state.lock().result.is_some()
    }

    /// Counts the calling thread, of the node `instance`, among those that wait,
    /// which must then [`attend`](Self::attend); false where the work was given up
    /// already.
    pub fn join(&self, instance: u64) -> bool {
        let mut state = self.state.lock();
        let joined = !self.cancel.is_cancelled();
        if joined {
            state.waiting += 1;
            if state.serving.is_none() {
                state.server = instance;
            }
            let serves = usize::from(state.server == instance);
            state.serving = Some(state.serving.unwrap_or(0) + serves);
        }
        joined
    }

    /// Waits for the result, serving the work meanwhile, after
    /// [`join`](Self::join). `show` says whether this thread shows the progress
    /// of long work.
    pub fn attend(&self, host: &mut dyn Host, show: bool) -> Result<T, Failure> {
        let stopped = || Err(Failure::Stopped);
        self.wait(host, show).unwrap_or_else(stopped)
    }

    /// As [`attend`](Self::attend); `None` where it was this thread that stopped,
    /// and [`Failure::Stopped`] where those who handed pictures over did.
    pub fn wait(&self, host: &mut dyn Host, show: bool) -> Option<Result<T, Failure>> {
        let begun = Instant::now();
        let instance = host.instance();
        let mut polled = begun;
        loop {
            let (ask, shown) = {
                let mut state = self.state.lock();
                if let Some(result) = &state.result {
                    return Some(result.clone());
                }
                let serves = state.server == instance;
                if !serves || state.ask.is_none() {
                    self.news.wait_for(&mut state, POLL);
                }
                let shown = (show && begun.elapsed() > PATIENCE && !state.stage.is_empty())
                    .then(|| (state.stage.clone(), state.fraction));
                (state.ask.take_if(|_| serves), shown)
            };
            // From here on the host is called, without the lock.
            let mut stop = false;
            if let Some(ask) = ask {
                match serve(host, &ask) {
                    // A host that is about to stop hands nothing over: another
                    // thread may still be served.
                    Err(_) if host.aborted() => {
                        self.state.lock().ask = Some(ask);
                        self.news.notify_all();
                        stop = true;
                    }
                    answer => {
                        self.state.lock().answer = Some(answer);
                        self.answered.notify_all();
                    }
                }
            }
            if !stop && polled.elapsed() >= POLL {
                polled = Instant::now();
                stop = shown.is_some_and(|(stage, fraction)| !host.progress(&stage, fraction))
                    || host.aborted();
            }
            if stop {
                let mut state = self.state.lock();
                state.waiting -= 1;
                if state.server == instance {
                    state.serving = state.serving.map(|n| n.saturating_sub(1));
                }
                if state.waiting == 0 {
                    self.cancel.cancel();
                }
                return None;
            }
        }
    }
}

/// What the artist reads where our own code failed.
const BROKEN: &str = "Longtake met an error of its own. Press Clear and render again; if it stays, report it with the host's log.";

/// Fetches a picture from the host.
pub(super) fn serve(host: &mut dyn Host, ask: &Ask) -> Result<Arc<Picture>, FrameError> {
    let mut got = Err(FrameError::Host {
        frame: ask.frame,
        message: remedy(ask.input).to_owned(),
    });
    let mut see = |image: &Image<'_>| {
        got = check_size(ask, &image.region()).and_then(|()| {
            let picture = image.to_picture(&ask.canvas, ask.names);
            picture.map(Arc::new).map_err(|e| FrameError::Host {
                frame: ask.frame,
                message: e.to_string(),
            })
        });
    };
    host.image(ask.input, f64::from(ask.frame), &mut see);
    got
}

/// Refuses a picture of another size than the plate. One that is merely
/// cropped, as renders are to what they show, is laid where it belongs; it has
/// a side or a corner of its own.
fn check_size(ask: &Ask, region: &Rect) -> Result<(), FrameError> {
    let plate = &ask.canvas;
    let apart = |a: usize, b: usize| a.abs_diff(b) > 2;
    let other = apart(region.width(), plate.width()) && apart(region.height(), plate.height());
    if ask.cropped || !other || (region.x1, region.y1) != (plate.x1, plate.y1) {
        return Ok(());
    }
    let found = (region.width(), region.height());
    let expected = (plate.width(), plate.height());
    Err(match ask.input {
        Input::Source | Input::Guide => FrameError::Size {
            frame: ask.frame,
            found,
            expected,
        },
        Input::Matte | Input::Subject(_) => FrameError::MatteSize { found, expected },
    })
}

/// What to do where the host hands nothing over.
fn remedy(input: Input) -> &'static str {
    match input {
        Input::Source => "check that Source is connected and has that frame, or set Plate file",
        Input::Matte => "check that Matte is connected and switched on (in Natron, tick the mask)",
        Input::Guide => "check that Guide is connected and has that frame",
        Input::Subject(_) => {
            "check that the subject's matte is connected and switched on, or clear its text"
        }
    }
}

#[cfg(test)]
mod tests;
