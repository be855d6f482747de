//! Chores of the project: `cargo xtask bundle` and `cargo xtask install`.

fn main() {}
