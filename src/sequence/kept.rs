//! What engines keep, in a vault.

use crate::engine::Keep;
use crate::store::Vault;

/// A vault as engines keep in it, who know of no store.
pub struct Kept<V>(pub V);

impl<V: Vault> Keep for Kept<V> {
    fn get(&self, name: &blake3::Hash) -> Option<Vec<u8>> {
        self.0.get(name)
    }

    fn put(&self, name: &blake3::Hash, bytes: &[u8]) {
        self.0.put(name, bytes);
    }

    fn lend(&self, name: &blake3::Hash, bytes: &[u8]) {
        self.0.lend(name, bytes);
    }
}
