use serde::Serialize;
use serde_json::json;

use super::findings::{case, conclude};
use super::{Context, Exit, Failure, fault_failure};
use crate::detect::trades::policy::TradePolicy;
use crate::detect::trades::roles::{Mapping, SchemaMapping};
use crate::domain::Timestamp;
use crate::engine::scan_trades::{TradeScan, map, run as scan};
use crate::engine::{Deployment, Journal};
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `scan trades`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis scan trades
  portcullis scan trades --explain           (which column was given which role, and why)
  portcullis scan trades --since 2026-11-24T00:00:00Z")]
pub struct TradesArgs {
    /// Findings only of trades at or after this moment (RFC 3339)
    #[arg(long, value_name = "T")]
    since: Option<Timestamp>,
    /// Findings only of trades before this moment (RFC 3339)
    #[arg(long, value_name = "T")]
    until: Option<Timestamp>,
    /// Show how the tables are mapped, and read no row
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct MappingRecord(SchemaMapping);

impl Record for MappingRecord {
    const TYPE: &'static str = "mapping";
    fn text(&self, printer: &Printer) -> String {
        let mut text = table(printer, "trades", &self.0.trades);
        for (what, mapping) in [("API keys", &self.0.keys), ("accounts", &self.0.accounts)] {
            match mapping {
                Some(mapping) => text.push_str(&table(printer, what, mapping)),
                None => text.push_str(&format!("{}  {what}: no table found\n", printer.paint(Style::Warn, "missing"))),
            }
        }
        text.trim_end().to_owned()
    }
}

fn table(printer: &Printer, what: &str, mapping: &Mapping) -> String {
    let mut text = format!("{}  {}\n", printer.paint(Style::Strong, what), clean(&mapping.table.to_string()));
    for mapped in &mapping.roles {
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
    text
}

/// What policy and ledger say about the scan.
pub(super) fn request(deployment: &Deployment, journal: Option<&Journal>) -> TradeScan {
    let guard = deployment.policies.pause.guard.as_ref();
    let state = journal.map(Journal::state);
    let pauses = state.iter().filter_map(|state| Some((state.pause.since?, state.resumed.map(|(at, _)| at))));
    TradeScan {
        schema: guard.and_then(|guard| guard.schema.clone()),
        table: guard.map_or("Trade".to_owned(), |guard| guard.table.clone()),
        pauses: pauses.collect(),
        ..TradeScan::default()
    }
}

/// Scans the trade table.
pub async fn run(args: TradesArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let database = ctx.database(&deployment)?;
    let failed = |fault: crate::ports::Fault| {
        fault_failure(&format!("failed to scan the trades in {}", database.describe()), &fault)
    };
    if args.explain {
        let scan = request(&deployment, None);
        let (_, mapping) = map(database.as_ref(), scan.schema.as_deref(), &scan.table).await.map_err(failed)?;
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
    let request = TradeScan { since: args.since, until: args.until, ..request(&deployment, journal.as_ref()) };
    let began = deployment.clock.elapsed();
    let result = scan(database.as_ref(), &policies, &request).await.map_err(failed)?;
    let mut summary = result.summary();
    let skipped: Vec<_> = errors.iter().map(|error| json!({"rule": error.file, "reason": error.to_string()})).collect();
    summary.insert("rules_skipped".into(), skipped.into());
    let elapsed = deployment.clock.elapsed().saturating_sub(began).as_millis();
    summary.insert("elapsed_ms".into(), u64::try_from(elapsed).unwrap_or(u64::MAX).into());
    let complete = result.complete() && errors.is_empty();
    conclude(ctx, &deployment, journal.as_ref(), "trades", result.findings, summary, complete).await
}
