//! Key → value in a table of fixed capacity, whose least recently used entry is evicted first.
//!
//! A slab of entries, an open-addressing index of at least twice the capacity, and a doubly linked list through the
//! slab: find, insert and evict take constant time at any fill level. The index hash is keyed, because the senders of
//! packets choose the keys. Links and hashes are stored apart from the entries, so that using one entry loads no other
//! entry's cache lines. [`LruTable::new`] allocates all memory; pages that no entry has used yet are not touched.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Number of an entry, constant while the entry is in the table.
pub type Slot = u32;

/// No entry.
pub const NONE: Slot = u32::MAX;

/// Largest capacity of one table, entries.
pub const CAPACITY_LIMIT: usize = 1 << 22;

/// A key that converts to `WORDS` 64-bit words, the input of the keyed hash.
pub trait Key<const WORDS: usize>: Copy + Eq + Default {
    /// The words; equal for equal keys only.
    fn words(&self) -> [u64; WORDS];
}

/// Keyed hash of `WORDS` words: pair-multiply-shift over the halves of each, x₂ᵢ the high one, x₂ᵢ₊₁ the low one.
///
/// h(x) = (k + Σ (a₂ᵢ + x₂ᵢ₊₁)(a₂ᵢ₊₁ + x₂ᵢ)) / 2³² over 64-bit arithmetic, strongly universal: two keys chosen without
/// the seed collide with probability 2⁻³² (M. Thorup, "High Speed Hashing for Integers and Strings", §3.5).
#[derive(Clone, Debug)]
pub struct KeyedHash<const WORDS: usize> {
    factors: [[u64; 2]; WORDS],
    start: u64,
}

impl<const WORDS: usize> KeyedHash<WORDS> {
    /// Factors drawn from `seed` by SplitMix64 (Steele, Lea & Flood 2014).
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let factors = core::array::from_fn(|_| [splitmix64(&mut state), splitmix64(&mut state)]);
        Self { factors, start: splitmix64(&mut state) }
    }

    /// Hash of the words; all 32 bits are usable.
    #[inline]
    pub fn hash(&self, words: &[u64; WORDS]) -> u32 {
        let mut sum = self.start;
        for (word, factor) in words.iter().zip(&self.factors) {
            let left = factor[0].wrapping_add(word & 0xffff_ffff);
            let right = factor[1].wrapping_add(word >> 32);
            sum = sum.wrapping_add(left.wrapping_mul(right));
        }
        (sum >> 32) as u32
    }
}

/// One step of SplitMix64: advances `state`, returns 64 mixed bits.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Hash of a key under the seed of the table that returned it.
#[derive(Clone, Copy, Debug)]
pub struct Hash(u32);

struct Entry<K, V> {
    key: K,
    value: V,
}

/// Hash and list links of an entry.
#[derive(Clone, Copy)]
struct Link {
    hash: u32,
    newer: Slot,
    older: Slot,
}

/// The table; see the module documentation.
pub struct LruTable<K, V, const WORDS: usize> {
    /// Grows to the largest number of entries so far.
    entries: Vec<Entry<K, V>>,
    /// One for each entry.
    links: Vec<Link>,
    capacity: usize,
    /// Slot number in the low bits, high hash bits above it; [`EMPTY`] for a free position.
    index: Box<[u32]>,
    hash: KeyedHash<WORDS>,
    slot_mask: u32,
    newest: Slot,
    oldest: Slot,
    /// Head of the list of freed entries, linked through `newer`.
    free: Slot,
    len: usize,
}

const EMPTY: u32 = u32::MAX;

impl<K: Key<WORDS>, V: Default, const WORDS: usize> LruTable<K, V, WORDS> {
    /// An empty table for `capacity` entries (clamped to 1..=[`CAPACITY_LIMIT`]). Allocates all its memory here.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let capacity = capacity.clamp(1, CAPACITY_LIMIT);
        let positions = (capacity * 2).next_power_of_two();
        Self {
            entries: Vec::with_capacity(capacity),
            links: Vec::with_capacity(capacity),
            capacity,
            index: alloc::vec![EMPTY; positions].into_boxed_slice(),
            hash: KeyedHash::new(seed),
            slot_mask: (positions - 1) as u32,
            newest: NONE,
            oldest: NONE,
            free: NONE,
            len: 0,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True if an entry must be removed before the next insertion.
    pub fn is_full(&self) -> bool {
        self.free == NONE && self.entries.len() == self.capacity
    }

    /// Largest number of entries.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Slot of a key. Does not count as use.
    #[inline]
    pub fn find(&self, key: &K) -> Option<Slot> {
        self.find_or_hash(key).ok()
    }

    /// Slot of a key, or its hash for [`LruTable::insert`]. Does not count as use.
    ///
    /// # Errors
    /// The key is not in the table.
    // Always: a call would cost the packet path as much as the lookup itself.
    #[inline(always)]
    pub fn find_or_hash(&self, key: &K) -> Result<Slot, Hash> {
        // Packets arrive in trains, so the entry is often the one used last.
        if self.holds(self.newest, key) {
            return Ok(self.newest);
        }
        let hash = self.hash.hash(&key.words());
        self.find_hashed(key, hash).ok_or(Hash(hash))
    }

    /// Same as [`LruTable::find`], without checking the entry used last.
    #[inline]
    pub fn find_by_hash(&self, key: &K) -> Option<Slot> {
        self.find_hashed(key, self.hash.hash(&key.words()))
    }

    /// Hash of an entry's key.
    #[inline]
    pub fn hash_of(&self, slot: Slot) -> Hash {
        Hash(self.links[slot as usize].hash)
    }

    /// True if this key was the last one stored in this slot; it may have been removed since.
    #[inline]
    pub fn holds(&self, slot: Slot, key: &K) -> bool {
        self.entries.get(slot as usize).is_some_and(|entry| entry.key == *key)
    }

    #[inline]
    fn find_hashed(&self, key: &K, hash: u32) -> Option<Slot> {
        let mut position = hash & self.slot_mask;
        loop {
            let word = self.index[position as usize];
            if word == EMPTY {
                return None;
            }
            let slot = word & self.slot_mask;
            if (word ^ hash) & !self.slot_mask == 0 && self.entries[slot as usize].key == *key {
                return Some(slot);
            }
            position = (position + 1) & self.slot_mask;
        }
    }

    /// Slot of a key, inserted with a default value if missing, and whether it is new.
    ///
    /// `None` if the key is missing and the table is full; the caller must remove an entry first.
    #[inline]
    pub fn find_or_insert(&mut self, key: &K) -> Option<(Slot, bool)> {
        match self.find_or_hash(key) {
            Ok(slot) => Some((slot, false)),
            Err(hash) => self.insert(key, hash).map(|slot| (slot, true)),
        }
    }

    /// Inserts a missing key with this hash and a default value; `None` if the table is full.
    #[inline]
    pub fn insert(&mut self, key: &K, hash: Hash) -> Option<Slot> {
        self.insert_hashed(key, hash.0)
    }

    #[inline]
    fn insert_hashed(&mut self, key: &K, hash: u32) -> Option<Slot> {
        let slot = self.take_slot(key, hash)?;
        self.len += 1;
        self.link_newest(slot);
        let mut position = hash & self.slot_mask;
        while self.index[position as usize] != EMPTY {
            position = (position + 1) & self.slot_mask;
        }
        self.index[position as usize] = (hash & !self.slot_mask) | slot;
        Some(slot)
    }

    /// A freed or unused slot, initialised with this key and a default value.
    #[inline]
    fn take_slot(&mut self, key: &K, hash: u32) -> Option<Slot> {
        let slot = self.free;
        if slot != NONE {
            let link = &mut self.links[slot as usize];
            self.free = link.newer;
            link.hash = hash;
            let entry = &mut self.entries[slot as usize];
            entry.key = *key;
            entry.value = V::default();
            return Some(slot);
        }
        if self.entries.len() == self.capacity {
            return None;
        }
        // Does not allocate: within the initial capacity.
        self.entries.push(Entry { key: *key, value: V::default() });
        self.links.push(Link { hash, newer: NONE, older: NONE });
        Some((self.entries.len() - 1) as Slot)
    }

    /// Marks an entry as used: it becomes the newest.
    #[inline]
    pub fn touch(&mut self, slot: Slot) {
        if self.newest != slot {
            self.unlink(slot);
            self.link_newest(slot);
        }
    }

    /// Removes an entry; its slot may be reused immediately.
    pub fn remove(&mut self, slot: Slot) {
        self.unlink(slot);
        self.unindex(slot);
        self.links[slot as usize].newer = self.free;
        self.free = slot;
        self.len -= 1;
    }

    /// Least recently used entry.
    pub fn oldest(&self) -> Option<Slot> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Next newer entry, for iteration from [`LruTable::oldest`].
    pub fn newer(&self, slot: Slot) -> Option<Slot> {
        let newer = self.links[slot as usize].newer;
        (newer != NONE).then_some(newer)
    }

    /// Key of an entry.
    #[inline]
    pub fn key(&self, slot: Slot) -> &K {
        &self.entries[slot as usize].key
    }

    /// Value of an entry.
    #[inline]
    pub fn value(&self, slot: Slot) -> &V {
        &self.entries[slot as usize].value
    }

    /// Value of an entry.
    #[inline]
    pub fn value_mut(&mut self, slot: Slot) -> &mut V {
        &mut self.entries[slot as usize].value
    }

    #[inline]
    fn link_newest(&mut self, slot: Slot) {
        let before = self.newest;
        let link = &mut self.links[slot as usize];
        (link.older, link.newer) = (before, NONE);
        match before {
            NONE => self.oldest = slot,
            before => self.links[before as usize].newer = slot,
        }
        self.newest = slot;
    }

    #[inline]
    fn unlink(&mut self, slot: Slot) {
        let (older, newer) = (self.links[slot as usize].older, self.links[slot as usize].newer);
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
    }

    /// Frees the index position and moves back later entries of its run, so that no tombstone is needed (Knuth, TAOCP
    /// volume 3, §6.4, algorithm R).
    fn unindex(&mut self, slot: Slot) {
        let mask = self.slot_mask;
        let mut hole = self.links[slot as usize].hash & mask;
        // No slot number has all mask bits set (the index is twice as large), so EMPTY never matches here.
        while self.index[hole as usize] & mask != slot {
            hole = (hole + 1) & mask;
        }
        let mut position = hole;
        loop {
            position = (position + 1) & mask;
            let word = self.index[position as usize];
            if word == EMPTY {
                break;
            }
            let home = self.links[(word & mask) as usize].hash & mask;
            let distance_from_home = position.wrapping_sub(home) & mask;
            if distance_from_home >= position.wrapping_sub(hole) & mask {
                self.index[hole as usize] = word;
                hole = position;
            }
        }
        self.index[hole as usize] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    impl Key<1> for u64 {
        fn words(&self) -> [u64; 1] {
            [*self]
        }
    }

    #[test]
    fn random_operations_match_a_hash_map() {
        let mut table: LruTable<u64, u64, 1> = LruTable::new(100, 7);
        let mut model: HashMap<u64, u64> = HashMap::new();
        let mut state = 1;
        for step in 0..200_000u64 {
            let key = splitmix64(&mut state) % 150;
            if splitmix64(&mut state).is_multiple_of(3) {
                let slot = table.find(&key);
                assert_eq!(slot.is_some(), model.remove(&key).is_some(), "step {step}");
                if let Some(slot) = slot {
                    table.remove(slot);
                }
            } else {
                if table.is_full() && table.find(&key).is_none() {
                    let slot = table.oldest().unwrap();
                    model.remove(table.key(slot));
                    table.remove(slot);
                }
                let (slot, new) = table.find_or_insert(&key).unwrap();
                table.touch(slot);
                assert_eq!(new, !model.contains_key(&key), "step {step}");
                *table.value_mut(slot) = step;
                model.insert(key, step);
            }
            assert_eq!(table.len(), model.len());
        }
        for (key, value) in &model {
            assert_eq!(table.value(table.find(key).unwrap()), value);
        }
    }

    #[test]
    fn the_oldest_entry_is_the_least_recently_touched() {
        let mut table: LruTable<u64, (), 1> = LruTable::new(3, 0);
        for key in [1, 2, 3] {
            table.find_or_insert(&key).unwrap();
        }
        assert!(table.is_full() && table.find_or_insert(&4).is_none());
        table.touch(table.find(&1).unwrap());
        assert_eq!(*table.key(table.oldest().unwrap()), 2);
    }

    #[test]
    fn slot_0_is_found_when_its_index_word_equals_empty() {
        let mut table: LruTable<u64, u64, 1> = LruTable::new(1, 3);
        for key in 0..10_000 {
            let (slot, new) = table.find_or_insert(&key).unwrap();
            assert!(new);
            table.remove(slot);
            assert!(table.find(&key).is_none());
        }
    }
}
