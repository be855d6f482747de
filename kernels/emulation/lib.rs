//! A CUDA driver that runs Longtake's kernels on the CPU: the `.cu` files themselves,
//! compiled by the C++ compiler. For tests: it proves their arithmetic, indices, edges
//! and barriers, and lets faults of a device be made at will. It is no GPU and proves
//! nothing of speed.

use std::path::Path;

/// The folder with the driver's `libcuda.so.1`, to be put into a process's library
/// path; none where the C++ compiler is missing or the system is not Linux.
pub fn folder() -> Option<&'static Path> {
    option_env!("LONGTAKE_EMULATION_FOLDER").map(Path::new)
}
