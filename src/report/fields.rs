//! Which fields of an event say who acted, from where, on what: the one place for their names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::domain::Finding;

/// Fields that hold the id of a key.
pub(super) const KEYS: &[&str] =
    &["useridentity.accesskeyid", "accesskeyid", "apikeyid", "api_key_id", "keyid", "credential"];
/// Fields that hold the name of a user, a role or a service.
pub(super) const USERS: &[&str] =
    &["useridentity.arn", "useridentity.username", "username", "user", "cs-username", "principal", "actor"];
/// Fields that hold the id of a session.
pub(super) const SESSIONS: &[&str] = &["sessionid", "session_id", "session", "sid", "useridentity.sessionid"];
/// Fields that say from where.
pub(super) const ADDRESSES: &[&str] = &[
    "c-ip",
    "ip",
    "sourceipaddress",
    "remote_addr",
    "remoteaddr",
    "client_ip",
    "clientip",
    "src_ip",
    "remoteip",
    "remote_host",
];
/// Fields that say whose account it was.
pub(super) const ACCOUNTS: &[&str] = &[
    "account",
    "accountid",
    "account_id",
    "customerid",
    "customer_id",
    "recipientaccountid",
    "useridentity.accountid",
];
/// Fields that say on which host.
pub(super) const HOSTS: &[&str] = &["host", "hostname", "_hostname", "computer"];
/// Fields that say what was done.
pub(super) const ACTIONS: &[&str] = &["eventname", "event", "cs-uri-stem", "c-uri", "ps"];

/// Deepest nesting of an event that is looked into.
pub(super) const DEPTH: usize = 4;

/// All plain values of an event by their path in small letters.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Of a finding: of its event, and of what made the rule match.
    pub(super) fn of(finding: &Finding) -> Self {
        let mut fields = BTreeMap::new();
        flatten("", &finding.event, DEPTH, &mut fields);
        flatten("", &finding.matched, DEPTH, &mut fields);
        Self(fields)
    }

    /// Of a row alone.
    pub(super) fn of_row(finding: &Finding) -> Self {
        let mut fields = BTreeMap::new();
        flatten("", &finding.event, 0, &mut fields);
        Self(fields)
    }

    /// The first of these fields that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<&String> {
        names.iter().find_map(|name| self.0.get(*name))
    }

    /// The values of these fields, each once; an empty one and `-` are none.
    pub(super) fn all(&self, names: &[&str]) -> BTreeSet<&String> {
        let values = names.iter().filter_map(|name| self.0.get(*name));
        values.filter(|value| !value.is_empty() && *value != "-").collect()
    }
}

fn flatten(prefix: &str, fields: &Map<String, Value>, depth: usize, into: &mut BTreeMap<String, String>) {
    for (key, value) in fields {
        let key = format!("{prefix}{}", key.to_lowercase());
        match value {
            Value::String(text) => drop(into.entry(key).or_insert_with(|| text.clone())),
            Value::Number(number) => drop(into.entry(key).or_insert_with(|| number.to_string())),
            Value::Object(inner) if depth > 0 => flatten(&format!("{key}."), inner, depth - 1, into),
            _ => {}
        }
    }
}
