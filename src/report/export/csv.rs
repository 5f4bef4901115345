use crate::domain::clean;
use crate::report::markdown::place;
use crate::report::model::Report;

const HEAD: &str = "id,time,level,kind,rule_id,rule,where,matched,verdict,note,operator\r\n";

/// Findings as CSV (RFC 4180). A cell that a spreadsheet would take for a formula starts with an apostrophe.
pub fn csv(report: &Report) -> String {
    let mut out = HEAD.to_owned();
    for line in &report.findings {
        let finding = &line.finding;
        let decision = line.decision.clone();
        let (verdict, note, operator) =
            decision.map_or_else(Default::default, |decision| (decision.verdict, decision.note, decision.operator));
        let cells = [
            finding.id.clone(),
            finding.time.map_or(String::new(), |time| time.to_string()),
            finding.rule.level.to_string(),
            super::ocsf::kind(finding.kind).to_owned(),
            finding.rule.id.clone(),
            finding.rule.title.clone(),
            place(&finding.source),
            serde_json::Value::Object(finding.matched.clone()).to_string(),
            verdict,
            note,
            operator,
        ];
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

fn cell(text: &str) -> String {
    let text = clean(text);
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_row() {
        assert_eq!(cell("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(cell("a\r\nb"), "a\\r\\nb");
        assert_eq!(cell("plain"), "plain");
    }
}
