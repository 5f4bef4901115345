use std::collections::BTreeMap;

use serde::Deserialize;

pub use super::amount::Amount;
use super::expression::Expression;
use super::roles::Role;
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
    /// Where this deployment's tables lack what it needs, it is named as not covered, but the scan counts as complete.
    #[serde(default)]
    pub optional: bool,
    /// Only trades of so many days before the latest one are reported, unless `--since` asks for others.
    #[serde(default)]
    pub recent_days: Option<u32>,
    /// It is a lead and no finding by itself: it is only looked at in a window of time that was asked for.
    #[serde(default)]
    pub only_in_window: bool,
    /// Where more of the rows are so (and twenty at least), it is how this deployment writes them, and no finding.
    #[serde(default)]
    pub usual_percent: Option<u32>,
    /// Rows that have a value of one of these roles are no finding of it.
    #[serde(default)]
    pub unless_present: Vec<Role>,
    /// The check, with every threshold explicit.
    pub check: Check,
}

/// What is checked: a closed set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// The row by itself.
    Row {
        /// What must hold for a finding.
        when: Expression,
    },
    /// The row against a row of another table, or against the case.
    Lookup {
        /// Where.
        table: LookupTable,
        /// What is wrong.
        problem: Problem,
        /// So many seconds are let pass (clocks, trades in flight).
        #[serde(default)]
        tolerance_s: i64,
        /// For so many seconds after it, trades of orders that were made before are late fills, and pass.
        #[serde(default)]
        late_fill_s: i64,
        /// Whether a trade without a reference counts as one that is missing.
        #[serde(default)]
        null_is_missing: bool,
        /// Words of which one must be among the key's scopes.
        #[serde(default)]
        words: Vec<String>,
        /// Limit where the account has none; absent: such accounts are not checked.
        #[serde(default)]
        limit: Option<Amount>,
    },
    /// Several rows within a sliding window of time.
    Window {
        /// What makes them one case.
        pattern: Pattern,
        /// Whose rows.
        by: By,
        /// Length of the window in seconds.
        within_s: i64,
        /// That many trades are still normal.
        trades: usize,
        /// A burst must also exceed so many times what this key or account usually does in a window; 0: no matter.
        #[serde(default)]
        times_usual: u32,
        /// What the same two do in so many different hours is their business; 0: no matter. Of `wash` only.
        #[serde(default)]
        usual_hours: usize,
        /// So many seconds may lie between the first and the last of them; 0: as many windows as trades. Of `wash` only.
        #[serde(default)]
        together_s: i64,
        /// Limit where the account has none; absent: such accounts are not checked.
        #[serde(default)]
        limit: Option<Amount>,
    },
    /// The row against what came before it.
    Baseline {
        /// What is compared.
        of: Measure,
        /// So many earlier trades must be known.
        after: usize,
        /// How many of the latest are looked at (5 to 1000).
        neighbours: usize,
        /// Deviation from the median in percent that is still normal.
        #[serde(default)]
        percent: Option<Amount>,
        /// Deviation from the median in median absolute deviations that is still normal.
        #[serde(default)]
        deviations: Option<Amount>,
        /// Days without a trade that are still normal.
        #[serde(default)]
        days: Option<u32>,
        /// What is new to an account that has something new more often than once in so many trades is no news; 0: no matter.
        #[serde(default)]
        one_in: usize,
    },
    /// The order in which rows were written.
    Sequence {
        /// What shows it.
        of: Sequence,
        /// Gaps of so many ids are normal (rolled-back transactions).
        #[serde(default)]
        ignore_up_to: i64,
        /// So many seconds are let pass.
        #[serde(default)]
        tolerance_s: i64,
    },
    /// The row against another record of the same trade.
    Reconcile {
        /// Which.
        with: Ledger,
        /// What is wrong.
        problem: Difference,
        /// Roles that must agree.
        #[serde(default)]
        fields: Vec<Role>,
        /// Words of the order's status that no trade can follow.
        #[serde(default)]
        words: Vec<String>,
        /// So many seconds are let pass.
        #[serde(default)]
        tolerance_s: i64,
    },
}

/// Whether a check says nothing without the whole history.
pub fn needs_history(check: &Check) -> bool {
    match check {
        Check::Window { pattern, times_usual, .. } => *pattern == Pattern::Position || *times_usual > 0,
        Check::Baseline { of, .. } => !matches!(of, Measure::Price | Measure::ValueRatio),
        Check::Sequence { .. } => true,
        Check::Reconcile { problem, .. } => *problem == Difference::Filled,
        Check::Row { .. } | Check::Lookup { .. } => false,
    }
}

/// Where a lookup looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupTable {
    /// The key table.
    Keys,
    /// The account table.
    Accounts,
    /// When trading was paused, from the case.
    Pauses,
    /// What the log findings of the case say of the intruder: addresses, keys and accounts, and when.
    Intruder,
}

/// What is wrong with what a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named for what it means; docs/POLICIES.md explains them")]
pub enum Problem {
    Missing,
    Revoked,
    Expired,
    NotYetMade,
    OtherAccount,
    OutOfScope,
    OtherAddress,
    OverLimit,
    During,
}

/// What makes several rows one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// More trades than a person or a known robot makes.
    Burst,
    /// Trades of one day (UTC) worth more than the account's daily limit.
    DayValue,
    /// More of one instrument than the account may hold.
    Position,
    /// The same quantity bought and sold at the same price.
    Wash,
    /// The same quantity to and from one counterparty, again and again.
    RoundTrip,
    /// The same trade twice.
    Duplicate,
}

/// Whose rows a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One API key's.
    Key,
    /// One account's.
    Account,
}

/// What a baseline compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// What the trade is worth, among the account's own.
    Value,
    /// Quantity, among the account's own in the same instrument.
    Quantity,
    /// Price, among the same instrument's.
    Price,
    /// Value divided by quantity times price, among the same instrument's.
    ValueRatio,
    /// An instrument that the account never traded.
    Instrument,
    /// A destination that the account never used.
    Destination,
    /// An address that the account never used.
    Ip,
    /// An hour of the day (UTC) in which, or next to which, the account never traded.
    Hour,
    /// Days since the account's last trade.
    Gap,
    /// The account's first trade.
    First,
}

/// What shows the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequence {
    /// Ids are missing between neighbours: rows were deleted.
    Ids,
    /// The id is of a later time than the row says.
    CreatedAt,
    /// The row was written again without its time of change (`PostgreSQL`'s `xmin`).
    Xmin,
    /// Another row has the same name at the exchange.
    References,
}

/// Another record of trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ledger {
    /// The order table.
    Orders,
    /// The application's log lines.
    Logs,
    /// The exchange's export of fills.
    Fills,
}

/// How two records of a trade differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The other record does not have it.
    Missing,
    /// The other record has a trade that is no row.
    Extra,
    /// Fields differ.
    Differs,
    /// The order's trades are more than the order.
    Overfilled,
    /// The trade is older than its order.
    BeforeOrder,
    /// The order's status allows no trade.
    Refused,
    /// All of the order was traded, and its status says that it still waits.
    Waiting,
    /// The order says that another quantity was traded: trades are missing, or not its own.
    Filled,
    /// The order was cancelled or deleted before the trade.
    Ended,
    /// The trade's price is worse than the order allows.
    Worse,
}

impl TradePolicy {
    /// Reads one file.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let policy: Self = crate::policy::parse(file, text)?;
        if policy.version != 1 {
            return Err(PolicyError::whole(file, format!("version is {}, this program reads 1", policy.version)));
        }
        match policy.fault() {
            Some(fault) => Err(PolicyError::whole(file, fault)),
            None => Ok(policy),
        }
    }

    /// What the types do not forbid.
    fn fault(&self) -> Option<&'static str> {
        use LookupTable::{Accounts, Intruder, Keys, Pauses};
        use Problem::{
            During, Expired, Missing, NotYetMade, OtherAccount, OtherAddress, OutOfScope, OverLimit, Revoked,
        };
        if self.usual_percent.is_some() && !matches!(self.check, Check::Row { .. } | Check::Lookup { .. }) {
            return Some("`usual_percent` is for checks of one row, and for lookups");
        }
        if !self.unless_present.is_empty() && !matches!(self.check, Check::Row { .. }) {
            return Some("`unless_present` is for checks of one row");
        }
        match &self.check {
            Check::Lookup { table, problem, words, late_fill_s, .. } => {
                let fits = match table {
                    Keys => matches!(
                        problem,
                        Missing | Revoked | Expired | NotYetMade | OtherAccount | OutOfScope | OtherAddress
                    ),
                    Accounts => matches!(problem, Missing | Revoked | NotYetMade | OverLimit),
                    Pauses | Intruder => matches!(problem, During),
                };
                if !fits {
                    return Some("this problem can't be looked up in this table; docs/POLICIES.md lists them");
                }
                if *late_fill_s != 0 && !matches!(problem, Revoked | Expired) {
                    return Some("`late_fill_s` is for `revoked` and `expired`");
                }
                (*problem == OutOfScope && words.is_empty()).then_some("`out_of_scope` needs `words`")
            }
            Check::Window { within_s, trades, .. } => ((*within_s < 0 || *within_s > 31 * 86_400)
                || *trades > 1_000_000)
                .then_some("a threshold is out of range: within_s from 0 to 2678400, trades to 1000000"),
            Check::Baseline { of, neighbours, percent, deviations, days, .. } => {
                let numeric = matches!(of, Measure::Value | Measure::Quantity | Measure::Price | Measure::ValueRatio);
                if numeric && !(5..=1000).contains(neighbours) {
                    return Some("a threshold is out of range: neighbours 5 to 1000");
                }
                if numeric && percent.is_none() && deviations.is_none() {
                    return Some("this measure needs `percent` or `deviations`");
                }
                (*of == Measure::Gap && days.is_none()).then_some("`gap` needs `days`")
            }
            Check::Reconcile { with, problem, fields, words, .. } => {
                let orders = *with == Ledger::Orders;
                let only = matches!(
                    problem,
                    Difference::Overfilled
                        | Difference::BeforeOrder
                        | Difference::Refused
                        | Difference::Waiting
                        | Difference::Filled
                        | Difference::Ended
                        | Difference::Worse
                );
                if (only && !orders) || (*problem == Difference::Extra && orders) {
                    return Some("this difference can't be told from this record; docs/POLICIES.md lists them");
                }
                if *problem == Difference::Waiting && words.is_empty() {
                    return Some("`waiting` needs `words`");
                }
                (*problem == Difference::Differs && fields.is_empty()).then_some("`differs` needs `fields`")
            }
            Check::Row { when } => when.fault(),
            Check::Sequence { .. } => None,
        }
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

    /// Whether it compares columns that could mean different things.
    pub fn compares_columns(&self) -> bool {
        matches!(
            self.check,
            Check::Lookup { problem: Problem::OtherAccount | Problem::OutOfScope, .. }
                | Check::Sequence { of: Sequence::CreatedAt, .. }
        )
    }

    /// Whether it needs the orders.
    pub fn is_of_orders(&self) -> bool {
        self.is_of(Ledger::Orders)
    }

    /// Whether it needs that record.
    pub fn is_of(&self, ledger: Ledger) -> bool {
        matches!(self.check, Check::Reconcile { with, .. } if with == ledger)
    }

    /// The rule of its findings.
    pub fn rule(&self) -> RuleRef {
        RuleRef { id: self.id.clone(), title: self.title.clone(), level: self.level }
    }
}
