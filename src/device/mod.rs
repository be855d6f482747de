//! What runs where: the worker threads, and the terms on which work runs on
//! them (progress and cancellation).

mod task;
mod threads;

pub use task::{Cancel, Cancelled, Progress, Silent, Task};
pub use threads::install;
