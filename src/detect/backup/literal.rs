use super::Dialect;
use super::words::{Word, words};

/// A value as `sqlite3 .dump` writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A number with a fraction or an exponent.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// `INSERT INTO table [(columns)] VALUES (literals), ...`: values only, nothing that is computed from anything else.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Table.
    pub table: String,
    /// Columns; empty if the statement names none.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<Literal>>,
}

/// Reads an INSERT whose values are literals; `None` for everything else.
///
/// The functions that `.dump` itself writes around text (`replace(..., char(10))`, `unistr(...)`) are computed here.
pub fn parse_insert(text: &str) -> Option<Insert> {
    let words = words(text, Dialect::Sqlite);
    let mut reader = Reader { words: &words, at: 0 };
    reader.keyword("INSERT")?;
    reader.keyword("INTO")?;
    let table = reader.next()?.name()?.to_owned();
    let mut columns = Vec::new();
    if reader.sign('(') {
        loop {
            columns.push(reader.next()?.name()?.to_owned());
            if reader.sign(')') {
                break;
            }
            reader.sign(',').then_some(())?;
        }
    }
    reader.keyword("VALUES")?;
    let mut rows = Vec::new();
    loop {
        reader.sign('(').then_some(())?;
        let mut row = Vec::new();
        loop {
            row.push(reader.value()?);
            if reader.sign(')') {
                break;
            }
            reader.sign(',').then_some(())?;
        }
        rows.push(row);
        if reader.at == words.len() {
            return Some(Insert { table, columns, rows });
        }
        reader.sign(',').then_some(())?;
    }
}

struct Reader<'a> {
    words: &'a [Word],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Word> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn keyword(&mut self, keyword: &str) -> Option<()> {
        self.next()?.is(keyword).then_some(())
    }

    fn sign(&mut self, sign: char) -> bool {
        let there = self.words.get(self.at) == Some(&Word::Sign(sign));
        self.at += usize::from(there);
        there
    }

    fn value(&mut self) -> Option<Literal> {
        let negative = self.sign('-');
        match self.next()? {
            Word::Number(text) => self.number(text, negative),
            _ if negative => None,
            Word::Text(text) => Some(Literal::Text(text.replace("''", "'"))),
            word if word.is("NULL") => Some(Literal::Null),
            word if word.is("X") => match self.next()? {
                Word::Text(digits) => hex::decode(digits).ok().map(Literal::Blob),
                _ => None,
            },
            word if word.is("replace") => self.replace().map(Literal::Text),
            word if word.is("unistr") => {
                self.sign('(').then_some(())?;
                let Literal::Text(text) = self.value()? else { return None };
                self.sign(')').then_some(())?;
                unistr(&text).map(Literal::Text)
            }
            _ => None,
        }
    }

    fn number(&mut self, text: &str, negative: bool) -> Option<Literal> {
        let mut text = format!("{}{text}", if negative { "-" } else { "" });
        // `1e+20`: the lexer stops at the sign of the exponent.
        if text.ends_with(['e', 'E']) {
            text.push(if self.sign('-') { '-' } else { self.sign('+').then_some('+')? });
            let Word::Number(exponent) = self.next()? else { return None };
            text.push_str(exponent);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return match text.parse() {
                Ok(integer) => Some(Literal::Integer(integer)),
                Err(_) => text.parse().ok().map(Literal::Real),
            };
        }
        text.parse().ok().map(Literal::Real)
    }

    /// `replace(VALUE, 'mark', char(N))`, nested or not.
    fn replace(&mut self) -> Option<String> {
        self.sign('(').then_some(())?;
        let Literal::Text(text) = self.value()? else { return None };
        self.sign(',').then_some(())?;
        let Literal::Text(mark) = self.value()? else { return None };
        self.sign(',').then_some(())?;
        self.keyword("char")?;
        self.sign('(').then_some(())?;
        let Literal::Integer(code) = self.value()? else { return None };
        self.sign(')').then_some(())?;
        self.sign(')').then_some(())?;
        if mark.is_empty() {
            return Some(text);
        }
        let character = char::from_u32(u32::try_from(code).ok()?)?;
        Some(text.replace(&mark, &character.to_string()))
    }
}

/// `\XXXX`, `\uXXXX`, `\+XXXXXX`, `\UXXXXXXXX` and `\\`, as SQL's `unistr` has them.
fn unistr(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(next) = after.strip_prefix('\\') {
            out.push('\\');
            rest = next;
            continue;
        }
        let (skip, digits) = match after.as_bytes().first()? {
            b'u' => (1, 4),
            b'U' => (1, 8),
            b'+' => (1, 6),
            _ => (0, 4),
        };
        let code = u32::from_str_radix(after.get(skip..skip + digits)?, 16).ok()?;
        out.push(char::from_u32(code)?);
        rest = &after[skip + digits..];
    }
    out.push_str(rest);
    Some(out)
}
