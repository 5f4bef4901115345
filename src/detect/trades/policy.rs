use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::roles::Role;
use super::value::Number;
use crate::domain::{Level, RuleRef};
use crate::policy::PolicyError;

/// One file of `policies/trades/`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TradePolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Stable name; part of the ids of its findings.
    pub id: String,
    /// Title.
    pub title: String,
    /// Level.
    pub level: Level,
    /// Why such a trade is not ours, for the reader of the finding.
    pub why: String,
    /// What else it can be.
    #[serde(default)]
    pub false_positives: Vec<String>,
    /// The check, with every threshold explicit.
    pub check: Check,
}

/// What is checked: a closed set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// The trade's key is not in the key table.
    UnknownKey {
        /// Whether a trade without a key counts.
        #[serde(default)]
        null_is_unknown: bool,
    },
    /// The trade's key was revoked before the trade.
    RevokedKey {
        /// Trades so long after the revocation are still let pass (clocks, trades in flight), in seconds.
        tolerance_s: i64,
    },
    /// The trade happened while trading was paused.
    WhilePaused {
        /// Trades so long after the pause are still let pass, in seconds.
        tolerance_s: i64,
    },
    /// The trade is worth more than its account's limit.
    OverLimit {
        /// Limit where the account has none; absent: such accounts are not checked.
        #[serde(default)]
        limit: Option<Amount>,
    },
    /// The row was changed long after it was made.
    EditedAfter {
        /// Changes so long after creation are normal (settlement), in seconds.
        tolerance_s: i64,
    },
    /// More trades of one key or account within a sliding window than a person or a known robot makes.
    Burst {
        /// That many trades are still normal.
        trades: usize,
        /// Length of the window in seconds.
        within_s: i64,
        /// Whose trades are counted.
        by: BurstBy,
    },
    /// Ids are missing between neighbours: rows were deleted.
    SequenceGap {
        /// Gaps of so many ids are normal (rolled-back transactions).
        #[serde(default)]
        ignore_up_to: i64,
    },
    /// The price is far from the median of the same instrument's trades just before.
    OffMarket {
        /// Deviation in percent that is still normal.
        percent: Amount,
        /// How many trades before it are looked at (5 to 1000).
        neighbours: usize,
    },
}

/// Whose trades a burst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BurstBy {
    /// One API key's.
    Key,
    /// One account's.
    Account,
}

/// An exact number in a policy, written as text or as a whole number.
#[derive(Debug, Clone, PartialEq)]
pub struct Amount(pub bigdecimal::BigDecimal);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Number::parse(&text) {
            Number::Finite(value) => Ok(Self(value)),
            _ => Err(serde::de::Error::custom("not an exact number: write it as \"1000.50\"")),
        }
    }
}

impl TradePolicy {
    /// Reads one file.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let policy: Self = crate::policy::parse(file, text)?;
        if policy.version != 1 {
            return Err(PolicyError::whole(file, format!("version is {}, this program reads 1", policy.version)));
        }
        let window = match policy.check {
            Check::Burst { trades, within_s, .. } => (1..=1_000_000).contains(&trades) && within_s >= 1,
            Check::OffMarket { neighbours, .. } => (5..=1000).contains(&neighbours),
            _ => true,
        };
        if !window {
            return Err(PolicyError::whole(
                file,
                "a threshold is out of range: burst needs trades 1 to 1000000 and within_s from 1, off_market neighbours 5 to 1000",
            ));
        }
        Ok(policy)
    }

    /// All policies among the texts of a policies folder (`trades/*.yml`), and the files that can't be read.
    pub fn from_texts(texts: &BTreeMap<String, String>) -> (Vec<Self>, Vec<PolicyError>) {
        let mut policies: Vec<Self> = Vec::new();
        let mut errors = Vec::new();
        for (path, text) in texts.iter().filter(|(path, _)| path.starts_with("trades/")) {
            match Self::parse(path, text) {
                Ok(policy) if policies.iter().any(|known| known.id == policy.id) => {
                    errors.push(PolicyError::whole(path, format!("policy id `{}` is taken", policy.id)));
                }
                Ok(policy) => policies.push(policy),
                Err(error) => errors.push(error),
            }
        }
        (policies, errors)
    }

    /// The rule of its findings.
    pub fn rule(&self) -> RuleRef {
        RuleRef { id: self.id.clone(), title: self.title.clone(), level: self.level }
    }

    /// Roles of the trade table without which it can't be evaluated.
    pub fn needs(&self) -> Vec<Role> {
        match &self.check {
            Check::UnknownKey { .. } | Check::RevokedKey { .. } | Check::Burst { by: BurstBy::Key, .. } => {
                vec![Role::Key]
            }
            Check::OverLimit { limit } if limit.is_none() => vec![Role::Account],
            Check::OverLimit { .. } | Check::WhilePaused { .. } => vec![],
            Check::EditedAfter { .. } => vec![Role::CreatedAt, Role::UpdatedAt],
            Check::Burst { by: BurstBy::Account, .. } => vec![Role::Account],
            Check::SequenceGap { .. } => vec![Role::Id],
            Check::OffMarket { .. } => vec![Role::Instrument, Role::Price],
        }
    }

    /// Whether it needs to know when a trade happened.
    pub fn needs_time(&self) -> bool {
        matches!(
            self.check,
            Check::RevokedKey { .. } | Check::WhilePaused { .. } | Check::Burst { .. } | Check::OffMarket { .. }
        )
    }
}
