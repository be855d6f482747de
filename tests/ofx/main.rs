//! The plug-in in OpenFX hosts: our bundle, and the Support library's examples,
//! in the headless host of `tests/host`, which runs as a process of its own.

mod alone;
mod bad_input;
mod cuda;
mod device;
mod examples;
mod hosts;
mod life;
mod memory;
mod pixels;
mod plates;
mod support;
mod wan;
