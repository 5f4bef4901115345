use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::allow::{Allowed, judge};
use super::sightings::{Sighter, Sighting};
use super::statements::{DumpError, Piece, Statements};
use super::words::{Word, words};
use super::{Dialect, Suspicion};
use crate::detect::indicators::Indicators;

/// How many suspicions are kept with their words; all are counted.
const KEPT: usize = 500;
/// How much of a statement is shown.
const SHOWN: usize = 160;
/// Longest statement that is kept whole, in bytes.
pub const WHOLE: usize = 16_384;

/// What one pass over a dump saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// Dialect that it was read as.
    pub dialect: Dialect,
    /// Decompressed size in bytes.
    pub bytes: u64,
    /// Statements.
    pub statements: u64,
    /// Rows of each table that the dump makes, by the table's name without schema; the guard's own are left out.
    pub tables: BTreeMap<String, u64>,
    /// Why it is not whole; absent if its end marker is there, with nothing after it.
    pub incomplete: Option<String>,
    /// Statements that are not on the allow-list, the first 50.
    pub suspicions: Vec<Suspicion>,
    /// How many there are.
    pub suspicious: u64,
    /// When it was started, in the dump's own words (`pg_dump --verbose`).
    pub started: Option<String>,
    /// Indicators in its values and statements, the worst first.
    pub sightings: Vec<Sighting>,
    /// In how many values and statements they stand.
    pub sighted: u64,
}

/// Reads a dump to its end, in a stream.
pub fn survey(reader: impl Read, dialect: Dialect) -> Result<Survey, DumpError> {
    survey_for(reader, dialect, &Indicators::default())
}

/// The same, and looks for indicators in it.
pub fn survey_for(reader: impl Read, dialect: Dialect, indicators: &Indicators) -> Result<Survey, DumpError> {
    let mut pieces = Statements::new(reader, dialect);
    let mut survey = Surveyor::new(dialect, indicators);
    while let Some(piece) = pieces.next_piece()? {
        survey.piece(piece);
    }
    let trailer = pieces.trailer();
    let in_copy = pieces.in_copy();
    let mut result = survey.result;
    (result.sightings, result.sighted) = survey.sighter.finish();
    result.bytes = pieces.bytes();
    result.started = pieces.started().map(str::to_owned);
    result.incomplete = if result.bytes == 0 {
        Some("it is empty".into())
    } else if in_copy {
        Some("it ends within the rows of a table".into())
    } else if survey.cut {
        Some("it ends within a statement".into())
    } else {
        match dialect {
            Dialect::Postgres if !trailer => Some("the closing line of pg_dump is missing".into()),
            Dialect::Sqlite if !survey.committed => Some("it does not end with COMMIT".into()),
            _ => None,
        }
    };
    Ok(result)
}

struct Surveyor<'a> {
    result: Survey,
    sighter: Sighter<'a>,
    committed: bool,
    cut: bool,
    /// Words of the statement that made each table, to hold COPY's columns against.
    made: BTreeMap<String, Vec<String>>,
    /// Table and columns of the rows that follow.
    copy: Option<(String, Vec<String>)>,
}

impl<'a> Surveyor<'a> {
    fn new(dialect: Dialect, indicators: &'a Indicators) -> Self {
        let result = Survey {
            dialect,
            bytes: 0,
            statements: 0,
            tables: BTreeMap::new(),
            incomplete: None,
            suspicions: Vec::new(),
            suspicious: 0,
            started: None,
            sightings: Vec::new(),
            sighted: 0,
        };
        let sighter = Sighter::new(indicators);
        Self { result, sighter, committed: false, cut: false, made: BTreeMap::new(), copy: None }
    }

    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Rows { line, count, bytes } => self.rows(line, count, &bytes),
            Piece::Meta { line, text } => {
                let restrict = text.split_once(' ').is_some_and(|(command, key)| {
                    matches!(command, "\\restrict" | "\\unrestrict")
                        && !key.is_empty()
                        && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
                });
                if !restrict {
                    self.suspect(line, "a command for psql".into(), &text);
                }
            }
            Piece::Statement { line, text, cut } => {
                self.cut |= cut;
                self.result.statements += 1;
                self.committed = false;
                self.copy = None;
                self.sighter.statement(line, &text, self.result.dialect);
                match judge(self.result.dialect, &text) {
                    Ok(allowed) => self.allowed(line, &text, allowed),
                    Err(what) => self.suspect(line, what, &text),
                }
            }
        }
    }

    fn allowed(&mut self, line: u64, text: &str, allowed: Allowed) {
        match allowed {
            Allowed::Table(name) => {
                if is_guard_table(&name) {
                    // On SQLite, the one that this program makes is known by its words and does not come here.
                    if self.result.dialect == Dialect::Sqlite {
                        self.suspect(line, "a guard table that this program did not make".into(), text);
                    }
                    self.made.insert(name, names(text, self.result.dialect));
                    return;
                }
                self.made.insert(name.clone(), names(text, self.result.dialect));
                self.result.tables.entry(name).or_insert(0);
            }
            Allowed::Insert { table, rows } => {
                if let Some(count) = self.result.tables.get_mut(&table) {
                    *count += rows;
                } else if !is_guard_table(&table) && !table.starts_with("sqlite_") {
                    self.suspect(line, format!("rows for `{table}`, which the dump does not make"), text);
                }
            }
            Allowed::Copy { table, columns } => {
                // If the server refuses the COPY, psql takes its rows for statements.
                let known =
                    self.made.get(&table).is_some_and(|made| columns.iter().all(|column| made.contains(column)));
                if !known {
                    let what = format!("rows for columns of `{table}` that the dump does not make");
                    self.suspect(line, what, text);
                }
                self.copy = Some((table, columns));
            }
            Allowed::Commit => self.committed = true,
            _ => {}
        }
    }

    fn rows(&mut self, line: u64, count: u64, bytes: &[u8]) {
        let Some((table, columns)) = self.copy.take() else { return };
        self.sighter.rows(line, &table, &columns, bytes);
        let width = columns.len();
        for (row, why) in strange_rows(bytes, width) {
            let text = bytes.split(|byte| *byte == b'\n').nth(row).unwrap_or_default();
            let what = match why {
                Strange::Columns => format!("a row of `{table}` that does not have its {width} columns"),
                Strange::Escape(escape) => {
                    format!("a row of `{table}` with the escape \\{escape}, which no dump writes")
                }
            };
            self.suspect(line + row as u64, what, &String::from_utf8_lossy(text));
        }
        if let Some(known) = self.result.tables.get_mut(&table) {
            *known += count;
        }
        self.copy = Some((table, columns));
    }

    fn suspect(&mut self, line: u64, what: String, text: &str) {
        self.result.suspicious += 1;
        if self.result.suspicions.len() < KEPT {
            let whole = if text.len() <= WHOLE { text.to_owned() } else { String::new() };
            let text = text.chars().take(SHOWN).collect();
            self.result.suspicions.push(Suspicion { line, what, text, whole });
        }
    }
}

fn is_guard_table(name: &str) -> bool {
    name == "portcullis_guard" || crate::domain::guard::GUARD_TABLES.contains(&name)
}

fn names(text: &str, dialect: Dialect) -> Vec<String> {
    words(text, dialect).iter().filter_map(Word::name).map(str::to_owned).collect()
}

/// What is wrong with a row.
enum Strange {
    Columns,
    Escape(char),
}

/// The rows, by their number within the block, that no dump writes: another number of columns, or a backslash sequence that COPY's text
/// format does not know. One look at tabs, line feeds and backslashes; at most [`KEPT`] are given.
fn strange_rows(bytes: &[u8], columns: usize) -> Vec<(usize, Strange)> {
    let mut found = Vec::new();
    let (mut row, mut tabs, mut escaped, mut strange) = (0, 0, usize::MAX, None);
    let last = (!bytes.ends_with(b"\n")).then_some(bytes.len());
    for at in memchr::memchr3_iter(b'\t', b'\n', b'\\', bytes).chain(last) {
        match bytes.get(at) {
            // The second of two backslashes.
            _ if at == escaped => {}
            Some(b'\t') => tabs += 1,
            Some(b'\\') => {
                escaped = at + 1;
                match bytes.get(at + 1) {
                    Some(b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'N' | b'\\') => {}
                    Some(b'\n') | None => {
                        strange = strange.or(Some(' '));
                        escaped = usize::MAX;
                    }
                    Some(other) => {
                        strange = strange.or(Some(if other.is_ascii() { char::from(*other) } else { '?' }));
                        escaped = usize::MAX;
                    }
                }
            }
            _ => {
                if let Some(escape) = strange.take() {
                    found.push((row, Strange::Escape(escape)));
                } else if tabs + 1 != columns {
                    found.push((row, Strange::Columns));
                }
                if found.len() >= KEPT {
                    return found;
                }
                (row, tabs) = (row + 1, 0);
            }
        }
    }
    found
}
