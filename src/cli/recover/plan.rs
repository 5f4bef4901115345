//! What a recovery would do: its phases, the backup that it would take today, and every step. Nothing is stopped, changed or recorded.

use super::{PhaseRecord, RecoverCommand, Symptom, identify, phases};
use crate::cli::lockdown::check_known;
use crate::cli::restore::{self, RestoreArgs};
use crate::cli::steps::show_steps;
use crate::cli::{Context, Exit, Failure, journal_failure};
use crate::engine::Journal;
use crate::engine::lockdown::plan_lockdown;

/// Shows it; failed if no backup would be put back.
pub(super) async fn show(command: &RecoverCommand, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let compromised = match command {
        RecoverCommand::Breach(args) => args.compromised.as_slice(),
        _ => &[],
    };
    check_known(&deployment, compromised)?;
    let phases = phases(command.scenario(), command.bundle().is_some());
    let (mut steps, mut ended) = (0, Exit::Done);
    for (index, (phase, words)) in phases.iter().copied().enumerate() {
        ctx.printer.emit(&PhaseRecord { phase, number: index + 1, phases: phases.len(), words });
        match phase {
            "configuration" => {
                let read = command.bundle().map(|bundle| (bundle.display().to_string(), std::fs::metadata(bundle)));
                if let Some((bundle, read)) = read {
                    let (well, detail) = match read {
                        Ok(file) if file.is_file() => (true, format!("{} bytes", file.len())),
                        Ok(_) => (false, "it is no file".into()),
                        Err(error) => (false, error.to_string()),
                    };
                    ctx.printer.emit(&Symptom { what: format!("bundle {bundle}"), well, detail });
                    ended = if well { ended } else { Exit::Failed };
                }
            }
            "symptoms" => identify(ctx, &deployment).await,
            "lockdown" => {
                let open = ctx.incident.is_some() || !ctx.open_incidents(&deployment)?.is_empty();
                let case = if open { Some(ctx.peek_case(&deployment)?) } else { None };
                let state = case.map(|case| Journal::read_state(case.as_ref())).transpose();
                let state = state.map_err(|error| journal_failure(&error))?;
                steps += show_steps(ctx, &plan_lockdown(&deployment, state.as_ref(), compromised));
            }
            "restore" => {
                let args = RestoreArgs { plan: true, ..command.restore() };
                match restore::show(&args, ctx, &deployment).await {
                    Ok((shown, Exit::Done)) => steps += shown,
                    Ok(_) => ended = Exit::Failed,
                    // What comes after it is shown all the same.
                    Err(failure) => {
                        ctx.printer.error(&failure.message, &failure.causes, failure.hint.as_deref());
                        ended = Exit::Failed;
                    }
                }
                if command.scenario() == "breach" {
                    ctx.printer.say("  what the scans before it find may rule this backup out");
                }
            }
            _ => {}
        }
    }
    ctx.printer.say(format!("\n{steps} steps; nothing was touched."));
    Ok(ended)
}
