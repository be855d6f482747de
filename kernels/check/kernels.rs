//! The checks of every kernel, as `cargo test` runs them.

use std::process::ExitCode;

fn main() -> ExitCode {
    longtake_kernels_check::main()
}
