//! A quick vault before a lasting one.

use super::Vault;

/// Looks into the first vault, then into the second, and keeps in both; what
/// only the second had is kept in the first too.
#[derive(Debug)]
pub struct Layered<A, B> {
    /// The quick one.
    pub first: A,
    /// The lasting one.
    pub second: B,
}

impl<A: Vault, B: Vault> Vault for Layered<A, B> {
    fn get(&self, key: &blake3::Hash) -> Option<Vec<u8>> {
        self.first.get(key).or_else(|| {
            let bytes = self.second.get(key)?;
            self.first.put(key, &bytes);
            Some(bytes)
        })
    }

    fn put(&self, key: &blake3::Hash, bytes: &[u8]) {
        self.first.put(key, bytes);
        self.second.put(key, bytes);
    }

    fn lend(&self, key: &blake3::Hash, bytes: &[u8]) {
        self.first.lend(key, bytes);
        self.second.lend(key, bytes);
    }

    fn has(&self, key: &blake3::Hash) -> bool {
        self.first.has(key) || self.second.has(key)
    }

    fn remove(&self, key: &blake3::Hash) {
        self.first.remove(key);
        self.second.remove(key);
    }
}
