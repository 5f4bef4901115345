use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::steps::{Live, since_opened, told_lines};
use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{IncidentId, Moment, Plan, Timestamp};
use crate::engine::notice_words;
use crate::engine::notices::{GRACE, Notices};
use crate::engine::resume::resume;
use crate::engine::{Deployment, Journal};
use crate::ledger::{GateCheck, Verdict};
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis resume      (asks the gate on the bytes of this moment; every check is printed, pass or refuse)")]
pub struct ResumeArgs {}

/// A gate check's record.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct GateRecord<'a>(pub &'a GateCheck);

impl Record for GateRecord<'_> {
    const TYPE: &'static str = "gate";
    fn text(&self, printer: &Printer) -> String {
        let verdict = match self.0.verdict {
            Verdict::Pass => printer.paint(Style::Good, "pass  "),
            Verdict::Refuse => printer.paint(Style::Bad, "REFUSE"),
        };
        format!("  {verdict} {:<28} {}", clean(&self.0.check), clean(&self.0.reason))
    }
}

#[derive(Debug, Serialize)]
struct Ended {
    opened: bool,
    resumed: bool,
    monitor_until: Option<String>,
}

impl Record for Ended {
    const TYPE: &'static str = "resumed";
    fn text(&self, printer: &Printer) -> String {
        match (&self.monitor_until, self.opened) {
            (Some(until), _) => format!(
                "\n{}  trading is let in again; enhanced monitoring until {until}",
                printer.paint(Style::Good, "RESUMED")
            ),
            (None, true) => format!(
                "\n{}  the gate opened, but not every switch was released: run resume again",
                printer.paint(Style::Bad, "NOT RESUMED")
            ),
            (None, false) => format!(
                "\n{}  the gate stays shut; mend each refusal above, then run resume again",
                printer.paint(Style::Bad, "REFUSED")
            ),
        }
    }
}

/// Asks the gate and, if every check passes, lets trading in again.
pub async fn run(_args: ResumeArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    if let Some(journal) = ctx.cut_short(&deployment)? {
        return finish(&deployment, &Arc::new(journal), ctx).await;
    }
    let journal = Arc::new(ctx.open_case(&deployment)?);
    if !ctx.confirm("If the gate opens, this lets trading in again.")? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched"));
    }
    unchanged(&deployment, ctx)?;
    let state = journal.state();
    let title = format!("resume  {}", state.incident.as_ref().map_or("", IncidentId::as_str));
    let objective = Duration::from_mins(deployment.policies.recovery.rto_minutes);
    // Its steps are planned only when the gate has opened.
    let live = Live::new(ctx, title, &Plan::default(), Some(objective), since_opened(&deployment, &state));
    let ended = resume(&deployment, &journal, &ctx.settings.operator, &|event| live.hear(&event)).await;
    live.finish();
    let ended = ended.map_err(|error| super::audit_failure(&error))?;
    for check in &ended.checks {
        ctx.printer.emit(&GateRecord(check));
    }
    end(&deployment, &journal, ctx, ended.opened, ended.monitor_until).await?;
    Ok(match (ended.opened, ended.monitor_until) {
        (_, Some(_)) => Exit::Done,
        (true, None) => Exit::Incomplete,
        (false, None) => Exit::Refused,
    })
}

/// The question may have waited for hours: an approver who was revoked meanwhile must not count.
fn unchanged(deployment: &Deployment, ctx: &Context) -> Result<(), Failure> {
    if ctx.policies()?.digests() == deployment.policies.digests() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "the policies were changed while this waited for you; nothing was touched")
        .hint("run it again: portcullis resume"))
}

/// What an earlier run had left to do when it died after the last switch was released.
async fn finish(deployment: &Deployment, journal: &Arc<Journal>, ctx: &Context) -> Result<Exit, Failure> {
    let until = journal.state().resumed.map(|(_, until)| until);
    end(deployment, journal, ctx, true, until).await?;
    Ok(Exit::Done)
}

/// People are told, the ledger is signed to its end, the outcome is said.
async fn end(
    deployment: &Deployment,
    journal: &Arc<Journal>,
    ctx: &Context,
    opened: bool,
    until: Option<Timestamp>,
) -> Result<(), Failure> {
    let notices = Notices::new(deployment, Some(journal), &ctx.settings.operator);
    if let Some(until) = &until {
        notices.tell(Moment::Resumed, &notice_words::resumed(&until.to_string()));
    }
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    let monitor_until = until.map(|until| until.to_string());
    ctx.printer.emit(&Ended { opened, resumed: monitor_until.is_some(), monitor_until });
    ctx.printer.say_all(&told_lines(&ctx.printer, &told));
    Ok(())
}
