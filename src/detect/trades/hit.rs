use super::roles::Role;

/// A row that a check found, before the row itself is read again for the finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Number of the policy in the plan.
    pub policy: u16,
    /// The row's id, as [`super::Record::id`] holds it.
    pub id: i64,
    /// When the trade happened, in milliseconds.
    pub time: i64,
    /// A sentence.
    pub why: String,
}

/// Most hits of one policy that are kept.
pub const MOST: usize = 100_000;

/// The hits of one part of a scan, bounded.
#[derive(Debug, Clone, Default)]
pub struct Hits {
    /// Kept.
    pub kept: Vec<Hit>,
    counts: Vec<usize>,
    /// Policies with more than are kept, and how many more.
    pub dropped: Vec<(u16, u64)>,
}

impl Hits {
    /// Keeps a hit, or counts it.
    pub fn push(&mut self, hit: Hit) {
        let index = usize::from(hit.policy);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        if self.counts[index] <= MOST {
            self.kept.push(hit);
            return;
        }
        self.miss(hit.policy, 1);
    }

    /// How many hits a policy has, kept or not.
    pub fn count(&self, policy: u16) -> u64 {
        let kept = self.kept.iter().filter(|hit| hit.policy == policy).count();
        let more = self.dropped.iter().find(|(one, _)| *one == policy).map_or(0, |(_, more)| *more);
        more + u64::try_from(kept).unwrap_or(u64::MAX)
    }

    /// Forgets the hits of a policy.
    pub fn take_back(&mut self, policy: u16) {
        self.kept.retain(|hit| hit.policy != policy);
        self.dropped.retain(|(one, _)| *one != policy);
    }

    /// Counts hits of a policy that are not kept.
    pub fn miss(&mut self, policy: u16, more: u64) {
        match self.dropped.iter_mut().find(|(known, _)| *known == policy) {
            _ if more == 0 => {}
            Some((_, count)) => *count += more,
            None => self.dropped.push((policy, more)),
        }
    }

    /// Takes those of another part.
    pub fn extend(&mut self, other: Self) {
        for hit in other.kept {
            self.push(hit);
        }
        for (policy, more) in other.dropped {
            self.miss(policy, more);
        }
    }
}

/// That so many rows could not be judged.
pub fn rows(count: u64, why: &str) -> String {
    format!("{count} {}: {why}", if count == 1 { "row" } else { "rows" })
}

/// Roles that a finding repeats under `matched`, besides the reason.
pub(super) const SHOWN: [Role; 11] = [
    Role::Account,
    Role::Key,
    Role::Order,
    Role::Instrument,
    Role::Side,
    Role::Quantity,
    Role::Price,
    Role::Value,
    Role::Ip,
    Role::Destination,
    Role::Counterparty,
];
