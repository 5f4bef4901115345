//! The commands of an SQL statement, as rules look at them: without what it only quotes.
//!
//! Who writes `drop table trades` into a note destroys nothing. Rules on PostgreSQL ask for the field [`COMMANDS`], which holds the
//! commands of the field [`STATEMENT`] one by one:
//!
//! - they are parted at `;`;
//! - comments, and each run of white space, are one blank;
//! - a text (`'...'`, `E'...'`, `$$...$$`; manual, "Lexical Structure") that is a name, a number or a path, as `'none'` or
//!   `'/tmp/x'`, stays, any other is one blank; both stand between plain quotes;
//! - a block of code (`DO $$...$$`, `CREATE FUNCTION ... AS $$...$$`) is no text: its commands are parted too, and so are texts that it hands to `EXECUTE`.
//!
//! Whether a backslash escapes a quote is a setting of the server's that the log does not tell: where the two readings differ, the
//! commands of both are given.

use super::formats::told;

/// The field that rules ask for.
pub(super) const COMMANDS: &str = "commands";
/// The field that the commands are of.
pub(super) const STATEMENT: &str = "statement";

/// Longest text that stays, in bytes.
const MAX_TEXT: usize = 128;
/// Blocks of code in one another; what is deeper is a text.
const MAX_DEPTH: usize = 8;

/// The commands of a statement, or of a message that tells of one.
pub fn commands(statement: &str) -> Vec<String> {
    let statement = told(statement);
    let mut out = Commands::of(statement, false);
    if statement.contains("\\'") {
        let other = Commands::of(statement, true);
        out.extend(if other == out { Vec::new() } else { other });
    }
    out
}

/// Commands as they are put together.
struct Commands {
    done: Vec<String>,
    current: String,
    /// Whether a backslash escapes in every text.
    escapes: bool,
    /// How many blocks of code this is in.
    depth: usize,
    /// Whether the command is one of a block that executes texts.
    executes: bool,
}

impl Commands {
    fn of(statement: &str, escapes: bool) -> Vec<String> {
        let mut commands = Self {
            done: Vec::new(),
            current: String::with_capacity(statement.len()),
            escapes,
            depth: 0,
            executes: false,
        };
        commands.read(statement);
        commands.end();
        commands.done
    }

    fn end(&mut self) {
        self.executes = false;
        let command = std::mem::take(&mut self.current);
        let command = command.trim_end();
        if !command.is_empty() {
            self.done.push(command.to_owned());
        }
    }

    fn blank(&mut self) {
        if !self.current.is_empty() && !self.current.ends_with(' ') {
            self.current.push(' ');
        }
    }

    fn read(&mut self, mut rest: &str) {
        while let Some(first) = rest.chars().next() {
            rest = match first {
                ';' => {
                    self.end();
                    &rest[1..]
                }
                '-' if rest.starts_with("--") => {
                    self.blank();
                    rest.find('\n').map_or("", |end| &rest[end..])
                }
                '/' if rest.starts_with("/*") => {
                    self.blank();
                    behind_comment(rest)
                }
                '\'' => self.text(rest),
                '"' => self.name(rest),
                '$' => self.dollar(rest),
                _ if first.is_whitespace() => {
                    self.blank();
                    &rest[first.len_utf8()..]
                }
                _ => {
                    let plain = |c: char| !matches!(c, ';' | '-' | '/' | '\'' | '"' | '$') && !c.is_whitespace();
                    let from = first.len_utf8();
                    let end = rest[from..].find(|c| !plain(c)).map_or(rest.len(), |end| from + end);
                    self.executes |= self.depth > 0 && rest[..end].eq_ignore_ascii_case("execute");
                    self.current.push_str(&rest[..end]);
                    &rest[end..]
                }
            };
        }
    }

    /// A text in quotes; what its prefix says is not needed any more.
    fn text<'a>(&mut self, rest: &'a str) -> &'a str {
        let prefix = ["u&", "e", "b", "x", "n"].into_iter().find(|prefix| ends_with_word(&self.current, prefix));
        self.current.truncate(self.current.len() - prefix.map_or(0, str::len));
        let escapes = self.escapes || prefix == Some("e");
        let mut at = 1;
        let bytes = rest.as_bytes();
        let end = loop {
            match bytes.get(at) {
                // Cut off: all that follows is text.
                None => break rest.len(),
                Some(b'\\') if escapes => at += 2,
                Some(b'\'') if bytes.get(at + 1) == Some(&b'\'') => at += 2,
                Some(b'\'') => break at,
                Some(_) => at += 1,
            }
        };
        let text = rest.get(1..end).unwrap_or_default();
        if self.executes && self.depth < MAX_DEPTH {
            self.code(&text.replace("''", "'"));
        } else {
            self.quoted(text);
        }
        rest.get(end + 1..).unwrap_or_default()
    }

    /// Writes a text that is no code.
    fn quoted(&mut self, text: &str) {
        self.current.push('\'');
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-' | ',');
        let stays = text.len() <= MAX_TEXT && text.chars().all(plain);
        self.current.push_str(if stays { text } else { " " });
        self.current.push('\'');
    }

    /// A name in quotes, which may hold anything.
    fn name<'a>(&mut self, rest: &'a str) -> &'a str {
        let end = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
        self.current.push_str(&rest[..end]);
        &rest[end..]
    }

    /// A text or a block of code between tags, or a parameter.
    fn dollar<'a>(&mut self, rest: &'a str) -> &'a str {
        let tag = rest[1..].find('$').map(|end| &rest[..end + 2]).filter(|tag| is_tag(tag) && !in_word(&self.current));
        let Some(tag) = tag else {
            self.current.push('$');
            return &rest[1..];
        };
        let inner = &rest[tag.len()..];
        let (inner, behind) = inner.split_once(tag).unwrap_or((inner, ""));
        if self.depth < MAX_DEPTH && self.is_code() {
            self.code(inner);
        } else {
            self.quoted(inner);
        }
        behind
    }

    /// Reads a block of code, or a text that such a block executes.
    fn code(&mut self, inner: &str) {
        self.current.push_str("$ ");
        self.depth += 1;
        self.read(inner);
        self.depth -= 1;
        self.blank();
        self.current.push('$');
    }

    /// Whether a text that stands here is code.
    fn is_code(&self) -> bool {
        let before = self.current.trim_end();
        let word = |text: &str| ends_with_word(before, text);
        let mut words = before.split(' ').map(str::to_ascii_lowercase).rev();
        word("as") || word("do") || (words.next().is_some() && words.next().as_deref() == Some("language"))
    }
}

/// What stands behind the comment with which a text begins. Comments may be nested.
fn behind_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

/// Whether a text ends with such a word (lower-case ASCII), in any case.
fn ends_with_word(text: &str, word: &str) -> bool {
    let start = text.len().checked_sub(word.len());
    let there = start.and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(word));
    there && start.is_some_and(|start| !in_word(&text[..start]))
}

/// Whether what follows a text goes on a word with which it ends.
fn in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// `$$` or `$name$`.
fn is_tag(tag: &str) -> bool {
    let name = &tag[1..tag.len() - 1];
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_parted_and_texts_are_left_out() {
        for (statement, want) in [
            ("select 1", &["select 1"][..]),
            ("begin; DROP\n\tTABLE  trades ;commit;", &["begin", "DROP TABLE trades", "commit"]),
            ("insert into notes values ('drop table trades')", &["insert into notes values (' ')"]),
            ("select 'it''s; here', \"a;'b\"; drop table t", &["select ' ', \"a;'b\"", "drop table t"]),
            ("set log_statement = 'none'", &["set log_statement = 'none'"]),
            ("copy t to E'/tmp/x'", &["copy t to '/tmp/x'"]),
            ("select E'a\\' b', u&'x y'", &["select ' ', ' '"]),
            ("drop/* a /* b */ c */table--x\n t", &["drop table t"]),
            ("select $1 from t where a=$2", &["select $1 from t where a=$2"]),
            ("insert into n values ($$drop table t$$, $x$a$x$)", &["insert into n values (' ', 'a')"]),
            ("do $$begin drop table t; end$$; select 1", &["do $ begin drop table t", "end $", "select 1"]),
            ("do language plpgsql $a$ perform 'x y' $a$", &["do language plpgsql $ perform ' ' $"]),
            ("create function f() as $_$ delete from t $_$", &["create function f() as $ delete from t $"]),
            (
                "do $$ begin execute 'drop table '||'a b'; end $$",
                &["do $ begin execute $ drop table $||$ a b $", "end $"],
            ),
            (
                "do $$begin execute format('drop table %I', 'x'); end$$",
                &["do $ begin execute format($ drop table %I $, $ x $)", "end $"],
            ),
            ("execute p('a b')", &["execute p(' ')"]),
            ("select 'open; drop table t", &["select ' '"]),
            ("select $$open; drop table t", &["select ' '"]),
            ("/* open drop table t", &[]),
            (" ; ;", &[]),
            ("duration: 1.2 ms  statement: drop table t", &["drop table t"]),
            ("AUDIT: SESSION,1,1,DDL,DROP TABLE,,,\"drop\n table t\",<none>", &["drop table t"]),
            ("select a$b$c, 5-3/2", &["select a$b$c, 5-3/2"]),
        ] {
            assert_eq!(commands(statement), want, "{statement}");
        }
    }

    #[test]
    fn a_backslash_before_a_quote_is_read_both_ways() {
        let both = commands(r"select '\'; drop table t --'");
        assert_eq!(both, ["select ' '", "drop table t", "select ' '"]);
        assert_eq!(commands(r"select '\'; y'; drop table t"), ["select ' '", "y' '", "select ' '", "drop table t"]);
        let deep = (0..10_000).map(|n| format!("do $a{n}$")).collect::<Vec<_>>().join(" ");
        assert_eq!(commands(&deep).len(), 1);
    }

    proptest! {
        /// Whatever stands outside of texts is there; every word that is there stood in the statement.
        #[test]
        fn nothing_is_made_up(parts in prop::collection::vec(
            prop::sample::select(vec!["'", "\"", "$$", "$a$", "/*", "*/", "--", "\n", ";", " ", "\\", "drop", "e", "as", "é", "x1"]),
            0..24,
        )) {
            let statement = parts.concat();
            for command in commands(&statement) {
                for word in command.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                    prop_assert!(statement.contains(word), "{word} of {command}");
                }
            }
        }
    }
}
