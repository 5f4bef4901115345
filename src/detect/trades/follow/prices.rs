//! Prices of one instrument, and whether one that is far from those before it stayed.

use std::collections::VecDeque;

use super::super::hit::MOST;
use super::super::record::Record;
use super::named;

/// So many trades of others show whether a price stayed: a split, or news.
const OTHERS: u32 = 10;
/// Fewer of them show nothing.
const FEW: u32 = 5;
/// Most prices of an instrument that wait for that.
const WAITING: usize = 64;

/// The latest prices of an instrument.
#[derive(Default)]
pub(super) struct Prices {
    ring: VecDeque<i128>,
    sorted: Vec<i128>,
    doubts: Vec<Doubted>,
}

/// A price that was far from those before it.
struct Doubted {
    id: i64,
    time: i64,
    account: u32,
    price: i128,
    median: i128,
    why: String,
    /// Trades of others after it, and those that were nearer to it than to what was before.
    others: u32,
    stayed: u32,
}

impl Doubted {
    fn has_stayed(&self) -> bool {
        self.others >= FEW && self.stayed * 2 > self.others
    }
}

/// Far prices, until it is known whether they were a jump of the market.
#[derive(Default)]
pub(super) struct Jumps {
    found: Vec<(i64, i64, String)>,
    overflow: u64,
}

impl Jumps {
    /// Takes a price of the instrument that came after those that wait.
    pub(super) fn follow(&mut self, known: &mut Prices, account: u32, price: i128) {
        for doubted in known.doubts.iter_mut().filter(|doubted| doubted.account != account) {
            doubted.others += 1;
            doubted.stayed += u32::from(price.abs_diff(doubted.price) < price.abs_diff(doubted.median));
        }
        for doubted in known.doubts.extract_if(.., |doubted| doubted.others >= OTHERS) {
            self.settle(doubted);
        }
    }

    /// A far price: who trades at it again and again shows nothing, so others must be known from them.
    pub(super) fn doubt(&mut self, known: &mut Prices, record: &Record, (price, median): (i128, i128), why: String) {
        let (id, time, account) = (record.id, record.time, record.account);
        let doubted = Doubted { id, time, account, price, median, why, others: 0, stayed: 0 };
        if named(account) && known.doubts.len() < WAITING {
            known.doubts.push(doubted);
        } else {
            self.settle(doubted);
        }
    }

    fn settle(&mut self, doubted: Doubted) {
        if doubted.has_stayed() {
            return;
        }
        if self.found.len() < MOST {
            self.found.push((doubted.id, doubted.time, doubted.why));
        } else {
            self.overflow += 1;
        }
    }

    /// What did not stay, and how many of them were not kept.
    pub(super) fn finish(&mut self, prices: impl Iterator<Item = Prices>) -> (Vec<(i64, i64, String)>, u64) {
        for doubted in prices.flat_map(|known| known.doubts) {
            self.settle(doubted);
        }
        (std::mem::take(&mut self.found), self.overflow)
    }
}

impl Prices {
    /// The middle one, where there are so many.
    pub(super) fn median(&self, least: usize) -> Option<i128> {
        (self.sorted.len() >= least).then(|| self.sorted[self.sorted.len() / 2])
    }

    pub(super) fn add(&mut self, price: i128, most: usize) {
        self.ring.push_back(price);
        let place = self.sorted.partition_point(|known| *known < price);
        self.sorted.insert(place, price);
        if self.ring.len() > most
            && let Some(oldest) = self.ring.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
    }
}
