use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, Exit, Failure, audit_failure, journal_failure};
use crate::domain::{Digest, IncidentId};
use crate::engine::audit::bound_findings;
use crate::engine::findings::FINDINGS;
use crate::engine::{Deployment, Journal};
use crate::ledger::{Event, FileBinding};
use crate::report::{Facts, Form, Report, build};
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `incident report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --incident the open incident is meant, or the newest one. Every file is bound to the ledger by its digest.

Examples:
  portcullis incident report
  portcullis incident report --as stix,ocsf,timesketch,csv
  portcullis incident report --as html --copy /srv/reports/breach.html
  portcullis incident report --as markdown --copy - | less")]
pub struct ReportArgs {
    /// Forms: html, markdown, json; of the findings csv, stix, ocsf, timesketch
    #[arg(long = "as", value_name = "FORM", value_delimiter = ',', default_values = ["html", "markdown", "json"])]
    forms: Vec<Form>,
    /// Write one form there too; - is standard output
    #[arg(long, value_name = "PATH")]
    copy: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct ReportRecord {
    form: &'static str,
    path: String,
    bytes: u64,
    sha256: Digest,
}

impl Record for ReportRecord {
    const TYPE: &'static str = "report";
    fn text(&self, printer: &Printer) -> String {
        let form = printer.paint(Style::Good, format!("{:<10}", self.form));
        format!("  {form}  {}\n              sha256 {}", clean(&self.path), self.sha256)
    }
}

/// The incident that is meant: `--incident`, the open one, or the newest.
pub fn incident_or_newest(ctx: &Context, deployment: &Deployment) -> Result<IncidentId, Failure> {
    if ctx.incident.is_none() && ctx.open_incidents(deployment)?.is_empty() {
        let all =
            deployment.cases.list().map_err(|fault| super::fault_failure("failed to list the incidents", &fault))?;
        if let Some(newest) = all.last() {
            return Ok(newest.clone());
        }
    }
    ctx.incident(deployment)
}

/// The report on a case as it is now.
pub fn report_of(journal: &Journal, deployment: &Deployment) -> Result<Report, Failure> {
    let state = journal.state();
    let (findings, _) =
        bound_findings(journal.store().as_ref(), state.files.get(FINDINGS)).map_err(|e| audit_failure(&e))?;
    let (_, root) = journal.head();
    let entries = journal.entries().map_err(|error| journal_failure(&error))?;
    let facts = Facts {
        state: &state,
        entries: &entries,
        root,
        findings: &findings,
        rto_minutes: deployment.policies.recovery.rto_minutes,
        rpo_minutes: deployment.policies.recovery.rpo_minutes,
        made: deployment.clock.now(),
    };
    build(&facts).ok_or_else(|| {
        Failure::new(Exit::Corrupt, "the ledger has no first entry").hint("look at it with: portcullis audit verify")
    })
}

/// Writes the report.
pub fn run(args: &ReportArgs, ctx: &Context) -> Result<Exit, Failure> {
    if args.copy.is_some() && args.forms.len() != 1 {
        return Err(Failure::new(Exit::Usage, "one form can be copied, and several are meant")
            .hint("name it, for instance: portcullis incident report --as html --copy PATH"));
    }
    let deployment = ctx.deployment()?;
    let incident = incident_or_newest(ctx, &deployment)?;
    let journal = ctx.open_case_of(&deployment, &incident)?;
    let report = report_of(&journal, &deployment)?;
    let mut written = Vec::new();
    for form in &args.forms {
        let bytes = form
            .render(&report)
            .map_err(|error| Failure::from_error(Exit::Failed, "failed to write the report as JSON", &error))?;
        let file = bind(&journal, *form, &bytes, &report, &ctx.settings.operator)?;
        if let Some(path) = &args.copy {
            copy(path, &bytes, ctx)?;
        }
        let path = journal.store().location().join(&file.path).display().to_string();
        written.push(ReportRecord { form: form.as_str(), path, bytes: file.bytes, sha256: file.sha256 });
    }
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    if args.copy.as_deref() == Some(Path::new("-")) {
        return Ok(Exit::Done);
    }
    for record in &written {
        ctx.printer.emit(record);
    }
    if written.iter().any(|record| record.form == "html") {
        ctx.printer.say("\nopen the HTML in any browser: it needs no network; the ledger names its digest");
    }
    Ok(Exit::Done)
}

fn bind(journal: &Journal, form: Form, bytes: &[u8], report: &Report, operator: &str) -> Result<FileBinding, Failure> {
    let write = || {
        let file = journal.write_file(form.file(), bytes)?;
        journal.record(Event::ReportWritten {
            form: form.as_str().to_owned(),
            entries: report.ledger.entries,
            root: report.ledger.root,
            file: file.clone(),
            operator: operator.to_owned(),
        })?;
        Ok(file)
    };
    write().map_err(|error| journal_failure(&error))
}

fn copy(path: &Path, bytes: &[u8], ctx: &Context) -> Result<(), Failure> {
    if path == Path::new("-") {
        ctx.printer.raw(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        return Ok(());
    }
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        Failure::from_error(Exit::Failed, format!("failed to write {}", path.display()), &error)
            .hint("the report is in the case folder all the same; give another path with --copy")
    })
}
