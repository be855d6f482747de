//! The one pool of worker threads. A host brings its own threads and does not
//! like ours to multiply, so there is one pool in a process, made at first use
//! (never while a host merely scans the plug-in).

use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::sync::Lazy;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads asked for; 0 for one each core.
static WANTED: AtomicUsize = AtomicUsize::new(0);

static POOL: Lazy<Option<ThreadPool>> = Lazy::new(|| {
    ThreadPoolBuilder::new()
        .num_threads(WANTED.load(Ordering::Relaxed))
        .thread_name(|i| format!("longtake-{i}"))
        .build()
        .ok()
});

/// Asks for a pool of `count` threads, 0 for one each core. Has no effect once
/// the pool is made, so it is for programs that are ours from the start.
pub fn limit(count: usize) {
    WANTED.store(count, Ordering::Relaxed);
}

/// Runs `work` with rayon's parallel iterators bound to our pool. Where the
/// system grants no threads the work runs on rayon's own fallback.
pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match POOL.as_ref() {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// The number of worker threads, at least 1.
pub(crate) fn count() -> usize {
    POOL.as_ref().map_or(1, ThreadPool::current_num_threads)
}

/// Queues `job` for a worker; runs it here where there are none. `job` must
/// not panic.
pub(crate) fn spawn(job: impl FnOnce() + Send + 'static) {
    match POOL.as_ref() {
        Some(pool) => pool.spawn(job),
        None => job(),
    }
}
