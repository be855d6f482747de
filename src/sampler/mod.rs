//! Pure mathematics of sampling: random numbers that every decision and all noise
//! come from, and the solvers that turn noise into latents by flow matching.

mod easy_cache;
mod euler;
mod guidance;
mod noise;
mod one_pass;
mod philox;
mod scheduler;
mod solver;
mod unipc;

pub use easy_cache::EasyCache;
pub use guidance::{Guidance, Velocity};
pub use noise::{Place, noise};
pub use philox::Philox;
pub use scheduler::{Method, SchedulerConfig, SchedulerError, UniPcSettings, UniPcVariant};
pub use solver::{Schedule, Solver};
