use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use super::clean_json;

/// Form of the results on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, each with `"type"`.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Meaning of a coloured text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// To be looked at.
    Warn,
    /// Headline.
    Strong,
    /// Beside the point.
    Dim,
}

/// Who looks where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// A table can be drawn on standard error.
    pub table: bool,
    /// Standard output is a terminal too.
    pub out: bool,
    /// Colours on standard error.
    pub color: bool,
}

/// Something that is printed as text or as one JSON line; both say the same.
pub trait Record: Serialize {
    /// The value of `"type"`.
    const TYPE: &'static str;
    /// The lines for people; text from outside must go through [`super::clean`].
    fn text(&self, printer: &Printer) -> String;
}

/// Writes results to standard output and diagnostics to standard error.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    color_out: bool,
    color_err: bool,
    /// Width of the terminal that standard output is.
    width: Option<usize>,
    silent: bool,
    failed: Mutex<Option<io::Error>>,
}

impl Printer {
    /// Decides on colours once.
    pub fn new(format: Format, color: ColorChoice, no_color: bool) -> Self {
        let decide = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color,
        };
        Self {
            format,
            color_out: format == Format::Text && decide(io::stdout().is_terminal()),
            color_err: decide(io::stderr().is_terminal()),
            width: terminal_width(),
            silent: false,
            failed: Mutex::new(None),
        }
    }

    /// A printer that prints nothing: for commands that another command runs and reports on.
    pub fn silent() -> Self {
        Self { silent: true, ..Self::new(Format::Text, ColorChoice::Never, true) }
    }

    /// The same printer for a command that another runs and shows.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            format: self.format,
            color_out: self.color_out,
            color_err: self.color_err,
            silent: self.silent,
            width: self.width,
            failed: Mutex::new(None),
        }
    }

    /// Whether it prints nothing.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether people look at both standard error, where a table can be drawn, and at standard output.
    pub fn watched(&self) -> Watched {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let json_there = out && self.format == Format::Json;
        Watched { table: err && !dumb && !json_there && !self.silent, out, color: self.color_err }
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Text painted for standard output.
    pub fn paint(&self, style: Style, text: impl AsRef<str>) -> String {
        paint(self.color_out, style, text.as_ref())
    }

    /// Prints a record.
    pub fn emit<R: Record>(&self, record: &R) {
        match self.format {
            Format::Text => {
                let text = record.text(self);
                if !text.is_empty() {
                    self.lines(&text);
                }
            }
            Format::Json => match serde_json::to_value(record) {
                Ok(Value::Object(fields)) => {
                    let mut object = serde_json::Map::new();
                    object.insert("type".into(), R::TYPE.into());
                    object.extend(fields);
                    self.out(&clean_json(&Value::Object(object).to_string()));
                }
                Ok(_) | Err(_) => self.remember(io::Error::other(format!("record `{}` is not an object", R::TYPE))),
            },
        }
    }

    /// A line for people on standard output; nothing in JSON.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.format == Format::Text {
            self.lines(text.as_ref());
        }
    }

    /// Several such lines; nothing if there is none.
    pub fn say_all(&self, lines: &[String]) {
        if !lines.is_empty() {
            self.say(lines.join("\n"));
        }
    }

    /// A line of bare output in either format (a public key, a completion script, a Markdown report).
    pub fn raw(&self, text: impl AsRef<str>) {
        self.out(text.as_ref());
    }

    /// A diagnostic line on standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.silent {
            return;
        }
        let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
    }

    /// A warning on standard error.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.note(format!("{} {}", paint(self.color_err, Style::Warn, "warning:"), text.as_ref()));
    }

    /// An error on standard error, with its causes and its hint.
    pub fn error(&self, message: &str, causes: &[String], hint: Option<&str>) {
        self.note(format!("{} {message}", paint(self.color_err, Style::Bad, "error:")));
        for cause in causes {
            self.note(format!("  caused by: {cause}"));
        }
        if let Some(hint) = hint {
            self.note(format!("{} {hint}", paint(self.color_err, Style::Strong, "hint:")));
        }
    }

    /// The first failure to write to standard output, if there was one (a closed pipe is not a failure).
    pub fn take_failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Lines for people: on a terminal none is wider than it.
    fn lines(&self, text: &str) {
        match self.width {
            Some(width) => self.out(&super::wrap(text, width)),
            None => self.out(text),
        }
    }

    fn out(&self, text: &str) {
        if self.silent {
            return;
        }
        if let Err(error) = writeln!(io::stdout().lock(), "{text}")
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.remember(error);
        }
    }

    fn remember(&self, error: io::Error) {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
    }
}

fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
    Some(size.map_or(80, |size| usize::from(size.ws_col)))
}

pub(super) fn paint(on: bool, style: Style, text: &str) -> String {
    if !on {
        return text.to_owned();
    }
    let code = match style {
        Style::Good => "32",
        Style::Bad => "31;1",
        Style::Warn => "33",
        Style::Strong => "1",
        Style::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
