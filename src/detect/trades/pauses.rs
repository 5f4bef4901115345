//! When nobody was to trade: as the case knows it, and as a table of the deployment's own says it.

use super::reference::{Reference, at_all, cell, text};
use super::roles::Role;
use super::value::millis;
use crate::domain::RawRow;

/// When nobody was to trade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pause {
    /// From when, in milliseconds.
    pub from: i64,
    /// Until when; absent: it lasts.
    pub to: Option<i64>,
    /// The number of the only instrument that was halted, and its name.
    pub of: Option<(u32, String)>,
    /// The table that says so; absent: the case.
    pub table: Option<String>,
}

/// Roles of the table of halts that are read.
pub const HALT_ROLES: [Role; 3] = [Role::Instrument, Role::CreatedAt, Role::ExpiresAt];
/// So many halts show whether halts are what they seem.
const SHOWN: usize = 5;

impl Reference {
    /// Takes a row of a table of halts.
    pub fn add_halt(&mut self, row: RawRow<'_>, roles: &[Role], table: &str) {
        let get = |role| cell(row, roles, role);
        let time = |role| at_all(get(role).and_then(|text| millis(&text)));
        let Some(from) = time(Role::CreatedAt) else { return };
        let of = get(Role::Instrument).filter(|name| !name.is_empty());
        let of = of.map(|name| (self.names.of(&name), text(&name)));
        self.pauses.push(Pause { from, to: time(Role::ExpiresAt), of, table: Some(table.to_owned()) });
    }

    /// Keeps what can be halts of trading: one without an end lasts only if none came after it, and where a fifth of all time is halted, the table
    /// means something else.
    pub fn settle_halts(&mut self) {
        let all = std::mem::take(&mut self.pauses);
        let (mut halts, case): (Vec<Pause>, Vec<Pause>) = all.into_iter().partition(|pause| pause.table.is_some());
        halts.sort_by(|one, two| (&one.of, one.from).cmp(&(&two.of, two.from)));
        let followed: Vec<bool> = halts
            .iter()
            .enumerate()
            .map(|(at, halt)| halts.get(at + 1).is_some_and(|next| next.of == halt.of))
            .collect();
        let mut followed = followed.into_iter();
        halts.retain(|halt| !followed.next().unwrap_or(false) || halt.to.is_some());
        let ended = || halts.iter().filter(|halt| halt.of.is_none()).filter_map(|halt| Some((halt.from, halt.to?)));
        let halted: i64 = ended().map(|(from, to)| to.saturating_sub(from).max(0)).sum();
        let first = ended().map(|(from, _)| from).min().unwrap_or(0);
        let last = ended().map(|(_, to)| to).max().unwrap_or(0);
        if ended().count() >= SHOWN && halted.saturating_mul(5) > last.saturating_sub(first) {
            halts.clear();
        }
        self.pauses = case;
        self.pauses.extend(halts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn settled(halts: &[(i64, Option<i64>, Option<&str>)]) -> Vec<(i64, Option<i64>)> {
        let mut reference = Reference::default();
        reference.pauses.push(Pause { from: 1, ..Pause::default() });
        for (from, to, of) in halts {
            let of = of.map(|of| (reference.names.of(of.as_bytes()), of.to_owned()));
            reference.pauses.push(Pause { from: from * HOUR, to: to.map(|to| to * HOUR), of, table: Some("h".into()) });
        }
        reference.settle_halts();
        assert_eq!(reference.pauses[0], Pause { from: 1, ..Pause::default() }, "what the case knows stays");
        reference.pauses[1..].iter().map(|pause| (pause.from / HOUR, pause.to.map(|to| to / HOUR))).collect()
    }

    #[test]
    fn a_halt_without_an_end_lasts_only_if_none_came_after_it() {
        assert_eq!(settled(&[(5, None, None)]), [(5, None)]);
        assert_eq!(settled(&[(5, None, None), (100, Some(101), None)]), [(100, Some(101))]);
        assert_eq!(settled(&[(5, None, Some("X")), (100, Some(101), None)]), [(100, Some(101)), (5, None)]);
        assert_eq!(settled(&[(5, None, Some("X")), (100, Some(101), Some("X"))]), [(100, Some(101))]);
    }

    #[test]
    fn what_is_halted_half_of_the_time_is_no_trading() {
        let halts = |length: i64| (0..5).map(|at| (at * 100, Some(at * 100 + length), None)).collect::<Vec<_>>();
        assert_eq!(settled(&halts(10)).len(), 5);
        assert_eq!(settled(&halts(50)).len(), 0);
        assert_eq!(settled(&halts(50)[..4]).len(), 4);
    }
}
