//! What a dump may hold. Everything else is named: a trigger, a function or a role that an intruder left would come back with
//! the restore.

use serde::{Deserialize, Serialize};

use super::Dialect;
use super::literal::parse_insert;
use super::words::{Word, words};
use crate::domain::guard::{
    GUARD_FUNCTION, GUARD_NAME, GUARD_TRIGGER, GUARD_TRUNCATE, POSTGRES_BODY, SQLITE_TABLE, is_postgres_trigger,
    sqlite_trigger,
};

/// A statement that a restore must not execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Line on which it starts, from 1.
    pub line: u64,
    /// What it is, in words.
    pub what: String,
    /// Its first characters.
    pub text: String,
}

/// What an allowed statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Makes a table.
    Table(String),
    /// Adds that many rows.
    Insert {
        /// Table.
        table: String,
        /// Rows.
        rows: u64,
    },
    /// Rows follow.
    Copy {
        /// Table, without its schema.
        table: String,
        /// Columns.
        columns: Vec<String>,
    },
    /// Ends the transaction that the dump began.
    Commit,
    /// Part of the guard that this program installs.
    Guard,
    /// Everything else that is allowed.
    Other,
}

/// Extensions that bring functions, but no way out of the database.
const EXTENSIONS: [&str; 11] = [
    "plpgsql",
    "pgcrypto",
    "uuid-ossp",
    "citext",
    "pg_trgm",
    "btree_gin",
    "btree_gist",
    "hstore",
    "unaccent",
    "ltree",
    "pg_stat_statements",
];

/// Functions that reach outside the database, wherever they are called.
const REACHING: [&str; 16] = [
    "load_extension",
    "readfile",
    "writefile",
    "edit",
    "fts3_tokenizer",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "lo_import",
    "lo_export",
    "dblink",
    "dblink_connect",
    "dblink_exec",
    "pg_execute_server_program",
    "query_to_xml",
    "pg_reload_conf",
];

pub(super) fn judge(dialect: Dialect, text: &str) -> Result<Allowed, String> {
    if dialect == Dialect::Sqlite && is_sqlite_guard(text) {
        return Ok(Allowed::Guard);
    }
    // Values need no further look, and most of a dump is values.
    if text.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("insert")) {
        return insert(dialect, text);
    }
    let words = words(text, dialect);
    // A name in front of a parenthesis is a call; a column that only has such a name is not.
    let called = words.windows(2).filter(|pair| pair[1] == Word::Sign('(')).filter_map(|pair| pair[0].name());
    if let Some(name) = called.into_iter().find(|name| REACHING.iter().any(|one| one.eq_ignore_ascii_case(name))) {
        return Err(format!("a call of {name}"));
    }
    match dialect {
        Dialect::Sqlite => sqlite(&words),
        Dialect::Postgres => postgres(&words),
    }
}

/// Whether the words start with these keywords; `|` separates alternatives.
fn starts(words: &[Word], pattern: &str) -> bool {
    pattern
        .split(' ')
        .enumerate()
        .all(|(at, keywords)| words.get(at).is_some_and(|word| keywords.split('|').any(|keyword| word.is(keyword))))
}

/// What kind of statement it is, in its own keywords.
fn head(words: &[Word]) -> String {
    let keywords = words.iter().map_while(|word| match word {
        Word::Bare(keyword) => Some(keyword.to_ascii_uppercase()),
        _ => None,
    });
    let head: Vec<_> = keywords.take(4).collect();
    if head.is_empty() { "an unknown statement".into() } else { head.join(" ") }
}

/// A possibly qualified name at that place: its last part, and the words used.
fn name_at(words: &[Word], at: usize) -> Option<(String, Option<String>, usize)> {
    let first = words.get(at)?.name()?;
    if words.get(at + 1) == Some(&Word::Sign('.')) {
        let second = words.get(at + 2)?.name()?;
        // The guard's own tables keep their schema, so that nothing else is taken for them.
        let name = if first == GUARD_NAME { format!("{first}.{second}") } else { second.to_owned() };
        return Some((name, Some(first.to_owned()), 3));
    }
    Some((first.to_owned(), None, 1))
}

fn insert(dialect: Dialect, text: &str) -> Result<Allowed, String> {
    if dialect == Dialect::Sqlite {
        let insert = parse_insert(text).ok_or("an INSERT of something else than plain values")?;
        if ["sqlite_master", "sqlite_schema", "sqlite_temp_master"]
            .iter()
            .any(|n| n.eq_ignore_ascii_case(&insert.table))
        {
            return Err("an INSERT into the schema table".into());
        }
        return Ok(Allowed::Insert { table: insert.table, rows: insert.rows.len() as u64 });
    }
    let words = words(text, dialect);
    let wrong = || "an INSERT of something else than plain values".to_owned();
    let (table, _, used) = name_at(&words, 2).filter(|_| starts(&words, "INSERT INTO")).ok_or_else(wrong)?;
    let values = words.iter().position(|word| word.is("VALUES")).ok_or_else(wrong)?;
    // Only a list of names in parentheses may stand between the table and VALUES.
    let names = &words[2 + used..values];
    let listed = names.iter().all(|word| word.name().is_some() || matches!(word, Word::Sign('(' | ')' | ',')))
        && !names.iter().any(|word| word.is("SELECT"));
    let (mut depth, mut rows) = (0_u32, 0_u64);
    for (at, word) in words.iter().enumerate().skip(values + 1) {
        match word {
            Word::Sign('(') => {
                // A call: a name in front of a parenthesis.
                if depth > 0 && words[at - 1].name().is_some() {
                    return Err(wrong());
                }
                depth += 1;
                rows += u64::from(depth == 1);
            }
            Word::Sign(')') => depth = depth.checked_sub(1).ok_or_else(wrong)?,
            word if word.is("SELECT") || word.is("RETURNING") => return Err(wrong()),
            _ => {}
        }
    }
    if !listed || depth != 0 || rows == 0 {
        return Err(wrong());
    }
    Ok(Allowed::Insert { table, rows })
}

fn sqlite(words: &[Word]) -> Result<Allowed, String> {
    if starts(words, "PRAGMA foreign_keys") {
        let plain = matches!(&words[2..], [Word::Sign('='), value] if value.is("OFF") || value.is("ON"));
        return if plain { Ok(Allowed::Other) } else { Err("PRAGMA foreign_keys in an unknown form".into()) };
    }
    if words.len() <= 2 && (starts(words, "BEGIN") || starts(words, "COMMIT")) {
        return Ok(if words[0].is("COMMIT") { Allowed::Commit } else { Allowed::Other });
    }
    if words.len() == 3 && starts(words, "DELETE FROM sqlite_sequence") {
        return Ok(Allowed::Other);
    }
    if words.len() == 2 && starts(words, "ANALYZE sqlite_schema|sqlite_master") {
        return Ok(Allowed::Other);
    }
    if starts(words, "CREATE TABLE") {
        return create_table(words);
    }
    if starts(words, "CREATE INDEX") || starts(words, "CREATE UNIQUE INDEX") {
        return Ok(Allowed::Other);
    }
    Err(head(words))
}

fn create_table(words: &[Word]) -> Result<Allowed, String> {
    let at = if starts(words, "CREATE TABLE IF NOT EXISTS") { 5 } else { 2 };
    let (name, schema, used) = name_at(words, at).ok_or("CREATE TABLE without a name")?;
    if schema.is_some_and(|schema| schema.eq_ignore_ascii_case("temp")) {
        return Err("CREATE TABLE in another schema".into());
    }
    // `AS SELECT` would execute a query.
    let query = words.iter().any(|word| word.is("SELECT"));
    if words.get(at + used) != Some(&Word::Sign('(')) || query {
        return Err("CREATE TABLE with a query".into());
    }
    Ok(Allowed::Table(name))
}

fn is_sqlite_guard(text: &str) -> bool {
    if text == SQLITE_TABLE {
        return true;
    }
    let words = words(text, Dialect::Sqlite);
    if !starts(&words, "CREATE TRIGGER") {
        return false;
    }
    let Some(on) = words.iter().position(|word| word.is("ON")) else { return false };
    let Some(table) = words.get(on + 1).and_then(Word::name) else { return false };
    ["INSERT", "UPDATE", "DELETE"].iter().any(|statement| sqlite_trigger(table, statement).1 == text)
}

fn postgres(words: &[Word]) -> Result<Allowed, String> {
    if starts(words, "COPY") {
        return copy(words);
    }
    if starts(words, "CREATE TABLE") || starts(words, "CREATE UNLOGGED TABLE") {
        let from = usize::from(words[1].is("UNLOGGED"));
        return create_table(&words[from..]).or_else(|why| {
            // `PARTITION OF`, with bounds instead of columns.
            if words.iter().any(|word| word.is("PARTITION")) && !words.iter().any(|word| word.is("SELECT")) {
                return Ok(Allowed::Other);
            }
            Err(why)
        });
    }
    if starts(words, "SET") {
        return set(words);
    }
    if starts(words, "SELECT") {
        return select(words);
    }
    if starts(words, "BEGIN") || starts(words, "COMMIT") {
        return if words.len() <= 2 { Ok(Allowed::Other) } else { Err(head(words)) };
    }
    if starts(words, "CREATE EXTENSION") {
        let at = if starts(words, "CREATE EXTENSION IF NOT EXISTS") { 5 } else { 2 };
        let name = words.get(at).and_then(Word::name).unwrap_or("");
        return if EXTENSIONS.contains(&name) { Ok(Allowed::Other) } else { Err(format!("CREATE EXTENSION {name}")) };
    }
    if starts(words, "CREATE SCHEMA|SEQUENCE|TYPE|INDEX|DOMAIN|COLLATION") || starts(words, "CREATE UNIQUE INDEX") {
        return Ok(Allowed::Other);
    }
    if starts(words, "COMMENT ON") || starts(words, "GRANT|REVOKE") {
        // Membership in a role is a GRANT without ON.
        let membership = starts(words, "GRANT|REVOKE") && !words.iter().any(|word| word.is("ON"));
        return if membership { Err("a grant of a role".into()) } else { Ok(Allowed::Other) };
    }
    if starts(words, "ALTER") {
        return alter(words);
    }
    if is_postgres_guard(words) {
        return Ok(Allowed::Guard);
    }
    Err(head(words))
}

/// `COPY table (columns) FROM stdin` and no other form: a program, a file or other options would not be a dump's.
fn copy(words: &[Word]) -> Result<Allowed, String> {
    let wrong = || "COPY in another form than a dump's".to_owned();
    let (table, _, used) = name_at(words, 1).ok_or_else(wrong)?;
    let mut columns = Vec::new();
    let mut rest = words[1 + used..].iter();
    if rest.next() != Some(&Word::Sign('(')) {
        return Err(wrong());
    }
    loop {
        columns.push(rest.next().and_then(Word::name).ok_or_else(wrong)?.to_owned());
        match rest.next() {
            Some(Word::Sign(',')) => {}
            Some(Word::Sign(')')) => break,
            _ => return Err(wrong()),
        }
    }
    match rest.as_slice() {
        [from, stdin] if from.is("FROM") && stdin.is("stdin") => Ok(Allowed::Copy { table, columns }),
        _ => Err(wrong()),
    }
}

fn set(words: &[Word]) -> Result<Allowed, String> {
    const HARMLESS: [&str; 13] = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "client_encoding",
        "standard_conforming_strings",
        "check_function_bodies",
        "xmloption",
        "client_min_messages",
        "row_security",
        "default_tablespace",
        "default_table_access_method",
        "default_with_oids",
    ];
    let name = words.get(1).and_then(Word::name).unwrap_or("");
    if !HARMLESS.contains(&name) {
        return Err(format!("SET {name}"));
    }
    // With it off, backslashes end strings elsewhere than they are read here.
    if name == "standard_conforming_strings" && !words.get(3).is_some_and(|word| word.is("on")) {
        return Err("SET standard_conforming_strings to something else than on".into());
    }
    // So would an encoding in which a quote can be half a character.
    let utf8 = |word: &Word| matches!(word, Word::Text(text) if text.eq_ignore_ascii_case("UTF8"));
    if name == "client_encoding" && !words.get(3).is_some_and(utf8) {
        return Err("SET client_encoding to something else than UTF8".into());
    }
    Ok(Allowed::Other)
}

/// Only the two calls that `pg_dump` writes.
fn select(words: &[Word]) -> Result<Allowed, String> {
    let plain = words.iter().filter(|word| **word == Word::Sign('(')).count() == 1
        && !words[1..].iter().any(|word| word.is("SELECT") || word.is("FROM"));
    let called = name_at(words, 1).filter(|(_, schema, _)| schema.as_deref() == Some("pg_catalog"));
    let name = called.as_ref().map_or("", |(name, _, _)| name.as_str());
    let search_path = matches!(words.get(5), Some(Word::Text(text)) if text == "search_path");
    match name {
        "setval" if plain => Ok(Allowed::Other),
        "set_config" if plain && search_path => Ok(Allowed::Other),
        _ => Err("a SELECT".into()),
    }
}

fn alter(words: &[Word]) -> Result<Allowed, String> {
    let has = |keyword: &str| words.iter().any(|word| word.is(keyword));
    if starts(words, "ALTER TABLE") {
        // As `pg_dump` writes it: `ALTER TABLE [ONLY] name ENABLE ALWAYS TRIGGER ours`.
        if let [.., enable, always, trigger, name] = words
            && enable.is("ENABLE")
            && always.is("ALWAYS")
            && trigger.is("TRIGGER")
            && name.name().is_some_and(|name| [GUARD_TRIGGER, GUARD_TRUNCATE].contains(&name))
        {
            return Ok(Allowed::Guard);
        }
        if has("TRIGGER") || has("RULE") || (has("ROW") && has("SECURITY")) || has("USING") && has("TYPE") {
            return Err("ALTER TABLE of triggers, rules, row security or types".into());
        }
        return Ok(Allowed::Other);
    }
    if starts(words, "ALTER SEQUENCE|TYPE|INDEX|SCHEMA|DOMAIN") {
        return Ok(Allowed::Other);
    }
    let owned_function = starts(words, "ALTER FUNCTION") && has("OWNER");
    if owned_function && words.get(2).and_then(Word::name) == Some(GUARD_NAME) {
        return Ok(Allowed::Guard);
    }
    Err(head(words))
}

/// The guard's function, by its exact body, and the trigger that calls it.
fn is_postgres_guard(words: &[Word]) -> bool {
    if starts(words, "CREATE FUNCTION") {
        let named = plain(&words[2..words.len().min(7)]) == GUARD_FUNCTION;
        let body = matches!(words.last(), Some(Word::Text(body)) if body.trim() == POSTGRES_BODY.trim());
        // Nothing between name and body but what `install` says: no SECURITY DEFINER, no SET, no second text.
        let between = words.get(7..words.len().saturating_sub(1)).unwrap_or_default();
        return named && body && plain(between) == "RETURNS trigger LANGUAGE plpgsql AS";
    }
    if starts(words, "CREATE TRIGGER") {
        let name = words.get(2).and_then(Word::name).unwrap_or_default();
        return is_postgres_trigger(name, &plain(words));
    }
    false
}

/// The words as the catalog writes them, names without quotes; a text stands for nothing that the guard has.
fn plain(words: &[Word]) -> String {
    let mut text = String::new();
    for word in words {
        match word {
            Word::Sign(sign @ ('.' | '(' | ')')) => text.push(*sign),
            word => {
                if !text.is_empty() && !text.ends_with(['.', '(']) {
                    text.push(' ');
                }
                text.push_str(word.name().unwrap_or("?"));
            }
        }
    }
    text
}
