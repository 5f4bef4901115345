//! Where a rule is run: how values stand in the records there, and which fields these can have.

use super::literal::Family;
use crate::detect::logs::commands::COMMANDS;
use crate::detect::logs::formats::{ACCESS_FIELDS, ACCESS_QUOTED, ACCESS_REQUEST, Format};
use crate::detect::logs::logsource::{Fieldnames, Names};

/// Where a rule is run.
pub(in crate::detect::logs) struct Site<'a> {
    family: Family,
    /// Where a value stands of which no more is known.
    anywhere: Part,
    /// What a field may be called there, where all fields are known: what formats call it, and the rule's log source.
    names: Option<(&'a Names, &'a Fieldnames)>,
}

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::detect::logs) enum Part {
    /// All of it.
    Whole,
    /// All of a line of an access log, which is looked through in pieces between quotes: a literal has none.
    Line,
    /// The request of a line of an access log.
    Request,
    /// A quoted text behind the request, with its quotes.
    Quoted,
}

impl Part {
    /// The texts of which each stands in one piece of the part where a text stands in it.
    pub(super) fn pieces(self, text: &str) -> impl Iterator<Item = &str> {
        text.split(move |c| self == Self::Line && c == '"')
    }
}

/// A text (lower-case ASCII) in raw bytes, and where it stands.
pub(in crate::detect::logs) type Literal = (Part, String);

/// Where the values of a field stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// No record has the field.
    Nowhere,
    /// In a part of the record, written like this.
    Some(Family, Part),
}

impl<'a> Site<'a> {
    /// Records of a format; `strays` says that the rule is also run on lines that the format doesn't explain.
    pub(in crate::detect::logs) fn new(format: Format, strays: bool, names: &'a Names, own: &'a Fieldnames) -> Self {
        let known = format == Format::Access && !strays;
        let anywhere = if format == Format::Access { Part::Line } else { Part::Whole };
        Self { family: Family::of(format), anywhere, names: known.then_some((names, own)) }
    }

    /// Where the values of a field stand; a keyword has no field.
    pub(super) fn place(&self, field: &str) -> Place {
        if field == COMMANDS {
            return Place::Some(Family::Words, self.anywhere);
        }
        let anywhere = Place::Some(self.family, self.anywhere);
        let Some((names, own)) = self.names.filter(|_| !field.is_empty()) else { return anywhere };
        let own = own.get(field).map_or(&[][..], Vec::as_slice);
        let all =
            || std::iter::once(field).chain(own.iter().chain(names.of(Format::Access, field)).map(String::as_str));
        let there = || all().filter(|name| ACCESS_FIELDS.contains(name));
        if there().next().is_none() {
            Place::Nowhere
        } else if there().all(|name| ACCESS_QUOTED.contains(&name)) {
            Place::Some(Family::Quoted, Part::Quoted)
        } else if there().all(|name| ACCESS_REQUEST.contains(&name)) {
            Place::Some(self.family, Part::Request)
        } else {
            anywhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_an_access_log_are_known() {
        let own = Fieldnames::from([("agent".to_owned(), vec!["cs-user-agent".to_owned(), "c-uri".to_owned()])]);
        let place = |format, strays, field| Site::new(format, strays, Names::shipped(), &own).place(field);
        assert_eq!(place(Format::Access, false, "c-useragent"), Place::Some(Family::Quoted, Part::Quoted));
        assert_eq!(place(Format::Access, false, "request_uri"), Place::Some(Family::Raw, Part::Request));
        assert_eq!(place(Format::Access, false, "status"), Place::Some(Family::Raw, Part::Line));
        assert_eq!(place(Format::Access, false, "agent"), Place::Some(Family::Raw, Part::Line));
        assert_eq!(place(Format::Access, false, "c-uri-extension"), Place::Nowhere);
        assert_eq!(place(Format::Access, false, ""), Place::Some(Family::Raw, Part::Line));
        assert_eq!(place(Format::Access, true, "c-uri-extension"), Place::Some(Family::Raw, Part::Line));
        assert_eq!(place(Format::JsonLines, false, COMMANDS), Place::Some(Family::Words, Part::Whole));
        assert_eq!(place(Format::JsonLines, false, "c-uri-extension"), Place::Some(Family::Json, Part::Whole));
    }
}
