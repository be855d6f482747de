//! What the process knows: plates, and takes of them. It outlives instances of
//! the node and loads of the plug-in.

use std::collections::HashMap;
use std::sync::Arc;

use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::errand::Errand;
use super::plate::Record;
use crate::engine::plate::PlateEngine;
use crate::sequence::Take;

/// Takes kept at most. Each is an analysis (shared between takes of one plate)
/// and an edit list.
const TAKES: usize = 24;
/// Plates of equal facts that are told apart, at most.
const ALIKE: usize = 16;

/// A take and the plate it is of.
pub(super) struct Prepared {
    /// The take.
    pub take: Take<PlateEngine>,
    /// What its plate looks like; `None` where the plate's key says all (a
    /// file).
    pub record: Option<Arc<Record>>,
}

/// Preparations under way, by what they are for.
pub(super) type Flights = HashMap<blake3::Hash, Arc<Errand<Arc<Prepared>>>>;

/// What the process knows.
#[derive(Default)]
pub(super) struct Known {
    /// Most recently used last; the key is the order, not the plate's pixels.
    takes: Mutex<Vec<(blake3::Hash, Arc<Prepared>)>>,
    records: Mutex<HashMap<blake3::Hash, Vec<Arc<Record>>>>,
    /// Preparations under way.
    pub flights: Mutex<Flights>,
}

static KNOWN: Lazy<Known> = Lazy::new(Known::default);

/// What this process knows.
pub(super) fn known() -> &'static Known {
    &KNOWN
}

impl Known {
    /// The takes that answer `order`, the most recently used first.
    pub fn takes(&self, order: &blake3::Hash) -> Vec<Arc<Prepared>> {
        let takes = self.takes.lock();
        let of = takes.iter().rev().filter(|(key, _)| key == order);
        of.map(|(_, take)| Arc::clone(take)).collect()
    }

    /// Any take of the plate that `record` is of.
    pub fn take_of(&self, record: &Arc<Record>) -> Option<Arc<Prepared>> {
        let takes = self.takes.lock();
        let same = |p: &&Arc<Prepared>| p.record.as_ref().is_some_and(|r| Arc::ptr_eq(r, record));
        takes.iter().map(|(_, p)| p).find(same).map(Arc::clone)
    }

    /// Keeps a take, or makes it the most recently used.
    pub fn keep(&self, order: &blake3::Hash, prepared: &Arc<Prepared>) {
        let mut takes = self.takes.lock();
        takes.retain(|(_, p)| !Arc::ptr_eq(p, prepared));
        takes.push((*order, Arc::clone(prepared)));
        if takes.len() > TAKES {
            takes.remove(0);
        }
    }

    /// The plates known by `facts`, the most recent first.
    pub fn records(&self, facts: &blake3::Hash) -> Vec<Arc<Record>> {
        let records = self.records.lock();
        records
            .get(facts)
            .into_iter()
            .flatten()
            .rev()
            .map(Arc::clone)
            .collect()
    }

    /// Keeps what a plate looks like.
    pub fn note(&self, facts: &blake3::Hash, record: Arc<Record>) {
        let mut records = self.records.lock();
        let alike = records.entry(*facts).or_default();
        alike.push(record);
        if alike.len() > ALIKE {
            alike.remove(0);
        }
    }

    /// Forgets everything that is not in use.
    pub fn clear(&self) {
        self.takes.lock().clear();
        self.records.lock().clear();
    }
}
