use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::findings::{case, conclude};
use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::baseline_file;
use crate::detect::backup::{Dialect, survey};
use crate::detect::database::{DatabasePolicy, Known, Migrations, dump_findings};
use crate::detect::logs::{Decoded, decode};
use crate::engine::scan_database::run_since as scan;

/// Where Prisma keeps migrations.
const MIGRATIONS: &str = "prisma/migrations";

/// Arguments of `scan database`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis scan database       (names that are expected go into policies/database.yml)
  portcullis scan database --dump backups/db_backup_20261124_120000.sql.gz")]
pub struct DatabaseArgs {
    /// Look into a dump's text, and at no database
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Prisma's migrations: what they make is expected
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,
}

/// Scans the catalog.
pub async fn run(args: DatabaseArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let began = deployment.clock.elapsed();
    let elapsed = || {
        let millis = deployment.clock.elapsed().saturating_sub(began).as_millis();
        Value::from(u64::try_from(millis).unwrap_or(u64::MAX))
    };
    let journal = case(ctx, &deployment)?;
    if let Some(path) = &args.dump {
        let (found, mut summary, complete) = dump(path, &args, ctx)?;
        summary.insert("elapsed_ms".into(), elapsed());
        return conclude(ctx, &deployment, journal.as_ref(), "dump", found, summary, complete).await;
    }
    let database = ctx.database(&deployment)?;
    let policy = DatabasePolicy::from_texts(&deployment.policies.texts)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()).hint("docs/POLICIES.md names every key"))?;
    let known = known(&args, ctx, database.dialect())?;
    let result = scan(database.as_ref(), &policy, &known)
        .await
        .map_err(|fault| fault_failure(&format!("failed to scan {}", database.describe()), &fault))?;
    let (mut summary, complete) = (result.summary(), result.complete());
    summary.insert("baseline".into(), json!(known.baseline.as_ref().map(|baseline| baseline.taken)));
    summary.insert("elapsed_ms".into(), elapsed());
    conclude(ctx, &deployment, journal.as_ref(), "database", result.findings, summary, complete).await
}

/// The baseline of `install`, and the migrations: those asked for, else Prisma's usual folder if there is one.
fn known(args: &DatabaseArgs, ctx: &Context, dialect: &str) -> Result<Known, Failure> {
    let failed = |fault: crate::ports::Fault| fault_failure("failed to learn what is expected in the database", &fault);
    let baseline = baseline_file::read(&ctx.root.join(&ctx.settings.home)).map_err(failed)?;
    let migrations = migrations(args, ctx, Dialect::named(dialect).unwrap_or(Dialect::Postgres))?;
    Ok(Known { baseline, migrations })
}

fn migrations(args: &DatabaseArgs, ctx: &Context, dialect: Dialect) -> Result<Migrations, Failure> {
    let failed = |fault: crate::ports::Fault| fault_failure("failed to read the migrations", &fault);
    let usual = ctx.root.join(MIGRATIONS);
    let folder = args.migrations.clone().or_else(|| usual.is_dir().then_some(usual));
    let migrations = folder.map(|folder| baseline_file::migrations(&folder, dialect)).transpose().map_err(failed)?;
    Ok(migrations.unwrap_or_default())
}

type Scanned = (Vec<crate::domain::Finding>, Map<String, Value>, bool);

fn dump(path: &Path, args: &DatabaseArgs, ctx: &Context) -> Result<Scanned, Failure> {
    let shown = path.display().to_string();
    let failed = |error: std::io::Error| Failure::from_error(Exit::Failed, format!("failed to read {shown}"), &error);
    let open = || -> std::io::Result<Box<dyn std::io::Read>> {
        match decode(std::fs::File::open(path)?)? {
            Decoded::Stream(stream) => Ok(Box::new(stream)),
            Decoded::Unsupported(what) => {
                Err(std::io::Error::other(format!("it is compressed as {what}; gzip is read")))
            }
        }
    };
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(open().map_err(failed)?, 4096), &mut head).map_err(failed)?;
    let dialect = Dialect::guess(&head);
    let survey = survey(BufReader::new(open().map_err(failed)?), dialect)
        .map_err(|error| Failure::from_error(Exit::Failed, format!("failed to read {shown}"), &error))?;
    let found = dump_findings(&shown, &survey, &migrations(args, ctx, dialect)?, dialect);
    let mut uncovered = Vec::new();
    if let Some(why) = &survey.incomplete {
        uncovered.push(json!({"policy": "dump", "reason": why}));
    }
    let more = survey.suspicious.saturating_sub(survey.suspicions.len() as u64);
    if more > 0 {
        uncovered.push(json!({"policy": "dump", "reason": format!("{more} further statements are not listed")}));
    }
    let complete = uncovered.is_empty();
    let mut summary = Map::new();
    summary.insert("scan".into(), "dump".into());
    summary.insert("files".into(), 1.into());
    summary.insert("bytes".into(), survey.bytes.into());
    summary.insert("events".into(), survey.statements.into());
    summary.insert("findings".into(), found.len().into());
    summary.insert("rules".into(), 1.into());
    summary.insert("uncovered".into(), uncovered.into());
    Ok((found, summary, complete))
}
