//! The policies of the embedded deployment: the shipped ones, with its own credentials, switches and approvers.

use std::collections::BTreeMap;
use std::path::Path;

use super::state::{fault, replace};
use crate::policy::shipped::SHIPPED;
use crate::policy::starter;
use crate::ports::{Fault, FaultKind};

const CREDENTIALS: &str = "\
# The credentials of this embedded deployment. Its back end is part of portcullis: it has no restart command to run.
version: 1

services:
  - name: backend
    restart: [embedded-back-end, restart]
    stop: [embedded-back-end, stop]
    healthy_within_s: 10

credentials:
  # Kept as a hash in the key table; the row of a rotated key is named after the first one.
  - id: trading-api-key
    title: API key of the trading desk
    issuer: { kind: api_key_table, table: ApiKey, key_id: key_trading, hash: sha256 }
    kept: [{ store: dotenv, path: .env, key: TRADING_API_KEY }]
    used_by: [backend]
    generate: { length: 40, prefix: tk_live_ }

  # The back end itself is asked, with a token signed by the value that is tried.
  - id: jwt
    title: JWT signing key
    issuer: { kind: self_made }
    kept: [{ store: dotenv, path: .env, key: JWT_SECRET }]
    used_by: [backend]
    generate: { length: 64 }
    proof: { kind: http, url: \"http://localhost:3001/api/me\", header: authorization, template: \"Bearer {jwt}\" }

  - id: webhook
    title: Key that signs webhooks
    issuer: { kind: self_made }
    kept:
      - { store: secrets_manager, secret: prod/webhook }
      - { store: dotenv, path: .env, key: WEBHOOK_SECRET }
    used_by: [backend]
    proof: { kind: store }
";

const CONTACTS: &str = "\
# Who is told. In this embedded deployment each notice is a line of embedded/notices.jsonl, whatever its channel.
version: 1
contacts:
  - name: on-call
    on: [incident_opened, step_failed, not_contained, contained, resumed]
    channel: { kind: pagerduty, routing_key_env: PAGERDUTY_ROUTING_KEY }
  - name: desk
    on: [incident_opened, contained, not_contained, resumed]
    channel: { kind: slack, url_env: SLACK_WEBHOOK_URL }
  - name: approvers
    on: [approval_needed, resumed]
    channel: { kind: smtp, host: mail.example.com, from: portcullis@example.com, to: [ada@example.com, bo@example.com] }
";

const RECOVERY: &str = "\
version: 1
rto_minutes: 15
rpo_minutes: 120
directory: backups
pattern: db_backup_*.sql.gz
margin_minutes: 5
services: [backend]
";

/// Somebody who may sign the resume: name, roles, public key line as OpenSSH writes it.
pub type Approver = (String, Vec<String>, String);

/// Texts by path below `policies/`.
fn texts(approvers: &[Approver]) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> =
        SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    texts.insert("contacts.yml".into(), CONTACTS.into());
    texts.insert("credentials.yml".into(), CREDENTIALS.into());
    texts.insert("recovery.yml".into(), RECOVERY.into());
    if let Some(resume) = texts.get_mut("resume.yml") {
        let three = resume.replacen("threshold: 2\n", "threshold: 3\n", 1);
        *resume = starter::resume(&three, approvers);
    }
    texts
}

/// Writes them below `root`.
pub(super) fn write(root: &Path, approvers: &[Approver]) -> Result<(), Fault> {
    let folder = root.join("policies");
    for (path, text) in texts(approvers) {
        let path = folder.join(path);
        let parent = path.parent().ok_or_else(|| Fault::new(FaultKind::Invalid, "a policy has no folder"))?;
        std::fs::create_dir_all(parent).map_err(|error| fault("make", parent, error))?;
        replace(&path, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policies;

    #[test]
    fn they_hold_together_and_ask_for_three_signatures() {
        let people = ["ada", "bo", "cyd"].map(|name| (name.into(), vec!["security".into()], "ssh-ed25519 AAAA".into()));
        let policies = Policies::from_texts(texts(&people)).unwrap();
        assert_eq!(policies.resume.threshold, 3);
        assert_eq!(policies.resume.approvers.len(), 3);
        assert_eq!(policies.credentials.credentials.len(), 3);
        assert_eq!(policies.recovery.rpo_minutes, 120);
    }
}
