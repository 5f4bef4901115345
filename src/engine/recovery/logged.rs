//! Trades that only a log knows: lines of which neither the live table nor the backup holds a row. Such a trade was deleted, or it was made
//! after the backup and lost with the database. A line is no row: what it lacks can't be made up, so it is listed and never put back.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::trade_scan;
use crate::detect::trades::other::role_of;
use crate::detect::trades::policy::{Check, Difference, Ledger, TradePolicy};
use crate::detect::trades::roles::Role;
use crate::domain::{Finding, Source, Timestamp};
use crate::engine::Deployment;
use crate::engine::scan_trades::{self, OtherRecord, TradeScan};
use crate::policy::shipped::SHIPPED;
use crate::ports::{Database, Fault, FaultKind};

/// What is taken over from a line. The rest could hold secrets; file and line say where it stands.
pub(super) const TOLD: [Role; 8] =
    [Role::Id, Role::Account, Role::Order, Role::Instrument, Role::Side, Role::Quantity, Role::Price, Role::Value];
/// Longest text that is taken over, in characters.
const LONGEST: usize = 200;

/// A trade that only a log knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LoggedTrade {
    /// The file, its event and its line.
    pub source: Source,
    /// When, as the line says.
    pub time: Option<Timestamp>,
    /// What the line says, by the role of its field.
    pub told: BTreeMap<String, String>,
}

impl LoggedTrade {
    fn of(finding: Finding) -> Self {
        let mut told = BTreeMap::new();
        for (name, value) in &finding.event {
            let (Some(role), Some(text)) = (role_of(name).filter(|role| TOLD.contains(role)), value.as_str()) else {
                continue;
            };
            told.entry(role.name()).or_insert_with(|| text.chars().take(LONGEST).collect());
        }
        Self { source: finding.source, time: finding.time, told }
    }

    /// The trade's id, where the line says it.
    pub(super) fn id(&self) -> Option<&str> {
        self.told.get(&Role::Id.name()).map(String::as_str)
    }
}

/// What the logs know beyond the rows.
#[derive(Debug, Default)]
pub(super) struct Logged {
    /// In the order of time.
    pub trades: Vec<LoggedTrade>,
    /// What could not be compared, and why.
    pub uncovered: Vec<String>,
}

/// Compares the lines of trades in `records` with the rows of the backup, and of the live database where that can be read.
pub(super) async fn logged(
    deployment: &Deployment,
    records: &[OtherRecord],
    before: &dyn Database,
    now: Option<&dyn Database>,
) -> Result<Logged, Fault> {
    if records.is_empty() {
        let none = "logs: no log of trades was given (--logs, or logs: in monitoring.yml)".to_owned();
        return Ok(Logged { trades: Vec::new(), uncovered: vec![none] });
    }
    let (findings, mut uncovered) = without_row(deployment, records, before).await?;
    let mut trades = findings;
    if let Some(now) = now.filter(|_| !trades.is_empty()) {
        let (findings, more) = without_row(deployment, records, now).await?;
        let absent: HashSet<(String, u64)> = findings.iter().filter_map(|finding| place(&finding.source)).collect();
        trades.retain(|finding| place(&finding.source).is_some_and(|place| absent.contains(&place)));
        uncovered.extend(more);
    }
    uncovered.sort();
    uncovered.dedup();
    trades.sort_by_key(|finding| (finding.time, place(&finding.source)));
    Ok(Logged { trades: trades.into_iter().map(LoggedTrade::of).collect(), uncovered })
}

fn place(source: &Source) -> Option<(String, u64)> {
    match source {
        Source::File { path, record, .. } => Some((path.clone(), *record)),
        Source::Table { .. } => None,
    }
}

/// The lines of which that database has no row, by the scan's own comparison.
async fn without_row(
    deployment: &Deployment,
    records: &[OtherRecord],
    database: &dyn Database,
) -> Result<(Vec<Finding>, Vec<String>), Fault> {
    let policy = policy(deployment)?;
    let scan = TradeScan { records: records.to_vec(), ..trade_scan(deployment) };
    let seen = scan_trades::run(database, std::slice::from_ref(&policy), &scan).await?;
    let gaps = seen.uncovered.into_iter().map(|gap| format!("logs: {}", gap.reason));
    Ok((seen.findings, gaps.collect()))
}

/// The deployment's own policy for lines without a row, whose tolerance it may have set, else the shipped one.
fn policy(deployment: &Deployment) -> Result<TradePolicy, Fault> {
    let fits = |policy: &TradePolicy| {
        matches!(policy.check, Check::Reconcile { with: Ledger::Logs, problem: Difference::Extra, .. })
    };
    let (policies, _) = TradePolicy::from_texts(&deployment.policies.texts);
    let shipped = SHIPPED.iter().filter(|(path, _)| path.starts_with("trades/"));
    let shipped = shipped.filter_map(|(path, text)| TradePolicy::parse(path, text).ok());
    policies
        .into_iter()
        .chain(shipped)
        .find(fits)
        .ok_or_else(|| Fault::new(FaultKind::Invalid, "there is no policy for log lines without a trade"))
}
