//! Holds every kernel against its CPU twin and measures it; see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    longtake_kernels_check::main()
}
