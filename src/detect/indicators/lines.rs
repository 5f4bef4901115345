//! Lists in lines: one value a line, or CSV.

use super::kind::{KNOWN, Named};
use super::reader::{Given, Reader};
use crate::domain::Level;

/// Reads either form, part by part: the first line that is no comment says which.
#[derive(Default)]
pub(super) struct Lines {
    /// Whether a line said which form it is.
    known: bool,
    /// The columns of CSV.
    columns: Option<Columns>,
    /// The line at hand, from 1.
    number: u64,
    /// What counts for the values that follow.
    level: Option<Level>,
    /// A row of CSV that goes on, and the line in which it begins.
    row: String,
    begun: u64,
    /// Whether the header of CSV was seen.
    headed: bool,
}

impl Lines {
    /// Takes whole lines.
    pub(super) fn read(&mut self, reader: &mut Reader, text: &str) {
        for line in text.lines() {
            self.number += 1;
            if !self.known && !line.trim().is_empty() && !line.starts_with('#') {
                self.known = true;
                self.columns = Columns::of(line);
                if self.columns.is_some() {
                    reader.format("csv");
                }
            }
            match self.columns.take() {
                Some(columns) => {
                    self.cells(reader, line, &columns);
                    self.columns = Some(columns);
                }
                None => self.value(reader, line),
            }
        }
    }

    /// Says what is left open at the end.
    pub(super) fn finish(&self, reader: &mut Reader) {
        if !self.row.is_empty() {
            reader.refuse(self.begun, "a quote is not closed");
        }
    }

    /// One value, perhaps `type:value`, perhaps with `# a description` behind it; `# level: medium` counts for what follows.
    fn value(&mut self, reader: &mut Reader, line: &str) {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#').or_else(|| line.strip_prefix("//")) {
            if let Some(said) = comment.trim().strip_prefix("level:") {
                match said.trim().parse::<Level>() {
                    Ok(said) => self.level = Some(said),
                    Err(reason) => reader.refuse(self.number, reason),
                }
            }
            return;
        }
        if line.is_empty() {
            return;
        }
        let (value, note) = line.split_once(" #").unwrap_or((line, ""));
        let (named, value) = match value.split_once(':').map(|(name, rest)| (Named::of(name.trim()), rest)) {
            Some((Some(named), rest)) => (Some(named), rest.trim()),
            _ => (None, value.trim()),
        };
        // A single column of CSV may be quoted.
        let value = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
        reader.give(Given { named, value, note, level: self.level, line: self.number });
    }

    /// A line of CSV.
    fn cells(&mut self, reader: &mut Reader, line: &str, columns: &Columns) {
        if self.row.is_empty() {
            if line.trim().is_empty() || line.starts_with('#') {
                return;
            }
            self.begun = self.number;
        } else {
            // A description may go on over lines.
            self.row.push(' ');
        }
        self.row.push_str(line);
        let Some(fields) = fields(&self.row, columns.separator) else {
            if self.row.len() > 64 << 10 {
                reader.refuse(self.begun, "a quote is not closed within 64 KiB");
                self.row.clear();
            }
            return;
        };
        self.row.clear();
        if std::mem::replace(&mut self.headed, true) {
            give(reader, &fields, columns, self.begun);
        }
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
