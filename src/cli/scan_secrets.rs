use secrecy::ExposeSecret;

use super::scan_output::{Collector, ScanSummary, case_for_findings, inputs, scan_files};
use super::{Context, Exit, Failure};
use crate::adapters::log_files::{Input, Unreadable};
use crate::detect::secrets::{MIN_VALUE, Needles, Redactor, SecretCoverage, scan_secrets};
use crate::engine::known_values;

/// Arguments of `scan secrets`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Values are looked for as they are, in base64, hex, URL, JSON and UTF-16 form, beside some 70 known forms of keys; also
inside .gz and in the history that a repository of git keeps. They are never shown.

Example:
  portcullis scan secrets /var/log backups/ src/")]
#[expect(clippy::doc_markdown, reason = "the help is plain text")]
pub struct ScanSecretsArgs {
    /// Files, folders and s3://bucket/prefix; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
}

/// Scans files for secrets.
pub async fn run(args: ScanSecretsArgs, ctx: &Context) -> Result<Exit, Failure> {
    let case = case_for_findings(ctx)?;
    let mut uncovered = Vec::new();
    let values = match ctx.deployment() {
        Ok(deployment) => known_values(&deployment, &mut uncovered).await,
        Err(failure) => {
            let why = failure.causes.first().map_or(String::new(), |cause| format!(": {cause}"));
            uncovered.push(format!("the credentials' own values ({}{why}): only known forms of keys", failure.message));
            Vec::new()
        }
    };
    let pairs: Vec<_> = values.iter().map(|(id, value)| (id.as_str(), value.expose_secret())).collect();
    let needles = Needles::new(&pairs)
        .map_err(|error| Failure::from_error(Exit::Failed, "failed to prepare the search for values", &error))?;
    for credential in needles.too_short() {
        uncovered.push(format!("the value of {credential}: shorter than {MIN_VALUE} bytes"));
    }
    let (inputs, unreadable) = inputs(ctx, &args.paths).await;
    let scan = |input: &Input, sink: &mut dyn FnMut(crate::domain::Finding)| match input.open() {
        Ok(reader) => scan_secrets(&needles, &input.name(), reader, sink),
        Err(error) => SecretCoverage { unreadable: Some(error.to_string()), ..SecretCoverage::default() },
    };
    let mut collector = Collector::new(ctx, case, Redactor::new(&pairs));
    let said = scan_files(&inputs, scan, |finding| drop(collector.give(finding)));
    let mut summary = ScanSummary { scan: "secrets", unreadable, uncovered, ..ScanSummary::default() };
    for (input, coverage) in inputs.iter().zip(said) {
        summary.files += u64::from(coverage.unreadable.is_none());
        summary.bytes += coverage.bytes;
        if let Some(what) = coverage.partly {
            summary.uncovered.push(format!("{}: {what}", input.name()));
        }
        if let Some(reason) = coverage.unreadable {
            summary.unreadable.push(Unreadable { path: input.name(), reason });
        }
    }
    collector.finish(summary)
}
