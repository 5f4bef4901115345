use serde::Serialize;

use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::baseline_file;
use crate::detect::database::Baseline;
use crate::ports::GuardReport;
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis install      (in peacetime; again at any time: it repairs what was altered and keeps the pause as it is)")]
pub struct InstallArgs {}

#[derive(Debug, Serialize)]
struct GuardRecord {
    done: String,
    #[serde(flatten)]
    report: GuardReport,
}

impl Record for GuardRecord {
    const TYPE: &'static str = "guard";
    fn text(&self, printer: &Printer) -> String {
        let style = if self.report.installed { Style::Good } else { Style::Bad };
        let mut text = format!("guard  {}  ({})", printer.paint(style, clean(&self.report.detail)), clean(&self.done));
        text.push_str(&pause_words(&self.report, 2, printer));
        text
    }
}

/// What a pause would do, and who could get past it, one a line.
pub(super) fn pause_words(report: &GuardReport, indent: usize, printer: &Printer) -> String {
    let mut text = format!("\n{:indent$}a pause: {}", "", clean(&report.way.join("; ")));
    for bypass in &report.bypass {
        let style = if bypass.grave { Style::Bad } else { Style::Warn };
        text.push_str(&format!("\n{:indent$}{} {}", "", printer.paint(style, "bypass:"), clean(&bypass.how)));
        if let Some(mend) = &bypass.mend {
            text.push_str(&format!("\n{:indent$}  {} {}", "", printer.paint(Style::Strong, "mend:"), clean(mend)));
        }
    }
    text
}

/// Puts the guard into the database and says what could get past it.
pub async fn run(_args: InstallArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let guard = deployment.guard.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no guard to install: pause.yml names none, or DATABASE_URL is not set")
            .hint("set DATABASE_URL (and PORTCULLIS_DATABASE_URL for a stronger role), and `guard:` in policies/pause.yml")
    })?;
    let failed = |fault: crate::ports::Fault| fault_failure("failed to install the guard", &fault);
    let done = guard.install().await.map_err(failed)?;
    let report = guard.inspect().await.map_err(failed)?;
    let whole = report.installed;
    let peace = ctx.open_incidents(&deployment)?.is_empty();
    // What is there in peacetime is what `scan database` compares with.
    let failed = |fault: crate::ports::Fault| fault_failure("failed to note what the database holds", &fault);
    // In an incident it would take the intruder's work for ours.
    if let Some(database) = deployment.database.as_ref().filter(|_| peace) {
        let list = database.objects().await.map_err(failed)?;
        let baseline = Baseline::of(&list, deployment.clock.now());
        baseline_file::write(&ctx.root.join(&ctx.settings.home), &baseline).map_err(failed)?;
        ctx.printer.say(format!("baseline: {} objects of the database noted", list.objects.len()));
    }
    ctx.printer.emit(&GuardRecord { done, report });
    Ok(if whole { Exit::Done } else { Exit::Failed })
}
