use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::findings::{Shown, case, keep, redactor};
use super::moment::moment;
use super::scan_output::resolve;
use super::scan_trades_sql::{Engine, write};
use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::log_files::{Input, expand};
use crate::detect::trades::other::Kind;
use crate::detect::trades::policy::TradePolicy;
use crate::detect::trades::roles::{Mapping, RoleOverrides, SchemaMapping};
use crate::domain::Timestamp;
use crate::engine::scan_trades::traces::{self, Trace};
use crate::engine::scan_trades::{OtherRecord, TradeScan, map, run_with as scan};
use crate::engine::{self, Deployment, Journal};
use crate::policy::PolicyError;
use crate::ui::{Printer, Progress, Record, Style, clean};

/// Arguments of `scan trades`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis scan trades
  portcullis scan trades --explain           (which column was given which role, and why)
  portcullis scan trades --since 2026-11-24T00:00:00Z")]
pub struct TradesArgs {
    /// Findings only of trades at or after this moment (RFC 3339, or a date; UTC)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Findings only of trades before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Compare with the log lines of trades in these files or folders (JSON, key=value; gzip is read)
    #[arg(long, value_name = "PATH")]
    logs: Vec<String>,
    /// Compare with the exchange's export of fills (CSV with a header, JSON)
    #[arg(long, value_name = "FILE")]
    fills: Vec<String>,
    /// Only the time asked for: checks that need the whole history are left out, and named
    #[arg(long)]
    window_only: bool,
    /// Show how the tables are mapped, and read no row
    #[arg(long)]
    explain: bool,
    /// Write the policies as SQL for the same tables on another engine, and read no trade
    #[arg(long, value_name = "ENGINE", value_enum, conflicts_with_all = ["logs", "fills", "window_only", "explain"])]
    sql: Option<Engine>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct MappingRecord(SchemaMapping);

impl Record for MappingRecord {
    const TYPE: &'static str = "mapping";
    fn text(&self, printer: &Printer) -> String {
        let mut text = table(printer, "trades", &self.0.trades);
        for (what, mapping) in [
            ("API keys", &self.0.keys),
            ("accounts", &self.0.accounts),
            ("orders", &self.0.orders),
            ("sessions", &self.0.sessions),
        ] {
            match mapping {
                Some(mapping) => text.push_str(&table(printer, what, mapping)),
                None => text.push_str(&format!("{}  {what}: no table found\n", printer.paint(Style::Warn, "missing"))),
            }
        }
        for (what, mapping) in [("limits", &self.0.limits), ("halts", &self.0.halts)] {
            if let Some(mapping) = mapping {
                text.push_str(&table(printer, what, mapping));
            }
        }
        text.trim_end().to_owned()
    }
}

fn table(printer: &Printer, what: &str, mapping: &Mapping) -> String {
    let place = format!("{}  ({})", mapping.table, mapping.reason);
    let mut text = format!("{}  {}\n", printer.paint(Style::Strong, what), clean(&place));
    for mapped in mapping.roles.iter().chain(&mapping.composite) {
        text.push_str(&format!(
            "  {:<13} {:<24} {}\n",
            mapped.role.name(),
            clean(&mapped.column),
            clean(&mapped.reason)
        ));
    }
    for column in &mapping.unmapped {
        text.push_str(&format!("  {:<13} {}\n", "-", clean(column)));
    }
    for (through, mapped) in mapping.through.iter().flat_map(|one| one.roles.iter().map(move |mapped| (one, mapped))) {
        let why = format!("of {}, by {}", through.table, through.by);
        text.push_str(&format!("  {:<13} {:<24} {}\n", mapped.role.name(), clean(&mapped.column), clean(&why)));
    }
    text
}

/// What policy and ledger say about the scan.
pub(super) fn request(deployment: &Deployment, journal: Option<&Journal>) -> Result<TradeScan, Failure> {
    let guard = deployment.policies.pause.guard.as_ref();
    let state = journal.map(Journal::state);
    let pauses = state.iter().filter_map(|state| Some((state.pause.since?, state.resumed.map(|(at, _)| at))));
    let unreadable = |error: PolicyError| {
        Failure::new(Exit::Usage, error.to_string()).hint("docs/POLICIES.md names every key of trade-roles.yml")
    };
    Ok(TradeScan {
        schema: guard.and_then(|guard| guard.schema.clone()),
        table: guard.map_or("Trade".to_owned(), |guard| guard.table.clone()),
        roles: RoleOverrides::from_texts(&deployment.policies.texts).map_err(unreadable)?,
        pauses: pauses.collect(),
        traces: journal.map(intruder_traces).transpose()?.unwrap_or_default(),
        now: Some(deployment.clock.now()),
        ..TradeScan::default()
    })
}

fn intruder_traces(journal: &Journal) -> Result<Vec<Trace>, Failure> {
    traces::of_case(journal).map_err(|fault| fault_failure("failed to read the findings of the case", &fault))
}

/// Scans the trade table.
pub async fn run(args: TradesArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let database = ctx.database(&deployment)?;
    let failed = |fault: crate::ports::Fault| {
        fault_failure(&format!("failed to scan the trades in {}", database.describe()), &fault)
    };
    if args.explain {
        let scan = request(&deployment, None)?;
        let (_, mapping) = map(database.as_ref(), &scan).await.map_err(failed)?;
        ctx.printer.emit(&MappingRecord(mapping));
        return Ok(Exit::Done);
    }
    let (policies, errors) = TradePolicy::from_texts(&deployment.policies.texts);
    if policies.is_empty() {
        let mut failure = Failure::new(Exit::Usage, "no trade policy could be read")
            .hint("policies/trades/ holds them; portcullis init writes starting points");
        for error in &errors {
            failure = failure.cause(error.to_string());
        }
        return Err(failure);
    }
    let journal = case(ctx, &deployment)?;
    let request = TradeScan {
        since: args.since,
        until: args.until,
        window_only: args.window_only,
        records: records(ctx, &args.logs, &args.fills)?,
        ..request(&deployment, journal.as_ref())?
    };
    if let Some(engine) = args.sql {
        return write(ctx, database.as_ref(), &policies, &request, engine).await;
    }
    let began = deployment.clock.elapsed();
    let redactor = redactor(&deployment).await;
    let mut findings = Vec::new();
    let (result, by_rule) = {
        let (watch, mut shown) = (Watch::start(&request.progress), Shown::new(&ctx.printer));
        let result = scan(database.as_ref(), &policies, &request, &mut |finding| {
            let mut finding = finding.clone();
            redactor.redact(&mut finding);
            watch.bar.above(|| shown.give(&ctx.printer, &finding));
            findings.push(finding);
        })
        .await
        .map_err(failed)?;
        watch.bar.finish();
        (result, shown.end(&ctx.printer))
    };
    let mut summary = result.summary();
    let skipped: Vec<_> = errors.iter().map(|error| json!({"rule": error.file, "reason": error.to_string()})).collect();
    summary.insert("rules_skipped".into(), skipped.into());
    let elapsed = deployment.clock.elapsed().saturating_sub(began).as_millis();
    summary.insert("elapsed_ms".into(), u64::try_from(elapsed).unwrap_or(u64::MAX).into());
    let complete = result.complete() && errors.is_empty();
    keep(ctx, journal.as_ref(), "trades", &findings, by_rule, summary, complete)
}

/// The files of other records; one that can't be read is an error, as a comparison with a part would accuse innocent rows.
pub(super) fn records(ctx: &Context, logs: &[String], fills: &[String]) -> Result<Vec<OtherRecord>, Failure> {
    let mut records = Vec::new();
    for (paths, kind) in [(logs, Kind::Logs), (fills, Kind::Fills)] {
        let (inputs, unreadable) = expand(&resolve(ctx, paths));
        if let Some(first) = unreadable.first() {
            return Err(Failure::new(Exit::Failed, format!("failed to read {}: {}", first.path, first.reason)));
        }
        if inputs.contains(&Input::Stdin) {
            return Err(Failure::new(Exit::Usage, "standard input can't be read twice; give a file"));
        }
        for input in inputs {
            records.push(OtherRecord { kind, name: input.name(), open: Arc::new(move || input.open()) });
        }
    }
    Ok(records)
}

/// Moves the bar while rows are read.
struct Watch {
    bar: Progress,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    fn start(progress: &Arc<engine::scan_trades::Progress>) -> Self {
        let bar = Progress::rows("reading trades");
        let (own, progress) = (bar.clone(), Arc::clone(progress));
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let (stage, rows, total) = progress.now();
                own.at(stage.words(), rows, total);
            }
        });
        Self { bar, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
