use std::io::BufRead;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{
    Continued, Format, GoesOn, JsonRecords, LogFormat, Split, access, csv, docker, journal, lake, logfmt, nginx,
    postgres, proxies, syslog, wrap,
};

/// A file's format with what its head says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The format.
    pub format: Format,
    /// Names of the columns, where a header gives them.
    pub(super) columns: Vec<String>,
    /// Form of the lines, where it was given.
    pub(super) form: Option<LogFormat>,
    /// What stands between the columns of CSV.
    pub(super) separator: u8,
}

/// Plain text.
pub const TEXT: &Layout = &Layout { format: Format::Text, columns: Vec::new(), form: None, separator: b',' };

/// A format that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// By name.
    Named(Format),
    /// An access log's own form.
    Form(LogFormat),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['$', '%']) {
            return text.parse().map(Self::Form);
        }
        let named = Format::ALL.into_iter().filter(|format| *format != Format::Custom);
        let ids: Vec<&str> = named.clone().map(Format::id).collect();
        named.into_iter().find(|format| format.id() == text).map(Self::Named).ok_or_else(|| {
            format!(
                "`{text}` is not a format: use {}, or a log_format such as '$remote_addr [$time_local] ..'",
                ids.join(", ")
            )
        })
    }
}

/// How a record looks from outside, without parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outline {
    /// Nothing there.
    Blank,
    /// As records of the format do.
    Fits,
    /// As none does.
    Broken,
}

/// How records are found where they are not the lines.
#[derive(Debug, Clone, Copy)]
pub(in crate::detect::logs) enum SplitKind {
    Json(u64),
    Continued(u64, GoesOn),
    Csv(u64, bool),
    Journal(u64),
}

impl SplitKind {
    pub(in crate::detect::logs) fn of<'a>(self, reader: Box<dyn BufRead + Send + 'a>) -> Box<dyn Split + Send + 'a> {
        match self {
            Self::Json(offset) => Box::new(JsonRecords::new(reader, offset)),
            Self::Continued(offset, goes_on) => Box::new(Continued::new(reader, offset, goes_on)),
            Self::Csv(offset, header) => Box::new(csv::Rows::new(reader, offset, header)),
            Self::Journal(offset) => Box::new(journal::Entries::new(reader, offset)),
        }
    }
}

impl Layout {
    /// A layout that needs nothing but its format.
    pub(super) fn plain(format: Format) -> Self {
        Self { format, ..TEXT.clone() }
    }

    /// How records are found that are not lines; `offset` is where the stream starts.
    pub(in crate::detect::logs) fn split(&self, offset: u64) -> Option<SplitKind> {
        match self.format {
            Format::JsonDocument | Format::Wrapped => Some(SplitKind::Json(offset)),
            Format::PostgresCsv => Some(SplitKind::Csv(offset, false)),
            Format::Csv => Some(SplitKind::Csv(offset, true)),
            Format::Journal => Some(SplitKind::Journal(offset)),
            format => format.goes_on().map(|goes_on| SplitKind::Continued(offset, goes_on)),
        }
    }

    /// How a record looks from outside.
    pub(in crate::detect::logs) fn outline(&self, record: &[u8]) -> Outline {
        if self.format.is_json() && matches!(record, [b'{', .., b'}', b'\n']) {
            return Outline::Fits;
        }
        let trimmed = record.trim_ascii();
        let fits = match self.format {
            _ if trimmed.is_empty() => return Outline::Blank,
            Format::Docker if !trimmed.starts_with(b"{") => true,
            Format::Wrapped if trimmed.starts_with(b"[") => trimmed.ends_with(b"]"),
            Format::JsonLines | Format::JsonDocument | Format::Docker | Format::Wrapped => {
                trimmed.starts_with(b"{") && trimmed.ends_with(b"}")
            }
            Format::Access => access::outline(trimmed),
            Format::Syslog => syslog::outline(trimmed),
            Format::Custom if trimmed.starts_with(b"#") && !self.columns.is_empty() => return Outline::Blank,
            Format::Logfmt => trimmed.contains(&b'='),
            Format::PostgresText => postgres::outline(trimmed),
            Format::NginxError => nginx::begins(trimmed),
            Format::Custom | Format::Journal | Format::PostgresCsv | Format::Csv | Format::Text => true,
        };
        if fits { Outline::Fits } else { Outline::Broken }
    }

    /// The event of a record, and the format whose names its fields have; `None` where the format doesn't explain it.
    pub(in crate::detect::logs) fn parse(&self, record: &str) -> Option<(Map<String, Value>, Format)> {
        let fields = match self.format {
            Format::JsonLines | Format::JsonDocument => serde_json::from_str(record).ok().map(wrap::said),
            Format::Docker => return docker::parse(record),
            Format::Wrapped => return wrap::parse(record),
            Format::Access => access::parse(record),
            Format::Custom => match &self.form {
                Some(form) => form.parse(record),
                None if self.columns.is_empty() => proxies::parse(record),
                None => csv::words(record, &self.columns),
            },
            Format::NginxError => nginx::parse(record),
            Format::Syslog => syslog::parse(record),
            Format::Journal => journal::parse(record),
            Format::PostgresText => postgres::parse(record),
            Format::PostgresCsv => postgres::parse_csv(record),
            Format::Logfmt => logfmt::parse(record),
            Format::Csv => {
                let event = lake::event(csv::parse(record, &self.columns, self.separator)?);
                return Some(wrap::open(event, wrap::DEPTH).unwrap_or_else(|event| (event, Format::Csv)));
            }
            Format::Text => Some(super::text_event(record)),
        };
        fields.map(|fields| (fields, self.format))
    }
}
