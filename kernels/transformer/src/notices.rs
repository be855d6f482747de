//! Sentences for the artist: what is done in a slower way than it could be, and why.

use std::sync::{Mutex, PoisonError};

/// All that were noticed, and how many of them were told.
static NOTICES: Mutex<(Vec<String>, usize)> = Mutex::new((Vec::new(), 0));

/// Notes `text`, once.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
pub fn notice(text: String) {
    let mut notices = NOTICES.lock().unwrap_or_else(PoisonError::into_inner);
    if !notices.0.contains(&text) {
        notices.0.push(text);
    }
}

/// The next that was not told yet.
pub fn told() -> Option<String> {
    let mut notices = NOTICES.lock().unwrap_or_else(PoisonError::into_inner);
    let text = notices.0.get(notices.1).cloned();
    notices.1 += usize::from(text.is_some());
    text
}
