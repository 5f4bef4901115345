//! What accounts hold by their trades, and who sells all of it as a rule.

use super::super::record::{Record, Side};
use super::{Map, named, pair};

/// Who so often sold all that was held, sells so.
const SELLS_OUT: u8 = 3;
/// The part of a holding that is nothing.
const DUST: f64 = 0.01;

#[derive(Default)]
pub(super) struct Holdings {
    /// What an account holds of an instrument.
    held: Map<u64, f64>,
    /// How often an account gave up all that it held.
    sold_out: Map<u32, u8>,
}

impl Holdings {
    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        self.held.get(&pair(record.account, record.instrument)).map_or(0, |held| held.to_bits())
    }

    /// Takes a trade into what its account holds. Whether it gives up all that was held, by one who often did: how much that is says nothing.
    pub(super) fn sells_out(&mut self, record: &Record) -> bool {
        let (Some(quantity), true) = (record.quantity.approximate(), named(record.instrument)) else { return false };
        let way = match record.side {
            Side::Buy => quantity.abs(),
            Side::Sell => -quantity.abs(),
            Side::Unknown => return false,
        };
        let held = self.held.entry(pair(record.account, record.instrument)).or_default();
        // Sums of binary floats stray by a little, and dust is left.
        let all = *held * way < 0.0 && (way.abs() - held.abs()).abs() <= held.abs() * DUST;
        *held = if all { 0.0 } else { *held + way };
        if !all {
            return false;
        }
        let times = self.sold_out.entry(record.account).or_default();
        let usual = *times >= SELLS_OUT;
        *times = times.saturating_add(1);
        usual
    }
}
