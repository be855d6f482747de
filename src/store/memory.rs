//! Results kept in the memory of the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::Vault;

/// Keeps what was used last, up to a bound in bytes.
#[derive(Debug)]
pub struct MemoryVault {
    bound: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<blake3::Hash, (u64, Arc<[u8]>)>,
    /// The entries by the time of their last use.
    uses: BTreeMap<u64, blake3::Hash>,
    clock: u64,
    bytes: usize,
}

/// Bytes that the vault of the process holds at most. What it is for, the
/// analysis of plates and what was decided, comes to some tens of megabytes.
const PROCESS_BOUND: usize = 512 << 20;

static PROCESS: Lazy<Arc<MemoryVault>> = Lazy::new(|| Arc::new(MemoryVault::new(PROCESS_BOUND)));

impl MemoryVault {
    /// An empty vault of up to `bound` bytes.
    pub fn new(bound: usize) -> Self {
        Self {
            bound,
            kept: Mutex::default(),
        }
    }

    /// The vault that all of the process share, up to 512 MiB.
    pub fn of_process() -> Arc<Self> {
        PROCESS.clone()
    }

    /// Forgets everything, as when a host asks for memory.
    pub fn clear(&self) {
        *self.kept.lock() = Kept::default();
    }

    /// Bytes of payload kept.
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}

impl Kept {
    fn forget(&mut self, key: &blake3::Hash) {
        if let Some((used, bytes)) = self.entries.remove(key) {
            self.uses.remove(&used);
            self.bytes -= bytes.len();
        }
    }
}

impl Vault for MemoryVault {
    fn get(&self, key: &blake3::Hash) -> Option<Vec<u8>> {
        let bytes = {
            let kept = &mut *self.kept.lock();
            kept.clock += 1;
            let entry = kept.entries.get_mut(key)?;
            kept.uses.remove(&entry.0);
            kept.uses.insert(kept.clock, *key);
            entry.0 = kept.clock;
            entry.1.clone()
        };
        // Copied with the lock released: entries can be large.
        Some(bytes.to_vec())
    }

    fn put(&self, key: &blake3::Hash, bytes: &[u8]) {
        if bytes.len() > self.bound {
            return;
        }
        let copy = Arc::from(bytes);
        let kept = &mut *self.kept.lock();
        kept.forget(key);
        kept.clock += 1;
        kept.uses.insert(kept.clock, *key);
        kept.entries.insert(*key, (kept.clock, copy));
        kept.bytes += bytes.len();
        while kept.bytes > self.bound
            && let Some((_, oldest)) = kept.uses.first_key_value()
        {
            let oldest = *oldest;
            kept.forget(&oldest);
        }
    }

    fn remove(&self, key: &blake3::Hash) {
        self.kept.lock().forget(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_gives_way() {
        let vault = MemoryVault::new(100);
        let key = |n: u8| blake3::hash(&[n]);
        for n in 0..4 {
            vault.put(&key(n), &[n; 25]);
        }
        assert_eq!(vault.get(&key(0)), Some(vec![0; 25]));
        vault.put(&key(4), &[4; 30]);
        assert_eq!(vault.get(&key(1)), None);
        assert_eq!(vault.get(&key(2)), None);
        assert_eq!(vault.get(&key(0)), Some(vec![0; 25]));
        assert_eq!(vault.bytes(), 80);
        vault.put(&key(5), &[5; 101]);
        assert_eq!(vault.get(&key(5)), None, "larger than the vault");
        assert_eq!(vault.bytes(), 80);
        vault.put(&key(0), &[9; 5]);
        assert_eq!(vault.get(&key(0)), Some(vec![9; 5]));
        assert_eq!(vault.bytes(), 60);
        vault.remove(&key(0));
        assert_eq!(vault.get(&key(0)), None);
        vault.clear();
        assert_eq!(vault.bytes(), 0);
    }
}
