//! What lies between the backup and now: rows of the two trade tables, and lines of logs.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::listing::{Lists, write};
use super::logged::{LoggedTrade, logged};
use super::text::DumpText;
use super::{store, trade_scan};
use crate::detect::backup::Dialect;
use crate::detect::trades::roles::Role;
use crate::domain::{Backup, FindingKind, Level, Source, Table};
use crate::engine::findings::{self, FINDINGS};
use crate::engine::scan_trades::OtherRecord;
use crate::engine::{Deployment, Journal, JournalError, scan_trades};
use crate::ports::{Database, Fault, FaultKind, Row, TableName};

/// How many trades lie between the backup and now, by what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// Made since the backup, and nothing speaks against them: they can be put back.
    pub legitimate: u64,
    /// Made since the backup, and a finding names them: kept as evidence, never put back.
    pub unauthorized: u64,
    /// In both, but different.
    pub changed: u64,
    /// In the backup, and gone now: the restore brings them back.
    pub deleted: u64,
    /// Only a line of a log knows them: neither the live table nor the backup has a row. Never put back by this program.
    pub logged: u64,
    /// Of these, how many a finding names.
    pub logged_named: u64,
    /// What could not be compared, and why.
    pub uncovered: Vec<String>,
}

impl Reconciled {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.legitimate + self.unauthorized + self.changed + self.deleted + self.logged
    }
}

/// Compares the live trade table with the backup's, row by row, and both with the lines of logs, and writes into the case everything that
/// differs: what can be put back (as a list, SQL and CSV), what findings name (quarantined), what was changed or deleted, what only a log
/// knows. Nothing is dropped unlisted. Where the live table can't be read, that is said, and the logs are still compared.
pub async fn reconcile(
    deployment: &Deployment,
    journal: &Journal,
    backup: &Backup,
    records: &[OtherRecord],
) -> Result<Reconciled, JournalError> {
    let store = store(deployment)?;
    let before: Arc<dyn Database> = match store.dialect() {
        Dialect::Postgres => Arc::new(DumpText::open(store, &backup.path)?),
        Dialect::Sqlite => store.scratch(&backup.path).await?,
    };
    let (mut lists, mut counts) = (Lists::default(), Reconciled::default());
    let (mut named, mut live) = (Named::of_case(journal, None)?, None);
    match Sides::new(deployment, Arc::clone(&before)).await {
        Ok(None) => counts.uncovered.push("the live trade table: no database is configured".into()),
        Err(fault) => counts.uncovered.push(format!("the live trade table can't be read: {}", fault.chain())),
        Ok(Some(sides)) => {
            named = Named::of_case(journal, Some(&sides.names[sides.id]))?;
            sides.compare(&named, &mut lists, &mut counts).await?;
            live = deployment.database.as_deref();
        }
    }
    match logged(deployment, records, before.as_ref(), live).await {
        Ok(seen) => {
            counts.uncovered.extend(seen.uncovered);
            for trade in seen.trades {
                let findings = named.of_line(&trade);
                counts.logged += 1;
                counts.logged_named += u64::from(!findings.is_empty());
                lists.logged(&trade, &findings)?;
            }
        }
        Err(fault) => counts.uncovered.push(format!("logs: {}", fault.chain())),
    }
    write(journal, lists)?;
    Ok(counts)
}

/// What findings at high or above name, unless a person has called them benign.
struct Named {
    /// Findings by the id of the trade.
    trades: HashMap<String, Vec<String>>,
    /// Findings by file and line of a log.
    lines: HashMap<(String, Option<u64>), Vec<String>>,
}

impl Named {
    /// Of the case; `id` is the column of the trade's id, if it is known.
    fn of_case(journal: &Journal, id: Option<&String>) -> Result<Self, JournalError> {
        let state = journal.state();
        let bytes = journal.store().read(FINDINGS)?.unwrap_or_default();
        let mut named = Self { trades: HashMap::new(), lines: HashMap::new() };
        for finding in findings::read(&bytes)? {
            let benign = state.dispositions.get(&finding.id).is_some_and(|said| said.verdict == "benign");
            if finding.rule.level < Level::High || benign {
                continue;
            }
            match (finding.kind, &finding.source) {
                (FindingKind::Trade, Source::Table { key, .. }) => {
                    let value = id.and_then(|id| key.get(id)).or_else(|| key.values().next());
                    let value = value.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
                    named.trades.entry(value.unwrap_or_default()).or_default().push(finding.id.clone());
                }
                // That a line has no row is what is listed here: by itself it speaks against nobody.
                (FindingKind::Log, Source::File { path, line, .. }) => {
                    named.lines.entry((path.clone(), *line)).or_default().push(finding.id.clone());
                }
                _ => {}
            }
        }
        Ok(named)
    }

    fn of_line(&self, trade: &LoggedTrade) -> Vec<String> {
        let by_id = trade.id().and_then(|id| self.trades.get(id));
        let by_line = match &trade.source {
            Source::File { path, line, .. } => self.lines.get(&(path.clone(), *line)),
            Source::Table { .. } => None,
        };
        by_id.into_iter().chain(by_line).flatten().cloned().collect()
    }
}

/// Both sides of a comparison.
struct Sides<'a> {
    /// Columns of the live table.
    names: Vec<String>,
    /// Which of them the backup has too: a column that came later can't be compared.
    shared: Vec<usize>,
    id: usize,
    table: Table,
    before: Arc<dyn Database>,
    before_table: TableName,
    now: &'a dyn Database,
    hasher: RandomState,
}

impl<'a> Sides<'a> {
    /// `None` if no database is configured.
    async fn new(deployment: &'a Deployment, before: Arc<dyn Database>) -> Result<Option<Self>, Fault> {
        let Some(now) = deployment.database.as_deref() else { return Ok(None) };
        let (tables, mapping) = scan_trades::map(now, &trade_scan(deployment)).await?;
        let trades = &mapping.trades;
        let unmapped = || Fault::new(FaultKind::NotFound, "the trade table's id could not be found");
        let id = trades.index(Role::Id).ok_or_else(unmapped)?;
        let table = tables.into_iter().find(|table| table.name == trades.table).ok_or_else(unmapped)?;
        let known = before.tables().await?;
        let known = known
            .iter()
            .find(|known| known.name.name == table.name.name)
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("the backup has no {}", table.name)))?;
        let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let shared: Vec<usize> =
            (0..names.len()).filter(|index| known.columns.iter().any(|column| column.name == names[*index])).collect();
        if !shared.contains(&id) {
            return Err(Fault::new(FaultKind::NotFound, format!("the backup's {} has no {}", table.name, names[id])));
        }
        let before_table = known.name.clone();
        Ok(Some(Self { names, shared, id, table, before, before_table, now, hasher: RandomState::new() }))
    }

    fn fields(&self, row: &Row) -> Value {
        let cells = self.names.iter().zip(row);
        Value::Object(cells.map(|(name, cell)| (name.clone(), text(cell.as_ref()))).collect())
    }

    /// Of a row of the backup, which has the shared columns only.
    fn fields_before(&self, row: &Row) -> Value {
        let cells = self.shared.iter().zip(row);
        let fields: Map<_, _> = cells.map(|(at, cell)| (self.names[*at].clone(), text(cell.as_ref()))).collect();
        Value::Object(fields)
    }

    fn key(&self, id: Option<&String>) -> u64 {
        self.hasher.hash_one(id)
    }

    fn id_before<'r>(&self, row: &'r Row) -> Option<&'r String> {
        let at = self.shared.iter().position(|index| *index == self.id);
        at.and_then(|at| row.get(at)?.as_ref())
    }

    fn columns_before(&self) -> Vec<String> {
        self.shared.iter().map(|index| self.names[*index].clone()).collect()
    }

    async fn compare(&self, named: &Named, lists: &mut Lists, counts: &mut Reconciled) -> Result<(), Fault> {
        let mut there: HashMap<u64, u64> = HashMap::new();
        self.before
            .rows(&self.before_table, &self.columns_before(), None, &mut |row| {
                there.insert(self.key(self.id_before(&row)), self.hasher.hash_one(row.iter().collect::<Vec<_>>()));
                ControlFlow::Continue(())
            })
            .await?;
        lists.table(&self.table.name, &self.names);
        let (mut changed, mut failed) = (HashMap::new(), None);
        self.now
            .rows(&self.table.name, &self.names, None, &mut |row| {
                let key = self.key(row[self.id].as_ref());
                let print = self.hasher.hash_one(self.shared.iter().map(|at| &row[*at]).collect::<Vec<_>>());
                match there.remove(&key) {
                    Some(before) if before == print => {}
                    Some(_) => {
                        changed.insert(key, row);
                    }
                    None => {
                        let id = row[self.id].clone().unwrap_or_default();
                        let found = named.trades.get(&id);
                        let class = if found.is_some() { "unauthorized" } else { "legitimate" };
                        let line = json!({"class": class, "id": id, "now": self.fields(&row), "findings": found});
                        failed = failed.take().or(lists.add(&line).err());
                        if found.is_some() {
                            counts.unauthorized += 1;
                        } else {
                            counts.legitimate += 1;
                            lists.put_back(row);
                        }
                    }
                }
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        failed.map_or(Ok(()), Err)?;
        let gone: HashSet<u64> = there.into_keys().collect();
        counts.deleted = gone.len() as u64;
        counts.changed = changed.len() as u64;
        if gone.is_empty() && changed.is_empty() {
            return Ok(());
        }
        self.list_before((&gone, &changed), named, lists).await
    }

    /// The rows as the backup has them, of those that were changed or deleted since.
    async fn list_before(
        &self,
        (gone, changed): (&HashSet<u64>, &HashMap<u64, Row>),
        named: &Named,
        lists: &mut Lists,
    ) -> Result<(), Fault> {
        let mut failed = None;
        self.before
            .rows(&self.before_table, &self.columns_before(), None, &mut |row| {
                let id = self.id_before(&row);
                let key = self.key(id);
                let id = id.cloned().unwrap_or_default();
                let line = match changed.get(&key) {
                    Some(now) => Some(json!({
                        "class": "changed", "id": id, "before": self.fields_before(&row), "now": self.fields(now),
                        "findings": named.trades.get(&id),
                    })),
                    None if gone.contains(&key) => {
                        Some(json!({"class": "deleted", "id": id, "before": self.fields_before(&row)}))
                    }
                    None => None,
                };
                failed = line.and_then(|line| lists.add(&line).err());
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        failed.map_or(Ok(()), Err)
    }
}

fn text(cell: Option<&String>) -> Value {
    cell.map_or(Value::Null, |text| Value::String(text.clone()))
}
