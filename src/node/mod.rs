//! The node as a host sees it: a request comes in, pixels go out.
//!
//! An instance holds nothing that costs: some hosts make and destroy one for
//! every frame. What is costly lives in the process ([`known`]) and in the
//! store.

mod actions;
mod errand;
mod host;
mod known;
mod likeness;
mod pixels;
mod plate;
mod prepare;
mod render;

use parking_lot::Mutex;

pub use actions::{Change, Needs, Preferences};
pub use host::{ClipFacts, Host, Input, RawValue, Scene};
pub use pixels::{Components, Depth, Image, Layout, Rect};
pub use render::{RenderArgs, Report, Status};

/// An instance of the node.
#[derive(Debug, Default)]
pub struct Node {
    /// What the artist was told last, so that it is told once and not for each
    /// frame.
    told: Mutex<String>,
}

impl Node {
    /// An instance that has told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}
