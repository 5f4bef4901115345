//! What people decide of findings.

use super::Journal;
use super::audit::{AuditError, bound_findings};
use super::findings::FINDINGS;
use crate::domain::{Finding, Level};
use crate::ledger::Event;

/// Which findings are meant.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// By id, or by the first 8 or more characters of one.
    pub ids: Vec<String>,
    /// All of a rule.
    pub rule: Option<String>,
    /// All at or below a level.
    pub at_most: Option<Level>,
    /// All that nobody has decided on.
    pub open: bool,
}

impl Choice {
    fn takes(&self, finding: &Finding, decided: bool) -> bool {
        let named = self.ids.iter().any(|id| id.len() >= 8 && finding.id.starts_with(id.as_str()));
        let filtered = (self.rule.is_some() || self.at_most.is_some() || self.open)
            && self.rule.as_ref().is_none_or(|rule| *rule == finding.rule.id)
            && self.at_most.is_none_or(|level| finding.rule.level <= level)
            && !(self.open && decided);
        named || filtered
    }
}

/// The findings of the case that are meant; ids that fit none are returned as the error.
pub fn choose(journal: &Journal, choice: &Choice) -> Result<Result<Vec<Finding>, Vec<String>>, AuditError> {
    let state = journal.state();
    let (findings, _) = bound_findings(journal.store().as_ref(), state.files.get(FINDINGS))?;
    let unknown: Vec<String> = choice
        .ids
        .iter()
        .filter(|id| id.len() < 8 || !findings.iter().any(|one| one.id.starts_with(id.as_str())))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Ok(Err(unknown));
    }
    let chosen = findings.into_iter().filter(|one| choice.takes(one, state.dispositions.contains_key(&one.id)));
    Ok(Ok(chosen.collect()))
}

/// Records the decision. `verdict` is `benign`, `confirmed` or `unknown`.
pub fn dispose(
    journal: &Journal,
    findings: &[Finding],
    verdict: &str,
    note: &str,
    operator: &str,
) -> Result<(), AuditError> {
    journal.record(Event::FindingDisposed {
        findings: findings.iter().map(|finding| finding.id.clone()).collect(),
        verdict: verdict.to_owned(),
        note: note.to_owned(),
        operator: operator.to_owned(),
    })?;
    journal.checkpoint()?;
    Ok(())
}
