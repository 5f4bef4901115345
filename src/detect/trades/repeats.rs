//! One trade at the exchange, and several rows of it.

use super::changes::USUAL;
use super::hit::{Hit, Hits};
use super::plan::Plan;
use super::policy::{Check, Sequence};
use super::record::{Bytes, Record, Side};

/// Bytes of a name at the exchange.
const SIZE: usize = 8 + 8 + 8;

/// Mixes a number into a hash.
fn mixed(hash: u64, more: u32) -> u64 {
    (hash ^ u64::from(more)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// What a row must share with another to be the same trade of the same one: the name at the exchange, account, instrument and side. Buyer and seller share the
/// name.
pub fn same(record: &Record, name: u64) -> u64 {
    let side = match record.side {
        Side::Unknown => 0,
        Side::Buy => 1,
        Side::Sell => 2,
    };
    [record.account, record.instrument, side].into_iter().fold(name, mixed)
}

/// Appends a row.
pub fn write(bytes: &mut Vec<u8>, same: u64, record: &Record) {
    bytes.extend_from_slice(&same.to_le_bytes());
    bytes.extend_from_slice(&record.id.to_le_bytes());
    bytes.extend_from_slice(&record.time.to_le_bytes());
}

/// Finds rows that repeat an earlier one, one part of all rows at a time.
#[derive(Debug, Default)]
pub struct Repeats {
    policy: u16,
    rows: u64,
    hits: Hits,
    since: Option<i64>,
    until: Option<i64>,
}

impl Repeats {
    /// For the policy that asks for them, if there is one; hits outside `since`..`until` are left out.
    pub fn of(plan: &Plan, since: Option<i64>, until: Option<i64>) -> Option<Self> {
        let asks = |check: &Check| matches!(check, Check::Sequence { of: Sequence::References, .. });
        let (policy, _) = (0_u16..).zip(&plan.policies).find(|(_, policy)| asks(&policy.check))?;
        Some(Self { policy, since, until, ..Self::default() })
    }

    /// Takes all rows of a part.
    pub fn part(&mut self, bytes: &[u8]) {
        let mut rows: Vec<(u64, i64, i64)> = bytes
            .chunks_exact(SIZE)
            .map(|chunk| {
                let mut bytes = Bytes(chunk);
                let same = u64::from_le_bytes(bytes.take());
                let id = i64::from_le_bytes(bytes.take());
                (same, i64::from_le_bytes(bytes.take()), id)
            })
            .collect();
        rows.sort_unstable();
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        for group in rows.chunk_by(|one, two| one.0 == two.0) {
            for (_, time, id) in &group[1..] {
                let (policy, id, time) = (self.policy, *id, *time);
                let why = "another trade of the account has the same name at the exchange".to_owned();
                self.hits.push(Hit { policy, id, time, why });
            }
        }
    }

    /// The hits, unless so many rows are so that the name is no trade's but an order's.
    pub fn finish(self) -> Result<Hits, (u16, String)> {
        let found = self.hits.count(self.policy);
        if found >= USUAL && found * 100 > self.rows {
            let why = format!("{found} of {} rows are so: that is usual here, and tells nothing", self.rows);
            return Err((self.policy, why));
        }
        let mut hits = Hits::default();
        let inside = |hit: &Hit| {
            self.since.is_none_or(|since| hit.time >= since) && self.until.is_none_or(|until| hit.time < until)
        };
        self.hits.kept.into_iter().filter(inside).for_each(|hit| hits.push(hit));
        Ok(hits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(repeated: i64, all: i64) -> Option<usize> {
        let mut repeats = Repeats::default();
        let mut bytes = Vec::new();
        for id in 0..all {
            let record = Record { id, time: id, account: 1, ..Record::default() };
            let name = u64::try_from(if id < repeated { all - 1 } else { id }).unwrap();
            write(&mut bytes, same(&record, name), &record);
        }
        repeats.part(&bytes);
        repeats.finish().ok().map(|hits| hits.kept.len())
    }

    #[test]
    fn a_name_is_one_trades_unless_many_share_it() {
        assert_eq!(found(1, 100), Some(1));
        assert_eq!(found(20, 2000), Some(20), "one in a hundred");
        assert_eq!(found(20, 1999), None);
        assert_eq!(found(19, 19), Some(18));
    }

    #[test]
    fn buyer_and_seller_share_a_name() {
        let of = |account: u32, side: Side| same(&Record { account, instrument: 7, side, ..Record::default() }, 5);
        assert_eq!(of(1, Side::Buy), of(1, Side::Buy));
        assert_ne!(of(1, Side::Buy), of(2, Side::Buy));
        assert_ne!(of(1, Side::Buy), of(1, Side::Sell));
    }
}
