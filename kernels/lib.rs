//! Longtake's CUDA kernels, each with its CPU twin.
//!
//! `NAME.cu` holds a kernel and `NAME.rs` beside it the same for the CPU: the same
//! arguments, the same meaning, and where nothing is summed the same bits. In each
//! `NAME.rs` the function `NAME` is the twin and `launch` queues the kernel. `README.md`
//! tells how kernels are compiled and checked.

pub mod agreement;
pub mod attention;
pub mod convolutions;
pub mod convolve;
pub mod driver;
pub mod flow;
pub mod frame_distance;
pub mod gather;
pub mod modulate;
pub mod noise;
pub mod normalise;
mod number;
pub mod philox;
pub mod pixels;
pub mod rms_norm;
mod rows;
pub mod sampler_step;
pub mod shortcut;
pub mod softmax;

pub use number::Number;

/// The compiled kernels, file by file; none in a build without nvcc.
static IMAGES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// Whether this build carries kernels for a GPU.
pub fn are_built() -> bool {
    !IMAGES.is_empty()
}
