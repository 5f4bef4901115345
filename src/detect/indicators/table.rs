//! Tables of numbers: four bytes an entry and place, and a hash of what the number stands for.

/// Bits of a number; the rest of a slot says a little about the hash.
const BITS: u32 = 21;
const NUMBER: u32 = (1 << BITS) - 1;

// 0 stands for an empty slot.
const _: () = assert!(super::reader::MOST < NUMBER as usize);

/// Numbers, to be found by the hash of what they stand for. That itself is kept by the caller.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Number and one more, and bits of the hash; 0 where none is.
    slots: Vec<u32>,
    held: usize,
}

fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0) & !NUMBER
}

impl Table {
    /// The numbers, in no order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|slot| **slot != 0).map(|slot| (slot & NUMBER) - 1)
    }

    /// The first number with that hash of which `is` says that it is meant.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.held == 0 {
            return None;
        }
        let mut at = place(hash, self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot & !NUMBER == tag(hash) && is((slot & NUMBER) - 1) {
                return Some((slot & NUMBER) - 1);
            }
            at = after(at, self.slots.len());
        }
    }

    /// Takes a number that the table does not hold; `hash` is asked for that of others too.
    pub(super) fn add(&mut self, number: u32, hash: impl Fn(u32) -> u64) {
        if self.held * 8 >= self.slots.len() * 7 {
            let mut old = std::mem::take(&mut self.slots);
            // By a quarter: memory counts for more than what it takes to sort all anew.
            self.slots = vec![0; (old.len() + old.len() / 4).max(16)];
            old.retain(|slot| *slot != 0);
            // In the order in which the caller keeps them: memory is read from front to back.
            old.sort_unstable_by_key(|slot| slot & NUMBER);
            for slot in old {
                self.put(slot, hash((slot & NUMBER) - 1));
            }
        }
        let hashed = hash(number);
        self.put(tag(hashed) | (number + 1), hashed);
        self.held += 1;
    }

    fn put(&mut self, slot: u32, hash: u64) {
        let mut at = place(hash, self.slots.len());
        while self.slots[at] != 0 {
            at = after(at, self.slots.len());
        }
        self.slots[at] = slot;
    }
}

/// Where among so many slots the lower half of a hash belongs.
fn place(hash: u64, slots: usize) -> usize {
    usize::try_from(((hash & u64::from(u32::MAX)) * slots as u64) >> 32).unwrap_or(0)
}

/// The slot behind one.
fn after(at: usize, slots: usize) -> usize {
    if at + 1 == slots { 0 } else { at + 1 }
}

/// Bits that are set by hashes: what was never noted is seldom taken for noted, what was noted always is.
#[derive(Debug)]
pub(super) struct Bits {
    words: Vec<u64>,
    /// Bits of a hash that count.
    index: u32,
    any: bool,
}

/// How many bits of a hash can count.
const SIZES: [u32; 7] = [16, 18, 19, 20, 21, 22, 24];

impl Bits {
    /// Room for so many hashes, `each` bits for one while they are not too many.
    pub(super) fn new(count: usize, each: usize) -> Self {
        let wanted = (count * each).next_power_of_two().trailing_zeros();
        let index = SIZES.into_iter().find(|size| *size >= wanted).unwrap_or(SIZES[SIZES.len() - 1]);
        Self { words: vec![0; 1 << (index - 6)], index, any: false }
    }

    /// Notes a hash, of which the upper bits count.
    pub(super) fn note(&mut self, hash: u64) {
        let (word, bit) = place_of(hash, self.index);
        self.words[word] |= 1 << bit;
        self.any = true;
    }

    /// Whether anything was noted.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// How many bits of a hash count, and the bits themselves.
    pub(super) fn words(&self) -> (u32, &[u64]) {
        (self.index, &self.words)
    }

    /// 1 in the lowest bit where the hash was noted; the others are of no meaning.
    #[inline]
    pub(super) fn look(&self, hash: u64) -> u64 {
        let (word, bit) = place_of(hash, self.index);
        self.words[word & (self.words.len() - 1)] >> bit
    }
}

/// The word and the bit of a hash.
#[inline]
pub(super) fn place_of(hash: u64, index: u32) -> (usize, u32) {
    let slot = hash >> (64 - index);
    #[expect(clippy::cast_possible_truncation, reason = "at most 24 bits are left")]
    let place = ((slot >> 6) as usize, slot as u32 & 63);
    place
}
