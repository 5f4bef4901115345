//! What a dump of `pg_dump` may hold.

use super::allow::{Allowed, create_table, head, name_at, starts};
use super::calls::unknown_call;
use super::words::Word;
use crate::domain::guard::{
    GUARD_FUNCTION, GUARD_NAME, GUARD_TRIGGER, GUARD_TRUNCATE, POSTGRES_BODY, is_postgres_trigger,
};

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

pub(super) fn postgres(words: &[Word]) -> Result<Allowed, String> {
    let allowed = statement(words)?;
    let rows = matches!(allowed, Allowed::Table(_) | Allowed::Copy { .. } | Allowed::Insert { .. });
    // Rights, owners and keys of the guard's own tables: it is put back afresh.
    let of_guard = |pair: &[Word]| {
        let named = |word: &Word| word.name() == Some(GUARD_NAME);
        (named(&pair[0]) && pair[1] == Word::Sign('.')) || (pair[0].is("SCHEMA") && named(&pair[1]))
    };
    Ok(if !rows && words.windows(2).any(of_guard) { Allowed::Guard } else { allowed })
}

fn statement(words: &[Word]) -> Result<Allowed, String> {
    if starts(words, "COPY") {
        return copy(words);
    }
    // What is computed when rows come in, or when an index is built, runs with the rights of whoever restores.
    let computes =
        starts(words, "CREATE TABLE|UNLOGGED|INDEX|UNIQUE|DOMAIN|TYPE") || starts(words, "ALTER TABLE|DOMAIN|TYPE");
    if let Some(name) = unknown_call(words).filter(|_| computes) {
        return Err(format!("a call of {name}, which is not on the list of harmless functions"));
    }
    if starts(words, "CREATE TABLE") || starts(words, "CREATE UNLOGGED TABLE") {
        return table(words);
    }
    if starts(words, "SET") {
        return set(words);
    }
    if starts(words, "SELECT") {
        return select(words);
    }
    if starts(words, "BEGIN") || starts(words, "COMMIT") {
        return if words.len() <= 2 { Ok(Allowed::Session) } else { Err(head(words)) };
    }
    if starts(words, "CREATE") {
        return create(words);
    }
    if starts(words, "COMMENT ON") {
        return Ok(Allowed::Comment);
    }
    if starts(words, "GRANT|REVOKE") {
        // Membership in a role is a GRANT without ON.
        let membership = !words.iter().any(|word| word.is("ON"));
        return if membership { Err("a grant of a role".into()) } else { Ok(Allowed::Rights) };
    }
    if starts(words, "ALTER") {
        return alter(words);
    }
    Err(head(words))
}

fn table(words: &[Word]) -> Result<Allowed, String> {
    let from = usize::from(words[1].is("UNLOGGED"));
    create_table(&words[from..]).or_else(|why| {
        // `PARTITION OF`, with bounds instead of columns.
        if words.iter().any(|word| word.is("PARTITION")) && !words.iter().any(|word| word.is("SELECT")) {
            return Ok(Allowed::Other);
        }
        Err(why)
    })
}

fn create(words: &[Word]) -> Result<Allowed, String> {
    if starts(words, "CREATE EXTENSION") {
        let at = if starts(words, "CREATE EXTENSION IF NOT EXISTS") { 5 } else { 2 };
        let name = words.get(at).and_then(Word::name).unwrap_or("");
        let known = EXTENSIONS.contains(&name);
        return if known { Ok(Allowed::Extension(name.into())) } else { Err(format!("CREATE EXTENSION {name}")) };
    }
    if starts(words, "CREATE SCHEMA") && words.len() == 3 {
        return Ok(Allowed::Schema(words[2].name().ok_or("CREATE SCHEMA without a name")?.to_owned()));
    }
    if starts(words, "CREATE INDEX") || starts(words, "CREATE UNIQUE INDEX") {
        let on = words.iter().position(|word| word.is("ON")).ok_or_else(|| head(words))?;
        let at = on + 1 + usize::from(words.get(on + 1).is_some_and(|word| word.is("ONLY")));
        return Ok(Allowed::Index { table: as_written(words, at).ok_or_else(|| head(words))? });
    }
    if starts(words, "CREATE TYPE") {
        // A base type or a range would name functions.
        let (_, _, used) = name_at(words, 2).ok_or_else(|| head(words))?;
        let rest = &words[2 + used..];
        let plain = starts(rest, "AS ENUM") || (starts(rest, "AS") && rest.get(1) == Some(&Word::Sign('(')));
        return if plain {
            Ok(Allowed::Other)
        } else {
            Err("CREATE TYPE of another kind than enum or composite".into())
        };
    }
    if starts(words, "CREATE SEQUENCE|DOMAIN|COLLATION") {
        return Ok(Allowed::Other);
    }
    if is_postgres_guard(words) {
        return Ok(Allowed::Guard);
    }
    Err(head(words))
}

/// A possibly qualified name, as one text by which two statements about the same table are known.
fn as_written(words: &[Word], at: usize) -> Option<String> {
    let (name, schema, _) = name_at(words, at)?;
    Some(schema.map_or_else(|| name.clone(), |schema| format!("{schema}.{name}")))
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
    Ok(Allowed::Session)
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
        "set_config" if plain && search_path => Ok(Allowed::Session),
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
        if has("CONSTRAINT") && has("ADD") {
            let at = 2 + usize::from(words.get(2).is_some_and(|word| word.is("ONLY")));
            let table = as_written(words, at).ok_or_else(|| head(words))?;
            return Ok(Allowed::Constraint { table, foreign: has("FOREIGN") });
        }
        return Ok(owner(words).map_or(Allowed::Other, Allowed::Owner));
    }
    if starts(words, "ALTER SEQUENCE|TYPE|INDEX|SCHEMA|DOMAIN|COLLATION") {
        return Ok(owner(words).map_or(Allowed::Other, Allowed::Owner));
    }
    let owned_function = starts(words, "ALTER FUNCTION") && has("OWNER");
    if owned_function && words.get(2).and_then(Word::name) == Some(GUARD_NAME) {
        return Ok(Allowed::Guard);
    }
    Err(head(words))
}

/// The role of `... OWNER TO role`, the end of a statement.
fn owner(words: &[Word]) -> Option<String> {
    // One action and no other: it is carried out by a stronger role than the rest.
    let alone = !words.iter().any(|word| matches!(word, Word::Sign(',' | '(')));
    match words {
        [.., owner, to, role] if alone && owner.is("OWNER") && to.is("TO") => role.name().map(str::to_owned),
        _ => None,
    }
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
