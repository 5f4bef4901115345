use super::Dialect;

/// A word of a statement, enough to tell what kind of statement it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// An unquoted name or keyword.
    Bare(String),
    /// A name in quotes, without them.
    Quoted(String),
    /// A string (or dollar-quoted text), without its quotes; doubled quotes are kept doubled.
    Text(String),
    /// A number.
    Number(String),
    /// Any other character.
    Sign(char),
}

impl Word {
    /// Whether it is that keyword, in any case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Bare(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The name, if it can be one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Bare(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// The words of a statement from which comments were taken already. Brackets and backticks quote only in the dialect of `sqlite3`, backslashes
/// escape only in the other's `E'...'`.
pub fn words(text: &str, dialect: Dialect) -> Vec<Word> {
    let sqlite = dialect == Dialect::Sqlite;
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, used) = match first {
            c if c.is_whitespace() => {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            '\'' => {
                let (inner, used) = quoted(rest, '\'');
                (Word::Text(inner), used)
            }
            '"' | '`' if first == '"' || sqlite => {
                let (inner, used) = quoted(rest, first);
                (Word::Quoted(inner.replace(&format!("{first}{first}"), &first.to_string())), used)
            }
            '[' if sqlite => match rest.find(']') {
                Some(end) => (Word::Quoted(rest[1..end].to_owned()), end + 1),
                None => (Word::Quoted(rest[1..].to_owned()), rest.len()),
            },
            'e' | 'E' if !sqlite && rest[1..].starts_with('\'') => {
                let (inner, used) = escaped(&rest[1..]);
                (Word::Text(inner), used + 1)
            }
            '$' if !sqlite => dollar(rest),
            c if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                (Word::Bare(rest[..end].to_owned()), end)
            }
            c if c.is_ascii_digit() => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '.')).unwrap_or(rest.len());
                (Word::Number(rest[..end].to_owned()), end)
            }
            c => (Word::Sign(c), c.len_utf8()),
        };
        words.push(word);
        rest = rest.get(used..).unwrap_or("");
    }
    words
}

/// The text inside quotes, doubled ones kept, and the bytes used.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut from = 1;
    while let Some(found) = text[from..].find(quote) {
        let end = from + found;
        if text[end + 1..].starts_with(quote) {
            from = end + 2;
            continue;
        }
        return (text[1..end].to_owned(), end + 1);
    }
    (text[1..].to_owned(), text.len())
}

/// The text inside `E'...'`, escapes kept, and the bytes used.
fn escaped(text: &str) -> (String, usize) {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return (text[1..at].to_owned(), at + 1),
            _ => at += 1,
        }
    }
    (text[1..].to_owned(), text.len())
}

fn dollar(text: &str) -> (Word, usize) {
    let tag_end = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map(|at| at + 1);
    if let Some(end) = tag_end
        && text[end..].starts_with('$')
    {
        let tag = &text[..=end];
        let body = &text[end + 1..];
        return match body.find(tag) {
            Some(close) => (Word::Text(body[..close].to_owned()), end + 1 + close + tag.len()),
            None => (Word::Text(body.to_owned()), text.len()),
        };
    }
    (Word::Sign('$'), 1)
}
