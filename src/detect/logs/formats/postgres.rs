//! PostgreSQL's server log (manual, "Error Reporting and Logging"): `stderr` with any `log_line_prefix`, and `csvlog`.
//! Fields have the names of `jsonlog`.

use serde_json::{Map, Value};

use super::{csv, pg_words, syslog};

/// Columns of `csvlog`, by the names of `jsonlog`, up to PostgreSQL 14 and later.
const COLUMNS: [&str; 26] = [
    "timestamp",
    "user",
    "dbname",
    "pid",
    "remote_host",
    "session_id",
    "line_num",
    "ps",
    "session_start",
    "vxid",
    "txid",
    "error_severity",
    "state_code",
    "message",
    "detail",
    "hint",
    "internal_query",
    "internal_position",
    "context",
    "statement",
    "cursor_position",
    "func_name",
    "application_name",
    "backend_type",
    "leader_pid",
    "query_id",
];

/// Longest `log_line_prefix`, in bytes.
const MAX_PREFIX: usize = 512;

/// The prefix, the severity and the message of a line.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let bytes = line.as_bytes();
    for colon in memchr::memchr_iter(b':', bytes.get(..MAX_PREFIX.min(bytes.len()))?) {
        if bytes.get(colon + 1) != Some(&b' ') {
            continue;
        }
        let wide = bytes.get(colon + 2) == Some(&b' ');
        if let Some((start, severity)) = pg_words::kind(line.get(..colon)?, wide) {
            return Some((&line[..start], severity, line[colon + 1..].trim_start_matches(' ')));
        }
    }
    None
}

/// Whether a line looks like one of the log.
pub(super) fn outline(line: &[u8]) -> bool {
    line.first().is_some_and(|b| !b.is_ascii_whitespace())
        && line.get(..MAX_PREFIX.min(line.len())).is_some_and(|head| memchr::memmem::find(head, b": ").is_some())
}

/// Parses a line with the lines that continue it.
pub(super) fn parse(record: &str) -> Option<Map<String, Value>> {
    let (prefix, severity, message) = split(record)?;
    // Other logs have words in capitals too: a prefix holds a time or names a process, and none is followed by two blanks.
    let dated = prefix.bytes().next().is_some_and(|b| b.is_ascii_digit()) || time_at(prefix).is_some();
    let bare = prefix.is_empty() && record[severity.len()..].starts_with(":  ");
    if !(dated || bare || prefix.contains('[')) {
        return None;
    }
    let mut event = Map::with_capacity(10);
    prefix_fields(prefix, &mut event);
    event.insert("error_severity".into(), severity.into());
    let message = message.replace("\n\t", "\n");
    if let Some(statement) = statement(severity, &message) {
        event.insert("statement".into(), statement.into());
    }
    event.insert("message".into(), message.into());
    Some(event)
}

/// The statement that a message quotes or tells of.
fn statement<'a>(severity: &str, message: &'a str) -> Option<&'a str> {
    // Words of another language for what is no error are not told apart: nothing else tells of what was executed.
    let log = !matches!(severity, "ERROR" | "FATAL" | "PANIC" | "WARNING" | "DETAIL" | "HINT" | "CONTEXT");
    if pg_words::quotes_statement(severity) {
        return Some(message);
    }
    pg_words::audited(message).or_else(|| pg_words::statement_at(message, log).map(|at| &message[at..]))
}

fn prefix_fields(prefix: &str, event: &mut Map<String, Value>) {
    let mut words = prefix.split([' ', ':']).filter(|word| !word.is_empty());
    if let Some(time) = time_of(prefix) {
        event.insert("timestamp".into(), time.into());
    } else if let Some(epoch) =
        words.next().filter(|word| word.len() >= 10 && word.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    {
        event.insert("timestamp".into(), epoch.into());
    } else if let Some((time, _)) = syslog::timestamp(prefix) {
        event.insert("timestamp".into(), time.into());
    }
    let pid = prefix.split('[').skip(1).find_map(|rest| rest.split(']').next().filter(|pid| is_pid(pid)));
    if let Some(pid) = pid {
        event.insert("pid".into(), pid.split('-').next().unwrap_or(pid).into());
    }
    for (key, name) in [
        ("user=", "user"),
        ("db=", "dbname"),
        ("app=", "application_name"),
        ("client=", "remote_host"),
        ("host=", "remote_host"),
    ] {
        let value = prefix.split([' ', ',']).find_map(|word| word.strip_prefix(key));
        if let Some(value) =
            value.map(|value| value.trim_end_matches(':')).filter(|value| !value.is_empty() && *value != "[unknown]")
        {
            event.insert(name.into(), value.into());
        }
    }
    // RDS and others: `%t:%r:%u@%d:[%p]:`
    for part in prefix.split([':', ' ']) {
        if let Some((user, db)) = part.split_once('@').filter(|(user, db)| !user.is_empty() && !db.is_empty()) {
            event.entry("user").or_insert_with(|| user.into());
            event.entry("dbname").or_insert_with(|| db.into());
        }
        let address = part.split('(').next().unwrap_or(part);
        let digit = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        if address.bytes().next().is_some_and(digit)
            && address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_ipv4() || part.len() > 6)
        {
            event.entry("remote_host").or_insert_with(|| address.into());
        }
    }
}

fn is_pid(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// Where `2026-11-24 01:02:03` stands.
fn time_at(prefix: &str) -> Option<usize> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let fits = |window: &[u8]| {
        window.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
    };
    prefix.as_bytes().windows(SHAPE.len()).position(fits)
}

/// `2026-11-24 01:02:03.456 UTC`, without what is no part of a time.
fn time_of(prefix: &str) -> Option<String> {
    let (time, rest) = prefix[time_at(prefix)?..].split_at(19);
    let fraction = rest.strip_prefix('.').map_or(0, |f| 1 + f.bytes().take_while(u8::is_ascii_digit).count());
    let zone = rest[fraction..].trim_start().split([' ', ':', '[', ',', '>']).next().unwrap_or_default();
    // Of a zone without a name (`-03`) the sign is a part.
    let zone = zone.get(1..).and_then(|rest| rest.find('-')).map_or(zone, |at| &zone[..=at]);
    Some(format!("{time}{} {zone}", &rest[..fraction]).trim_end().to_owned())
}

/// Parses a row of `csvlog`.
pub(super) fn parse_csv(row: &str) -> Option<Map<String, Value>> {
    let fields = csv::fields(row, b',');
    // Other tables are as wide: a row of the log begins with its time.
    let dated = fields.first().is_some_and(|time| time.bytes().next().is_some_and(|b| b.is_ascii_digit()));
    if fields.len() < 22 || fields.len() > COLUMNS.len() + 4 || !dated {
        return None;
    }
    let named = COLUMNS.iter().zip(fields).filter(|(_, field)| !field.is_empty());
    let mut event: Map<String, Value> = named.map(|(name, field)| ((*name).to_owned(), field.into())).collect();
    let message = event.get("message").and_then(Value::as_str).unwrap_or_default();
    let severity = event.get("error_severity").and_then(Value::as_str).unwrap_or_default();
    if let Some(statement) = statement(severity, message).map(Value::from) {
        event.entry("statement").or_insert(statement);
    }
    if let Some(Value::String(host)) = event.get_mut("remote_host")
        && let Some((address, port)) = host.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        *host = address.to_owned();
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(line: &str, field: &str) -> String {
        parse(line).unwrap().get(field).and_then(Value::as_str).unwrap_or("-").to_owned()
    }

    #[test]
    fn prefixes_of_every_kind_are_read() {
        let line = "2021-02-14 01:34:02 CET [30291]: db=shop,user=eve,app=psql,client=[local] LOG:  statement: create role x\n\tlogin";
        for (field, want) in [
            ("timestamp", "2021-02-14 01:34:02 CET"),
            ("pid", "30291"),
            ("user", "eve"),
            ("dbname", "shop"),
            ("application_name", "psql"),
            ("error_severity", "LOG"),
            ("statement", "create role x\nlogin"),
        ] {
            assert_eq!(get(line, field), want, "{field}");
        }
        let rds =
            "2021-05-27 17:00:00 UTC:10.1.91.65(5432):user@my_db:[24743]:LOG: duration: 0.054 ms statement: SELECT 1;";
        for (field, want) in [
            ("user", "user"),
            ("dbname", "my_db"),
            ("pid", "24743"),
            ("remote_host", "10.1.91.65"),
            ("statement", "SELECT 1;"),
        ] {
            assert_eq!(get(rds, field), want, "{field}");
        }
        assert_eq!(
            get("2025-01-21 18:32:48.288 CET [7-1] eve@shop FATAL:  password authentication failed", "pid"),
            "7"
        );
        for prefix in [
            "< 2026-11-23 04:05:06.789 UTC >",
            "<2026-11-23 04:05:06.789 UTC eve shop 1.2.3.4>",
            "t=2026-11-23 04:05:06.789 UTC p=7 u=eve ",
            "eve@shop 1.2.3.4 2026-11-23 04:05:06.789 UTC ",
            "2026-11-23 04:05:06.789 UTC-656a1b2c.1f4-",
        ] {
            let line = format!("{prefix}LOG:  statement: create role x");
            assert_eq!(get(&line, "timestamp"), "2026-11-23 04:05:06.789 UTC", "{line}");
            assert_eq!(get(&line, "statement"), "create role x", "{line}");
        }
        assert_eq!(get("Nov 23 04:05:06 db postgres[5]: [3-1] LOG:  x", "timestamp"), "Nov 23 04:05:06");
        assert_eq!(get("2026-11-23 04:05:06 -03 [5] LOG:  x", "timestamp"), "2026-11-23 04:05:06 -03");
        assert_eq!(get("eve@shop 1.2.3.4 2026-11-23 04:05:06 UTC LOG:  x", "user"), "eve");
        assert_eq!(get("LOG:  statement: create role x", "statement"), "create role x");
        for (line, want) in [
            ("2026-11-23 04:05:06 CET [5] eve@shop ANWEISUNG:  copy t", "copy t"),
            ("2026-11-23 04:05:06 CET [5] eve@shop INSTRUCTION :  copy t", "copy t"),
            ("2026-11-23 04:05:06 CET [5] eve@shop LOG:  Dauer: 1.2 ms  Anweisung: copy t", "copy t"),
            ("2026-11-23 04:05:06 CET [5] eve@shop СООБЩЕНИЕ:  выполнение <unnamed>: copy t", "copy t"),
            ("2026-11-23 04:05:06 CET [5] LOG:  AUDIT: SESSION,1,1,MISC,COPY,,,\"copy t\",<none>", "copy t"),
            ("2026-11-23 04:05:06 CET [5] FEHLER:  Syntaxfehler bei »x«", "-"),
        ] {
            assert_eq!(get(line, "statement"), want, "{line}");
        }
        assert!(parse("ERROR: one blank is anybody's").is_none());
        assert!(parse("pg_ctl: could not start server").is_none());
        assert!(parse("plain words ERROR: x").is_none());
    }

    #[test]
    fn csvlog_rows_are_read() {
        let row = r#""2026-05-16 05:11:50.269 UTC","eve","db",1001,"192.0.2.10:54321",1.3,1,"SELECT","2026-05-16 05:00:00 UTC",1/1,0,LOG,00000,"statement: copy x
to program 'sh'",,,,,,,,,"app","client backend",0"#;
        let event = parse_csv(row).unwrap();
        assert_eq!((&event["remote_host"], &event["backend_type"]), (&"192.0.2.10".into(), &"client backend".into()));
        assert_eq!(event["statement"], "copy x\nto program 'sh'");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(2026-01-02 |03:04:05|\\.5| UTC|\\[|1\\]|LOG|: |@|\u{e9}|a|execute |\n\t){0,16}") {
            let _ = parse(&line);
            let _ = parse_csv(&line);
        }
    }
}
