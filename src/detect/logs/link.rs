//! What rules say about each other: filters, and correlations that are built on rules and on correlations.

use std::collections::HashSet;

use super::sigma::{Correlation, Filter, Rule, Skipped};

/// Whether a reference means the rule of this id and name.
pub(super) fn is(reference: &str, id: &str, name: Option<&str>) -> bool {
    reference == id || name == Some(reference)
}

/// Adds a filter to the rules that it names.
pub(super) fn add_filter(filter: &Filter, rules: &mut [Rule], skipped: &mut Vec<Skipped>) {
    let source = &filter.logsource;
    let fits = |want: &str, is: &str| want.is_empty() || want == is;
    let mut used = false;
    for rule in rules {
        let named = filter.rules.is_empty()
            || filter.rules.iter().any(|reference| is(reference, &rule.rule.id, rule.name.as_deref()));
        let logs = &rule.logsource;
        let same = fits(&source.product, &logs.product)
            && fits(&source.category, &logs.category)
            && fits(&source.service, &logs.service);
        if named && same {
            rule.add(filter);
            used = true;
        }
    }
    if !used {
        let reason = format!("{}:{}: the filter fits none of the rules", filter.file, filter.line);
        skipped.push(Skipped { rule: filter.name.clone(), file: filter.file.clone(), line: filter.line, reason });
    }
}

/// Puts correlations in an order in which each comes after those that it is built on, notes at the rules what is needed
/// of their events, and says of each correlation whether it gives no findings of its own.
pub(super) fn link(
    given: Vec<Correlation>,
    rules: &mut [Rule],
    skipped: &mut Vec<Skipped>,
) -> Vec<(Correlation, bool)> {
    let mut waiting = given;
    let mut ordered: Vec<Correlation> = Vec::new();
    loop {
        let known = |reference: &String, ordered: &[Correlation], rules: &[Rule]| {
            rules.iter().any(|rule| is(reference, &rule.rule.id, rule.name.as_deref()))
                || ordered.iter().any(|other| is(reference, &other.rule.id, other.name.as_deref()))
        };
        let (ready, rest): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|correlation| correlation.rules.iter().all(|reference| known(reference, &ordered, rules)));
        waiting = rest;
        if ready.is_empty() {
            for correlation in &waiting {
                let missing = correlation.rules.iter().find(|reference| !known(reference, &ordered, rules));
                let missing = missing.map_or("", String::as_str);
                let (file, line) = (&correlation.file, correlation.line);
                let reason = format!(
                    "{file}:{line}: the correlation refers to `{missing}`, which is no rule that is run (or refers back to it)"
                );
                skipped.push(Skipped { rule: correlation.rule.id.clone(), file: file.clone(), line, reason });
            }
            break;
        }
        ordered.extend(ready);
    }
    note(&ordered, rules);
    let quiet: Vec<bool> = ordered.iter().map(|one| quiet(&one.rule.id, one.name.as_deref(), &ordered)).collect();
    ordered.into_iter().zip(quiet).collect()
}

/// Whether correlations are built on it of which none lets it give findings of its own.
fn quiet(id: &str, name: Option<&str>, correlations: &[Correlation]) -> bool {
    let mut on_it = correlations.iter().filter(|c| c.rules.iter().any(|reference| is(reference, id, name))).peekable();
    on_it.peek().is_some() && on_it.all(|correlation| !correlation.generate)
}

fn note(correlations: &[Correlation], rules: &mut [Rule]) {
    for rule in rules.iter_mut() {
        let (id, name) = (&rule.rule.id, rule.name.as_deref());
        let names: Vec<&str> = [Some(id.as_str()), name].into_iter().flatten().collect();
        let mut fields = HashSet::new();
        let mut fed = false;
        for correlation in correlations.iter().filter(|c| c.rules.iter().any(|reference| is(reference, id, name))) {
            fed = true;
            let needed = correlation.group_by.iter().chain(&correlation.fields);
            fields.extend(needed.map(|field| correlation.field_of(field, &names).to_owned()));
        }
        let quiet = quiet(id, name, correlations);
        let mut feeds: Vec<String> = fields.into_iter().collect();
        feeds.sort();
        (rule.fed, rule.feeds, rule.quiet) = (fed, feeds, quiet);
    }
}
