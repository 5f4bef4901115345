//! Which rules fit which logs, and what each format calls a field: the one place for both.

use super::formats::Format;
use super::sigma::LogSource;
use serde_json::{Map, Value};

/// A kind of event, as far as the choice of rules needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// AWS `CloudTrail`.
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
            Format::Access | Format::Custom => &[Self::Access, Self::Text],
            Format::Syslog | Format::Journal => &[Self::Syslog, Self::Text],
            Format::PostgresText | Format::PostgresCsv => &[Self::Postgres, Self::Text],
            Format::Text => &[Self::Text],
            Format::JsonLines | Format::JsonDocument => {
                &[Self::CloudTrail, Self::WebJson, Self::Json, Self::Syslog, Self::Postgres]
            }
            Format::Docker | Format::Logfmt | Format::Csv => &Self::ALL,
        }
    }

    /// The class of an event.
    pub fn of(format: Format, fields: &Map<String, Value>) -> Self {
        match format {
            Format::Access | Format::Custom => Self::Access,
            Format::Syslog | Format::Journal => Self::Syslog,
            Format::PostgresText | Format::PostgresCsv => Self::Postgres,
            Format::Text => Self::Text,
            Format::JsonLines | Format::JsonDocument | Format::Docker | Format::Logfmt | Format::Csv => {
                let has = |name: &str| fields.contains_key(name);
                if has("eventSource") && has("eventName") {
                    Self::CloudTrail
                } else if WEB_KEYS.iter().any(|name| has(name)) {
                    Self::WebJson
                } else if has("MESSAGE") && (has("SYSLOG_IDENTIFIER") || has("_SYSTEMD_UNIT") || has("_COMM")) {
                    Self::Syslog
                } else if has("error_severity") || fields.get("logger").is_some_and(|logger| logger == "postgres") {
                    Self::Postgres
                } else {
                    Self::Json
                }
            }
        }
    }
}

const WEB_KEYS: [&str; 8] =
    ["c-uri", "cs-uri", "cs-uri-query", "cs-uri-stem", "cs-method", "c-useragent", "request_uri", "cs-user-agent"];

const ANY_JSON: &[Class] = &[Class::WebJson, Class::Json];
const LINUX_TEXT: &[Class] = &[Class::Syslog, Class::Text, Class::Json];
const WEB: &[Class] = &[Class::Access, Class::WebJson];
const APPLICATION: &[Class] = &[Class::WebJson, Class::Json, Class::Syslog, Class::Postgres, Class::Text];

/// Product, category and service (`*` is any) and the classes whose events such a rule is run on; the first line that
/// fits counts. What no line names is run on everything.
const TABLE: &[(&str, &str, &str, &[Class])] = &[
    ("aws", "*", "cloudtrail", &[Class::CloudTrail]),
    ("aws", "*", "", &[Class::CloudTrail]),
    ("aws", "*", "*", ANY_JSON),
    ("*", "webserver", "*", WEB),
    ("*", "proxy", "*", WEB),
    ("nginx", "*", "*", &[Class::Access, Class::WebJson, Class::Text, Class::Syslog]),
    ("apache", "*", "*", &[Class::Access, Class::WebJson, Class::Text, Class::Syslog]),
    ("*", "*", "nginx", &[Class::Access, Class::WebJson, Class::Text, Class::Syslog]),
    ("*", "*", "apache", &[Class::Access, Class::WebJson, Class::Text, Class::Syslog]),
    ("linux", "", "*", LINUX_TEXT),
    ("linux", "*", "*", &[Class::Json]),
    ("windows", "*", "*", ANY_JSON),
    ("macos", "*", "*", ANY_JSON),
    ("azure", "*", "*", ANY_JSON),
    ("gcp", "*", "*", ANY_JSON),
    ("m365", "*", "*", ANY_JSON),
    ("okta", "*", "*", ANY_JSON),
    ("github", "*", "*", ANY_JSON),
    ("bitbucket", "*", "*", ANY_JSON),
    ("kubernetes", "*", "*", ANY_JSON),
    ("opencanary", "*", "*", ANY_JSON),
    ("*", "application", "*", APPLICATION),
    ("*", "database", "*", APPLICATION),
];

/// The classes of events that a rule is run on.
pub fn classes(logsource: &LogSource) -> &'static [Class] {
    let fits = |want: &str, is: &str| want == "*" || want == is;
    TABLE
        .iter()
        .find(|(product, category, service, _)| {
            fits(product, &logsource.product)
                && fits(category, &logsource.category)
                && fits(service, &logsource.service)
        })
        .map_or(&Class::ALL, |(.., classes)| classes)
}

/// Names that a format gives to a field that rules know under another name, best first.
pub fn aliases(format: Format, field: &str) -> &'static [&'static str] {
    match format {
        Format::Access | Format::Custom => match field {
            "cs-uri" | "cs-uri-stem" | "uri" | "url" | "c-uri-path" | "request_uri" | "cs-uri-path" => &["c-uri"],
            "c-uri-query" | "query" => &["cs-uri-query"],
            "cs-username" | "user" | "remote_user" => &["cs-username"],
            "c-useragent" | "userAgent" | "user_agent" | "cs(User-Agent)" | "http_user_agent" => &["cs-user-agent"],
            "cs-referrer" | "referer" | "cs(Referer)" | "http_referer" => &["cs-referer"],
            "method" | "request_method" => &["cs-method"],
            "status" | "sc_status" => &["sc-status"],
            "src_ip" | "ip" | "clientip" | "client_ip" | "remote_addr" | "SourceIP" => &["c-ip"],
            _ => &[],
        },
        Format::Syslog | Format::Journal => match field {
            "service" | "process" | "appname" | "SYSLOG_IDENTIFIER" => &["program"],
            "hostname" | "HostName" => &["host"],
            "msg" | "MESSAGE" => &["message"],
            _ => &[],
        },
        Format::Text => match field {
            "msg" | "MESSAGE" => &["message"],
            _ => &[],
        },
        Format::PostgresText | Format::PostgresCsv => match field {
            "msg" => &["message"],
            "user_name" | "usename" | "username" => &["user"],
            "database" | "database_name" | "datname" | "db" => &["dbname"],
            "client_addr" | "src_ip" | "c-ip" | "connection_from" | "client" => &["remote_host"],
            "severity" | "level" => &["error_severity"],
            "query" => &["statement", "message"],
            "sql_state_code" => &["state_code"],
            "process_id" => &["pid"],
            "command_tag" => &["ps"],
            "log_time" => &["timestamp"],
            _ => &[],
        },
        Format::JsonLines | Format::JsonDocument | Format::Docker | Format::Logfmt | Format::Csv => match field {
            "c-uri" | "cs-uri" => &["request_uri", "url", "uri", "path"],
            "cs-uri-stem" => &["path", "uri", "request_uri"],
            "cs-uri-query" | "c-uri-query" => &["query", "args", "request_uri"],
            "cs-user-agent" | "c-useragent" => &["userAgent", "user_agent", "http_user_agent"],
            "cs-method" => &["method", "request_method"],
            "sc-status" => &["status", "statusCode"],
            "c-ip" | "src_ip" => &["ip", "clientIp", "remote_addr"],
            "cs-referer" | "cs-referrer" => &["referer", "http_referer"],
            "message" => &["record.message", "msg", "MESSAGE", "log"],
            "program" | "process" => &["SYSLOG_IDENTIFIER", "_COMM"],
            "host" | "hostname" => &["_HOSTNAME"],
            "error_severity" => &["record.error_severity"],
            "user" => &["record.user_name", "user_name", "username"],
            "dbname" => &["record.database_name", "database_name"],
            "remote_host" => &["record.connection_from", "connection_from"],
            "statement" => &["record.message"],
            _ => &[],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(product: &str, category: &str, service: &str) -> LogSource {
        LogSource { product: product.into(), category: category.into(), service: service.into() }
    }

    #[test]
    fn rules_go_where_they_fit() {
        assert_eq!(classes(&source("aws", "", "cloudtrail")), [Class::CloudTrail]);
        assert!(classes(&source("", "webserver", "")).contains(&Class::Access));
        assert!(!classes(&source("", "proxy", "")).contains(&Class::CloudTrail));
        assert!(classes(&source("linux", "", "sshd")).contains(&Class::Syslog));
        assert_eq!(classes(&source("portcullis", "", "")), Class::ALL);
        assert_eq!(classes(&LogSource::default()), Class::ALL);
    }
}
