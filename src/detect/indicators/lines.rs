//! Lists in lines: one value a line, or CSV.

use super::kind::{KNOWN, Named};
use super::reader::{Given, Reader};
use crate::domain::Level;

/// Reads either form: the first line that is no comment says which.
pub(super) fn read(reader: &mut Reader, text: &str) {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
    match Columns::of(first) {
        Some(columns) => {
            reader.format("csv");
            rows(reader, text, &columns);
        }
        None => plain(reader, text),
    }
}

/// One value a line, perhaps `type:value`, perhaps with `# a description` behind it; `# level: medium` counts for what
/// follows.
fn plain(reader: &mut Reader, text: &str) {
    let mut level = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#').or_else(|| line.strip_prefix("//")) {
            if let Some(said) = comment.trim().strip_prefix("level:") {
                match said.trim().parse::<Level>() {
                    Ok(said) => level = Some(said),
                    Err(reason) => reader.refuse(number, reason),
                }
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let (value, note) = line.split_once(" #").unwrap_or((line, ""));
        let (named, value) = match value.split_once(':').map(|(name, rest)| (Named::of(name.trim()), rest)) {
            Some((Some(named), rest)) => (Some(named), rest.trim()),
            _ => (None, value.trim()),
        };
        // A single column of CSV may be quoted.
        let value = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
        reader.give(Given { named, value, note, level, line: number });
    }
}

/// Where the columns of a CSV file stand.
struct Columns {
    separator: char,
    value: usize,
    kind: Option<usize>,
    note: Option<usize>,
    level: Option<usize>,
    /// The type that the name of the value's column is.
    named: Option<Named>,
}

const VALUES: [&str; 6] = ["value", "indicator", "ioc", "observable", "indicator_value", "ioc_value"];
const KINDS: [&str; 5] = ["type", "kind", "indicator_type", "ioc_type", "category_type"];
const NOTES: [&str; 6] = ["description", "comment", "note", "notes", "title", "threat"];
const LEVELS: [&str; 2] = ["level", "severity"];

impl Columns {
    /// The columns of a header; none if the line is no header.
    fn of(header: &str) -> Option<Self> {
        let separator = [',', ';', '\t'].into_iter().find(|c| header.contains(*c)).unwrap_or(',');
        let heads: Vec<String> = fields(header, separator)?.iter().map(|name| name.trim().to_lowercase()).collect();
        let find = |known: &[&str]| heads.iter().position(|name| known.contains(&name.as_str()));
        let typed = || heads.iter().position(|name| Named::of(name).is_some());
        let value = find(&VALUES).or_else(typed)?;
        let named = Named::of(&heads[value]);
        Some(Self { separator, value, kind: find(&KINDS), note: find(&NOTES), level: find(&LEVELS), named })
    }
}

/// The fields of one row; none if a quote is not closed.
fn fields(row: &str, separator: char) -> Option<Vec<String>> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut letters = row.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = out.last_mut()?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            letter if letter == separator && !quoted => out.push(String::new()),
            letter => field.push(letter),
        }
    }
    (!quoted).then_some(out)
}

fn rows(reader: &mut Reader, text: &str, columns: &Columns) {
    let mut header = true;
    let (mut row, mut begun) = (String::new(), 0);
    for (number, line) in (1..).zip(text.lines()) {
        if row.is_empty() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            begun = number;
            row.push_str(line);
        } else {
            // A description may go on over lines.
            row.push(' ');
            row.push_str(line);
        }
        let Some(fields) = fields(&row, columns.separator) else {
            if row.len() > 64 << 10 {
                reader.refuse(begun, "a quote is not closed within 64 KiB");
                row.clear();
            }
            continue;
        };
        row.clear();
        if std::mem::take(&mut header) {
            continue;
        }
        give(reader, &fields, columns, begun);
    }
    if !row.is_empty() {
        reader.refuse(begun, "a quote is not closed");
    }
}

fn give(reader: &mut Reader, fields: &[String], columns: &Columns, line: u64) {
    let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).map_or("", |field| field.trim());
    let kind = field(columns.kind);
    let named = match Named::of(kind) {
        Some(named) => Some(named),
        None if kind.is_empty() => columns.named,
        None => return reader.refuse(line, format!("`{kind}` is not a type: use {KNOWN}")),
    };
    let level = field(columns.level).to_lowercase();
    let level = match level.parse::<Level>() {
        Ok(level) => Some(level),
        Err(_) if level.is_empty() => None,
        Err(reason) => return reader.refuse(line, reason),
    };
    let (value, note) = (field(Some(columns.value)), field(columns.note));
    reader.give(Given { named, value, note, level, line });
}
