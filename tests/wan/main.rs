//! The wan engine held against the reference implementation, whose results are in
//! `fixtures/` (`reference/` has the scripts that made them).

mod checkpoint;
mod loaders;
mod long;
mod loras;
mod pipeline;
mod refined;
mod sampler;
mod subjects;
mod support;
mod take;
mod tiles;
mod transformer;
mod whole;
mod with_plate;
