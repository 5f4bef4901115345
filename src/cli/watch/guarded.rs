//! What must not be seen again: dead values, and another guard than before.

use secrecy::ExposeSecret;

use crate::cli::{Exit, Failure};
use crate::detect::secrets::Needles;
use crate::domain::{Finding, FindingKind, Level, RuleRef, Source, Timestamp, finding_id};
use crate::engine::Deployment;

/// Old values, which are dead: where one appears, somebody still has it.
pub(super) fn dead_values(deployment: &Deployment) -> Result<Needles, Failure> {
    let names = deployment.vault.list("").unwrap_or_default();
    let old = names.iter().filter(|name| name.ends_with("/old"));
    let values: Vec<_> = old
        .filter_map(|name| {
            let value = deployment.vault.open(name).ok().flatten()?;
            Some((name.split('/').nth(1).unwrap_or(name).to_owned(), value))
        })
        .collect();
    let pairs: Vec<_> = values.iter().map(|(id, value)| (id.as_str(), value.expose_secret())).collect();
    Needles::new(&pairs)
        .map_err(|error| Failure::from_error(Exit::Failed, "failed to prepare the search for dead values", &error))
}

/// The guard is not as it was.
pub(super) fn changed(before: &str, now: &str, level: Level, time: Timestamp) -> Finding {
    let mut key = serde_json::Map::new();
    key.insert("at".into(), time.to_string().into());
    let source = Source::Table { table: "pause guard".into(), key };
    let mut matched = serde_json::Map::new();
    matched.insert("before".into(), before.into());
    matched.insert("now".into(), now.into());
    matched.insert("why".into(), "the guard is not as it was when it was looked at before".into());
    Finding {
        id: finding_id(FindingKind::Database, "watch.guard", &source),
        kind: FindingKind::Database,
        rule: RuleRef { id: "watch.guard".into(), title: "The pause guard was changed".into(), level },
        time: Some(time),
        source,
        matched: matched.clone(),
        event: matched,
    }
}
