//! A sequence: what was asked for, which frames that comes to, and the making
//! of them.

mod colour;
pub mod estimate;
mod kept;
pub mod plan;
pub mod report;
mod request;
mod run;
mod setup;

pub use crate::store::Vault;
pub use colour::{Colour, Ways, guide_colour};
pub use kept::Kept;
pub use request::{Mode, Request, RequestError};
pub use run::{Names, Take, key_of, make_kept};
pub use setup::Setup;
