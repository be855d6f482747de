//! Pictures kept in memory: plate frames read from files and frames made of
//! them, the least recently used forgotten beyond a bound.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::frame::Picture;

/// Pictures by name, bounded in bytes.
#[derive(Debug, Default)]
pub(super) struct FrameCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Most recently used last.
    pictures: VecDeque<(blake3::Hash, Arc<Picture>)>,
    bytes: usize,
}

impl FrameCache {
    /// The picture called `name`.
    pub fn get(&self, name: &blake3::Hash) -> Option<Arc<Picture>> {
        let mut kept = self.0.lock();
        let at = kept.pictures.iter().position(|(n, _)| n == name)?;
        let entry = kept.pictures.remove(at)?;
        let picture = Arc::clone(&entry.1);
        kept.pictures.push_back(entry);
        Some(picture)
    }

    /// Whether the picture called `name` is kept.
    pub fn has(&self, name: &blake3::Hash) -> bool {
        self.0.lock().pictures.iter().any(|(n, _)| n == name)
    }

    /// Keeps a picture and at most `bound` bytes in all. A picture larger than
    /// that is not kept.
    pub fn put(&self, name: blake3::Hash, picture: &Arc<Picture>, bound: usize) {
        let mut kept = self.0.lock();
        if picture.bytes() > bound || kept.pictures.iter().any(|(n, _)| *n == name) {
            return;
        }
        kept.bytes += picture.bytes();
        kept.pictures.push_back((name, Arc::clone(picture)));
        while kept.bytes > bound {
            match kept.pictures.pop_front() {
                Some((_, old)) => kept.bytes -= old.bytes(),
                None => break,
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.0.lock() = Kept::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let cache = FrameCache::default();
        let name = |i: u8| blake3::hash(&[i]);
        let picture = Arc::new(Picture::new(4, 4, 4));
        let bound = 3 * picture.bytes();
        for i in 0..3 {
            cache.put(name(i), &picture, bound);
        }
        assert!(cache.get(&name(0)).is_some(), "now the most recent");
        cache.put(name(3), &picture, bound);
        let there: Vec<bool> = (0..4).map(|i| cache.get(&name(i)).is_some()).collect();
        assert_eq!(there, [true, false, true, true]);
        assert_eq!(cache.0.lock().bytes, bound);
        cache.put(name(9), &Arc::new(Picture::new(40, 4, 4)), bound);
        assert!(cache.get(&name(9)).is_none(), "larger than the bound");
        assert!(cache.get(&name(0)).is_some(), "and nothing was lost to it");
    }
}
