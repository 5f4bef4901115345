//! What the log findings of a case say of the intruder: addresses and sessions, and when. Keys and accounts are
//! left out: their owners use them at the same time.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::detect::trades::roles::Role;
use crate::domain::{FindingKind, Level, Timestamp};
use crate::engine::{Journal, findings};
use crate::ports::Fault;

/// What it is, its name, from when and until when.
pub type Trace = (Role, String, Timestamp, Timestamp);

/// Most that are kept.
const MOST: usize = 10_000;

/// Fields of log events, without case and punctuation, by what they hold.
const FIELDS: [(Role, &[&str]); 2] = [
    (
        Role::Ip,
        &[
            "ip",
            "clientip",
            "srcip",
            "sourceip",
            "sourceipaddress",
            "remoteaddr",
            "remoteip",
            "ipaddress",
            "src",
            "cip",
        ],
    ),
    (Role::Session, &["sessionid", "session"]),
];

/// Of the findings at `high` or above that scans of logs put into the case.
pub fn of_case(journal: &Journal) -> Result<Vec<Trace>, Fault> {
    let bytes = journal.store().read(findings::FINDINGS)?.unwrap_or_default();
    let mut seen: BTreeMap<(Role, String), (Timestamp, Timestamp)> = BTreeMap::new();
    for finding in findings::read(&bytes)? {
        let Some(time) = finding.time.filter(|_| finding.kind == FindingKind::Log && finding.rule.level >= Level::High)
        else {
            continue;
        };
        for (name, value) in &finding.event {
            let Value::String(text) = value else { continue };
            let name: String =
                name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
            let Some((role, _)) = FIELDS.iter().find(|(_, names)| names.contains(&name.as_str())) else { continue };
            if *role == Role::Ip && text.parse::<std::net::IpAddr>().is_err() {
                continue;
            }
            if seen.len() < MOST || seen.contains_key(&(*role, text.clone())) {
                let span = seen.entry((*role, text.clone())).or_insert((time, time));
                *span = (span.0.min(time), span.1.max(time));
            }
        }
    }
    Ok(seen.into_iter().map(|((role, name), (from, to))| (role, name, from, to)).collect())
}
