//! The real `longtake` binary on real footage: what a script relies on.

mod bad_input;
mod colour;
mod device;
mod fill;
mod generate;
mod model;
mod on_gpu;
mod options;
mod plan;
mod processors;
mod provenance;
mod readme;
mod refined;
mod report;
mod stop;
mod wan;
mod work;
