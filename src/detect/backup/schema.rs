//! Tables and rows out of a dump's own text.

use super::Dialect;
use super::words::{Word, words};
use crate::domain::{Column, Table, TableName};

/// The table that a `CREATE TABLE` of `pg_dump` makes, its columns in their order; types in the catalog's words.
pub fn table_of(text: &str) -> Option<Table> {
    let words = words(text, Dialect::Postgres);
    let open = words.iter().position(|word| *word == Word::Sign('('))?;
    let mut name = words[..open].iter().rev();
    let table = name.next()?.name()?.to_owned();
    let schema = match (name.next(), name.next()) {
        (Some(Word::Sign('.')), Some(schema)) => schema.name()?.to_owned(),
        _ => "public".to_owned(),
    };
    let mut columns = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    for part in parts(&words[open + 1..]) {
        match part {
            [first, ..]
                if ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "LIKE"]
                    .iter()
                    .any(|word| first.is(word)) =>
            {
                keys.extend(primary_key(part));
            }
            [name, rest @ ..] => columns.push(column(name.name()?, rest)),
            [] => {}
        }
    }
    for column in &mut columns {
        column.primary_key |= keys.contains(&column.name);
    }
    Some(Table { name: TableName { schema, name: table }, columns })
}

/// The parts of a list, split at its own commas, to its closing parenthesis.
fn parts(words: &[Word]) -> Vec<&[Word]> {
    let (mut found, mut depth, mut from) = (Vec::new(), 0_u32, 0);
    for (at, word) in words.iter().enumerate() {
        match word {
            Word::Sign('(' | '[') => depth += 1,
            Word::Sign(')') if depth == 0 => {
                found.push(&words[from..at]);
                return found;
            }
            Word::Sign(')' | ']') => depth = depth.saturating_sub(1),
            Word::Sign(',') if depth == 0 => {
                found.push(&words[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn column(name: &str, rest: &[Word]) -> Column {
    const ENDS: [&str; 9] =
        ["NOT", "NULL", "DEFAULT", "CONSTRAINT", "GENERATED", "COLLATE", "PRIMARY", "UNIQUE", "REFERENCES"];
    let end = rest.iter().position(|word| ENDS.iter().any(|end| word.is(end))).unwrap_or(rest.len());
    let mut data_type = String::new();
    for word in &rest[..end] {
        match word {
            Word::Sign(sign) => data_type.push(*sign),
            Word::Number(number) => data_type.push_str(number),
            word => {
                if !data_type.is_empty() && !data_type.ends_with(['(', '.', ',']) {
                    data_type.push(' ');
                }
                data_type.push_str(&word.name().unwrap_or_default().to_ascii_lowercase());
            }
        }
    }
    let has = |first: &str, second: &str| rest.windows(2).any(|pair| pair[0].is(first) && pair[1].is(second));
    Column {
        name: name.to_owned(),
        data_type,
        nullable: !has("NOT", "NULL"),
        primary_key: has("PRIMARY", "KEY"),
        generated: has("GENERATED", "ALWAYS"),
    }
}

fn primary_key(part: &[Word]) -> Vec<String> {
    let Some(at) = part.windows(2).position(|pair| pair[0].is("PRIMARY") && pair[1].is("KEY")) else {
        return Vec::new();
    };
    part[at + 2..].iter().filter_map(Word::name).map(str::to_owned).collect()
}

/// A cell of COPY's text format; `None` is NULL. The survey has refused every escape that is not known here.
pub fn cell(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        out.push(match characters.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_the_catalog_would_say_it() {
        let table = table_of(
            "CREATE TABLE trading.\"Trade\" (\n    id bigint NOT NULL,\n    \"createdAt\" timestamp(3) without time zone DEFAULT now() NOT NULL,\n    quantity numeric(18,8),\n    tags text[],\n    side public.\"Side\",\n    CONSTRAINT c CHECK ((id > 0)),\n    CONSTRAINT p PRIMARY KEY (id)\n)",
        )
        .unwrap();
        assert_eq!(table.name.to_string(), "trading.Trade");
        let seen: Vec<_> = table.columns.iter().map(|c| (c.name.as_str(), c.data_type.as_str(), c.nullable)).collect();
        assert_eq!(
            seen,
            [
                ("id", "bigint", false),
                ("createdAt", "timestamp(3) without time zone", false),
                ("quantity", "numeric(18,8)", true),
                ("tags", "text[]", true),
                ("side", "public.side", true),
            ]
        );
        assert!(table.columns[0].primary_key);
    }

    #[test]
    fn cells_are_unescaped() {
        assert_eq!(cell("\\N"), None);
        assert_eq!(cell("a\\tb\\\\n\\n").as_deref(), Some("a\tb\\n\n"));
    }
}
