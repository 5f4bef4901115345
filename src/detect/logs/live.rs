//! Correlations over events that come in while they happen.

use std::collections::VecDeque;

use super::correlate::{Correlator, Fed};
use super::ruleset::Ruleset;
use super::sigma::Correlation;
use crate::domain::{Finding, Timestamp};

/// Most events that are kept; of more, the oldest are forgotten.
pub const MOST: usize = 60_000;

/// Findings that are remembered as given.
const REMEMBERED: usize = 1_000;

/// Keeps the events of as long as correlations reach back, twice over, and evaluates them again whenever new ones came.
///
/// An evaluation that begins in the middle of things does not know what held before. Once a window lies within what is kept, it
/// is the window of a whole scan: so findings are given only where it does, and no event is judged later than one reach after
/// the newest that was known before. An event that comes in with an older time than that still counts for later ones.
#[derive(Debug)]
pub struct Live {
    kept: VecDeque<Fed>,
    /// How far back a finding can reach, in nanoseconds; 0: no correlation is run.
    reach: i64,
    /// The newest time that the last evaluation knew.
    newest: Option<i64>,
    fresh: bool,
    undated: bool,
    forgotten: bool,
    given: VecDeque<Told>,
}

/// What of a finding stays the same when more events of its very moment come in: rule, group, time.
type Told = (String, String, Option<Timestamp>);

fn told(finding: &Finding) -> Told {
    let mut group = finding.matched.clone();
    group.remove("value");
    (finding.rule.id.clone(), serde_json::Value::Object(group).to_string(), finding.time)
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// How far back a correlation reaches, those that it is built on included. They form no circle: each comes after what it needs.
fn reach(rules: &Ruleset, correlation: &Correlation) -> i64 {
    let below = correlation.rules.iter().filter_map(|reference| {
        let (id, _) = rules.referred(reference)?;
        let (other, _) = rules.correlations().find(|(other, _)| other.rule.id == id)?;
        (other.rule.id != correlation.rule.id).then(|| reach(rules, other))
    });
    correlation.timespan.saturating_add(below.max().unwrap_or(0))
}

impl Live {
    /// For the correlations of these rules.
    pub fn new(rules: &Ruleset) -> Self {
        let reach = rules.correlations().map(|(correlation, _)| reach(rules, correlation)).max().unwrap_or(0);
        Self {
            kept: VecDeque::new(),
            reach,
            newest: None,
            fresh: false,
            undated: false,
            forgotten: false,
            given: VecDeque::new(),
        }
    }

    /// Takes an event; true if it is kept.
    pub fn add(&mut self, fed: Fed) -> bool {
        if self.reach == 0 {
            return false;
        }
        if fed.time.is_none() {
            self.undated = true;
            return false;
        }
        self.fresh = true;
        self.kept.push_back(fed);
        if self.kept.len() > MOST {
            self.kept.pop_front();
            self.forgotten = true;
        }
        true
    }

    /// Takes an event that an earlier run had judged.
    pub fn remember(&mut self, fed: Fed) {
        let time = fed.time.map(nanoseconds);
        if self.add(fed) {
            self.newest = self.newest.max(time);
        }
        self.fresh = false;
    }

    /// Whether events came in since the last evaluation.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// What is kept, in the order in which it came.
    pub fn kept(&self) -> impl Iterator<Item = &Fed> {
        self.kept.iter()
    }

    /// Gives what the correlations find now, each only once. What could not be taken into account is
    /// said in words, each only once.
    pub fn evaluate(&mut self, rules: &Ruleset, sink: &mut dyn FnMut(Finding)) -> Vec<String> {
        let mut notes = Vec::new();
        if std::mem::take(&mut self.undated) {
            notes.push("correlations: events without a time were not counted".to_owned());
        }
        if std::mem::take(&mut self.forgotten) {
            notes.push(format!("correlations: more than {MOST} events in their windows: the oldest were forgotten"));
        }
        if !std::mem::take(&mut self.fresh) {
            return notes;
        }
        let mut correlator = Correlator::default();
        self.kept.iter().for_each(|fed| correlator.add(fed));
        let known = self.newest.map(|newest| newest.saturating_sub(self.reach));
        let given = &mut self.given;
        notes.extend(correlator.finish(rules, &mut |finding| {
            let told = told(&finding);
            if finding.time.map(nanoseconds) >= known && !given.contains(&told) {
                given.push_back(told);
                sink(finding);
            }
        }));
        while given.len() > REMEMBERED {
            given.pop_front();
        }
        self.newest = self.kept.iter().filter_map(|fed| fed.time).map(nanoseconds).max().max(self.newest);
        let from = self.newest.map(|newest| newest.saturating_sub(self.reach.saturating_mul(2)));
        self.kept.retain(|fed| fed.time.map(nanoseconds) >= from);
        notes
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
