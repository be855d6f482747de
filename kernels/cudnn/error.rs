//! Why cuDNN does not do something.

/// What went wrong with cuDNN. All of these leave candle's own ways.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudnnError {
    /// It is not installed.
    #[error(
        "cuDNN 9 was not found: install it (NVIDIA's package, or nvidia-cudnn-cu13 of PyPI) where the system finds libcudnn.so.9 or beside cuBLAS"
    )]
    Missing,
    /// It is not the library that its name says.
    #[error("{path} cannot be used: {why}")]
    Foreign {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A call failed.
    #[error("{call}: {name} ({status}) {text}")]
    Call {
        /// What was called, and for what.
        call: String,
        /// cuDNN's number.
        status: i32,
        /// What cuDNN calls it.
        name: String,
        /// What cuDNN said last.
        text: String,
    },
    /// No engine takes a graph.
    #[error("cuDNN {version} has no engine for it: {}", why.join("; "))]
    Refused {
        /// cuDNN's version.
        version: usize,
        /// What each way said.
        why: Vec<String>,
    },
}
