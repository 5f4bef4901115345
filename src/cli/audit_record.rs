use serde::Serialize;

use crate::domain::{Digest, counted};
use crate::engine::Journal;
use crate::engine::audit::{AuditError, current_record};
use crate::gate::statement::Predicate;
use crate::gate::{RECORD, REFUSAL_NAMESPACE, Statement};
use crate::ui::{Printer, Record, Style, clean};

/// The record, for people.
#[derive(Debug, Serialize)]
pub struct RecordRecord {
    path: String,
    sha256: Digest,
    statement: Statement,
}

impl RecordRecord {
    /// The current record of a case.
    pub fn of(journal: &Journal) -> Result<Self, AuditError> {
        let bytes = current_record(journal)?;
        let path = journal.store().location().join(RECORD).display().to_string();
        Ok(Self { path, sha256: Digest::of(&bytes), statement: Statement::parse(&bytes)? })
    }

    /// Digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.sha256
    }

    /// Where it lies, safe to print.
    pub fn place(&self) -> String {
        clean(&self.path).into_owned()
    }

    /// How an approver signs it.
    pub fn how_to_sign(&self) -> String {
        format!("ssh-keygen -Y sign -f KEY -n {} {}", self.statement.purpose().namespace(), self.place())
    }

    /// How somebody on the roster refuses it.
    pub fn how_to_refuse(&self) -> String {
        format!("ssh-keygen -Y sign -f KEY -n {REFUSAL_NAMESPACE} {}", self.place())
    }
}

impl Record for RecordRecord {
    const TYPE: &'static str = "record";
    fn text(&self, printer: &Printer) -> String {
        let predicate = &self.statement.predicate;
        let mut lines = vec![
            format!("{}  {}", printer.paint(Style::Strong, "audit record"), clean(&self.path)),
            format!("  fingerprint  {}", printer.paint(Style::Strong, self.sha256.short())),
            format!("  sha256       {}", self.sha256),
        ];
        if let Some(glass) = &predicate.break_glass {
            let word = printer.paint(Style::Bad, "BREAK-GLASS");
            lines.push(format!("  {word}  {}", clean(&glass.reason)));
            lines.push(format!("  waived       {}", clean(&glass.waived.join(", "))));
            lines.push(format!("  not before   {}", glass.not_before));
        }
        head(predicate, &mut lines);
        contained(predicate, printer, &mut lines);
        examined(predicate, &mut lines);
        left(predicate, printer, &mut lines);
        lines.join("\n")
    }
}

fn head(predicate: &Predicate, lines: &mut Vec<String>) {
    let incident = &predicate.incident;
    lines.push(format!("  incident     {}: {}", incident.id, clean(&incident.reason)));
    lines.push(format!("  opened       {} by {}", incident.opened, clean(&incident.operator)));
    if let Some(executor) = &predicate.executor {
        lines.push(format!("  made by      {}", clean(executor)));
    }
    lines.push(format!("  acted        {}", clean(&predicate.operators.join(", "))));
    lines.push(format!("  valid        {} until {}", predicate.issued, predicate.expires));
    lines.push(format!("  ledger       {} entries, root {}", predicate.ledger.size, predicate.ledger.root));
    if !predicate.policies_changed.is_empty() {
        lines.push(format!("  policies     CHANGED since: {}", clean(&predicate.policies_changed.join(", "))));
    }
}

fn contained(predicate: &Predicate, printer: &Printer, lines: &mut Vec<String>) {
    let pause = if predicate.pause.proven {
        printer.paint(Style::Good, "proven")
    } else {
        printer.paint(Style::Bad, "NOT PROVEN")
    };
    let since = predicate.pause.since.map_or(String::new(), |since| format!(" since {since}"));
    lines.push(format!("  pause        {pause}{since}: {}", clean(&predicate.pause.detail)));
    if predicate.pause.since.is_some() {
        let words = if predicate.pause.interruptions.is_empty() { "no".to_owned() } else { "YES".to_owned() };
        lines.push(format!("  ever off     {words}"));
    }
    for interruption in &predicate.pause.interruptions {
        lines.push(format!("               entry {}: {}", interruption.entry, clean(&interruption.what)));
    }
    for (id, credential) in &predicate.credentials {
        let dead = credential.new_accepted && credential.old_refused;
        let word = if dead { printer.paint(Style::Good, "dead") } else { printer.paint(Style::Bad, "NOT PROVEN DEAD") };
        lines.push(format!(
            "  credential   {id}: old value {word} ({}), {}",
            clean(&credential.strength),
            clean(&credential.detail)
        ));
    }
}

fn examined(predicate: &Predicate, lines: &mut Vec<String>) {
    for (name, scan) in &predicate.scans {
        let whole = if scan.complete { "complete" } else { "NOT complete" };
        let count = |key: &str| scan.coverage.get(key).and_then(serde_json::Value::as_u64);
        let lists = |key: &str| scan.coverage.get(key).and_then(serde_json::Value::as_array).map_or(0, Vec::len);
        let mut words =
            format!("  scan         {}: {}, {whole}", clean(name), counted(scan.findings, "finding", "findings"));
        for (key, unit) in [("events", "events"), ("rows", "rows"), ("rules", "rules")] {
            if let Some(number) = count(key) {
                words.push_str(&format!(", {number} {unit}"));
            }
        }
        for (key, unit) in
            [("rules_skipped", "rules skipped"), ("unreadable", "unreadable"), ("uncovered", "uncovered")]
        {
            let number = lists(key);
            if number > 0 {
                words.push_str(&format!(", {number} {unit}"));
            }
        }
        lines.push(words);
    }
    let open: u64 = predicate.findings.open.values().sum();
    lines.push(format!("  findings     {} decided, {open} open", predicate.findings.decided.len()));
    if let Some(backup) = &predicate.recovery.backup {
        lines.push(format!("  restored     {}", clean(backup)));
    }
    if !predicate.checklist.is_empty() {
        let open = predicate.checklist.iter().filter(|item| !item.done).count();
        lines.push(format!("  checklist    {} items, {open} open", predicate.checklist.len()));
    }
    for (item, person) in &predicate.attested {
        lines.push(format!("  attested     {} by {}", clean(item), clean(person)));
    }
}

fn left(predicate: &Predicate, printer: &Printer, lines: &mut Vec<String>) {
    for exception in &predicate.exceptions {
        let outcome = exception.outcome.map_or("in flight".to_owned(), |outcome| outcome.to_string());
        let word = printer.paint(Style::Warn, outcome);
        lines.push(format!("  exception    {word} {}: {}", clean(&exception.target), clean(&exception.detail)));
    }
    for refused in &predicate.refused {
        let (approver, record) = (clean(&refused.approver), refused.record.short());
        lines.push(format!("  refused      record {record} by {approver}, entry {}", refused.entry));
    }
    for risk in &predicate.residual_risks {
        lines.push(format!("  risk         {}", clean(risk)));
    }
    let roles = predicate.quorum.roles.iter().map(|(role, count)| format!("{count} of them {}", clean(role)));
    let asked: Vec<_> = std::iter::once(format!("{} people", predicate.quorum.threshold)).chain(roles).collect();
    lines.push(format!("  quorum       {}", asked.join(", ")));
}
