//! What a place to keep results in can do, whatever stands behind it.

/// Keeps bytes under a hash of what they were made from: the store on disk, a
/// cache of the process, both, or nothing. Shared by threads.
pub trait Vault: Send + Sync {
    /// The bytes kept under `key`, if they are there and whole.
    fn get(&self, key: &blake3::Hash) -> Option<Vec<u8>>;

    /// Keeps `bytes` under `key`. A vault that cannot keep them says so in its
    /// own way; the work goes on.
    fn put(&self, key: &blake3::Hash, bytes: &[u8]);

    /// Keeps `bytes` that are large and quick to make again: they give way before all
    /// else.
    fn lend(&self, key: &blake3::Hash, bytes: &[u8]) {
        self.put(key, bytes);
    }

    /// Whether something is kept under `key`; where that takes no reading, whole or not.
    fn has(&self, key: &blake3::Hash) -> bool {
        self.get(key).is_some()
    }

    /// Forgets what is kept under `key`, if anything is.
    fn remove(&self, _key: &blake3::Hash) {}
}

/// Keeps nothing.
impl Vault for () {
    fn get(&self, _key: &blake3::Hash) -> Option<Vec<u8>> {
        None
    }

    fn put(&self, _key: &blake3::Hash, _bytes: &[u8]) {}
}

impl<V: Vault + ?Sized> Vault for std::sync::Arc<V> {
    fn get(&self, key: &blake3::Hash) -> Option<Vec<u8>> {
        (**self).get(key)
    }

    fn put(&self, key: &blake3::Hash, bytes: &[u8]) {
        (**self).put(key, bytes);
    }

    fn lend(&self, key: &blake3::Hash, bytes: &[u8]) {
        (**self).lend(key, bytes);
    }

    fn has(&self, key: &blake3::Hash) -> bool {
        (**self).has(key)
    }

    fn remove(&self, key: &blake3::Hash) {
        (**self).remove(key);
    }
}

/// A vault that may not be there.
impl<V: Vault> Vault for Option<V> {
    fn get(&self, key: &blake3::Hash) -> Option<Vec<u8>> {
        self.as_ref()?.get(key)
    }

    fn put(&self, key: &blake3::Hash, bytes: &[u8]) {
        if let Some(vault) = self {
            vault.put(key, bytes);
        }
    }

    fn lend(&self, key: &blake3::Hash, bytes: &[u8]) {
        if let Some(vault) = self {
            vault.lend(key, bytes);
        }
    }

    fn has(&self, key: &blake3::Hash) -> bool {
        self.as_ref().is_some_and(|vault| vault.has(key))
    }

    fn remove(&self, key: &blake3::Hash) {
        if let Some(vault) = self {
            vault.remove(key);
        }
    }
}
