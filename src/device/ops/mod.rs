//! Operations on tensors, one a file: what each means and how the CPU does it.

mod attention;
mod linear;
mod norm;

pub use attention::attention;
pub use linear::{Activation, Linear};
pub use norm::{layer_norm, rms_norm};
