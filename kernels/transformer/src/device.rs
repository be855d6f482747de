//! The engine's operations and the terms that they run on.

#[path = "../../../src/device/isa.rs"]
pub(crate) mod isa;
#[path = "../../../src/device/ops/mod.rs"]
pub mod ops;
#[path = "../../../src/device/stop.rs"]
mod stop;
#[path = "../../../src/device/task.rs"]
mod task;
#[path = "../../../src/device/threads.rs"]
mod threads;

pub(crate) use stop::Stop;
pub use stop::stoppable;
pub use task::{Cancel, Cancelled, Progress, Task};
pub use threads::install;
