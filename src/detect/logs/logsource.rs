//! Which rules fit which logs, and what each format calls a field: the one place for both. The text is
//! `policies/logs/sources.yml`, a deployment's own before the one that comes with the program.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::formats::{Format, Wanted};
use super::need::Need;
use super::sigma::LogSource;
use crate::policy::shipped::SHIPPED;
use crate::policy::{self, PolicyError};

/// Path of the file below the policies folder.
pub const SOURCES: &str = "logs/sources.yml";
/// Most sources of one file.
const MAX_SOURCES: usize = 2_000;
/// Longest path that is written for files, in bytes.
const MAX_GLOB: usize = 400;

/// A kind of event, as far as the choice of rules needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// AWS `CloudTrail`.
    #[serde(rename = "cloudtrail")]
    CloudTrail,
    /// JSON that speaks of web requests.
    WebJson,
    /// Other JSON.
    Json,
    /// Web access logs.
    Access,
    /// Syslog.
    Syslog,
    /// PostgreSQL's server log.
    Postgres,
    /// Plain text.
    Text,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 7] =
        [Self::CloudTrail, Self::WebJson, Self::Json, Self::Access, Self::Syslog, Self::Postgres, Self::Text];

    /// The classes that events of a file of this format can have. A line that its format doesn't explain is text.
    pub fn possible(format: Format) -> &'static [Self] {
        match format {
            Format::Access | Format::Custom | Format::NginxError => &[Self::Access, Self::Text],
            Format::Syslog | Format::Journal => &[Self::Syslog, Self::Text],
            Format::PostgresText | Format::PostgresCsv => &[Self::Postgres, Self::Text],
            Format::Text => &[Self::Text],
            Format::JsonLines | Format::JsonDocument => {
                &[Self::CloudTrail, Self::WebJson, Self::Json, Self::Syslog, Self::Postgres]
            }
            Format::Docker | Format::Wrapped | Format::Logfmt | Format::Csv => &Self::ALL,
        }
    }

    /// Whether its events are web requests.
    pub(super) fn is_web(self) -> bool {
        matches!(self, Self::WebJson | Self::Access)
    }

    /// What the text of an event in JSON holds if the event is of the class; a letter that is written as `\u0041` is not looked
    /// for.
    pub(super) fn need(self) -> Need<String> {
        let has = |text: &&str| Need::Has(format!("\"{}\"", text.to_ascii_lowercase()));
        let any = |names: &[&str]| Need::any(names.iter().map(has));
        match self {
            Self::CloudTrail => Need::all(CLOUDTRAIL.iter().map(has)),
            Self::WebJson => {
                let inside = INSIDE.iter().map(|(outer, inner)| Need::all([has(outer), has(inner)].into_iter()));
                let called = Need::all([any(&METHODS), any(&PATHS)].into_iter());
                Need::any([any(&WEB), called].into_iter().chain(inside))
            }
            Self::Syslog => Need::all([has(&MESSAGE), any(&JOURNAL)].into_iter()),
            Self::Postgres => {
                let logger = Need::all([has(&LOGGER.0), has(&LOGGER.1)].into_iter());
                Need::any([has(&SEVERITY), logger].into_iter())
            }
            Self::Json | Self::Access | Self::Text => Need::Nothing,
        }
    }

    /// The class of an event.
    pub fn of(format: Format, fields: &Map<String, Value>) -> Self {
        match format {
            Format::Access | Format::Custom | Format::NginxError => Self::Access,
            Format::Syslog | Format::Journal => Self::Syslog,
            Format::PostgresText | Format::PostgresCsv => Self::Postgres,
            Format::Text => Self::Text,
            Format::JsonLines
            | Format::JsonDocument
            | Format::Docker
            | Format::Wrapped
            | Format::Logfmt
            | Format::Csv => {
                let has = |name: &&str| fields.contains_key(*name);
                let (logger, postgres) = LOGGER;
                if CLOUDTRAIL.iter().all(has) {
                    Self::CloudTrail
                } else if is_web(fields) {
                    Self::WebJson
                } else if has(&MESSAGE) && JOURNAL.iter().any(has) {
                    Self::Syslog
                } else if has(&SEVERITY) || fields.get(logger).is_some_and(|logger| logger == postgres) {
                    Self::Postgres
                } else {
                    Self::Json
                }
            }
        }
    }
}

/// JSON that speaks of a web request: by a name that nothing else has, by method and path, or as an object of its own.
const WEB: [&str; 11] = [
    "c-uri",
    "cs-uri",
    "cs-uri-query",
    "cs-uri-stem",
    "cs-method",
    "c-useragent",
    "request_uri",
    "cs-user-agent",
    "http_user_agent",
    "RequestPath",
    "httpRequest",
];
const METHODS: [&str; 4] = ["method", "request_method", "http_method", "verb"];
const PATHS: [&str; 6] = ["url", "uri", "path", "request", "request_path", "requestPath"];
const INSIDE: [(&str, &str); 3] = [("request", "uri"), ("req", "url"), ("http", "request")];
/// Names in JSON of `CloudTrail`, all of which are there; in that of the journal, of which one stands beside `MESSAGE`; and in
/// that of PostgreSQL, unless its logger is named.
const CLOUDTRAIL: [&str; 2] = ["eventSource", "eventName"];
const MESSAGE: &str = "MESSAGE";
const JOURNAL: [&str; 3] = ["SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_COMM"];
const SEVERITY: &str = "error_severity";
const LOGGER: (&str, &str) = ("logger", "postgres");

fn is_web(fields: &Map<String, Value>) -> bool {
    let any = |names: &[&str]| names.iter().any(|name| fields.contains_key(*name));
    let inside = |(outer, inner): &(&str, &str)| fields.get(*outer).is_some_and(|object| object.get(*inner).is_some());
    any(&WEB) || (any(&METHODS) && any(&PATHS)) || INSIDE.iter().any(inside)
}

/// The text of a sources file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Version,
    #[serde(default)]
    sources: Vec<Source>,
    #[serde(default)]
    fields: Vec<Fields>,
}

/// The one version that there is.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        if number == 1 { Ok(Self) } else { Err(format!("version {number} is not known; this program reads version 1")) }
    }
}

/// Where rules of a product, category and service are run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    product: Option<String>,
    category: Option<String>,
    service: Option<String>,
    events: Option<Vec<Class>>,
    files: Option<Vec<Glob>>,
    formats: Option<Vec<Named>>,
    #[serde(default)]
    fields: Fieldnames,
}

/// Names of one or more formats.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    formats: Vec<Named>,
    names: Fieldnames,
}

/// What fields are called: by a rule's name, the names in a log, best first.
pub(super) type Fieldnames = BTreeMap<String, Vec<String>>;

/// A format by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Named(Format);

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == Format::Custom.id() {
            return Ok(Self(Format::Custom));
        }
        match text.parse() {
            Ok(Wanted::Named(format)) => Ok(Self(format)),
            Ok(Wanted::Form(_)) => Err(format!("`{text}` is the form of a log, not the name of a format")),
            Err(reason) => Err(reason),
        }
    }
}

/// A path with `*`, `**` and `?`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Glob(Regex);

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_GLOB {
            return Err(format!("a path has 1 to {MAX_GLOB} bytes"));
        }
        let mut pattern = String::from(if text.starts_with('/') { "^" } else { "(?:^|/)" });
        let mut rest = text.as_str();
        while let Some(letter) = rest.chars().next() {
            let (part, long) = match letter {
                '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
                '*' if rest.starts_with("**") => (".*".to_owned(), 2),
                '*' => ("[^/]*".to_owned(), 1),
                '?' => ("[^/]".to_owned(), 1),
                other => (regex::escape(&other.to_string()), other.len_utf8()),
            };
            pattern.push_str(&part);
            rest = &rest[long..];
        }
        Regex::new(&format!("(?s){pattern}$")).map(Self).map_err(|_| format!("`{text}` is no path"))
    }
}

/// Names that formats give to fields that rules know under others.
#[derive(Debug, Clone, Default)]
pub struct Names {
    by_format: [HashMap<String, Vec<String>, foldhash::fast::RandomState>; Format::ALL.len()],
}

impl Names {
    /// The names of a field, best first.
    pub(super) fn of(&self, format: Format, field: &str) -> &[String] {
        self.by_format[format as usize].get(field).map_or(&[], Vec::as_slice)
    }

    /// The names that come with the program.
    pub fn shipped() -> &'static Self {
        &SHIPPED_SOURCES.names
    }

    fn add(&mut self, fields: &[Fields]) {
        for group in fields {
            for Named(format) in &group.formats {
                for (field, names) in &group.names {
                    // What was said first counts.
                    self.by_format[*format as usize].entry(field.clone()).or_insert_with(|| names.clone());
                }
            }
        }
    }
}

/// Log sources.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    list: Vec<Source>,
    names: Arc<Names>,
}

static SHIPPED_SOURCES: LazyLock<Sources> = LazyLock::new(|| {
    let text = SHIPPED.iter().find(|(path, _)| *path == SOURCES).map_or("version: 1", |(_, text)| text);
    // A test reads the text that comes with the program.
    Sources::read(SOURCES, text).unwrap_or_default()
});

impl Sources {
    /// Those that come with the program.
    pub fn shipped() -> Self {
        SHIPPED_SOURCES.clone()
    }

    /// A deployment's own, and after them those that come with the program.
    pub fn with_own(file: &str, text: &str) -> Result<Self, PolicyError> {
        let own: File = policy::parse(file, text)?;
        let File { version: Version, sources: mut list, fields } = own;
        if list.len() > MAX_SOURCES {
            return Err(PolicyError::whole(file, format!("more than {MAX_SOURCES} sources")));
        }
        let shipped = &*SHIPPED_SOURCES;
        list.extend(shipped.list.iter().cloned());
        let mut names = Names::default();
        names.add(&fields);
        for (own, shipped) in names.by_format.iter_mut().zip(&shipped.names.by_format) {
            for (field, names) in shipped {
                own.entry(field.clone()).or_insert_with(|| names.clone());
            }
        }
        Ok(Self { list, names: Arc::new(names) })
    }

    fn read(file: &str, text: &str) -> Result<Self, PolicyError> {
        let File { version: Version, sources: list, fields } = policy::parse(file, text)?;
        let mut names = Names::default();
        names.add(&fields);
        Ok(Self { list, names: Arc::new(names) })
    }

    /// The names of fields.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The number of the source that a rule is of.
    pub(super) fn of(&self, logsource: &LogSource) -> Option<usize> {
        let fits = |want: &Option<String>, is: &str| want.as_ref().is_none_or(|want| want.eq_ignore_ascii_case(is));
        self.list.iter().position(|source| {
            fits(&source.product, &logsource.product)
                && fits(&source.category, &logsource.category)
                && fits(&source.service, &logsource.service)
        })
    }

    /// Whether rules of a source are run on events of a class.
    pub(super) fn has_class(&self, source: Option<usize>, class: Class) -> bool {
        let classes = source.and_then(|source| self.list[source].events.as_ref());
        classes.is_none_or(|classes| classes.contains(&class))
    }

    /// Whether rules of a source are run on files of a format.
    pub(super) fn has_format(&self, source: Option<usize>, format: Format) -> bool {
        let formats = source.and_then(|source| self.list[source].formats.as_ref());
        formats.is_none_or(|formats| formats.contains(&Named(format)))
    }

    /// What a source calls fields.
    pub(super) fn fields(&self, source: Option<usize>) -> Fieldnames {
        source.map_or_else(Fieldnames::default, |source| self.list[source].fields.clone())
    }

    /// Which sources a file is of; nothing where no source names files.
    pub(super) fn of_file(&self, path: &str) -> Option<Arc<[bool]>> {
        let any = self.list.iter().any(|source| source.files.is_some());
        let fits = |source: &Source| {
            source.files.as_ref().is_none_or(|globs| globs.iter().any(|Glob(glob)| glob.is_match(path)))
        };
        any.then(|| self.list.iter().map(fits).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(product: &str, category: &str, service: &str) -> LogSource {
        LogSource { product: product.into(), category: category.into(), service: service.into() }
    }

    fn classes(sources: &Sources, logsource: &LogSource) -> Vec<Class> {
        let source = sources.of(logsource);
        Class::ALL.into_iter().filter(|class| sources.has_class(source, *class)).collect()
    }

    #[test]
    fn rules_go_where_they_fit() {
        let shipped = Sources::shipped();
        let classes =
            |product: &str, category: &str, service: &str| classes(&shipped, &source(product, category, service));
        assert_eq!(classes("aws", "", "cloudtrail"), [Class::CloudTrail]);
        assert_eq!(classes("aws", "", ""), [Class::CloudTrail]);
        assert_eq!(classes("aws", "", "rds"), [Class::WebJson, Class::Json]);
        assert_eq!(classes("", "webserver", ""), [Class::WebJson, Class::Access]);
        assert_eq!(classes("linux", "process_creation", ""), [Class::Json]);
        assert!(classes("linux", "", "sshd").contains(&Class::Syslog));
        assert_eq!(classes("portcullis", "", ""), Class::ALL);
        assert_eq!(classes("", "", ""), Class::ALL);
    }

    #[test]
    fn names_that_come_with_the_program_are_there() {
        let names = Names::shipped();
        assert_eq!(names.of(Format::Access, "request_uri"), ["c-uri"]);
        assert_eq!(names.of(Format::PostgresText, "query"), ["statement", "message"]);
        assert_eq!(names.of(Format::JsonDocument, "c-ip")[..3], ["ip", "clientIp", "remote_addr"]);
        assert!(names.of(Format::Text, "c-ip").is_empty());
        for group in &names.by_format[..] {
            assert!(group.values().all(|names| !names.is_empty()));
        }
    }

    const OWN: &str = "\
version: 1
sources:
  - product: acme
    events: [json]
    files: ['auth/*.json', /srv/**/x?.log]
    formats: [json-lines, json]
    fields: {User: [actor.email]}
  - {service: cloudtrail, events: [json]}
fields:
  - {formats: [access], names: {request_uri: [path]}}
";

    #[test]
    fn a_deployment_comes_first_and_the_rest_stays() {
        let own = Sources::with_own("sources.yml", OWN).unwrap();
        let acme = own.of(&source("acme", "", ""));
        assert_eq!(acme, Some(0));
        assert_eq!(classes(&own, &source("aws", "", "cloudtrail")), [Class::Json]);
        assert_eq!(classes(&own, &source("", "proxy", "")), [Class::WebJson, Class::Access]);
        assert!(own.has_format(acme, Format::JsonLines) && !own.has_format(acme, Format::Csv));
        assert_eq!(own.fields(acme)["User"], ["actor.email"]);
        let names = own.names();
        assert_eq!(names.of(Format::Access, "request_uri"), ["path"]);
        assert_eq!(names.of(Format::Access, "status"), ["sc-status"]);
        for (path, fits) in [
            ("auth/a.json", true),
            ("/logs/auth/a.json", true),
            ("/logs/xauth/a.json", false),
            ("auth/b/a.json", false),
            ("auth/a.json.gz", false),
            ("/srv/x1.log", true),
            ("/srv/a/b/x1.log", true),
            ("/other/srv/x1.log", false),
        ] {
            assert_eq!(own.of_file(path).unwrap()[0], fits, "{path}");
        }
        assert_eq!(Sources::shipped().of_file("auth/a.json"), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (from, to, place, words) in [
            ("version: 1", "version: 2", "1:10", "version 2"),
            ("product: acme", "produkt: acme", "3:5", "did you mean `product`"),
            ("[json-lines, json]", "[json-lines, jsn]", "6:", "`jsn` is not a format"),
            ("events: [json]\n    files", "events: [jsonn]\n    files", "4:14", "did you mean `json`"),
            ("['auth/*.json',", "['',", "5:", "a path has 1 to"),
            ("fields: {User", "fields: [User", "7:", ""),
        ] {
            let text = OWN.replace(from, to);
            assert_ne!(text, OWN);
            let error = Sources::with_own("policies/logs/sources.yml", &text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("policies/logs/sources.yml:{place}")) && error.contains(words),
                "{error}"
            );
        }
    }
}
