//! What a dump may hold. Everything else is named: a trigger, a function or a role that an intruder left would come back with
//! the restore.

use serde::{Deserialize, Serialize};

use super::Dialect;
use super::literal::parse_insert;
use super::postgres::postgres;
use super::words::{Word, words};
use crate::domain::guard::{GUARD_NAME, SQLITE_TABLE, sqlite_trigger};

/// A statement that a restore must not execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Line on which it starts, from 1.
    pub line: u64,
    /// What it is, in words.
    pub what: String,
    /// Its first characters.
    pub text: String,
    /// All of it; nothing if it is longer than 16 KiB.
    #[serde(skip)]
    pub whole: String,
}

/// What an allowed statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
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
    /// Steers the session only: nothing of it stays.
    Session,
    /// Makes a schema.
    Schema(String),
    /// Wants an extension.
    Extension(String),
    /// Makes that role the owner of something.
    Owner(String),
    /// Gives or takes rights.
    Rights,
    /// Words about something.
    Comment,
    /// Builds an index over a table, which may be read meanwhile.
    Index {
        /// Table, with its schema as written.
        table: String,
    },
    /// Adds a constraint to a table, which is locked meanwhile.
    Constraint {
        /// Table, with its schema as written.
        table: String,
        /// Whether it refers to another table.
        foreign: bool,
    },
    /// Everything else that is allowed.
    Other,
}

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

/// What a statement of a dump does, if it may be in one; else what it is, in words.
pub fn judge(dialect: Dialect, text: &str) -> Result<Allowed, String> {
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
pub(super) fn starts(words: &[Word], pattern: &str) -> bool {
    pattern
        .split(' ')
        .enumerate()
        .all(|(at, keywords)| words.get(at).is_some_and(|word| keywords.split('|').any(|keyword| word.is(keyword))))
}

/// What kind of statement it is, in its own keywords.
pub(super) fn head(words: &[Word]) -> String {
    let keywords = words.iter().map_while(|word| match word {
        Word::Bare(keyword) => Some(keyword.to_ascii_uppercase()),
        _ => None,
    });
    let head: Vec<_> = keywords.take(4).collect();
    if head.is_empty() { "an unknown statement".into() } else { head.join(" ") }
}

/// A possibly qualified name at that place: its last part, and the words used.
pub(super) fn name_at(words: &[Word], at: usize) -> Option<(String, Option<String>, usize)> {
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

pub(super) fn create_table(words: &[Word]) -> Result<Allowed, String> {
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
