//! What runs where: the worker threads, and the terms on which work runs on
//! them (progress, cancellation, notices); the GPU, where there is one.

mod clock;
pub mod gpu;
pub(crate) mod isa;
pub mod memory;
pub mod notices;
pub mod ops;
mod share;
mod stop;
mod task;
mod threads;

pub use clock::disk_now;
pub use share::{share, share_each};
pub(crate) use stop::Stop;
pub use stop::stoppable;
pub use task::{Cancel, Cancelled, Progress, Silent, Task};
pub(crate) use threads::{count as worker_count, spawn};
pub use threads::{install, limit};
