//! Operations on tensors, one a file: what each means and how the CPU does it.

mod attention;
mod linear;
mod norm;

mod feature_map;
mod isa;
mod tile;
pub mod conv3d;

pub use attention::attention;
pub use feature_map::FeatureMap;
pub use linear::{Activation, Linear};
pub use norm::{layer_norm, rms_norm};
