//! Pictures: what they are made of, where they come from and how they are
//! encoded. Scene-linear float inside; row 0 is the top row.

mod encoding;
mod picture;
mod plate;
mod range;

pub use encoding::Transfer;
pub use picture::{Picture, Window};
pub use plate::{FrameError, PlateInfo, PlateReader};
pub use range::FrameRange;
