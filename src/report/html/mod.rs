//! The report as one HTML file: no script, nothing loaded, a content policy that says so.

mod charts;
mod findings;
mod page;
mod sections;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::model::Report;
use crate::domain::Digest;
use page::Page;

const STYLE: &str = include_str!("style.css");

const CONTENTS: &[(&str, &str)] = &[
    ("#summary", "Summary"),
    ("#timeline", "What happened"),
    ("#scope", "Scope"),
    ("#credentials", "Credentials"),
    ("#containment", "Containment"),
    ("#findings", "Findings"),
    ("#coverage", "Coverage"),
    ("#recovery", "Recovery"),
    ("#approvals", "Approvals"),
    ("#monitoring", "Monitoring"),
    ("#verify", "How to verify"),
];

/// The report as HTML. Every text from outside is escaped; the style is the only resource, allowed by its digest.
pub fn html(report: &Report) -> String {
    let mut page = Page::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-");
    // Base64 has no sign that HTML gives a meaning in an attribute.
    page.text(STANDARD.encode(Digest::of(STYLE.as_bytes()).0)).raw("'\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<title>Incident ").text(&report.incident.id);
    page.raw("</title>\n<style>")
        .raw(STYLE)
        .raw("</style></head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n");
    sections::header(&mut page, report);
    page.raw("<nav aria-label=\"Contents\"><ul>");
    for (target, title) in CONTENTS {
        page.raw("<li><a href=\"").raw(target).raw("\">").raw(title).raw("</a></li>");
    }
    page.raw("</ul></nav></header>\n<main id=\"main\">\n");
    sections::summary(&mut page, report);
    sections::happened(&mut page, report);
    sections::scope(&mut page, report);
    sections::credentials(&mut page, report);
    sections::containment(&mut page, report);
    findings::findings(&mut page, report);
    sections::coverage(&mut page, report);
    sections::recovery(&mut page, report);
    sections::approvals(&mut page, report);
    sections::monitoring(&mut page, report);
    sections::verify(&mut page, report);
    page.raw("</main>\n<footer><p>Made by Portcullis ").text(&report.program).raw(" at ").text(report.made.to_string());
    page.raw(" from ").count(report.ledger.entries).raw(" entries of the ledger.</p></footer>\n</body></html>\n");
    page.into_string()
}
