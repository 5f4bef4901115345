use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::RawRow;

/// Most different texts that are told apart; beyond them all others are [`MANY`].
const MOST: usize = 2_000_000;
/// Texts that a worker remembers by itself.
const CACHED: usize = 100_000;
/// No text.
pub const NONE: u32 = 0;
/// One of too many.
pub const MANY: u32 = u32::MAX;

/// A map whose keys are hashes already.
#[derive(Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByHash = HashMap<u64, u32, BuildHasherDefault<Hashed>>;

/// Numbers for texts: the same text has the same number in every part of a scan. Texts are told apart by 64 bits of a
/// hash whose key is another one on each run, so that nobody can prepare two that collide.
#[derive(Default)]
pub struct Names {
    state: foldhash::fast::RandomState,
    known: Mutex<ByHash>,
}

impl Names {
    /// Hash of a text.
    pub fn hash(&self, text: &[u8]) -> u64 {
        self.state.hash_one(text)
    }

    fn number(&self, hash: u64) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let next = known.len() + 1;
        match known.get(&hash) {
            Some(number) => *number,
            None if next > MOST => MANY,
            None => {
                let number = u32::try_from(next).unwrap_or(MANY);
                known.insert(hash, number);
                number
            }
        }
    }

    /// The number of a text.
    pub fn of(&self, text: &[u8]) -> u32 {
        self.number(self.hash(text))
    }

    /// Whether there were more texts than are told apart.
    pub fn overflowed(&self) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len() >= MOST
    }
}

/// One worker's view of the names: most are found without the others waiting.
pub struct Reader {
    shared: Arc<Names>,
    cache: ByHash,
}

impl Reader {
    /// Of these names.
    pub fn new(shared: Arc<Names>) -> Self {
        Self { shared, cache: ByHash::default() }
    }

    /// The number of a text, [`NONE`] for none.
    pub fn of(&mut self, text: Option<&[u8]>) -> u32 {
        let Some(text) = text else { return NONE };
        let hash = self.shared.hash(text);
        if let Some(number) = self.cache.get(&hash) {
            return *number;
        }
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        let number = self.shared.number(hash);
        self.cache.insert(hash, number);
        number
    }

    /// The number of two cells together; of the first alone, where the second has nothing.
    pub fn of_pair(&mut self, row: RawRow<'_>, places: [Option<usize>; 2], scratch: &mut Vec<u8>) -> u32 {
        let [first, second] = places.map(|place| {
            let text = place.and_then(|place| row.text(place, scratch));
            text.map(|text| self.shared.hash(text))
        });
        match (first, second) {
            (None, _) => NONE,
            (Some(first), None) => self.shared.number(first),
            (Some(first), Some(second)) => {
                let both = [first.to_le_bytes(), second.to_le_bytes()];
                self.of(Some(both.as_flattened()))
            }
        }
    }

    /// Hash of a text.
    pub fn hash(&self, text: &[u8]) -> u64 {
        self.shared.hash(text)
    }
}
