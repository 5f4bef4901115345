//! The incident on paper: one value that holds all that is to be told, and its forms (HTML, Markdown, JSON); the findings in the
//! forms of other programs.
//!
//! Pure: ledger and findings in, bytes out. The same facts always give the same bytes.

mod actors;
mod build;
pub mod export;
mod fields;
mod html;
mod markdown;
mod model;
mod scope;
mod words;

pub use actors::{Actor, Actors, Apart, Identity, IdentityKind, Join, Reached};
pub use build::{Facts, build};
pub use html::html;
pub use markdown::markdown;
pub use model::{
    Approval, Check, CredentialLine, Decision, Exception, FindingLine, Monitoring, Objectives, Report, ScanLine, Step,
    Subject,
};
pub use scope::{Money, Scope, Seen};
pub use words::words;

/// A form of the report or of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// One page that needs nothing else.
    Html,
    /// Markdown (`CommonMark` with tables).
    Markdown,
    /// The report's value itself.
    Json,
    /// Findings, a row each (RFC 4180).
    Csv,
    /// Findings as a STIX 2.1 bundle.
    Stix,
    /// Findings as OCSF Detection Findings, one a line.
    Ocsf,
    /// Findings and entries as a Timesketch timeline, one event a line.
    Timesketch,
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 7] =
        [Self::Html, Self::Markdown, Self::Json, Self::Csv, Self::Stix, Self::Ocsf, Self::Timesketch];

    /// Its name on the command line and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Stix => "stix",
            Self::Ocsf => "ocsf",
            Self::Timesketch => "timesketch",
        }
    }

    /// Its file below the case folder.
    pub fn file(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Markdown => "report.md",
            Self::Json => "report.json",
            Self::Csv => "findings.csv",
            Self::Stix => "findings.stix.json",
            Self::Ocsf => "findings.ocsf.jsonl",
            Self::Timesketch => "timeline.timesketch.jsonl",
        }
    }

    /// The report in that form.
    pub fn render(self, report: &Report) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Html => Ok(html(report).into_bytes()),
            Self::Markdown => Ok(markdown(report).into_bytes()),
            Self::Json => {
                let mut bytes = serde_json::to_vec_pretty(report)?;
                bytes.push(b'\n');
                Ok(bytes)
            }
            Self::Csv => Ok(export::csv(report).into_bytes()),
            Self::Stix => export::stix(report),
            Self::Ocsf => export::ocsf(report),
            Self::Timesketch => export::timesketch(report),
        }
    }
}

impl std::str::FromStr for Form {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|form| form.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|form| form.as_str()).collect();
            format!("`{text}` is not a form: use {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests;
