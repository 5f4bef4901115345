//! Scanning again and again: state in, state out. Whoever watches keeps the state where it likes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{TradeScan, run_with};
use crate::detect::trades::Uncovered;
use crate::detect::trades::policy::TradePolicy;
use crate::domain::{Finding, Timestamp};
use crate::ports::{Database, Fault};

/// Rows may become visible so long after their own time: transactions that were open.
const LATE: Duration = Duration::from_hours(1);

/// Where the last scan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// Rows before this were seen, but for late ones.
    pub seen_until: Timestamp,
    /// Findings that were given already, with the time of their rows: those that a later scan could see again.
    pub given: BTreeMap<String, Timestamp>,
}

impl Watermark {
    /// The first scan begins here.
    pub fn from(moment: Timestamp) -> Self {
        Self { seen_until: moment, given: BTreeMap::new() }
    }
}

/// What came since the last scan.
#[derive(Debug)]
pub struct News {
    /// Findings that were not given before.
    pub findings: Vec<Finding>,
    /// What was not covered.
    pub uncovered: Vec<Uncovered>,
    /// Where the next scan begins.
    pub watermark: Watermark,
}

/// Scans the rows since the watermark; checks that need the whole history are left out. `scan` must say what time it is.
pub async fn news(
    database: &dyn Database,
    policies: &[TradePolicy],
    scan: &TradeScan,
    watermark: &Watermark,
) -> Result<News, Fault> {
    let since = watermark.seen_until - LATE;
    let asked = TradeScan { since: Some(since), until: None, window_only: true, ..scan.clone() };
    let mut findings = Vec::new();
    let result = run_with(database, policies, &asked, &mut |finding| {
        if !watermark.given.contains_key(&finding.id) {
            findings.push(finding.clone());
        }
    })
    .await?;
    let now = scan.now.unwrap_or(watermark.seen_until).max(watermark.seen_until);
    let mut given = watermark.given.clone();
    given.extend(result.findings.iter().map(|finding| (finding.id.clone(), finding.time.unwrap_or(now))));
    given.retain(|_, time| *time >= now - LATE - LATE);
    Ok(News { findings, uncovered: result.uncovered, watermark: Watermark { seen_until: now, given } })
}
