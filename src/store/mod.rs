//! Where results are kept between calls and between processes, by the hash of
//! what they were made from.

mod vault;

pub use vault::Vault;
