//! NVIDIA's cuDNN through its backend interface: an operation is a graph of small ones
//! over tensors of any strides, for which cuDNN finds and compiles an engine. The library
//! is opened at run time (`library`) and nothing of it is linked, so that all works, by
//! other ways, where there is none.
//!
//! cuDNN backend API, NVIDIA, <https://docs.nvidia.com/deeplearning/cudnn/backend>; the
//! numbers of `names` are those of its header `cudnn_graph.h`, version 9.

pub mod attention;
pub mod convolution;
mod descriptor;
mod error;
pub mod graph;
mod handle;
mod library;
pub mod names;
mod plan;
#[cfg(test)]
mod testing;

pub use descriptor::{Descriptor, Draft};
pub use error::CudnnError;
pub use handle::Handle;
pub use library::Library;
pub use plan::{Plan, Target};

/// What the functions of this room give.
pub type Result<T> = std::result::Result<T, CudnnError>;
