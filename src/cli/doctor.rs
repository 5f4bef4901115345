use serde::Serialize;

use super::{Context, Exit, Failure};
use crate::domain::SwitchState;
use crate::engine::Deployment;
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis doctor --format json     (for cron: exit code 0 only if everything is ready)")]
pub struct DoctorArgs {}

#[derive(Debug, Serialize)]
struct Item {
    check: String,
    ready: bool,
    detail: String,
    mend: Option<String>,
}

impl Record for Item {
    const TYPE: &'static str = "doctor";
    fn text(&self, printer: &Printer) -> String {
        let mark =
            if self.ready { printer.paint(Style::Good, "ready    ") } else { printer.paint(Style::Bad, "NOT READY") };
        let mut text = format!("  {mark} {:<18} {}", clean(&self.check), clean(&self.detail));
        if let Some(mend) = &self.mend {
            text.push_str(&format!("\n{:31}{} {mend}", "", printer.paint(Style::Strong, "mend:")));
        }
        text
    }
}

/// How much is ready.
#[derive(Debug, Serialize)]
struct Score {
    ready: usize,
    of: usize,
}

impl Record for Score {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        if self.ready == self.of {
            return format!("\n{}: {} of {}", printer.paint(Style::Good, "ready"), self.ready, self.of);
        }
        let percent = self.ready * 100 / self.of.max(1);
        format!("\n{}: {} of {} ({percent} %)", printer.paint(Style::Bad, "not ready"), self.ready, self.of)
    }
}

fn item(check: impl Into<String>, result: Result<String, (String, &str)>) -> Item {
    match result {
        Ok(detail) => Item { check: check.into(), ready: true, detail, mend: None },
        Err((detail, mend)) => Item { check: check.into(), ready: false, detail, mend: Some(mend.to_owned()) },
    }
}

/// Looks at everything that a bad night will need. Changes nothing.
pub async fn run(_args: DoctorArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let mut items = vec![database(&deployment).await];
    items.extend(guard(&deployment).await);
    items.extend(stores(&deployment).await);
    items.extend(issuers(&deployment));
    items.extend(issuers_ready(&deployment).await);
    items.extend(switches(&deployment).await);
    items.extend(services(&deployment).await);
    items.push(roster(&deployment));
    items.push(contacts(&deployment));
    items.push(backups(&deployment).await);
    items.push(test_restore(&deployment));
    items.push(cases(ctx, &deployment)?);
    let ready = items.iter().all(|item| item.ready);
    for item in &items {
        ctx.printer.emit(item);
    }
    ctx.printer.emit(&Score { ready: items.iter().filter(|item| item.ready).count(), of: items.len() });
    Ok(if ready { Exit::Done } else { Exit::Failed })
}

async fn database(deployment: &Deployment) -> Item {
    let result = match &deployment.database {
        None => Err(("DATABASE_URL is not set".to_owned(), "set DATABASE_URL as the application has it")),
        Some(database) => match database.ping().await {
            Ok(version) => Ok(format!("{version}, {}", database.describe())),
            Err(fault) => {
                Err((fault.chain(), "check host, user and password in DATABASE_URL and PORTCULLIS_DATABASE_URL"))
            }
        },
    };
    item("database", result)
}

async fn guard(deployment: &Deployment) -> Vec<Item> {
    let Some(guard) = &deployment.guard else {
        let mend = "name the trade table under `guard:` in policies/pause.yml and set DATABASE_URL";
        return vec![item("guard", Err(("no guard".to_owned(), mend)))];
    };
    let report = match guard.inspect().await {
        Ok(report) => report,
        Err(fault) => {
            let mend = "portcullis install, as a role that may create a schema and a trigger";
            return vec![item("guard", Err((fault.chain(), mend)))];
        }
    };
    let words = format!("{}; a pause: {}", report.detail, report.way.join("; "));
    let mut items = vec![item("guard", if report.installed { Ok(words) } else { Err((words, "portcullis install")) })];
    // Others that could get past it are there in every deployment: said, with what would mend it, but no reason not to be ready.
    items.extend(report.bypass.into_iter().map(|bypass| Item {
        check: "guard bypass".into(),
        ready: !bypass.grave,
        detail: bypass.how,
        mend: bypass.mend,
    }));
    items
}

async fn stores(deployment: &Deployment) -> Vec<Item> {
    let mut items = Vec::new();
    for credential in &deployment.policies.credentials.credentials {
        for slot in &credential.kept {
            let store = deployment.store(slot);
            let place = store.describe(slot);
            let result = match store.read(slot).await {
                Ok(Some(_)) => Ok(format!("kept in {place}")),
                Ok(None) => Err((format!("{place} holds no value"), "correct `kept:` in policies/credentials.yml")),
                Err(fault) => Err((fault.chain(), "check the store, its address and permissions")),
            };
            items.push(item(credential.id.as_str(), result));
        }
    }
    items
}

fn issuers(deployment: &Deployment) -> Vec<Item> {
    use crate::policy::credentials::IssuerPolicy;
    let credentials = deployment.policies.credentials.credentials.iter();
    credentials
        .filter(|credential| {
            !matches!(credential.issuer, IssuerPolicy::Manual { .. })
                && !deployment.issuers.contains_key(&credential.id)
        })
        .map(|credential| {
            let words = "its issuer can't be reached as configured".to_owned();
            item(credential.id.as_str(), Err((words, "set DATABASE_URL to the database that honours it")))
        })
        .collect()
}

/// What issuers themselves say to a rotation that would begin now.
async fn issuers_ready(deployment: &Deployment) -> Vec<Item> {
    let mut items = Vec::new();
    for credential in &deployment.policies.credentials.credentials {
        let Some(issuer) = deployment.issuers.get(&credential.id) else { continue };
        let ready = tokio::time::timeout(std::time::Duration::from_secs(25), issuer.ready(credential)).await;
        let result = match ready {
            Ok(Ok(None)) => continue,
            Ok(Ok(Some(words))) => Ok(words),
            Ok(Err(fault)) => Err((fault.chain(), "see the permissions and limits of its kind in docs/POLICIES.md")),
            Err(_) => Err(("its issuer did not answer within 25 s".to_owned(), "check the network to it")),
        };
        items.push(item(credential.id.as_str(), result));
    }
    items
}

/// What is missing for a switch shows only when it is asked.
async fn switches(deployment: &Deployment) -> Vec<Item> {
    let observed = deployment.switches.iter().map(|switch| async move {
        let missing = switch.missing();
        let bound = std::time::Duration::from_secs(10);
        let result = match tokio::time::timeout(bound, switch.observe()).await {
            _ if !missing.is_empty() => Err((
                format!("not set: {}", missing.join(", ")),
                "set it in the environment or in .env, or correct policies/pause.yml",
            )),
            Ok(Ok(SwitchState::Unobservable)) => {
                Ok(format!("{}; it can't be observed, so that its answer is all there is", switch.describe()))
            }
            Ok(Ok(_)) => Ok(switch.describe()),
            Ok(Err(fault)) => Err((fault.chain(), "correct `switches:` in policies/pause.yml, or what it switches")),
            Err(_) => Err((
                "no answer within 10 s".to_owned(),
                "correct `switches:` in policies/pause.yml, or what it switches",
            )),
        };
        item(format!("switch {}", switch.name()), result)
    });
    futures_util::future::join_all(observed).await
}

async fn services(deployment: &Deployment) -> Vec<Item> {
    let mut items = Vec::new();
    for service in &deployment.services {
        let result = match tokio::time::timeout(std::time::Duration::from_secs(3), service.health()).await {
            Ok(Ok(words)) => Ok(words),
            Ok(Err(fault)) => Err((fault.chain(), "check `health:` in policies/credentials.yml, and the service")),
            Err(_) => Err((
                "no healthy answer within 3 s".to_owned(),
                "check `health:` in policies/credentials.yml, and the service",
            )),
        };
        items.push(item(format!("service {}", service.name()), result));
    }
    items
}

fn roster(deployment: &Deployment) -> Item {
    let policy = &deployment.policies.resume;
    let valid = policy.approvers.iter().filter(|approver| !approver.revoked).count();
    let bad = policy
        .approvers
        .iter()
        .flat_map(|approver| &approver.keys)
        .find_map(|key| crate::gate::PublicKey::parse(key).err().map(|error| error.to_string()));
    let result = match bad {
        Some(error) => {
            Err((format!("a key can't be used: {error}"), "correct approvers[].keys in policies/resume.yml"))
        }
        None if valid < policy.threshold as usize => Err((
            format!("{valid} approvers for a threshold of {}", policy.threshold),
            "portcullis init --approver NAME=KEYFILE:ROLE in a new folder shows the form; add people to policies/resume.yml",
        )),
        None => Ok(format!("{valid} approvers, {} must sign", policy.threshold)),
    };
    item("approvers", result)
}

fn contacts(deployment: &Deployment) -> Item {
    let missing: Vec<String> = deployment
        .notifiers
        .iter()
        .flat_map(|notifier| notifier.missing().into_iter().map(|name| format!("{} for {}", name, notifier.contact())))
        .collect();
    let result = match deployment.notifiers.len() {
        0 => Err((
            "nobody would be told".to_owned(),
            "name contacts in policies/contacts.yml, then: portcullis contacts test",
        )),
        _ if !missing.is_empty() => {
            Err((format!("not set: {}", missing.join(", ")), "set them in the environment or in .env"))
        }
        several => Ok(format!("{several} contacts; whether notices arrive says: portcullis contacts test")),
    };
    item("contacts", result)
}

async fn backups(deployment: &Deployment) -> Item {
    let Some(store) = &deployment.backups else {
        return item(
            "backups",
            Err(("no backup store".to_owned(), "set directory and pattern in policies/recovery.yml")),
        );
    };
    let result = match store.list().await {
        Err(fault) => Err((fault.chain(), "set directory and pattern in policies/recovery.yml")),
        Ok(list) if !list.unread.is_empty() => {
            let places: Vec<_> = list.unread.iter().map(|place| format!("{}: {}", place.place, place.reason)).collect();
            Err((places.join("; "), "see directory in policies/recovery.yml, and the permissions there"))
        }
        Ok(list) => match list.backups.iter().filter_map(|backup| backup.started).max() {
            None => Err(("there is no backup".to_owned(), "set directory and pattern in policies/recovery.yml")),
            Some(newest) => {
                let minutes = deployment.clock.now().duration_since(newest).as_secs() / 60;
                let limit = i64::try_from(deployment.policies.recovery.rpo_minutes).unwrap_or(i64::MAX);
                let backups = match list.backups.len() {
                    1 => "1 backup".to_owned(),
                    several => format!("{several} backups"),
                };
                let words = format!("{backups}, the newest {minutes} min old (RPO {limit} min)");
                if minutes <= limit { Ok(words) } else { Err((words, "look at the job that makes backups")) }
            }
        },
    };
    item("backups", result)
}

/// How many days a test restore stands for.
const MONTH: i64 = 31;

fn test_restore(deployment: &Deployment) -> Item {
    use crate::engine::recovery::records::{Occasion, read};
    let mend = "portcullis backup drill";
    let result = match read(deployment) {
        Err(fault) => Err((fault.chain(), mend)),
        Ok(records) => match records.iter().rev().find(|record| record.occasion == Occasion::Drilled) {
            None => Err(("no backup was ever restored for a test".to_owned(), mend)),
            Some(record) => {
                let days = deployment.clock.now().duration_since(record.time).as_secs() / 86_400;
                let took = record.took_ms.map_or(", not restored".to_owned(), |ms| format!(", in {} s", ms / 1000));
                let words = format!("{} {days} days ago{took}", record.path);
                match (record.passed, days <= MONTH) {
                    (true, true) => Ok(words),
                    (true, false) => Err((words, mend)),
                    (false, _) => Err((format!("FAILED: {words}"), mend)),
                }
            }
        },
    };
    item("test restore", result)
}

fn cases(ctx: &Context, deployment: &Deployment) -> Result<Item, Failure> {
    let open = ctx.open_incidents(deployment)?;
    let words = match open.len() {
        0 => "no incident is open".to_owned(),
        _ => format!("open: {}", open.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    Ok(item("incidents", Ok(words)))
}
