//! Where the node keeps results: in the process, and in the store where there
//! is one.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::sequence::Setup;
use crate::store::{DiskStore, Layered, MemoryVault, default_folder};

/// The memory of the process before the store, if there is a folder for one.
pub(super) type Shelf = Layered<Arc<MemoryVault>, Option<DiskStore>>;

/// A folder and a size.
type Choice = (Option<PathBuf>, u64);

/// Shelves by what was chosen.
#[derive(Default)]
pub(super) struct Shelves(Mutex<Vec<(Choice, Arc<Shelf>)>>);

impl Shelves {
    /// The shelf that `setup` chooses. Touches no disk.
    pub fn get(&self, setup: &Setup) -> Arc<Shelf> {
        let folder = setup.store.clone().or_else(default_folder);
        let choice = (folder.clone(), setup.store_size);
        let mut shelves = self.0.lock();
        if let Some((_, shelf)) = shelves.iter().find(|(c, _)| *c == choice) {
            return Arc::clone(shelf);
        }
        let shelf = Arc::new(Layered {
            first: MemoryVault::of_process(),
            second: folder.map(|f| DiskStore::new(f, setup.store_size)),
        });
        shelves.push((choice, Arc::clone(&shelf)));
        shelf
    }
}

/// Where the store failed to keep something, what to do. Told once.
pub(super) fn trouble(shelf: &Shelf) -> Option<String> {
    let trouble = shelf.second.as_ref()?.take_trouble();
    trouble.map(|t| t.to_string())
}
