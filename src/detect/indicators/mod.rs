//! Indicators of compromise: what others have seen an intruder use, looked for in every record of a log.
//!
//! [`Reader`] reads lists (plain, CSV, STIX 2.1, MISP) into [`Indicators`]. [`Indicators::sweep`] looks through raw bytes,
//! [`Indicators::find`] through decoded texts. Addresses, domains, digests and ids are looked up in tables by what stands in
//! the text, so that a million of them cost little more than one; only texts are searched for.

mod kind;
mod lines;
mod masks;
mod misp;
mod packed;
mod reader;
mod search;
mod set;
mod stix;
mod table;
mod text;
mod value;
mod windows;

use std::borrow::Cow;

pub use kind::Kind;
pub use reader::{ListFile, Reader, Refused};
pub use search::Match;

use crate::domain::{Level, RuleRef};

/// Shortest part of a text that is looked for, in bytes.
const SHORTEST_NEEDLE: usize = 3;

/// Indicators, ready to be looked for. A million of them take about 30 bytes each, texts about 100.
#[derive(Debug, Default)]
pub struct Indicators {
    set: set::Set,
    files: Vec<ListFile>,
    refused: Vec<Refused>,
}

impl Indicators {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.len() == 0
    }

    /// The lists that were read.
    pub fn files(&self) -> &[ListFile] {
        &self.files
    }

    /// What of them is not looked for, and why.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The level of an indicator.
    pub fn level(&self, id: u32) -> Level {
        self.set.level(id)
    }

    /// Its value, as it is shown.
    pub fn value(&self, id: u32) -> Cow<'_, str> {
        self.set.value(id)
    }

    /// What it is.
    pub fn kind(&self, id: u32) -> Kind {
        self.set.kind(id)
    }

    /// What its list says about it; empty if nothing.
    pub fn note(&self, id: u32) -> &str {
        self.set.note(id)
    }

    /// The list and the line that it comes from.
    pub fn origin(&self, id: u32) -> String {
        let (list, line) = self.set.origin(id);
        let file = self.files.get(list).map_or("?", |file| file.name.as_str());
        format!("{file}:{line}")
    }

    /// The rule that its findings name.
    pub fn rule(&self, id: u32) -> RuleRef {
        let kind = self.kind(id);
        RuleRef {
            id: format!("indicator:{}", kind.name()),
            title: format!("Indicator seen: {} {}", kind.words(), self.value(id)),
            level: self.level(id),
        }
    }
}

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod search_tests;
