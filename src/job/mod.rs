//! Jobs: what a command line or a job file asks for, and the carrying out of it
//! from files to files.

mod block;
mod encoding;
mod error;
mod estimate;
pub mod farm;
mod file;
mod frames;
mod latents;
mod measure;
mod options;
mod output;
mod paths;
mod provenance;
mod report;
mod rewritten;
mod run;
mod schema;
mod shared_plate;
mod shot;
mod sources;
mod space;
mod spec;
mod take_reader;
mod text;
mod traced;
mod version;
mod watch;

pub use crate::manifest::nearest;
pub use block::{Outlook, Piece, make_piece, outlook};
pub use error::{JobError, Kind};
pub use file::{FileError, read};
pub use frames::Stages;
pub use measure::measure;
pub use options::options;
pub use provenance::{Likeness, Moved, Provenance, provenance, remake};
pub use report::Looks;
pub use run::generate;
pub use schema::schema;
pub use space::{Basis, Space};
pub use spec::{Draft, Job};
pub use text::{kebab, value};
pub use traced::moved;
pub use version::{check_version, plan_version};
pub use watch::{Event, State, Watch};
