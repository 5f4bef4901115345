//! Starting points fitted to what `init` found: pure text from facts.

use std::fmt::Write as _;

/// What was found in the deployment's folder. No values, only names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Compose file, if there is one.
    pub compose: Option<String>,
    /// Services of the compose file.
    pub services: Vec<String>,
    /// Keys of `.env`.
    pub env_keys: Vec<String>,
    /// Role of the PostgreSQL `DATABASE_URL` in `.env`.
    pub database_role: Option<String>,
    /// Whether `scripts/restore.sh` is there.
    pub restore_script: bool,
    /// Command in front of compose arguments: `docker compose` or `docker-compose`.
    pub compose_command: Vec<String>,
    /// The service that is the back end.
    pub back_end: Option<String>,
    /// Its health address as this machine reaches it.
    pub health: Option<String>,
    /// Schema (where it is not the usual one) and name of the trade table.
    pub trades: Option<(Option<String>, String)>,
    /// Folder of the backups and the pattern of their names.
    pub backups: Option<(String, String)>,
    /// Log files and folders.
    pub logs: Vec<String>,
    /// Command that validates the data after a restore.
    pub validate: Vec<String>,
}

/// Where a back end listens for health checks if nothing says otherwise.
pub const HEALTH: &str = "http://localhost:3001/health";

/// How a key of `.env` is taken into `credentials.yml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// Made by the deployment itself.
    SelfMade,
    /// Issued by somebody else: a person must rotate it.
    Foreign,
    /// Not a secret by its name.
    NoSecret,
}

/// What a key's name says of it. A guess, which `init` says aloud.
pub fn guess(key: &str) -> Guess {
    const SECRET: [&str; 8] =
        ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "PRIVATE_KEY", "API_KEY", "APIKEY", "SIGNING_KEY"];
    const OWN: [&str; 8] = ["JWT", "SESSION", "COOKIE", "WEBHOOK", "ENCRYPTION", "SIGNING", "REFRESH", "NEXTAUTH"];
    const PUBLIC: [&str; 3] = ["PUBLIC_", "NEXT_PUBLIC", "VITE_"];
    let key = key.to_ascii_uppercase();
    if PUBLIC.iter().any(|part| key.starts_with(part)) || !SECRET.iter().any(|part| key.contains(part)) {
        return Guess::NoSecret;
    }
    if OWN.iter().any(|part| key.contains(part)) { Guess::SelfMade } else { Guess::Foreign }
}

/// `credentials.yml` for what was found; `None` if nothing there could be a credential.
pub fn credentials(found: &Found) -> Option<String> {
    let mut body = String::new();
    let service = back_end(found);
    let used_by = service.map_or(String::new(), |name| format!("    used_by: [{name}]\n"));
    if let Some(role) = &found.database_role {
        let _ = write!(
            body,
            "  - id: database\n    title: Database role of the back end\n    issuer: {{ kind: postgres_role, role: {} }}\n    kept:\n      - {{ store: dotenv, path: .env, key: DATABASE_URL, part: url_password }}\n{used_by}\n",
            quoted(role)
        );
    }
    for key in &found.env_keys {
        let id = key.to_ascii_lowercase().replace('_', "-");
        match guess(key) {
            Guess::SelfMade => {
                let _ = write!(
                    body,
                    "  - id: {id}\n    issuer: {{ kind: self_made }}\n    kept:\n      - {{ store: dotenv, path: .env, key: {key} }}\n{used_by}    generate: {{ length: 64 }}\n    # `store` accepts that only the file can be asked; `http` asks the service (docs/POLICIES.md).\n    proof: {{ kind: store }}\n\n"
                );
            }
            Guess::Foreign => {
                let _ = write!(
                    body,
                    "  - id: {id}\n    issuer:\n      kind: manual\n      instructions: Revoke {key} where it was issued, make a new one there, and put it into .env\n    kept:\n      - {{ store: dotenv, path: .env, key: {key} }}\n{used_by}\n"
                );
            }
            Guess::NoSecret => {}
        }
    }
    if body.is_empty() {
        return None;
    }
    let mut text = String::from(
        "# Written by `portcullis init` from the names in .env: a guess. Check every entry; docs/POLICIES.md names every key.\nversion: 1\n\n",
    );
    if let Some(name) = service {
        let command = |verb: &str| {
            let words: Vec<_> = found.compose_command.iter().map(String::as_str).chain([verb, name]).collect();
            words.join(", ")
        };
        let _ = write!(
            text,
            "services:\n  - name: {name}\n    restart: [{}]\n    stop: [{}]\n    health: {}\n\n",
            command("restart"),
            command("stop"),
            found.health.as_deref().unwrap_or(HEALTH)
        );
    }
    let _ = write!(text, "credentials:\n{}", body.trim_end());
    text.push('\n');
    Some(text)
}

/// The service that is the back end: as it was told, by name, else the first that is no database.
pub fn back_end(found: &Found) -> Option<&str> {
    const NAMES: [&str; 5] = ["backend", "api", "app", "server", "web"];
    const STORES: [&str; 8] =
        ["postgres", "postgresql", "db", "redis", "database", "cache", "pgbouncer", "timescaledb"];
    let named = |name: &&str| found.services.iter().any(|service| service == name);
    found.back_end.as_deref().or_else(|| NAMES.into_iter().find(named)).or_else(|| {
        let other = found.services.iter().find(|service| !STORES.contains(&service.as_str()));
        other.map(String::as_str)
    })
}

/// `pause.yml` with the trade table that was found.
pub fn pause(template: &str, found: &Found) -> String {
    let Some((schema, table)) = &found.trades else { return template.to_owned() };
    let mut named = format!("table: {}\n", quoted(table));
    if let Some(schema) = schema {
        let _ = writeln!(named, "  schema: {}", quoted(schema));
    }
    template.replacen("table: Trade\n", &named, 1)
}

/// `monitoring.yml` with the logs that were found.
pub fn monitoring(template: &str, found: &Found) -> String {
    let logs: Vec<_> = found.logs.iter().map(|path| quoted(path)).collect();
    template.replacen("logs: []", &format!("logs: [{}]", logs.join(", ")), 1)
}

/// `recovery.yml` with what was found, and the commands for restore and validation only where their scripts are.
pub fn recovery(template: &str, found: &Found) -> String {
    let services = match (credentials(found).is_some(), back_end(found)) {
        // Without a tailored credentials.yml, the shipped one declares `backend`.
        (false, _) => "services: [backend]".to_owned(),
        (true, Some(name)) => format!("services: [{name}]"),
        (true, None) => "services: []".to_owned(),
    };
    let mut text = template.replacen("services: [backend]", &services, 1);
    if let Some((folder, pattern)) = &found.backups {
        let named = format!("directory: {}\npattern: {}\n", quoted(folder), quoted(pattern));
        text = text.replacen("directory: backups\npattern: db_backup_*.sql.gz\n", &named, 1);
    }
    if !found.validate.is_empty() {
        let words: Vec<_> = found.validate.iter().map(|word| quoted(word)).collect();
        text = text.replacen(
            "# validate: [bun, run, scripts/validate-data.ts]\n",
            &format!("validate: [{}]\n", words.join(", ")),
            1,
        );
    }
    if found.restore_script { text } else { text.replacen("\nrestore: [", "\n# restore: [", 1) }
}

/// `resume.yml` with approvers: `(name, roles, key line)`.
pub fn resume(template: &str, approvers: &[(String, Vec<String>, String)]) -> String {
    if approvers.is_empty() {
        return template.to_owned();
    }
    let mut roster = String::from("approvers:\n");
    for (name, roles, key) in approvers {
        let roles: Vec<_> = roles.iter().map(|role| quoted(role)).collect();
        let _ = writeln!(
            roster,
            "  - name: {}\n    roles: [{}]\n    keys: [{}]",
            quoted(name),
            roles.join(", "),
            quoted(key)
        );
    }
    template.replacen("approvers: []\n", &roster, 1)
}

/// A YAML double-quoted scalar: JSON strings are a subset of it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::credentials::{CredentialsPolicy, IssuerPolicy};
    use crate::policy::resume::ResumePolicy;

    fn found() -> Found {
        Found {
            compose: Some("docker-compose.yml".into()),
            services: vec!["postgres".into(), "backend".into()],
            env_keys: ["DATABASE_URL", "JWT_SECRET", "STRIPE_SECRET_KEY", "PORT", "NEXT_PUBLIC_API_KEY"]
                .map(String::from)
                .to_vec(),
            database_role: Some("trading app: \"x\"".into()),
            restore_script: false,
            compose_command: vec!["docker-compose".into()],
            health: Some("http://localhost:4000/healthz".into()),
            trades: Some((Some("desk".into()), "trade \"log\"".into())),
            backups: Some(("dumps".into(), "nightly_*.dump".into())),
            logs: vec!["logs".into(), "/var/log/nginx".into()],
            validate: vec!["bun".into(), "run".into(), "scripts/validate-data.ts".into()],
            back_end: None,
        }
    }

    #[test]
    fn what_init_writes_can_be_read_back() {
        let text = credentials(&found()).unwrap();
        let policy: CredentialsPolicy = crate::policy::parse("credentials.yml", &text).unwrap();
        let ids: Vec<_> = policy.credentials.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["database", "jwt-secret", "stripe-secret-key"]);
        assert_eq!(
            policy.credentials[0].issuer,
            IssuerPolicy::PostgresRole { role: "trading app: \"x\"".into(), pgbouncer: Vec::new() }
        );
        assert!(matches!(policy.credentials[2].issuer, IssuerPolicy::Manual { .. }));
        assert_eq!(policy.services[0].restart.as_deref().unwrap(), ["docker-compose", "restart", "backend"]);
    }

    #[test]
    fn what_init_writes_fits_together() {
        use crate::policy::{Policies, shipped::SHIPPED};
        for found in [found(), Found::default(), Found { services: Vec::new(), ..found() }] {
            let texts = SHIPPED.iter().map(|(path, text)| {
                let text = match *path {
                    "credentials.yml" => credentials(&found).unwrap_or((*text).into()),
                    "recovery.yml" => recovery(text, &found),
                    "pause.yml" => pause(text, &found),
                    "monitoring.yml" => monitoring(text, &found),
                    _ => (*text).into(),
                };
                ((*path).to_owned(), text)
            });
            let policies = Policies::from_texts(texts.collect()).unwrap();
            assert_eq!(policies.recovery.restore.is_some(), found.restore_script);
            assert_eq!(policies.recovery.validate.is_some(), !found.validate.is_empty());
            assert_eq!(policies.monitoring.logs, found.logs);
            let guard = policies.pause.guard.unwrap();
            let trades = found.trades.clone().unwrap_or((None, "Trade".into()));
            assert_eq!((guard.schema, guard.table), trades);
            let backups = found.backups.clone().unwrap_or(("backups".into(), "db_backup_*.sql.gz".into()));
            assert_eq!((policies.recovery.directory, policies.recovery.pattern), (vec![backups.0], backups.1));
            if back_end(&found).is_some() && !found.env_keys.is_empty() {
                assert_eq!(policies.credentials.services[0].health, found.health);
            }
        }
    }

    #[test]
    fn nothing_found_writes_nothing() {
        assert_eq!(credentials(&Found::default()), None);
    }

    #[test]
    fn approvers_are_put_into_the_template() {
        let template = super::super::shipped::SHIPPED.iter().find(|(path, _)| *path == "resume.yml").unwrap().1;
        let text = resume(template, &[("alice".into(), vec!["security".into()], "ssh-ed25519 AAAA a\"b".into())]);
        let policy: ResumePolicy = crate::policy::parse("resume.yml", &text).unwrap();
        assert_eq!(policy.approvers[0].keys, ["ssh-ed25519 AAAA a\"b"]);
        assert_eq!(policy.approvers[0].roles, ["security"]);
    }
}
