//! The trade scan over any database: the live one, a scratch copy of a backup.

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::detect::trades::policy::TradePolicy;
use crate::detect::trades::roles::{Mapping, Role, SchemaMapping, map_schema};
use crate::detect::trades::value::{Number, moment};
use crate::detect::trades::{Evaluation, Reference, Uncovered};
use crate::domain::{Finding, Table, Timestamp};
use crate::ports::{Database, Fault, FaultKind};

/// What to scan.
#[derive(Debug, Clone, Default)]
pub struct TradeScan {
    /// Schema of the trade table; absent: any.
    pub schema: Option<String>,
    /// Trade table, as policy names it.
    pub table: String,
    /// Findings only of trades at or after this.
    pub since: Option<Timestamp>,
    /// Findings only of trades before this.
    pub until: Option<Timestamp>,
    /// When trading was paused.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
}

/// What a scan gave.
#[derive(Debug, Clone, Serialize)]
pub struct TradeScanResult {
    /// Findings, in the order of time, missing rows last.
    pub findings: Vec<Finding>,
    /// Rows read.
    pub rows: u64,
    /// Policies evaluated or tried.
    pub policies: usize,
    /// What was not covered.
    pub uncovered: Vec<Uncovered>,
    /// How the tables were mapped.
    pub mapping: SchemaMapping,
}

impl TradeScanResult {
    /// Whether every policy was evaluated on every row.
    pub fn complete(&self) -> bool {
        self.uncovered.is_empty()
    }

    /// The fields of the scan's summary record.
    pub fn summary(&self) -> Map<String, Value> {
        let mut summary = Map::new();
        summary.insert("scan".into(), "trades".into());
        summary.insert("table".into(), self.mapping.trades.table.to_string().into());
        summary.insert("events".into(), self.rows.into());
        summary.insert("findings".into(), self.findings.len().into());
        summary.insert("rules".into(), self.policies.into());
        summary.insert("uncovered".into(), json!(self.uncovered));
        summary.insert("unmapped_columns".into(), json!(self.mapping.trades.unmapped));
        summary
    }
}

/// Maps the tables without reading a row.
pub async fn map(
    database: &dyn Database,
    schema: Option<&str>,
    table: &str,
) -> Result<(Vec<Table>, SchemaMapping), Fault> {
    let tables = database.tables().await?;
    let mapping = map_schema(&tables, schema, table).map_err(|why| Fault::new(FaultKind::NotFound, why))?;
    Ok((tables, mapping))
}

/// Reads the neighbours, then streams the trade table once in the order of time through all policies.
pub async fn run(
    database: &dyn Database,
    policies: &[TradePolicy],
    scan: &TradeScan,
) -> Result<TradeScanResult, Fault> {
    let (tables, mapping) = map(database, scan.schema.as_deref(), &scan.table).await?;
    let trades = &mapping.trades;
    let columns = tables
        .iter()
        .find(|table| table.name == trades.table)
        .map(|table| table.columns.clone())
        .ok_or_else(|| Fault::new(FaultKind::NotFound, "the trade table vanished while it was read"))?;
    let mut reference = Reference { pauses: scan.pauses.clone(), ..Reference::default() };
    if let Some(keys) = &mapping.keys {
        reference.keys = Some(read_keys(database, keys).await?);
    }
    if let Some(accounts) = &mapping.accounts {
        reference.limits = read_limits(database, accounts).await?;
    }
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let order = trades.time().and_then(|role| trades.column(role));
    let time_index = trades.time().and_then(|role| trades.index(role));
    let mut evaluation = Evaluation::new(policies, trades, &columns, reference);
    database
        .rows(&trades.table, &names, order, &mut |row| {
            let time = time_index.and_then(|index| row.get(index)?.as_deref()).and_then(moment);
            let inside = time.is_none_or(|time| {
                scan.since.is_none_or(|since| time >= since) && scan.until.is_none_or(|until| time < until)
            });
            evaluation.row(&row, inside);
            ControlFlow::Continue(())
        })
        .await?;
    let (findings, uncovered, rows) = evaluation.finish();
    Ok(TradeScanResult { findings, rows, policies: policies.len(), uncovered, mapping })
}

async fn read_keys(
    database: &dyn Database,
    keys: &Mapping,
) -> Result<HashMap<String, crate::detect::trades::KeyInfo>, Fault> {
    let mut known = HashMap::new();
    let (id, revoked) = (keys.column(Role::Id), keys.column(Role::RevokedAt));
    let Some(id) = id else { return Ok(known) };
    let columns: Vec<String> = [Some(id), revoked].into_iter().flatten().map(String::from).collect();
    database
        .rows(&keys.table, &columns, None, &mut |row| {
            let mut cells = row.into_iter();
            if let Some(Some(id)) = cells.next() {
                let revoked_at = cells.next().flatten().as_deref().and_then(moment);
                known.insert(id, crate::detect::trades::KeyInfo { revoked_at });
            }
            ControlFlow::Continue(())
        })
        .await?;
    Ok(known)
}

async fn read_limits(
    database: &dyn Database,
    accounts: &Mapping,
) -> Result<Option<HashMap<String, bigdecimal::BigDecimal>>, Fault> {
    let (Some(id), Some(limit)) = (accounts.column(Role::Id), accounts.column(Role::Limit)) else { return Ok(None) };
    let mut limits = HashMap::new();
    database
        .rows(&accounts.table, &[id.to_owned(), limit.to_owned()], None, &mut |row| {
            let mut cells = row.into_iter();
            if let (Some(Some(id)), Some(Some(limit))) = (cells.next(), cells.next())
                && let Number::Finite(limit) = Number::parse(&limit)
            {
                limits.insert(id, limit);
            }
            ControlFlow::Continue(())
        })
        .await?;
    Ok(Some(limits))
}
