use super::charts;
use super::page::{Cell, Page};
use crate::ledger::Verdict;
use crate::report::build::{grouped, span};
use crate::report::model::{Moment, Report};
use crate::report::scope::Seen;

/// Names in one cell.
const SHORT: usize = 8;
/// Names listed in each table of the scope.
const NAMES: usize = 50;
/// Moments of the timeline that are written out.
const MOMENTS: usize = 1_500;

pub fn header(page: &mut Page, report: &Report) {
    let incident = &report.incident;
    page.raw("<header>\n<h1>Incident report ").text(&incident.id).raw("</h1>\n<p>");
    match incident.resumed {
        Some(_) => page.styled("good", "Resumed"),
        None => page.styled("bad", "Open: trading is stopped"),
    };
    page.raw(" · opened ").text(incident.opened.to_string()).raw(" by ").text(&incident.operator);
    page.raw(" · reason: ").text(&incident.reason).raw("</p>\n");
}

/// A time to the second; the whole is in `report.json`.
pub(super) fn short(time: crate::domain::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn fact(page: &mut Page, name: &'static str, value: &str) {
    page.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
}

pub fn summary(page: &mut Page, report: &Report) {
    let objectives = &report.objectives;
    let after = |ms: Option<u64>| ms.map_or("not proven".to_owned(), span);
    page.section("summary", "Summary").raw("<dl class=\"facts\">");
    fact(page, "Trading stopped after", &after(objectives.pause_ms));
    fact(page, "Old values dead after", &after(objectives.contained_ms));
    fact(page, "Objective", &format!("{} min", objectives.rto_minutes));
    fact(page, "Findings", &report.findings.len().to_string());
    let money = &report.scope.money;
    let worth =
        if money.rows == 0 { "none".to_owned() } else { format!("{} in {} trades", grouped(&money.total), money.rows) };
    fact(page, "Money at risk", &worth);
    fact(page, "Approvals", &report.approvals.len().to_string());
    page.raw("</dl>\n<ul>");
    for sentence in &report.summary {
        page.raw("<li>").text(sentence).raw("</li>");
    }
    page.raw("</ul>\n");
}

pub fn happened(page: &mut Page, report: &Report) {
    page.section("timeline", "What happened");
    charts::findings(page, report);
    charts::response(page, report);
    let skipped = report.timeline.len().saturating_sub(MOMENTS);
    page.raw("<details><summary>Every moment (").count(report.timeline.len() as u64).raw(")</summary>\n");
    if skipped > 0 {
        page.raw("<p class=\"warn\">The first ").count(skipped as u64);
        page.raw(" are left out here; all are in <code>report.json</code>.</p>");
    }
    page.table("Timeline", &["Time (UTC)", "Kind", "What"], |rows| {
        for Moment { time, kind, finding, words } in report.timeline.iter().skip(skipped) {
            let style = if *finding { "bad" } else { "dim" };
            rows.row(&[Cell::Time(&short(*time)), Cell::Styled(style, kind), Cell::Text(words)]);
        }
    });
    page.raw("</details>\n");
}

fn seen(page: &mut Page, caption: &str, all: &[Seen]) {
    page.table(caption, &["Name", "Highest level", "Findings", "First", "Last"], |rows| {
        for one in all.iter().take(NAMES) {
            let time = |time: Option<crate::domain::Timestamp>| time.map_or(String::new(), short);
            rows.row(&[
                Cell::Mono(&one.name),
                Cell::Styled(charts::class(one.highest), one.highest.as_str()),
                Cell::Count(one.findings),
                Cell::Time(&time(one.first)),
                Cell::Time(&time(one.last)),
            ]);
        }
    });
    if all.len() > NAMES {
        page.raw("<p class=\"warn\">").count((all.len() - NAMES) as u64);
        page.raw(" more are in <code>report.json</code>.</p>\n");
    }
}

pub fn scope(page: &mut Page, report: &Report) {
    let scope = &report.scope;
    page.section("scope", "Scope");
    page.raw("<p>Who and what is named by the findings that nobody called benign. A name here is a lead, not a verdict.</p>\n");
    seen(page, "Identities and keys", &scope.identities);
    seen(page, "Accounts", &scope.accounts);
    seen(page, "Addresses", &scope.addresses);
    seen(page, "Files and tables", &scope.places);
    actors(page, report);
    page.raw("<h3>Money at risk</h3>\n<p>")
        .count(scope.money.rows)
        .raw(" rows of the trade table, each counted once, worth ");
    page.text(grouped(&scope.money.total)).raw(" in the table’s own unit; the worth of ").count(scope.money.unknown);
    page.raw(" can’t be told (deleted, or without amounts).</p>\n");
    page.table("Money at risk by instrument", &["Instrument", "Worth"], |rows| {
        for (name, worth) in scope.money.by_instrument.iter().take(NAMES) {
            rows.row(&[Cell::Mono(name), Cell::Text(&grouped(worth))]);
        }
    });
}

/// Who did it: findings that share a key, a user, a session or an address.
fn actors(page: &mut Page, report: &Report) {
    let head = ["Actor", "Known by", "First", "Last", "Level", "Findings", "Reached", "Joined by"];
    page.table("Actors", &head, |rows| {
        for actor in report.actors.actors.iter().take(NAMES) {
            let time = |time: Option<crate::domain::Timestamp>| time.map_or(String::new(), short);
            rows.row(&[
                Cell::Mono(&actor.id),
                Cell::Text(&actor.known_by(SHORT)),
                Cell::Time(&time(actor.first)),
                Cell::Time(&time(actor.last)),
                Cell::Styled(charts::class(actor.highest), actor.highest.as_str()),
                Cell::Count(actor.findings),
                Cell::Text(&actor.reached.words(SHORT)),
                Cell::Text(&actor.reasons(SHORT)),
            ]);
        }
    });
    if report.actors.actors.len() > NAMES {
        page.raw("<p class=\"warn\">").count((report.actors.actors.len() - NAMES) as u64);
        page.raw(" more are in <code>report.json</code>.</p>\n");
    }
}

pub fn credentials(page: &mut Page, report: &Report) {
    page.section("credentials", "Credentials");
    let head = ["Credential", "Old value", "New value", "Proven by", "Entry", "Words of the proof"];
    page.table("Each credential with its proof", &head, |rows| {
        for line in &report.credentials {
            let name = if line.compromised { format!("{} (compromised)", line.id) } else { line.id.clone() };
            let old = if line.old_refused { ("good", "refused") } else { ("bad", "NOT proven dead") };
            let new = if line.new_accepted { ("good", "accepted") } else { ("bad", "NOT proven alive") };
            let entry = line.entry.map_or("none".to_owned(), |entry| entry.to_string());
            rows.row(&[
                Cell::Mono(&name),
                Cell::Styled(old.0, &format!("{} {}", old.1, line.old.as_deref().unwrap_or("(not known)"))),
                Cell::Styled(new.0, &format!("{} {}", new.1, line.new.as_deref().unwrap_or("(none)"))),
                Cell::Text(&line.strength),
                Cell::Text(&entry),
                Cell::Text(&line.detail),
            ]);
        }
    });
}

pub fn containment(page: &mut Page, report: &Report) {
    let objectives = &report.objectives;
    page.section("containment", "Containment").raw("<p>The pause: ");
    match objectives.pause_proven {
        true => page.styled("good", "proven by a refused trade"),
        false if report.incident.resumed.is_some() => page.styled("dim", "lifted by the resume"),
        false => page.styled("bad", "NOT proven"),
    };
    page.raw(". The last trial of a trade: ").text(&objectives.pause_detail).raw("</p>\n");
    page.table("Steps that did not end well", &["Step", "Outcome", "What was seen", "Attested by"], |rows| {
        for one in &report.exceptions {
            rows.row(&[
                Cell::Mono(&one.step),
                Cell::Styled("bad", &one.outcome),
                Cell::Text(&one.detail),
                Cell::Text(one.attested.as_deref().unwrap_or("nobody")),
            ]);
        }
    });
    page.raw("<details><summary>Every step (").count(report.steps.len() as u64).raw(")</summary>\n");
    page.table("Steps", &["Step", "Phase", "On", "Outcome", "Tries", "Took", "Entry"], |rows| {
        for step in &report.steps {
            let good = matches!(step.outcome.as_str(), "done" | "already");
            rows.row(&[
                Cell::Mono(&step.id),
                Cell::Text(&step.phase),
                Cell::Text(&step.target),
                Cell::Styled(if good { "good" } else { "bad" }, &step.outcome),
                Cell::Count(u64::from(step.attempts)),
                Cell::Text(&span(step.elapsed_ms)),
                Cell::Count(step.entry),
            ]);
        }
    });
    page.raw("</details>\n");
    page.table("Who was told", &["Contact", "Of", "Outcome"], |rows| {
        for (contact, moment, outcome) in &report.notices {
            let style = if outcome == "sent" { "good" } else { "warn" };
            rows.row(&[Cell::Text(contact), Cell::Text(moment), Cell::Styled(style, outcome)]);
        }
    });
}

pub fn coverage(page: &mut Page, report: &Report) {
    page.section("coverage", "Coverage");
    page.table("What was scanned", &["Scan", "Findings", "Complete", "What it read"], |rows| {
        for scan in &report.scans {
            let numbers: Vec<String> = scan
                .coverage
                .iter()
                .filter(|(key, value)| value.is_number() && *key != "findings")
                .map(|(key, value)| format!("{key} {value}"))
                .collect();
            let complete = if scan.complete { ("good", "yes") } else { ("bad", "NO") };
            rows.row(&[
                Cell::Text(&scan.name),
                Cell::Count(scan.findings),
                Cell::Styled(complete.0, complete.1),
                Cell::Text(&numbers.join(", ")),
            ]);
        }
    });
    page.raw("<h3>What was not covered</h3>\n<ul>");
    for words in &report.uncovered {
        page.raw("<li>").text(words).raw("</li>");
    }
    if report.uncovered.is_empty() {
        page.raw("<li>Nothing that the scans know of. What no scan was pointed at, none can know of.</li>");
    }
    page.raw("</ul>\n");
}

pub fn recovery(page: &mut Page, report: &Report) {
    page.section("recovery", "Recovery").raw("<p>");
    match &report.backup {
        Some(path) => page.raw("Put back: <code>").text(path).raw("</code>."),
        None => page.raw("No backup was put back."),
    };
    page.raw(" Recovery point objective: ").count(report.objectives.rpo_minutes).raw(" min.</p>\n");
    page.table("Backups that were looked at", &["Backup", "Verdict and checks"], |rows| {
        for verdict in &report.backups {
            let path = verdict.get("path").and_then(serde_json::Value::as_str).unwrap_or("");
            let mut rest = verdict.clone();
            if let Some(fields) = rest.as_object_mut() {
                fields.remove("path");
            }
            rows.row(&[Cell::Mono(path), Cell::Mono(&rest.to_string())]);
        }
    });
    page.table("What people attest", &["Item", "Who"], |rows| {
        for (item, who) in &report.attested {
            rows.row(&[Cell::Text(item), Cell::Text(who)]);
        }
    });
}

pub fn approvals(page: &mut Page, report: &Report) {
    page.section("approvals", "Approvals");
    page.table("Signatures over the audit record", &["Approver", "Key", "File"], |rows| {
        for one in &report.approvals {
            rows.row(&[Cell::Text(&one.approver), Cell::Mono(&one.key), Cell::Mono(&one.path)]);
        }
    });
    page.raw("<p>Who acted, and so may be barred from approving: ")
        .text(report.incident.operators.join(", "))
        .raw("</p>\n");
    match &report.gate {
        None => page.raw("<p>The gate was not asked yet.</p>\n"),
        Some(gate) => {
            page.raw("<p>The gate, asked last: ");
            let (class, words) = if gate.opened { ("good", "opened") } else { ("bad", "stayed shut") };
            page.styled(class, words);
            page.raw("</p>\n").table("Checks of the gate", &["Check", "Verdict", "Reason"], |rows| {
                for check in &gate.checks {
                    let verdict = if check.verdict == Verdict::Pass { ("good", "pass") } else { ("bad", "refuse") };
                    rows.row(&[
                        Cell::Mono(&check.check),
                        Cell::Styled(verdict.0, verdict.1),
                        Cell::Text(&check.reason),
                    ]);
                }
            })
        }
    };
}

pub fn monitoring(page: &mut Page, report: &Report) {
    let monitoring = &report.monitoring;
    page.section("monitoring", "Monitoring").raw("<p>");
    match monitoring.due_until {
        Some(until) => page.raw("Enhanced monitoring is due until ").text(until.to_string()).raw(".</p>\n"),
        None => page.raw("Enhanced monitoring begins with the resume.</p>\n"),
    };
    page.table("Stretches of time", &["From", "To", "Watched"], |rows| {
        for (from, to) in &monitoring.watched {
            rows.row(&[Cell::Time(&short(*from)), Cell::Time(&short(*to)), Cell::Styled("good", "watched")]);
        }
        for (from, to) in &monitoring.unwatched {
            rows.row(&[Cell::Time(&short(*from)), Cell::Time(&short(*to)), Cell::Styled("bad", "NOT watched")]);
        }
    });
    if !monitoring.gaps.is_empty() {
        page.raw("<ul>");
        for gap in &monitoring.gaps {
            page.raw("<li>").text(gap).raw("</li>");
        }
        page.raw("</ul>\n");
    }
}

pub fn verify(page: &mut Page, report: &Report) {
    let ledger = &report.ledger;
    page.section("verify", "How to verify").raw("<p>This page tells of the first ").count(ledger.entries);
    page.raw(" entries of the ledger. Its own digest is the next entry’s. A printed copy proves nothing: verify the case folder.</p>\n<dl class=\"facts\">");
    fact(page, "Entries", &ledger.entries.to_string());
    fact(page, "Root (RFC 6962)", &ledger.root.to_string());
    fact(page, "Machine key", &ledger.machine_key);
    fact(page, "Audit record (SHA-256)", &report.record.map_or("none".to_owned(), |digest| digest.to_string()));
    page.raw("</dl>\n<pre>portcullis audit verify CASE-FOLDER\nssh-keygen -Y verify -n portcullis-resume-v1 -f allowed_signers -I NAME -s approvals/NAME.sig &lt; audit-record.json\nsha256sum report.html     # compare with the entry report.written</pre>\n");
    page.raw("<details><summary>Files that the ledger names (").count(report.files.len() as u64).raw(")</summary>\n");
    page.table("Files of the case", &["Path", "Bytes", "SHA-256"], |rows| {
        for file in &report.files {
            rows.row(&[Cell::Mono(&file.path), Cell::Count(file.bytes), Cell::Mono(&file.sha256.to_string())]);
        }
    });
    page.raw("</details>\n");
}
