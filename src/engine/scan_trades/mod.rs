//! The trade scan over any database: the live one, a scratch copy of a backup.
//!
//! The trade table is read once, in parts, on two connections of one snapshot, in the order in which it lies. Checks of one row
//! run at once; the others take records in the order of time, which sorted runs on disk give, while the orders are read.
//! Memory does not grow with the table.

mod gather;
mod join;
mod other;
mod pass;
mod progress;
mod report;
mod spill;
pub mod traces;
pub mod watermark;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bigdecimal::BigDecimal;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::other::Shelf;
use self::pass::{Desk, Made, TradeSink, clear};
use self::spill::Runs;
use crate::detect::trades::policy::{Check, Ledger, TradePolicy};
use crate::detect::trades::roles::{Catalog, Role, RoleOverrides, SchemaMapping, map_schema};
use crate::detect::trades::sql::{self, Dialect, Statement};
use crate::detect::trades::{
    BATCH, Changes, Followed, Follower, Hits, Ids, LateFills, Means, Plan, Reference, Together, Uncovered,
    needs_history, seldom_agree,
};
use crate::domain::{Column, Finding, Table, Timestamp};
use crate::ports::{Database, Fault, FaultKind, Join, RowSink, Snapshot, TableRead, TimeRange};

pub use self::other::{Open, OtherRecord};
pub use self::progress::{Progress, Stage};

/// Connections that read at once.
const CONNECTIONS: i64 = 2;
/// Rows before the asked window that fill the windows of checks, in milliseconds: a day.
const BEFORE: i64 = 86_400_000;

/// What to scan.
#[derive(Debug, Clone, Default)]
pub struct TradeScan {
    /// Schema of the trade table; absent: any.
    pub schema: Option<String>,
    /// Trade table, as policy names it.
    pub table: String,
    /// What policy says of the tables' columns.
    pub roles: RoleOverrides,
    /// Findings only of trades at or after this.
    pub since: Option<Timestamp>,
    /// Findings only of trades before this.
    pub until: Option<Timestamp>,
    /// The window only: checks that need the whole history are left out, and named.
    pub window_only: bool,
    /// When trading was paused.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
    /// What the intruder used, and when: an address, a session, a key.
    pub traces: Vec<traces::Trace>,
    /// The moment of the scan; absent: nothing is in the future.
    pub now: Option<Timestamp>,
    /// Other records of the same trades: log lines, an exchange's fills.
    pub records: Vec<OtherRecord>,
    /// How far it is.
    pub progress: Arc<Progress>,
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
    /// What trades with a finding at `high` or above are worth, by account.
    pub at_risk: BTreeMap<String, String>,
    /// All of them together.
    pub at_risk_total: String,
    /// How the tables were mapped.
    pub mapping: SchemaMapping,
}

/// Accounts that a summary names.
const NAMED: usize = 50;

impl TradeScanResult {
    /// Whether every policy that must be was evaluated on every row.
    pub fn complete(&self) -> bool {
        self.uncovered.iter().all(|gap| gap.optional)
    }

    /// The fields of the scan's summary record.
    pub fn summary(&self) -> Map<String, Value> {
        let mut summary = Map::new();
        summary.insert("scan".into(), "trades".into());
        summary.insert("table".into(), self.mapping.trades.table.to_string().into());
        summary.insert("events".into(), self.rows.into());
        summary.insert("findings".into(), self.findings.len().into());
        summary.insert("rules".into(), self.policies.into());
        let mut accounts: Vec<_> = self.at_risk.iter().collect();
        let worth = |text: &str| text.parse::<BigDecimal>().unwrap_or_default();
        accounts.sort_by_key(|(_, sum)| std::cmp::Reverse(worth(sum)));
        let more = accounts.len().saturating_sub(NAMED);
        accounts.truncate(NAMED);
        summary.insert(
            "money_at_risk".into(),
            json!({"total": self.at_risk_total, "accounts": accounts.into_iter().collect::<BTreeMap<_, _>>(), "accounts_not_named": more}),
        );
        summary.insert("uncovered".into(), json!(self.uncovered));
        summary.insert("unmapped_columns".into(), json!(self.mapping.trades.unmapped));
        summary
    }
}

/// Maps the tables without reading a row.
pub async fn map(database: &dyn Database, scan: &TradeScan) -> Result<(Vec<Table>, SchemaMapping), Fault> {
    let tables = database.tables().await?;
    let relations = database.relations().await?;
    let catalog = Catalog { tables: &tables, relations: &relations, overrides: &scan.roles };
    let mapping =
        map_schema(catalog, scan.schema.as_deref(), &scan.table).map_err(|why| Fault::new(FaultKind::NotFound, why))?;
    Ok((tables, mapping))
}

/// Scans, and gives all findings at the end.
pub async fn run(
    database: &dyn Database,
    policies: &[TradePolicy],
    scan: &TradeScan,
) -> Result<TradeScanResult, Fault> {
    run_with(database, policies, scan, &mut |_| ()).await
}

/// Scans; `give` hears of each finding as soon as it is sure. With a window of time, the window is read first, for all checks that
/// need no history, then the history for the others.
pub async fn run_with(
    database: &dyn Database,
    policies: &[TradePolicy],
    scan: &TradeScan,
    give: &mut (dyn FnMut(&Finding) + Send),
) -> Result<TradeScanResult, Fault> {
    let (tables, mut mapping) = map(database, scan).await?;
    let columns = columns(&tables, &mapping)?;
    let mut snapshot = database.snapshot().await?;
    if !snapshot.joins() {
        mapping.trades.through = None;
    }
    let reference = Arc::new(gather::reference(snapshot.as_mut(), &mapping, scan).await?);
    let mut others = Shelf::open(scan, &reference.names).await?;
    let has = |others: &Shelf, ledger: Ledger| others.keys.iter().any(|(one, _)| *one == ledger);
    let estimate = snapshot.estimate(&mapping.trades.table).await.unwrap_or(0);
    let mut result = TradeScanResult {
        findings: Vec::new(),
        rows: 0,
        policies: policies.len(),
        uncovered: Vec::new(),
        at_risk: BTreeMap::new(),
        at_risk_total: "0".into(),
        mapping: mapping.clone(),
    };
    let asked = scan.since.is_some() || scan.until.is_some();
    let history = |policy: &TradePolicy| needs_history(&policy.check);
    let phases: Vec<(Vec<TradePolicy>, bool)> = if !asked || scan.window_only {
        vec![(policies.to_vec(), asked)]
    } else {
        let (long, short): (Vec<_>, Vec<_>) = policies.iter().cloned().partition(history);
        vec![(short, true), (long, false)]
    };
    let mut worths = report::AtRisk::default();
    for (policies, windowed) in phases.iter().filter(|(policies, _)| !policies.is_empty()) {
        let means = Means {
            history: !windowed,
            xmin: snapshot.tells_transactions(),
            logs: has(&others, Ledger::Logs),
            fills: has(&others, Ledger::Fills),
            asked,
        };
        let plan = Arc::new(Plan::new(policies, &mapping, &columns, &reference, means));
        result.uncovered.extend(plan.uncovered.iter().cloned());
        if plan.policies.is_empty() {
            continue;
        }
        let phase = Phase {
            mapping: &mapping,
            columns: &columns,
            reference: &reference,
            plan: &plan,
            scan,
            windowed: *windowed,
            estimate,
        };
        let (found, extra) = phase.run(snapshot.as_mut(), &mut others).await?;
        result.rows = result.rows.max(found.rows);
        let context = report::Context { plan: &plan, mapping: &mapping, columns: &columns };
        let mut findings =
            report::findings(snapshot.as_mut(), &context, found, &mut worths, &mut result.uncovered).await?;
        findings.extend(extra);
        findings.iter().for_each(&mut *give);
        result.findings.extend(findings);
    }
    result
        .findings
        .sort_by(|one, two| (one.time.is_none(), one.time, &one.id).cmp(&(two.time.is_none(), two.time, &two.id)));
    (result.at_risk, result.at_risk_total) = worths.sums();
    Ok(result)
}

/// The policies as SQL for a history of trades on another engine, in tables of the same names and columns; those that can't be written, with the reason. What
/// the case knows (pauses, the intruder's sessions) is written into the statements.
pub async fn statements(
    database: &dyn Database,
    policies: &[TradePolicy],
    scan: &TradeScan,
    dialect: Dialect,
) -> Result<(Vec<Statement>, Vec<Uncovered>), Fault> {
    let (tables, mut mapping) = map(database, scan).await?;
    // The statements are of the tables as they are.
    mapping.trades.through = None;
    let columns = columns(&tables, &mapping)?;
    let mut snapshot = database.snapshot().await?;
    let reference = gather::reference(snapshot.as_mut(), &mapping, scan).await?;
    let asked = scan.since.is_some() || scan.until.is_some();
    let means = Means { history: true, asked, ..Means::default() };
    let plan = Plan::new(policies, &mapping, &columns, &reference, means);
    let window = (scan.since.map(Timestamp::as_millisecond), scan.until.map(Timestamp::as_millisecond));
    let (statements, mut uncovered) = sql::statements(&plan, &mapping, &reference, dialect, window);
    uncovered.extend(plan.uncovered);
    Ok((statements, uncovered))
}

/// The columns of the trade table.
fn columns(tables: &[Table], mapping: &SchemaMapping) -> Result<Vec<Column>, Fault> {
    let trades = tables.iter().find(|table| table.name == mapping.trades.table);
    let gone = || Fault::new(FaultKind::NotFound, "the trade table vanished while it was read");
    trades.map(|table| table.columns.clone()).ok_or_else(gone)
}

/// What a phase found, by the ids of rows.
#[derive(Default)]
struct Found {
    rows: u64,
    /// Rows within the window that was asked for.
    judged: u64,
    hits: Hits,
    whole: Ids,
    made: Vec<Made>,
    uncovered: Vec<(u16, String)>,
    /// Findings of orders whose trades are missing.
    whole_orders: Vec<Finding>,
}

struct Phase<'a> {
    mapping: &'a SchemaMapping,
    columns: &'a [Column],
    reference: &'a Arc<Reference>,
    plan: &'a Arc<Plan>,
    scan: &'a TradeScan,
    windowed: bool,
    /// Rows of the whole table, roughly.
    estimate: u64,
}

impl Phase<'_> {
    fn window(&self) -> (Option<i64>, Option<i64>) {
        (self.scan.since.map(Timestamp::as_millisecond), self.scan.until.map(Timestamp::as_millisecond))
    }

    /// Whether a policy looks at more than the row itself.
    fn looks_back(&self) -> bool {
        let alone = |check: &Check| matches!(check, Check::Row { .. } | Check::Lookup { .. });
        self.plan.policies.iter().any(|policy| !alone(&policy.check))
    }

    /// Rows of the window and of what comes before it.
    fn range(&self, before: i64) -> Option<TimeRange> {
        let trades = &self.mapping.trades;
        let column = |role: Role| self.columns.get(trades.index(role)?).cloned();
        let time = trades.time().filter(|_| self.windowed)?;
        // A row that lacks its time of execution counts by its creation.
        let otherwise = (time == Role::ExecutedAt).then(|| column(Role::CreatedAt)).flatten();
        let since = self.scan.since.and_then(|since| Timestamp::from_millisecond(since.as_millisecond() - before).ok());
        Some(TimeRange { column: column(time)?, otherwise, since, until: self.scan.until })
    }

    /// What trades say only through their orders.
    fn order_columns(&self) -> Option<Join> {
        let columns = self.plan.layout.joined.clone();
        let through = self.mapping.trades.through.as_ref().filter(|_| !columns.is_empty())?;
        Some(Join { table: through.table.clone(), id: through.id.clone(), by: through.by.clone(), columns })
    }

    async fn run(&self, snapshot: &mut dyn Snapshot, others: &mut Shelf) -> Result<(Found, Vec<Finding>), Fault> {
        let keys: Vec<_> = others.keys.iter().copied().filter(|(ledger, _)| self.compares(*ledger)).collect();
        let (since, until) = self.window();
        let idle = Follower::new(self.plan, self.reference, 0, since, until).is_idle();
        let desk: Desk<Made> = Desk::default();
        let mut sinks: Vec<Box<dyn RowSink>> = Vec::new();
        for worker in 0..CONNECTIONS {
            let progress = &self.scan.progress;
            sinks.push(Box::new(TradeSink::new(
                worker,
                self.plan,
                self.reference,
                (since, until),
                !idle,
                &keys,
                &desk,
                progress,
            )?));
        }
        let read = TableRead {
            table: self.plan.table.clone(),
            columns: self.plan.layout.columns.clone(),
            xmin: self.plan.xmin,
            range: self.range(if self.looks_back() { BEFORE } else { 0 }),
            join: self.order_columns(),
        };
        self.scan.progress.enter(Stage::Reading, if self.windowed { 0 } else { self.estimate });
        let rows = snapshot.read(&read, sinks).await?;
        let mut made = clear(&desk);
        let mut found = Found { rows, ..Found::default() };
        let tasks = self.follow(made.iter_mut().filter_map(|made| made.runs.take()).collect(), rows);
        let late = made.iter().any(|made| !made.seen.late.is_empty());
        let orders = self.read_orders(snapshot, late).await?;
        let late = self.take_seen(&mut made, &mut found);
        let (mut doubts, mut beyond) = (Vec::new(), Vec::new());
        for task in tasks {
            let done = task.await.map_err(|error| Fault::with(FaultKind::Invalid, "a check died", error))??;
            found.hits.extend(done.hits);
            found.uncovered.extend(done.uncovered);
            doubts.extend(done.doubts);
            beyond.extend(done.beyond);
        }
        let wanted: HashSet<u64> = doubts.iter().map(|doubt| doubt.order).collect();
        let claims: Vec<_> = made.iter_mut().filter_map(|made| made.claims.take()).collect();
        let names: Vec<_> = made.iter_mut().filter_map(|made| made.names.take()).collect();
        self.repeats(&names, &mut found)?;
        if !keys.is_empty() {
            self.scan.progress.enter(Stage::Reconciling, 0);
        }
        let mut extra =
            if keys.is_empty() { Vec::new() } else { self.reconcile(others.books().await?, &mut made, &mut found)? };
        found.made = made;
        self.scan.progress.enter(Stage::Joining, 0);
        let (fine, lacking) = self.join(snapshot, claims, orders, (wanted, late), &mut found).await?;
        let usual = self.plan.without_usual(&mut found.hits, found.judged);
        found.uncovered.extend(usual);
        extra.append(&mut found.whole_orders);
        self.scan.progress.enter(Stage::Writing, 0);
        let doubts = doubts.into_iter().filter(|doubt| !fine.contains(&doubt.order)).map(|doubt| doubt.hit);
        let beyond = beyond.into_iter().filter(|beyond| !beyond.is_explained(&lacking)).map(|beyond| beyond.hit);
        doubts.chain(beyond).for_each(|hit| found.hits.push(hit));
        Ok((found, extra))
    }

    /// Begins the checks over several rows, on both cores.
    fn follow(&self, runs: Vec<Runs>, rows: u64) -> [tokio::task::JoinHandle<Result<Followed, Fault>>; 2] {
        let (since, until) = self.window();
        let runs = Arc::new(runs);
        self.scan.progress.enter(Stage::Following, rows);
        let mut half = 0;
        Follower::new(self.plan, self.reference, rows, since, until).halves().map(|mut follower| {
            half += 1;
            // Both take all rows; the first has more work.
            let (runs, counted) = (Arc::clone(&runs), (half == 1).then(|| Arc::clone(&self.scan.progress)));
            tokio::task::spawn_blocking(move || {
                spill::merge(&runs, BATCH, |records| {
                    follower.records(records);
                    if let Some(progress) = &counted {
                        progress.add(records.len() as u64);
                    }
                })?;
                Ok::<Followed, Fault>(follower.finish())
            })
        })
    }

    /// What the workers saw; a comparison that seldom agreed compares what does not mean the same.
    fn take_seen(&self, made: &mut [Made], found: &mut Found) -> LateFills {
        let mut agreed: BTreeMap<u16, u64> = BTreeMap::new();
        let mut unusable: BTreeMap<(u16, &str), u64> = BTreeMap::new();
        let mut changes: BTreeMap<u16, Changes> = BTreeMap::new();
        let mut together: BTreeMap<u16, Together> = BTreeMap::new();
        let mut late = LateFills::default();
        for made in made {
            let seen = std::mem::take(&mut made.seen);
            found.hits.extend(seen.hits);
            found.whole.merge(seen.whole);
            found.judged += seen.judged;
            late.merge(seen.late);
            seen.changes.into_iter().for_each(|(policy, more)| changes.entry(policy).or_default().merge(more));
            seen.together.into_iter().for_each(|(policy, more)| together.entry(policy).or_default().merge(more));
            seen.agreed.into_iter().for_each(|(policy, count)| *agreed.entry(policy).or_default() += count);
            seen.unusable.into_iter().for_each(|(what, count)| *unusable.entry(what).or_default() += count);
        }
        for changes in changes.into_values() {
            changes.finish(found.judged, &mut found.hits);
        }
        for (policy, together) in together {
            let left_out = together.finish(&mut found.hits);
            if left_out > 0 {
                let why = "written together with others, long after they say, as by an import: left out";
                found.uncovered.push((policy, crate::detect::trades::rows(left_out, why)));
            }
        }
        for ((policy, why), count) in unusable {
            found.uncovered.push((policy, crate::detect::trades::rows(count, why)));
        }
        for (number, policy) in (0_u16..).zip(&self.plan.policies) {
            let hits = found.hits.count(number);
            let alike = agreed.get(&number).copied().unwrap_or(0);
            if policy.compares_columns() && seldom_agree(alike, hits) {
                found.hits.take_back(number);
                let why = "what is compared is seldom the same: the columns do not mean the same".to_owned();
                found.uncovered.push((number, why));
            }
        }
        if self.reference.names.overflowed() {
            for (number, _) in (0_u16..).zip(&self.plan.policies) {
                found
                    .uncovered
                    .push((number, "too many different names; rows with the later ones were not told apart".into()));
            }
        }
        late
    }
}
