use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::replay::ReplayList;
use super::text::DumpText;
use super::{store, trade_scan};
use crate::detect::backup::Dialect;
use crate::detect::trades::roles::Role;
use crate::domain::{Backup, Digest, FindingKind, Level, Source, Table};
use crate::engine::findings::{self, FINDINGS};
use crate::engine::{Deployment, Journal, JournalError, scan_trades};
use crate::ledger::Event;
use crate::ports::{Database, Fault, FaultKind, Row};

/// Longest list that is written, in bytes; more than that is an error, never a silent cut.
const MAX_EXPORT: usize = 192 << 20;

/// How many rows of the trade table lie between the backup and now, by what they are.
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
}

impl Reconciled {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.legitimate + self.unauthorized + self.changed + self.deleted
    }
}

/// Both sides of a comparison.
struct Sides<'a> {
    names: Vec<String>,
    id: usize,
    table: Table,
    before: Arc<dyn Database>,
    now: &'a dyn Database,
    hasher: RandomState,
}

/// Compares the live trade table with the backup's, row by row, and writes into the case everything that differs: what can be put back (as
/// a list, SQL and CSV), what findings name (quarantined), what was changed or deleted. Nothing is dropped unlisted.
pub async fn reconcile(
    deployment: &Deployment,
    journal: &Journal,
    backup: &Backup,
) -> Result<Reconciled, JournalError> {
    let Some(live) = &deployment.database else { return Ok(Reconciled::default()) };
    let store = store(deployment)?;
    let scan = trade_scan(deployment);
    let (tables, mapping) = scan_trades::map(live.as_ref(), &scan).await?;
    let trades = &mapping.trades;
    let unmapped = || Fault::new(FaultKind::NotFound, "the trade table's id could not be found");
    let id = trades.index(Role::Id).ok_or_else(unmapped)?;
    let table = tables.into_iter().find(|table| table.name == trades.table).ok_or_else(unmapped)?;
    let before: Arc<dyn Database> = match store.dialect() {
        Dialect::Postgres => Arc::new(DumpText::open(store, &backup.path)?),
        Dialect::Sqlite => store.scratch(&backup.path).await?,
    };
    let names = table.columns.iter().map(|column| column.name.clone()).collect();
    let sides = Sides { names, id, table, before, now: live.as_ref(), hasher: RandomState::new() };
    let found = named_by_findings(journal, &sides)?;
    let (listing, list, counts) = sides.compare(&found).await?;
    write(journal, &sides, listing, &list)?;
    Ok(counts)
}

/// Ids of trades that findings at high or above name, unless a person has called them benign.
fn named_by_findings(journal: &Journal, sides: &Sides<'_>) -> Result<HashMap<String, Vec<String>>, JournalError> {
    let state = journal.state();
    let bytes = journal.store().read(FINDINGS)?.unwrap_or_default();
    let mut named: HashMap<String, Vec<String>> = HashMap::new();
    for finding in findings::read(&bytes)? {
        let benign = state.dispositions.get(&finding.id).is_some_and(|said| said.verdict == "benign");
        if finding.kind != FindingKind::Trade || finding.rule.level < Level::High || benign {
            continue;
        }
        if let Source::Table { key, .. } = &finding.source {
            let id = key.get(&sides.names[sides.id]).or_else(|| key.values().next());
            let id = id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
            named.entry(id.unwrap_or_default()).or_default().push(finding.id.clone());
        }
    }
    Ok(named)
}

/// A list under construction.
#[derive(Default)]
struct Listing {
    lines: Vec<u8>,
}

impl Listing {
    fn add(&mut self, value: &Value) -> Result<(), Fault> {
        self.lines.extend_from_slice(value.to_string().as_bytes());
        self.lines.push(b'\n');
        if self.lines.len() > MAX_EXPORT {
            return Err(Fault::new(
                FaultKind::Invalid,
                "more rows differ than can be listed (192 MiB); choose a newer backup",
            ));
        }
        Ok(())
    }
}

impl Sides<'_> {
    fn fields(&self, row: &Row) -> Value {
        let fields: Map<String, Value> = self
            .names
            .iter()
            .zip(row)
            .map(|(name, cell)| (name.clone(), cell.clone().map_or(Value::Null, Value::String)))
            .collect();
        Value::Object(fields)
    }

    fn print(&self, row: &Row) -> (u64, u64) {
        (self.hasher.hash_one(&row[self.id]), self.hasher.hash_one(row))
    }

    async fn compare(&self, named: &HashMap<String, Vec<String>>) -> Result<(Listing, ReplayList, Reconciled), Fault> {
        let mut there: HashMap<u64, u64> = HashMap::new();
        let mut columns = self.names.clone();
        let known = self.before.tables().await?;
        let before = known
            .iter()
            .find(|table| table.name.name == self.table.name.name)
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("the backup has no {}", self.table.name)))?;
        // A column that came later is not in the backup: it can't be compared.
        columns.retain(|column| before.columns.iter().any(|known| known.name == *column));
        let whole = columns.len() == self.names.len();
        self.before
            .rows(&before.name, &self.names, None, &mut |row| {
                let (key, print) = self.print(&row);
                there.insert(key, print);
                ControlFlow::Continue(())
            })
            .await?;
        let (mut listing, mut counts) = (Listing::default(), Reconciled::default());
        let mut list = ReplayList { columns: self.names.clone(), rows: Vec::new() };
        let (mut changed, mut failed) = (HashMap::new(), None);
        self.now
            .rows(&self.table.name, &self.names, None, &mut |row| {
                let (key, print) = self.print(&row);
                match there.remove(&key) {
                    Some(before) if before == print || !whole => {}
                    Some(_) => {
                        changed.insert(key, row);
                    }
                    None => {
                        let id = row[self.id].clone().unwrap_or_default();
                        let found = named.get(&id);
                        let class = if found.is_some() { "unauthorized" } else { "legitimate" };
                        let line = json!({"class": class, "id": id, "now": self.fields(&row), "findings": found});
                        failed = failed.take().or(listing.add(&line).err());
                        if found.is_some() {
                            counts.unauthorized += 1;
                        } else {
                            counts.legitimate += 1;
                            list.rows.push(row);
                        }
                    }
                }
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        if let Some(fault) = failed {
            return Err(fault);
        }
        let gone: HashSet<u64> = there.into_keys().collect();
        if !gone.is_empty() || !changed.is_empty() {
            counts.deleted = gone.len() as u64;
            counts.changed = changed.len() as u64;
            self.list_before((&before.name, &gone, &changed), named, &mut listing).await?;
        }
        Ok((listing, list, counts))
    }

    /// The rows as the backup has them, of those that were changed or deleted since.
    async fn list_before(
        &self,
        (table, gone, changed): (&crate::ports::TableName, &HashSet<u64>, &HashMap<u64, Row>),
        named: &HashMap<String, Vec<String>>,
        listing: &mut Listing,
    ) -> Result<(), Fault> {
        let mut failed = None;
        self.before
            .rows(table, &self.names, None, &mut |row| {
                let (key, _) = self.print(&row);
                let id = row[self.id].clone().unwrap_or_default();
                let line = match changed.get(&key) {
                    Some(now) => Some(json!({
                        "class": "changed", "id": id, "before": self.fields(&row), "now": self.fields(now), "findings": named.get(&id),
                    })),
                    None if gone.contains(&key) => Some(json!({"class": "deleted", "id": id, "before": self.fields(&row)})),
                    None => None,
                };
                failed = line.and_then(|line| listing.add(&line).err());
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        failed.map_or(Ok(()), Err)
    }
}

fn literal(cell: Option<&String>) -> String {
    cell.map_or("NULL".into(), |text| format!("'{}'", text.replace('\'', "''")))
}

/// RFC 4180; NULL is an empty field without quotes.
fn csv(cell: Option<&String>) -> String {
    cell.map_or(String::new(), |text| format!("\"{}\"", text.replace('"', "\"\"")))
}

fn write(journal: &Journal, sides: &Sides<'_>, listing: Listing, list: &ReplayList) -> Result<(), JournalError> {
    use crate::domain::guard::quote_identifier;
    let names: Vec<_> = list.columns.iter().map(|name| quote_identifier(name)).collect();
    let (mut sql, mut table) =
        (String::new(), list.columns.iter().map(|name| csv(Some(name))).collect::<Vec<_>>().join(","));
    table.push_str("\r\n");
    for row in &list.rows {
        let values: Vec<_> = row.iter().map(|cell| literal(cell.as_ref())).collect();
        sql.push_str(&format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING;\n",
            quote_identifier(&sides.table.name.name),
            names.join(", "),
            values.join(", ")
        ));
        table.push_str(&row.iter().map(|cell| csv(cell.as_ref())).collect::<Vec<_>>().join(","));
        table.push_str("\r\n");
    }
    let encoded = serde_json::to_vec(list)
        .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode the list", error))?;
    let files: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
        ("reconciliation/rows", listing.lines),
        ("reconciliation/replay.json", encoded),
        ("reconciliation/replay.sql", sql.into_bytes()),
        ("reconciliation/replay.csv", table.into_bytes()),
    ]);
    for (name, bytes) in files {
        let file = journal.write_file(&format!("evidence/{}", Digest::of(&bytes)), &bytes)?;
        journal.record(Event::EvidenceCollected { name: name.into(), file })?;
    }
    Ok(())
}
