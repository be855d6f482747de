//! Operations on tensors, one a file: what each means and how the CPU does it.

pub(crate) mod activation;
mod attention;
pub mod conv3d;
mod feature_map;
mod isa;
mod linear;
mod norm;
mod normalise;
pub(crate) mod product;
mod rotate;
mod self_attention;
mod tile;
mod values;

pub use attention::attention;
pub use feature_map::FeatureMap;
pub use linear::{Activation, Linear, full};
pub use norm::{add_gated, layer_norm, rms_norm};
pub use normalise::normalise;
pub use rotate::rotate;
pub use self_attention::self_attention;
