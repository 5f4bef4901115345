use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::steps::{Live, since_opened, told_lines};
use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{IncidentId, Moment, Plan};
use crate::engine::notice_words;
use crate::engine::notices::{GRACE, Notices};
use crate::engine::resume::resume;
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
    let journal = Arc::new(ctx.open_case(&deployment)?);
    if !ctx.confirm("If the gate opens, this lets trading in again.")? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched"));
    }
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
    let notices = Notices::new(&deployment, Some(&journal), &ctx.settings.operator);
    if let Some(until) = &ended.monitor_until {
        notices.tell(Moment::Resumed, &notice_words::resumed(&until.to_string()));
    }
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    ctx.printer.emit(&Ended {
        opened: ended.opened,
        resumed: ended.monitor_until.is_some(),
        monitor_until: ended.monitor_until.map(|until| until.to_string()),
    });
    ctx.printer.say_all(&told_lines(&ctx.printer, &told));
    Ok(match (ended.opened, ended.monitor_until) {
        (_, Some(_)) => Exit::Done,
        (true, None) => Exit::Incomplete,
        (false, None) => Exit::Refused,
    })
}
