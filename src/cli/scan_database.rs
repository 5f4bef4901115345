use super::findings::{case, conclude};
use super::{Context, Exit, Failure, fault_failure};
use crate::detect::database::DatabasePolicy;
use crate::engine::scan_database::run as scan;

/// Arguments of `scan database`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis scan database       (names that are expected go into policies/database.yml)")]
pub struct DatabaseArgs {}

/// Scans the catalog.
pub async fn run(_args: DatabaseArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let database = ctx.database(&deployment)?;
    let policy = DatabasePolicy::from_texts(&deployment.policies.texts)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()).hint("docs/POLICIES.md names every key"))?;
    let journal = case(ctx, &deployment)?;
    let began = deployment.clock.elapsed();
    let result = scan(database.as_ref(), &policy)
        .await
        .map_err(|fault| fault_failure(&format!("failed to scan {}", database.describe()), &fault))?;
    let (mut summary, complete) = (result.summary(), result.complete());
    let elapsed = deployment.clock.elapsed().saturating_sub(began).as_millis();
    summary.insert("elapsed_ms".into(), u64::try_from(elapsed).unwrap_or(u64::MAX).into());
    conclude(ctx, &deployment, journal.as_ref(), "database", result.findings, summary, complete).await
}
