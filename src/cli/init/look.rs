//! What lies around: names and places, never the value of a secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::compose;
use crate::cli::Context;
use crate::detect::trades::roles::{Catalog, RoleOverrides, trade_tables};
use crate::domain::{Relations, Table, TableName};
use crate::policy::prisma;
use crate::policy::starter::{self, Found, Guess};
use crate::ports::Fault;
use crate::world;

/// How long the database is given to show its tables.
const DATABASE_WITHIN: Duration = Duration::from_secs(5);
const COMPOSE: [&str; 4] = ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];
const SCHEMAS: [&str; 4] =
    ["prisma/schema.prisma", "schema.prisma", "prisma/schema", "packages/database/prisma/schema.prisma"];
const BACKUPS: [&str; 5] = ["backups", "backup", "db_backups", "dumps", "data/backups"];
const DUMPS: [&str; 7] = [".sql.gz", ".sql.zst", ".sql", ".dump.gz", ".dump.zst", ".dump", ".pgdump"];
const LOGS: [&str; 7] = [
    "logs",
    "log",
    "/var/log/nginx",
    "/var/log/apache2",
    "/var/log/postgresql",
    "/var/log/auth.log",
    "/var/log/secure",
];

/// One thing that was found, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub what: &'static str,
    pub value: Option<String>,
    pub why: String,
}

/// What was found, how it is said, and what else could have been meant.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub found: Found,
    pub notes: Vec<Note>,
    /// Tables that could hold the trades, the likeliest first.
    pub tables: Vec<TableName>,
    /// All tables, where they are known.
    pub all_tables: Vec<TableName>,
    /// The schema that needs no saying.
    pub usual_schema: String,
}

impl Seen {
    fn note(&mut self, what: &'static str, value: Option<String>, why: impl Into<String>) {
        self.notes.push(Note { what, value, why: why.into() });
    }

    /// Takes a table for the one with the trades.
    pub fn choose(&mut self, table: &TableName) {
        let schema = (table.schema != self.usual_schema).then(|| table.schema.clone());
        self.found.trades = Some((schema, table.name.clone()));
    }
}

/// Looks at the folder and, if it can be reached, at the database's catalog.
pub(super) async fn look(ctx: &Context) -> Seen {
    let mut seen = Seen { usual_schema: "public".into(), ..Seen::default() };
    services(&ctx.root, &mut seen);
    env_keys(&ctx.root, &mut seen);
    trades(ctx, &mut seen).await;
    backups(&ctx.root, &mut seen);
    scripts(&ctx.root, &mut seen);
    let logs = LOGS.iter().filter(|path| holds_something(&ctx.root.join(path)));
    seen.found.logs = logs.map(|path| (*path).to_owned()).collect();
    let logs = (!seen.found.logs.is_empty()).then(|| seen.found.logs.join(" "));
    seen.note("logs", logs, "for watch");
    seen
}

fn holds_something(path: &Path) -> bool {
    if path.is_file() {
        return fs::File::open(path).is_ok();
    }
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

fn services(root: &Path, seen: &mut Seen) {
    seen.found.compose_command = vec!["docker-compose".into()];
    let texts = COMPOSE.iter().filter_map(|name| Some((*name, fs::read_to_string(root.join(name)).ok()?)));
    let Some((name, text)) = texts.into_iter().next() else {
        seen.note("services", None, "no compose file here: name them in credentials.yml");
        return;
    };
    if name.starts_with("compose.") {
        seen.found.compose_command = vec!["docker".into(), "compose".into()];
    }
    seen.found.compose = Some(name.to_owned());
    let document: Value = match crate::policy::parse(name, &text) {
        Ok(document) => document,
        Err(error) => {
            seen.note("services", None, format!("{name} can't be read: {error}"));
            return;
        }
    };
    seen.found.services = compose::services(&document);
    seen.note("services", Some(seen.found.services.join(" ")), name);
    let Some(back_end) = starter::back_end(&seen.found).map(String::from) else { return };
    seen.found.health = compose::health(&document, &back_end);
    let (health, why) = match &seen.found.health {
        Some(health) => (health.clone(), "from its ports and health check"),
        None => (starter::HEALTH.to_owned(), "nothing says otherwise"),
    };
    seen.note("back end", Some(back_end.clone()), "by its name");
    seen.note("health", Some(health), why);
    seen.found.back_end = Some(back_end);
}

fn env_keys(root: &Path, seen: &mut Seen) {
    let Ok(text) = fs::read_to_string(root.join(".env")) else {
        seen.note("secrets", None, "no .env here");
        return;
    };
    for line in text.lines() {
        let line = line.trim_start().strip_prefix("export ").unwrap_or(line.trim_start());
        if let Some((key, value)) = line.split_once('=').filter(|(key, _)| compose::is_name(key.trim())) {
            seen.found.env_keys.push(key.trim().to_owned());
            if key.trim() == "DATABASE_URL" {
                seen.found.database_role = role_of(value.trim().trim_matches(['"', '\'']));
            }
        }
    }
    let named = |wanted: Guess| -> Vec<&str> {
        seen.found.env_keys.iter().filter(|key| starter::guess(key) == wanted).map(String::as_str).collect()
    };
    let (own, foreign, all) = (named(Guess::SelfMade), named(Guess::Foreign), seen.found.env_keys.len());
    let mut notes = Vec::new();
    if let Some(role) = &seen.found.database_role {
        notes.push(("database", Some(format!("role {role}")), "DATABASE_URL in .env".to_owned()));
    }
    if own.is_empty() && foreign.is_empty() {
        notes.push(("secrets", None, format!("none of {all} names in .env looks like one")));
    }
    if !own.is_empty() {
        notes.push(("secrets", Some(own.join(" ")), "made by yourselves, by their names in .env".into()));
    }
    if !foreign.is_empty() {
        notes.push(("secrets", Some(foreign.join(" ")), "made by others: a person replaces them".into()));
    }
    for (what, value, why) in notes {
        seen.note(what, value, why);
    }
}

fn role_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let (user_info, _) = rest.rsplit_once('@')?;
    let user = user_info.split(':').next()?;
    compose::is_name(user).then(|| user.to_owned())
}

/// Tables of the database; `None` if there is no address.
async fn catalog(ctx: &Context) -> Option<Result<(Vec<Table>, Relations, Option<String>), String>> {
    let chain = |fault: Fault| fault.chain();
    let (database, schema) = match world::database(&ctx.root, &ctx.settings) {
        Ok(found) => found?,
        Err(fault) => return Some(Err(fault.chain())),
    };
    let asked = async {
        let tables = database.tables().await.map_err(chain)?;
        Ok((tables, database.relations().await.map_err(chain)?, schema))
    };
    let within = tokio::time::timeout(DATABASE_WITHIN, asked).await;
    Some(within.unwrap_or_else(|_| Err(format!("it did not answer within {} s", DATABASE_WITHIN.as_secs()))))
}

/// Tables that the Prisma schema declares, and its path.
fn prisma_tables(root: &Path) -> Option<(String, Vec<Table>)> {
    let path = SCHEMAS.iter().find(|path| root.join(path).exists())?;
    let mut files: Vec<PathBuf> = vec![root.join(path)];
    if files[0].is_dir() {
        files = fs::read_dir(&files[0]).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
    }
    let texts = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "prisma"));
    let whole: Vec<String> = texts.filter_map(|file| fs::read_to_string(file).ok()).collect();
    Some(((*path).to_owned(), prisma::tables(&whole.join("\n"))))
}

async fn trades(ctx: &Context, seen: &mut Seen) {
    let declared = prisma_tables(&ctx.root);
    let (tables, relations, schema, place) = match (catalog(ctx).await, declared) {
        (Some(Ok((tables, relations, schema))), _) => (tables, relations, schema, "the database".to_owned()),
        (asked, Some((path, tables))) => {
            if let Some(Err(why)) = asked {
                seen.note("database", None, format!("not reached: {why}"));
            }
            (tables, Relations::default(), None, path)
        }
        (Some(Err(why)), None) => {
            seen.note("trades", None, format!("the database was not reached: {why}; pause.yml says `Trade`"));
            return;
        }
        (None, None) => {
            seen.note("trades", None, "no DATABASE_URL and no Prisma schema: pause.yml says `Trade`");
            return;
        }
    };
    if let Some(schema) = &schema {
        seen.usual_schema.clone_from(schema);
    } else if tables.first().is_some_and(|table| table.name.schema == "main") {
        seen.usual_schema = "main".into();
    }
    let overrides = RoleOverrides::default();
    let catalog = Catalog { tables: &tables, relations: &relations, overrides: &overrides };
    let likely = trade_tables(catalog, schema.as_deref());
    if let Some((table, why)) = likely.first() {
        let table = (*table).clone();
        seen.note("trades", Some(table.to_string()), format!("in {place}: {why}"));
        seen.choose(&table);
    } else {
        let count = tables.len();
        seen.note("trades", None, format!("none of {count} tables in {place} looks like it: pause.yml says `Trade`"));
    }
    seen.tables = likely.into_iter().map(|(table, _)| table.clone()).collect();
    seen.all_tables = tables.into_iter().map(|table| table.name).collect();
}

/// The pattern that a dump's name is an example of: what comes before its first digit, and its ending.
pub(super) fn pattern_of(name: &str) -> Option<String> {
    let ending = DUMPS.iter().find(|ending| name.ends_with(**ending))?;
    let stem = name.strip_suffix(ending)?;
    let fixed = stem.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
    Some(if fixed == stem { format!("*{ending}") } else { format!("{fixed}*{ending}") })
}

fn backups(root: &Path, seen: &mut Seen) {
    for folder in BACKUPS {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        let mut patterns: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries.flatten() {
            if let Some(pattern) = entry.file_name().to_str().and_then(pattern_of) {
                *patterns.entry(pattern).or_default() += 1;
            }
        }
        // Most files; of equals the first by name.
        let Some((pattern, count)) = patterns.into_iter().rev().max_by_key(|(_, count)| *count) else { continue };
        seen.note(
            "backups",
            Some(format!("{folder}/{pattern}")),
            if count == 1 { "1 file".to_owned() } else { format!("{count} files") },
        );
        seen.found.backups = Some((folder.to_owned(), pattern));
        return;
    }
    seen.note("backups", None, "no dump found: recovery.yml says `backups/db_backup_*.sql.gz`");
}

fn scripts(root: &Path, seen: &mut Seen) {
    seen.found.restore_script = root.join("scripts/restore.sh").is_file();
    if seen.found.restore_script {
        seen.note("restore", Some("scripts/restore.sh".into()), "called by restore");
    }
    let runners: [(&str, &[&str]); 3] = [
        ("scripts/validate-data.ts", &["bun", "run"]),
        ("scripts/validate-data.js", &["node"]),
        ("scripts/validate-data.sh", &["sh"]),
    ];
    if let Some((script, runner)) = runners.into_iter().find(|(script, _)| root.join(script).is_file()) {
        seen.found.validate = runner.iter().chain([&script]).map(|word| (*word).to_owned()).collect();
        seen.note("validation", Some(seen.found.validate.join(" ")), "run after a restore");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumps_name_gives_its_pattern() {
        for (name, pattern) in [
            ("db_backup_20261129_0300.sql.gz", Some("db_backup_*.sql.gz")),
            ("nightly-2026-11-29.dump", Some("nightly-*.dump")),
            ("2026.sql", Some("*.sql")),
            ("full.sql.zst", Some("*.sql.zst")),
            ("README.md", None),
        ] {
            assert_eq!(pattern_of(name).as_deref(), pattern, "{name}");
        }
    }

    #[test]
    fn the_role_is_read_off_an_address_without_its_password() {
        assert_eq!(role_of("postgresql://app:p%40ss@db/x").as_deref(), Some("app"));
        assert_eq!(role_of("file:dev.db"), None);
    }
}
