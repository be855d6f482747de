//! The command line of Longtake.

fn main() {}
