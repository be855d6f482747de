//! Pure mathematics of sampling. For now the counter-based random numbers that
//! every decision and all noise come from.

mod philox;

pub use philox::Philox;
