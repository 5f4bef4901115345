//! What becomes of findings: seen once, printed, kept, told, acted on.

use std::sync::atomic::Ordering;

use super::account;
use super::eyes::Watch;
use crate::cli::findings::FindingRecord;
use crate::cli::pause;
use crate::domain::Finding;
use crate::ui::clean;

/// Alerts that wait for the case before the oldest are dropped, and said to be.
const WAITING: usize = 5_000;

impl Watch<'_> {
    /// Takes findings of one look.
    pub(super) fn found(&mut self, findings: Vec<Finding>) {
        for mut finding in findings {
            if finding.rule.level < self.from_level || !self.seen.is_new(&finding.id) {
                continue;
            }
            self.redactor.redact(&mut finding);
            self.ctx.printer.emit(&FindingRecord(&finding));
            self.stretch.alerts += 1;
            self.summary.alerts += 1;
            self.numbers.alerts[finding.rule.level as usize].fetch_add(1, Ordering::Relaxed);
            if self.auto_pause.is_some_and(|level| finding.rule.level >= level) {
                self.drop_gate.get_or_insert_with(|| finding.rule.title.clone());
            }
            self.untold.push(finding.clone());
            self.unwritten.push(finding);
        }
        if self.unwritten.len() > WAITING {
            let more = self.unwritten.len() - WAITING;
            self.unwritten.drain(..more);
            self.missed(format!("{more} alerts could not be kept: the case was not to be had for too long"));
        }
    }

    /// Drops the gate if an alert wants it: by the path of `pause on`, which proves it by a refused trade.
    pub(super) async fn act(&mut self) {
        let Some(rule) = self.drop_gate.take() else { return };
        let reason = format!("watch: {}", clean(&rule));
        match pause::at_once(reason, self.ctx).await {
            Ok(exit) => {
                self.summary.pauses += 1;
                self.numbers.pauses.fetch_add(1, Ordering::Relaxed);
                if exit != crate::cli::Exit::Done {
                    self.missed("the pause was not complete: portcullis pause on, and by hand".to_owned());
                }
                // The gate that is down now was dropped by us.
                self.guard = None;
            }
            Err(failure) => {
                let words = format!("the gate could not be dropped: {} {}", failure.message, failure.causes.join(": "));
                self.ctx.printer.warn(clean(&words));
                self.missed(words);
                // An alert stays one until something was done.
                self.drop_gate = Some(rule);
            }
        }
    }

    /// Writes alerts into the case, and tells the contacts.
    pub(super) async fn keep(&mut self) {
        if let Some(incident) = &self.incident
            && !self.unwritten.is_empty()
        {
            match account::alerts(&self.deployment, incident, &self.unwritten) {
                Ok(()) => self.unwritten.clear(),
                Err(reason) => tracing::info!(%reason, "the case is not to be had now"),
            }
        } else {
            self.unwritten.clear();
        }
        self.numbers.waiting.store(self.unwritten.len() as u64, Ordering::Relaxed);
        if !self.untold.is_empty() && self.due("told", 10) {
            let found = std::mem::take(&mut self.untold);
            account::tell(&self.deployment, self.incident.as_ref(), &found, &self.ctx.settings.operator).await;
        }
    }
}
