use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, Exit, Failure, fault_failure};
use crate::detect::trades::Uncovered;
use crate::detect::trades::policy::TradePolicy;
use crate::detect::trades::sql::Dialect;
use crate::engine::scan_trades::{TradeScan, statements};
use crate::ports::Database;
use crate::ui::{Printer, Record, clean};

/// Engines that `--sql` writes for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Engine {
    Spark,
    Postgresql,
}

#[derive(Debug, Serialize)]
struct StatementRecord<'a> {
    policy: &'a str,
    sql: &'a str,
}

impl Record for StatementRecord<'_> {
    const TYPE: &'static str = "statement";
    fn text(&self, _: &Printer) -> String {
        format!("-- {}\n{};", clean(self.policy), self.sql)
    }
}

/// What was written; in text a comment, so that all of it can be given to the engine.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Written(Value);

impl Record for Written {
    const TYPE: &'static str = "summary";
    fn text(&self, _: &Printer) -> String {
        let mut text = format!("-- {} policies as SQL", self.0["statements"]);
        for gap in self.0["uncovered"].as_array().into_iter().flatten() {
            let word = |key: &str| clean(gap[key].as_str().unwrap_or_default()).into_owned();
            text.push_str(&format!("\n-- not evaluated: {}: {}", word("policy"), word("reason")));
        }
        text
    }
}

/// Prints a statement for each policy.
pub(super) async fn write(
    ctx: &Context,
    database: &dyn Database,
    policies: &[TradePolicy],
    scan: &TradeScan,
    engine: Engine,
) -> Result<Exit, Failure> {
    let dialect = match engine {
        Engine::Spark => Dialect::Spark,
        Engine::Postgresql => Dialect::Postgresql,
    };
    let (written, uncovered) = statements(database, policies, scan, dialect)
        .await
        .map_err(|fault| fault_failure(&format!("failed to read the catalog of {}", database.describe()), &fault))?;
    for one in &written {
        ctx.printer.emit(&StatementRecord { policy: &one.policy, sql: &one.sql });
    }
    let complete = uncovered.iter().all(|gap: &Uncovered| gap.optional);
    let written = json!({"scan": "trades", "engine": dialect, "statements": written.len(), "uncovered": uncovered});
    ctx.printer.emit(&Written(written));
    Ok(if complete { Exit::Done } else { Exit::Incomplete })
}
