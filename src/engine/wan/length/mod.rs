//! Shots that the model does not make at once: longer than it makes well, or larger.
//!
//! `layout` says which latent frames are made together, from anchors over the whole
//! shot down to fills between neighbouring anchors; `scheme` adds the tiles in which
//! these are refined to the size of the output, and the runs in which they are decoded.
//! `making` makes any of these pieces, and what it needs, when it is asked for, each
//! kept under its own name. What one piece hands to another are latents.

mod axis;
mod decode;
mod enlarge;
mod layout;
mod level;
mod making;
mod refine;
mod scheme;

pub use axis::Axis;
pub use layout::Layout;
pub use making::{Bench, Making};
pub use scheme::{Grid, Part, Scheme, Sizes, stages};

pub(super) use decode::around;
