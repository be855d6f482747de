//! What the process knows: plates, takes of them, pictures. It outlives
//! instances of the node and loads of the plug-in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::ahead::Play;
use super::colours::Colours;
use super::errand::Errand;
use super::extent::Extent;
use super::file::OpenFiles;
use super::frames::FrameCache;
use super::plate::HostPlate;
use super::record::Record;
use super::shelf::{Shelf, Shelves};
use crate::engine::AnyEngine;
use crate::sequence::{Take, key_of};
use crate::store::{MemoryVault, Vault};

/// Takes kept at most. Each is an analysis (shared between takes of one plate)
/// and an edit list.
const TAKES: usize = 24;
/// Plates of equal facts that are told apart, at most.
const ALIKE: usize = 16;
/// Looks at a plate, and orders, remembered at most.
const NOTES: usize = 256;

/// Names of frames that were made, remembered at most.
const MADE: usize = 1 << 14;

/// A take and the plate it is of.
pub(super) struct Prepared {
    /// The take.
    pub take: Take<AnyEngine>,
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
    /// By the facts of plates; absent where the store was not asked yet.
    records: Mutex<HashMap<blake3::Hash, Vec<Arc<Record>>>>,
    /// Facts of plates whose host gives no frame twice with the same samples.
    unsteady: Mutex<HashSet<blake3::Hash>>,
    looks: Mutex<HashMap<blake3::Hash, HostPlate>>,
    /// Where plates on Source lie.
    extents: Mutex<HashMap<blake3::Hash, Option<Extent>>>,
    orders: Mutex<HashMap<blake3::Hash, blake3::Hash>>,
    /// Held from a last look at what is known to the noting of what is new.
    pub noting: Mutex<()>,
    /// Preparations under way.
    pub flights: Mutex<Flights>,
    /// Pictures of plate files and made of them.
    pub frames: FrameCache,
    /// Frames that were made before, by name: one that has to be made again is worth
    /// the disk's room.
    made: Mutex<HashSet<blake3::Hash>>,
    /// Which way takes are played, by the order.
    plays: Mutex<HashMap<blake3::Hash, Play>>,
    /// Open plate files.
    pub files: OpenFiles,
    /// Colour spaces that were named.
    pub colours: Colours,
    /// Where results are kept.
    pub shelves: Shelves,
}

static KNOWN: Lazy<Known> = Lazy::new(Known::default);

/// What this process knows.
pub(super) fn known() -> &'static Known {
    &KNOWN
}

/// Names the list of plates of equal facts in the store.
fn list_key(facts: &blake3::Hash) -> blake3::Hash {
    key_of(&["plates of equal facts 3", facts.to_hex().as_str()])
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

    /// The plates known by `facts`, here or in the store, the most recent
    /// first.
    pub fn records(&self, facts: &blake3::Hash, shelf: &Shelf) -> Vec<Arc<Record>> {
        let newest_first = |all: &[Arc<Record>]| all.iter().rev().map(Arc::clone).collect();
        if let Some(records) = self.records.lock().get(facts) {
            return newest_first(records);
        }
        let kept = shelf.get(&list_key(facts));
        let kept = kept.and_then(|bytes| postcard::from_bytes::<Vec<Record>>(&bytes).ok());
        let kept = kept.unwrap_or_default().into_iter().map(Arc::new).collect();
        newest_first(self.records.lock().entry(*facts).or_insert(kept))
    }

    /// Keeps what a plate looks like.
    pub fn note(&self, facts: &blake3::Hash, record: Arc<Record>, shelf: &Shelf) {
        let all = {
            let mut records = self.records.lock();
            let alike = records.entry(*facts).or_default();
            alike.push(record);
            if alike.len() > ALIKE {
                alike.remove(0);
            }
            alike.clone()
        };
        let all: Vec<&Record> = all.iter().map(Arc::as_ref).collect();
        if let Ok(bytes) = postcard::to_stdvec(&all) {
            shelf.put(&list_key(facts), &bytes);
        }
    }

    /// Forgets the plates known by `facts`, here and in the store.
    pub fn forget(&self, facts: &blake3::Hash, shelf: &Shelf) {
        self.records.lock().insert(*facts, Vec::new());
        shelf.remove(&list_key(facts));
    }

    /// Whether frames of such plates are told apart by their look alone, since
    /// the host gives none twice with the same samples.
    pub fn is_unsteady(&self, facts: &blake3::Hash) -> bool {
        self.unsteady.lock().contains(facts)
    }

    /// From now on goes by the look alone.
    pub fn set_unsteady(&self, facts: &blake3::Hash) {
        self.unsteady.lock().insert(*facts);
    }

    /// What a look at the plate showed that `about` names.
    pub fn look(&self, about: &blake3::Hash) -> Option<HostPlate> {
        self.looks.lock().get(about).cloned()
    }

    /// Remembers a look.
    pub fn looked(&self, about: blake3::Hash, plate: &HostPlate) {
        let mut looks = self.looks.lock();
        if looks.len() >= NOTES {
            looks.clear();
        }
        looks.insert(about, plate.clone());
    }

    /// Looks are to be taken anew.
    pub fn look_again(&self) {
        self.looks.lock().clear();
        self.extents.lock().clear();
    }

    /// Where the plate lies that `about` names; the inner `None` where its host does
    /// not say.
    pub fn extent(&self, about: &blake3::Hash) -> Option<Option<Extent>> {
        self.extents.lock().get(about).copied()
    }

    /// Remembers where it lies.
    pub fn measured(&self, about: blake3::Hash, extent: Option<Extent>) {
        let mut extents = self.extents.lock();
        if extents.len() >= NOTES {
            extents.clear();
        }
        extents.insert(about, extent);
    }

    /// The order that the parameters and facts named by `about` came to last.
    pub fn order(&self, about: &blake3::Hash) -> Option<blake3::Hash> {
        self.orders.lock().get(about).copied()
    }

    /// Remembers what they came to.
    pub fn ordered(&self, about: blake3::Hash, order: blake3::Hash) {
        let mut orders = self.orders.lock();
        if orders.len() >= NOTES {
            orders.clear();
        }
        orders.insert(about, order);
    }

    /// Notes that the frame called `name` was made; whether it was so before.
    pub fn made_again(&self, name: &blake3::Hash) -> bool {
        let mut made = self.made.lock();
        if made.len() >= MADE {
            made.clear();
        }
        !made.insert(*name)
    }

    /// Notes that `frame` of `order` was shown; the way it is played.
    pub fn shown(&self, order: &blake3::Hash, frame: i32) -> i32 {
        let mut plays = self.plays.lock();
        if plays.len() >= NOTES {
            plays.clear();
        }
        plays.entry(*order).or_default().shown(frame)
    }

    /// Gives memory back; the store keeps what is in it.
    pub fn clear(&self) {
        self.takes.lock().clear();
        self.records.lock().clear();
        self.look_again();
        self.orders.lock().clear();
        self.frames.clear();
        self.made.lock().clear();
        self.plays.lock().clear();
        self.files.clear();
        self.colours.clear();
        MemoryVault::of_process().clear();
    }
}
