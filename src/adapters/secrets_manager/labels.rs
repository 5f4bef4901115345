//! Versions of secrets with their labels, and what this run knows of them without asking again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

pub(super) const CURRENT: &str = "AWSCURRENT";
pub(super) const PENDING: &str = "AWSPENDING";
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// What was seen longer ago is asked again.
const YOUNG: Duration = Duration::from_mins(1);

/// One secret with the labels of its versions; versions without any are among them only if the secret was listed.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub versions: Vec<(String, Vec<String>)>,
}

impl Described {
    /// The version that has a label.
    pub fn with(&self, label: &str) -> Option<&str> {
        self.versions.iter().find(|(_, labels)| labels.iter().any(|one| one == label)).map(|(id, _)| id.as_str())
    }

    /// Whether there is that version.
    pub fn has(&self, version: &str) -> bool {
        self.versions.iter().any(|(id, _)| id == version)
    }

    /// Whether no version has a label of somebody's own.
    fn is_plain(&self) -> bool {
        self.versions.iter().flat_map(|(_, labels)| labels).all(|label| label == CURRENT || label == PREVIOUS)
    }

    /// What it is once a version was written and promoted: Secrets Manager gives `AWSPREVIOUS` to the version that it takes
    /// `AWSCURRENT` from (its API reference, `UpdateSecretVersionStage`).
    pub fn promoted(mut self, version: &str) -> Self {
        let previous = self.with(CURRENT).map(String::from);
        for (id, labels) in &mut self.versions {
            labels.clear();
            if Some(&*id) == previous.as_ref() {
                labels.push(PREVIOUS.to_owned());
            }
        }
        self.versions.retain(|(id, _)| id != version);
        self.versions.push((version.to_owned(), vec![CURRENT.to_owned()]));
        self
    }
}

#[derive(Debug, Default)]
struct Known {
    /// This run has begun to write to it.
    written: bool,
    labels: Option<(Instant, Described)>,
    /// What was listed first: the evidence.
    notes: Option<(Instant, Vec<Value>)>,
}

/// What was seen of the secrets, by name. Requests are few (each counts towards a region's limit), so what was listed as evidence
/// serves the write, and what the write left serves the retiring. A mistake costs no more than a refused request: labels are moved
/// only from where they are.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<String, Known>>);

impl Seen {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was listed before this run wrote, as evidence, if it was.
    pub fn notes(&self, secret: &str, now: Instant) -> Option<Vec<Value>> {
        let all = self.all();
        let (at, notes) = all.get(secret)?.notes.as_ref()?;
        (now.saturating_duration_since(*at) < YOUNG).then(|| notes.clone())
    }

    /// Keeps what was listed, unless this run has begun to write: then it may have been seen half-way.
    pub fn listed(&self, secret: &str, labels: Described, notes: &[Value], now: Instant) {
        let mut all = self.all();
        let known = all.entry(secret.to_owned()).or_default();
        if !known.written {
            known.notes = Some((now, notes.to_vec()));
        }
        if !known.written && labels.is_plain() {
            known.labels = Some((now, labels));
        }
    }

    /// Whether this run has begun to write to a secret.
    pub fn is_written(&self, secret: &str) -> bool {
        self.all().get(secret).is_some_and(|known| known.written)
    }

    /// Takes what is known for a write or a retiring, which begins now.
    pub fn take(&self, secret: &str, now: Instant) -> Option<Described> {
        let mut all = self.all();
        let known = all.entry(secret.to_owned()).or_default();
        known.written = true;
        known.labels.take().filter(|(at, _)| now.saturating_duration_since(*at) < YOUNG).map(|(_, labels)| labels)
    }

    /// Keeps what a write that went well has left, if nobody had labels of their own there.
    pub fn left(&self, secret: &str, labels: Described, now: Instant) {
        if labels.is_plain() {
            self.all().entry(secret.to_owned()).or_default().labels = Some((now, labels));
        }
    }
}

/// One listed version as evidence.
pub(super) fn note(version: &aws_sdk_secretsmanager::types::SecretVersionsListEntry) -> Value {
    let date = |date: Option<&aws_sdk_secretsmanager::primitives::DateTime>| {
        date.and_then(|date| crate::domain::Timestamp::from_second(date.secs()).ok()).map(|time| time.to_string())
    };
    serde_json::json!({
        "version": version.version_id(),
        "labels": version.version_stages(),
        "made": date(version.created_date()),
        "last_used": date(version.last_accessed_date()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(versions: &[(&str, &[&str])]) -> Described {
        let versions = versions
            .iter()
            .map(|(id, labels)| ((*id).to_owned(), labels.iter().map(|label| (*label).to_owned()).collect()));
        Described { versions: versions.collect() }
    }

    #[test]
    fn promoting_moves_both_labels() {
        let before = described(&[("a", &[PREVIOUS]), ("b", &[CURRENT]), ("c", &[])]);
        let after = before.promoted("n");
        assert_eq!((after.with(CURRENT), after.with(PREVIOUS)), (Some("n"), Some("b")));
        assert!(after.has("a") && after.has("c"));
    }

    #[test]
    fn what_is_known_serves_once() {
        let (seen, now) = (Seen::default(), Instant::now());
        seen.listed("s", described(&[("a", &[CURRENT])]), &[], now);
        assert!(seen.take("s", now).is_some() && seen.take("s", now).is_none());
    }

    #[test]
    fn what_may_be_half_written_or_is_labelled_by_others_is_asked_again() {
        let (seen, now) = (Seen::default(), Instant::now());
        seen.listed("s", described(&[("a", &[CURRENT]), ("b", &["theirs"])]), &[], now);
        assert!(seen.take("s", now).is_none(), "a label of somebody's own");
        seen.listed("s", described(&[("a", &[CURRENT])]), &[], now);
        assert!(seen.take("s", now).is_none(), "listed while it was written");
        seen.left("s", described(&[("n", &[CURRENT]), ("a", &[PREVIOUS])]), now);
        assert!(seen.take("s", now).is_some());
    }

    #[test]
    fn what_is_old_is_asked_again() {
        let (seen, now) = (Seen::default(), Instant::now());
        seen.left("s", described(&[("a", &[CURRENT])]), now);
        assert!(seen.take("s", now + YOUNG).is_none());
    }
}
