//! Telling people, beside the steps and never in front of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::{Deployment, Journal};
use crate::domain::{Delivery, Moment, Notice, StepReport, Words};
use crate::ledger::Event;
use crate::ports::{Fault, FaultKind, Notifier};

/// Bound on one notice, with all its tries.
const BOUND: Duration = Duration::from_secs(10);
/// Waits between tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];
/// Steps that fail together are told together.
const GATHER: Duration = Duration::from_millis(400);
/// Waits at the end of a command for notices that are still under way.
pub const GRACE: Duration = Duration::from_secs(3);

/// Who was told, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Name in `contacts.yml`.
    pub contact: String,
    /// Its channel.
    pub channel: &'static str,
    /// Why.
    pub moment: Moment,
    /// What became of it.
    pub outcome: Delivery,
    /// The channel's words.
    pub detail: String,
}

/// Tells the contacts of a deployment during one command.
pub struct Notices {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

type Flying = BTreeMap<usize, (Arc<dyn Notifier>, Moment)>;

struct Shared {
    deployment: Deployment,
    journal: Option<Arc<Journal>>,
    operator: String,
    /// Notices under way, by number: whoever takes one out says what became of it.
    flying: Mutex<Flying>,
    /// Failed steps that nobody was told of yet.
    failed: Mutex<Vec<String>>,
    told: Mutex<Vec<Told>>,
    numbers: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notices {
    /// For one command by `operator`. Without a journal nothing is recorded.
    pub fn new(deployment: &Deployment, journal: Option<&Arc<Journal>>, operator: &str) -> Self {
        let shared = Shared {
            deployment: deployment.clone(),
            journal: journal.cloned(),
            operator: operator.to_owned(),
            flying: Mutex::default(),
            failed: Mutex::default(),
            told: Mutex::default(),
            numbers: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// Tells everybody who is to be told of that moment. Returns at once.
    pub fn tell(&self, moment: Moment, words: &Words) {
        self.tell_some(moment, words, &|_| true);
    }

    /// Tells those of whom the ledger does not say yet that they were told: a killed run is made good by the next one.
    pub fn tell_missing(&self, moment: Moment, words: &Words) {
        let told = self.shared.journal.as_ref().map(|journal| journal.state().notices).unwrap_or_default();
        self.tell_some(moment, words, &|contact| told.get(&(contact.to_owned(), moment)) != Some(&Delivery::Sent));
    }

    /// Tells one contact, or all, that this is a test.
    pub fn test(&self, name: Option<&str>, words: &Words) {
        self.tell_some(Moment::Test, words, &|contact| name.is_none_or(|name| name == contact));
    }

    /// Takes a failed step; those that fail together are told together.
    pub fn failed(&self, report: &StepReport) {
        let first = {
            let mut failed = lock(&self.shared.failed);
            failed.push(format!("{} {}: {}", report.target, report.outcome, report.detail));
            failed.len() == 1
        };
        if first {
            let shared = Arc::clone(&self.shared);
            let gather = async move {
                tokio::time::sleep(GATHER).await;
                join_all(shared.tell_failed()).await;
            };
            lock(&self.tasks).push(tokio::spawn(gather));
        }
    }

    fn tell_some(&self, moment: Moment, words: &Words, who: &dyn Fn(&str) -> bool) {
        let tasks = self.shared.spawn(moment, words, who);
        lock(&self.tasks).extend(tasks);
    }

    /// Waits for what is under way, but not longer than `grace`; says who was told. What has not ended then is `unknown`.
    pub async fn finish(&self, grace: Duration) -> Vec<Told> {
        let mut tasks = self.shared.tell_failed();
        tasks.append(&mut lock(&self.tasks));
        let stop: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        if tokio::time::timeout(grace, join_all(tasks)).await.is_err() {
            stop.iter().for_each(tokio::task::AbortHandle::abort);
            let late: Vec<usize> = lock(&self.shared.flying).keys().copied().collect();
            for number in late {
                let words = "it did not answer before the command ended".to_owned();
                self.shared.ended(number, Delivery::Unknown, words).await;
            }
        }
        std::mem::take(&mut lock(&self.shared.told))
    }
}

impl Shared {
    fn tell_failed(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let failed = std::mem::take(&mut *lock(&self.failed));
        if failed.is_empty() {
            return Vec::new();
        }
        let words = Words {
            headline: match failed.len() {
                1 => "A step of the breach response failed".to_owned(),
                several => format!("{several} steps of the breach response failed"),
            },
            what: failed,
            next: "mend what failed and run the same command again: it does only what is missing".to_owned(),
        };
        self.spawn(Moment::StepFailed, &words, &|_| true)
    }

    fn spawn(self: &Arc<Self>, moment: Moment, words: &Words, who: &dyn Fn(&str) -> bool) -> Vec<JoinHandle<()>> {
        let contacts = &self.deployment.policies.contacts.contacts;
        let wants = |name: &str| {
            moment == Moment::Test
                || contacts.iter().any(|contact| contact.name == name && contact.on.contains(&moment))
        };
        let incident = self.journal.as_ref().and_then(|journal| journal.state().incident);
        let notice = Arc::new(Notice::new(moment, incident, self.deployment.clock.now(), &self.operator, words));
        let chosen = self.deployment.notifiers.iter().filter(|one| wants(one.contact()) && who(one.contact()));
        let tell = |notifier: &Arc<dyn Notifier>| {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            lock(&self.flying).insert(number, (Arc::clone(notifier), moment));
            let (shared, notice, notifier) = (Arc::clone(self), Arc::clone(&notice), Arc::clone(notifier));
            tokio::spawn(async move {
                let (outcome, detail) = deliver(notifier.as_ref(), &notice).await;
                shared.ended(number, outcome, detail).await;
            })
        };
        chosen.map(tell).collect()
    }

    /// Says what became of a notice: in the ledger, and at the end of the command.
    async fn ended(self: &Arc<Self>, number: usize, outcome: Delivery, detail: String) {
        let Some((notifier, moment)) = lock(&self.flying).remove(&number) else { return };
        let (contact, channel) = (notifier.contact().to_owned(), notifier.channel());
        if let Some(journal) = self.journal.clone() {
            let (contact, channel, detail) = (contact.clone(), channel.to_owned(), detail.clone());
            let event = Event::NoticeSent { contact, channel, moment, outcome, detail };
            // It waits for the disk; and that nobody could be told of it changes nothing of the containment.
            match tokio::task::spawn_blocking(move || journal.record(event)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a notice could not be recorded"),
                Err(error) => tracing::warn!(%error, "a notice could not be recorded"),
            }
        }
        lock(&self.told).push(Told { contact, channel, moment, outcome, detail });
    }
}

/// Tries until the channel takes it, refuses it for good, or time is up.
async fn deliver(notifier: &dyn Notifier, notice: &Notice) -> (Delivery, String) {
    let tries = async {
        let mut pauses = PAUSES.iter();
        loop {
            let fault = match notifier.send(notice).await {
                Ok(words) => return (Delivery::Sent, words),
                Err(fault) => fault,
            };
            let again = matches!(fault.kind, FaultKind::Unavailable | FaultKind::Throttled | FaultKind::OutcomeUnknown);
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return (delivery(&fault), fault.chain()),
            }
        }
    };
    let late = (Delivery::Unknown, format!("it did not answer within {} s", BOUND.as_secs()));
    tokio::time::timeout(BOUND, tries).await.unwrap_or(late)
}

fn delivery(fault: &Fault) -> Delivery {
    if fault.kind == FaultKind::OutcomeUnknown { Delivery::Unknown } else { Delivery::Failed }
}
