//! Where results are kept between calls and between processes, by the hash of
//! what they were made from: in memory, on disk, or both.
//!
//! The usual vault is a [`Layered`] one of [`MemoryVault::of_process`] and
//! [`DiskStore::from_environment`].

mod disk;
mod entry;
mod frames;
mod layered;
mod memory;
mod place;
mod sweep;
mod vault;

pub use disk::{DiskStore, StoreError};
pub use frames::Streamed;
pub use layered::Layered;
pub use memory::MemoryVault;
pub use place::{default_folder, default_size};
pub use vault::Vault;
