//! Where the node keeps results: in the process, and in the store where there
//! is one.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::sequence::Setup;
use crate::store::{DiskStore, Layered, MemoryVault, default_folder};

/// The memory of the process before the store, if there is a folder for one.
pub(super) type Shelf = Layered<Arc<MemoryVault>, Option<DiskStore>>;

/// Shelves by the folder and the size that were chosen.
#[derive(Default)]
pub(super) struct Shelves(Mutex<Vec<(Option<PathBuf>, u64, Arc<Shelf>)>>);

impl Shelves {
    /// The shelf that `setup` chooses. Touches no disk.
    pub fn get(&self, setup: &Setup) -> Arc<Shelf> {
        let folder = setup.store.clone().or_else(default_folder);
        let size = setup.store_size;
        let mut shelves = self.0.lock();
        if let Some((.., shelf)) = shelves.iter().find(|(f, s, _)| *f == folder && *s == size) {
            return Arc::clone(shelf);
        }
        let shelf = Arc::new(Layered {
            first: MemoryVault::of_process(),
            second: folder.clone().map(|f| DiskStore::new(f, size)),
        });
        shelves.push((folder, size, Arc::clone(&shelf)));
        shelf
    }
}

/// Where the store failed to keep something, what to do. Told once.
pub(super) fn trouble(shelf: &Shelf) -> Option<String> {
    let trouble = shelf.second.as_ref()?.take_trouble();
    trouble.map(|t| t.to_string())
}
