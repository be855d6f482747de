//! Sentences that an artist should read, from wherever the work is done. Each is given
//! once, to whoever shows such things.

use std::collections::{HashSet, VecDeque};

use once_cell::sync::Lazy;
use parking_lot::Mutex;

#[derive(Default)]
struct Notices {
    told: HashSet<String>,
    waiting: VecDeque<String>,
}

static NOTICES: Lazy<Mutex<Notices>> = Lazy::new(Mutex::default);

/// Keeps a sentence for [`next`], unless it was kept before.
pub fn tell(text: String) {
    let mut notices = NOTICES.lock();
    if notices.told.insert(text.clone()) {
        notices.waiting.push_back(text);
    }
}

/// The sentence that was told first of those that nobody has read.
pub fn next() -> Option<String> {
    NOTICES.lock().waiting.pop_front()
}
