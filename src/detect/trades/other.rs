//! Other records of the same trades: log lines (JSON, `key=value`, either inside a container's or syslog's line), an exchange's export of fills (CSV with a header, JSON lines, a JSON array).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead};

use serde_json::value::RawValue;

use super::decimal::Decimal;
use super::json_fields::{carried, flatten, listed, objects};
use super::line_pattern::LinePattern;
use super::names::Reader;
use super::reconcile::Line;
use super::record::{NO_TIME, Side};
use super::roles::{Role, role_of_field};
use super::value::millis;

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Longest line of an export, and longest export that is one value over several lines.
const MAX_EXPORT: usize = 64 << 20;

/// What kind of record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lines of which some are of trades.
    Logs,
    /// Each entry is a trade.
    Fills,
}

/// The fields of one entry: name and text.
pub type Fields<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Cells of a line of CSV (RFC 4180), without line breaks inside quotes.
fn cells(line: &str, separator: char) -> Vec<Cow<'_, str>> {
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            let mut letters = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' if letters.peek().is_some_and(|(_, next)| *next == '"') => {
                        text.push('"');
                        letters.next();
                    }
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    other => text.push(other),
                }
            }
            found.push(text.into());
            rest = &quoted[end..];
        } else {
            let end = rest.find(separator).unwrap_or(rest.len());
            found.push(rest[..end].trim().into());
            rest = &rest[end..];
        }
        match rest.strip_prefix(separator) {
            Some(after) => rest = after,
            None => return found,
        }
    }
}

/// What reading gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Entries of trades.
    pub trades: u64,
    /// Lines that are no entry of a form that is read.
    pub unread: u64,
}

/// Reads entries one after the other and gives those of trades, with their number in the file and their line. Log lines of one of the patterns are
/// of trades whatever else they say.
pub fn read(
    mut input: impl BufRead,
    kind: Kind,
    patterns: &[LinePattern],
    give: &mut dyn FnMut(&Fields<'_>, u64, u64) -> io::Result<()>,
) -> io::Result<Read> {
    let mut seen = Read::default();
    let mut header: Option<(Vec<String>, char)> = None;
    let mut roles = FieldRoles::default();
    let mut bytes = Vec::new();
    let (mut number, mut line) = (0, 0);
    loop {
        bytes.clear();
        let most = if kind == Kind::Fills { MAX_EXPORT } else { MAX_LINE };
        let mut limited = io::Read::take(&mut input, most as u64);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(seen);
        }
        line += 1;
        if bytes.len() == most && bytes.last() != Some(&b'\n') {
            seen.unread += 1;
            skip_line(&mut input)?;
            continue;
        }
        let whole = String::from_utf8_lossy(&bytes);
        // A JSON array that has one entry a line is read like JSON lines.
        let text = whole.trim().trim_matches(['[', ']']).trim_end_matches(',').trim_start_matches('\u{feff}');
        if text.is_empty() {
            continue;
        }
        number += 1;
        let own = patterns.iter().filter(|_| kind == Kind::Logs).find_map(|pattern| pattern.fields(whole.trim_end()));
        if let Some(fields) = own {
            seen.trades += 1;
            give(&fields, number - 1, line)?;
            continue;
        }
        if kind == Kind::Logs && !may_be_of_a_trade(text.as_bytes()) {
            continue;
        }
        let mut count = Count { seen: &mut seen, place: (number - 1, line), give };
        if text.starts_with('{') {
            if kind == Kind::Fills
                && count.seen.trades == 0
                && serde_json::from_str::<&RawValue>(text).is_err()
                && objects(text).len() == 1
            {
                // An object over several lines: the rest of the file is one value, or the end of an array.
                let rest = text.to_owned();
                return rest_of(input, rest, line, &mut roles, seen, give);
            }
            number = json(text, kind, &mut roles, &mut count)?.max(number - 1) + 1;
        } else if kind == Kind::Logs {
            let fields = carried(whole.trim());
            if roles.is_trade(&fields) {
                count.trade(&fields)?;
            }
        } else if let Some((names, separator)) = &header {
            let cells = cells(text, *separator);
            if cells.len() == names.len() {
                let fields = names.iter().map(|name| Cow::from(name.as_str())).zip(cells);
                count.trade(&fields.filter(|(_, cell)| !cell.is_empty()).collect())?;
            } else {
                seen.unread += 1;
            }
        } else {
            let separator = [';', '\t'].into_iter().find(|one| text.contains(*one)).unwrap_or(',');
            header = Some((cells(text, separator).into_iter().map(Cow::into_owned).collect(), separator));
            number -= 1;
        }
    }
}

/// Gives entries of a line, and counts them.
struct Count<'a> {
    seen: &'a mut Read,
    /// Number of the entry, and line.
    place: (u64, u64),
    give: &'a mut dyn FnMut(&Fields<'_>, u64, u64) -> io::Result<()>,
}

impl Count<'_> {
    fn trade(&mut self, fields: &Fields<'_>) -> io::Result<()> {
        self.seen.trades += 1;
        (self.give)(fields, self.place.0, self.place.1)
    }
}

/// The trades of a line of JSON; gives the number of the last.
fn json(text: &str, kind: Kind, roles: &mut FieldRoles, count: &mut Count<'_>) -> io::Result<u64> {
    let mut fields = Fields::new();
    let several = if flatten(text, &mut fields, 0).is_err() {
        objects(text)
    } else {
        let listed = if kind == Kind::Fills { listed(text) } else { Vec::new() };
        if listed.is_empty() {
            // As most lines are.
            object(text, &fields, kind, roles, count)?;
        }
        listed
    };
    for (nth, text) in several.into_iter().enumerate() {
        count.place.0 += u64::from(nth > 0);
        let mut fields = Fields::new();
        match flatten(text, &mut fields, 0) {
            Ok(()) => object(text, &fields, kind, roles, count)?,
            Err(_) => count.seen.unread += 1,
        }
    }
    Ok(count.place.0)
}

/// Gives an object, or the line that it carries, if it is of a trade.
fn object(
    text: &str,
    fields: &Fields<'_>,
    kind: Kind,
    roles: &mut FieldRoles,
    count: &mut Count<'_>,
) -> io::Result<()> {
    if kind == Kind::Fills || roles.is_trade(fields) {
        return count.trade(fields);
    }
    let fields = carried(text);
    if roles.is_trade(&fields) { count.trade(&fields) } else { Ok(()) }
}

/// The rest of a file whose objects go over several lines.
fn rest_of(
    input: impl BufRead,
    mut text: String,
    line: u64,
    roles: &mut FieldRoles,
    mut seen: Read,
    give: &mut dyn FnMut(&Fields<'_>, u64, u64) -> io::Result<()>,
) -> io::Result<Read> {
    text.push('\n');
    let mut rest = Vec::new();
    let read = io::Read::read_to_end(&mut io::Read::take(input, MAX_EXPORT as u64), &mut rest)?;
    if read == MAX_EXPORT {
        seen.unread += 1;
    }
    text.push_str(&String::from_utf8_lossy(&rest));
    let place = (seen.trades, line);
    let mut count = Count { seen: &mut seen, place, give };
    json(text.trim_end(), Kind::Fills, roles, &mut count)?;
    Ok(seen)
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, found) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if found {
            return Ok(());
        }
    }
}

/// Whether a line can name a trade: quickly.
fn may_be_of_a_trade(line: &[u8]) -> bool {
    [b"rade".as_slice(), b"ill", b"xec"].iter().any(|part| memchr::memmem::find(line, part).is_some())
}

/// Whether a text has the word, whatever the case.
fn holds_trade(text: &str) -> bool {
    text.as_bytes().windows(5).any(|word| word.eq_ignore_ascii_case(b"trade"))
}

fn name_of_trade(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    ["tradeid", "trade", "executionid", "fillid", "execid"].contains(&plain.as_str())
}

/// What exchanges call fields of their exports, without case and punctuation.
const EXPORTED: &[(&str, Role)] = &[
    ("txid", Role::Id),
    ("tradenumber", Role::Id),
    ("fillno", Role::Id),
    ("dateutc", Role::ExecutedAt),
    ("timeutc", Role::ExecutedAt),
    ("datetime", Role::ExecutedAt),
    ("utctime", Role::ExecutedAt),
    ("executed", Role::Quantity),
    ("vol", Role::Quantity),
    ("dealsize", Role::Quantity),
    ("tradingtotal", Role::Value),
];

/// What a field of an entry holds, by its name.
pub fn role_of(name: &str) -> Option<Role> {
    let exported = || {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        EXPORTED.iter().find(|(one, _)| *one == plain).map(|(_, role)| *role)
    };
    if name_of_trade(name) { Some(Role::Id) } else { role_of_field(name).or_else(exported) }
}

/// What the name of a field says.
#[derive(Debug, Clone, Copy, Default)]
struct Meaning {
    role: Option<Role>,
    /// It is a trade's id, and of nothing else.
    names_trade: bool,
    /// Its text says what happened.
    says: bool,
}

/// Most names of fields that are remembered.
const NAMES: usize = 10_000;

/// What the names of fields say, remembered: a file has few names.
#[derive(Default)]
pub struct FieldRoles(HashMap<String, Meaning, foldhash::fast::RandomState>);

impl FieldRoles {
    fn meaning(&mut self, name: &str) -> Meaning {
        if let Some(known) = self.0.get(name) {
            return *known;
        }
        let meaning = Meaning {
            role: role_of(name),
            names_trade: name_of_trade(name),
            says: ["event", "msg", "message", "action", "type", "name"].contains(&name),
        };
        if self.0.len() < NAMES {
            self.0.insert(name.to_owned(), meaning);
        }
        meaning
    }

    /// A log line is of a trade if it names one, and what was traded.
    fn is_trade(&mut self, fields: &Fields<'_>) -> bool {
        let (mut amounts, mut instrument, mut named) = (false, false, false);
        for (name, text) in fields {
            let meaning = self.meaning(name);
            match meaning.role {
                Some(Role::Quantity | Role::Value | Role::Price) => amounts = true,
                Some(Role::Instrument) => instrument = true,
                _ => {}
            }
            named |= meaning.names_trade || (meaning.says && holds_trade(text));
        }
        amounts && instrument && named
    }

    /// The line that an entry is.
    pub fn line(&mut self, fields: &Fields<'_>, names: &mut Reader, place: (u32, u64, u64)) -> Line {
        let mut line = Line { file: place.0, number: place.1, line: place.2, time: NO_TIME, ..Line::default() };
        for (name, text) in fields {
            let bytes = Some(text.as_bytes());
            let meaning = self.meaning(name);
            match meaning.role {
                // A name of its own beats `id`, which may be a request's.
                Some(Role::Id) if line.id == 0 || meaning.names_trade => line.id = names.hash(text.as_bytes()),
                Some(Role::Account) if line.account == 0 => line.account = names.of(bytes),
                Some(Role::Instrument) if line.instrument == 0 => line.instrument = names.of(bytes),
                // `type` may be the order's, beside the side.
                Some(Role::Side) if line.side == Side::Unknown => line.side = Side::read(bytes),
                Some(Role::Quantity) if line.quantity == Decimal::Null => line.quantity = Decimal::read(bytes),
                Some(Role::Price) if line.price == Decimal::Null => line.price = Decimal::read(bytes),
                Some(Role::Value) if line.value == Decimal::Null => line.value = Decimal::read(bytes),
                Some(Role::ExecutedAt | Role::CreatedAt) if line.time == NO_TIME => {
                    line.time = millis(text.as_bytes()).unwrap_or(NO_TIME);
                }
                _ => {}
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Entries as `line: id account quantity time`.
    fn entries(text: &str, kind: Kind) -> (Vec<String>, u64) {
        let (mut all, mut roles, mut names) =
            (Vec::new(), FieldRoles::default(), Reader::new(std::sync::Arc::default()));
        let seen = read(text.as_bytes(), kind, &[], &mut |fields, number, line| {
            let one = roles.line(fields, &mut names, (0, number, line));
            let mut text = |role: Role| {
                fields
                    .iter()
                    .find(|(name, _)| roles.meaning(name).role == Some(role))
                    .map_or("-", |(_, text)| text.as_ref())
            };
            all.push(format!(
                "{line}: {} {} {:?} {}",
                text(Role::Id),
                text(Role::Account),
                one.quantity.fixed().map(super::super::decimal::fixed_text),
                one.time
            ));
            Ok(())
        })
        .unwrap();
        (all, seen.unread)
    }

    #[test]
    fn a_trade_is_read_from_every_shape_of_line() {
        let at = "2026-11-24T10:00:00Z";
        let plain = format!(
            r#"{{"time":"{at}","event":"trade.created","tradeId":7,"account":"a","symbol":"X","quantity":"1.50"}}"#
        );
        let nested = format!(
            r#"{{"time":"{at}","msg":"trade created","trade":{{"id":7,"detail":{{"accountId":"a","symbol":"X","qty":1.5}}}}}}"#
        );
        let pairs = format!(r#"time={at} level=info msg="trade created" tradeId=7 account=a symbol=X quantity=1.5"#);
        let docker = format!(
            r#"{{"log":{},"stream":"stdout","time":"2026-11-24T10:00:09Z"}}"#,
            Value::from(format!("{plain}\n"))
        );
        let docker_pairs = format!(r#"{{"log":{},"stream":"stdout"}}"#, Value::from(format!("{pairs}\n")));
        let prefixed = format!("INFO [app] {plain}");
        let syslog = format!("<14>1 {at} host app 12 - - {plain}");
        let carried = format!(r#"{{"level":"info","message":{}}}"#, Value::from(plain.as_str()));
        for line in [plain, nested, pairs, docker, docker_pairs, prefixed, syslog, carried] {
            let (found, unread) = entries(&line, Kind::Logs);
            assert_eq!((found, unread), (vec!["1: 7 a Some(\"1.5\") 1795514400000".to_owned()], 0), "{line}");
        }
        let others = "GET /api/trades 200\n{\"event\":\"http.request\",\"path\":\"/trades\",\"status\":200}\nmsg=\"trade page shown\" account=a symbol=X took=5\n{broken trade\n";
        assert_eq!(entries(others, Kind::Logs), (vec![], 1));
    }

    #[test]
    fn lines_of_a_form_of_ones_own_are_read_by_a_pattern() {
        let pattern = LinePattern::parse(r"^(?<time>\S+) FILL (?<id>\d+) (?<quantity>[\d.]+)").unwrap();
        let text = "2026-11-24T10:00:00Z FILL 7 1.5\n2026-11-24T10:00:01Z QUOTE 8 2\n{\"tradeId\":9,\"symbol\":\"X\",\"qty\":1}\n";
        let (mut ids, mut roles, mut names) =
            (Vec::new(), FieldRoles::default(), Reader::new(std::sync::Arc::default()));
        let seen = read(text.as_bytes(), Kind::Logs, std::slice::from_ref(&pattern), &mut |fields, number, line| {
            let one = roles.line(fields, &mut names, (0, number, line));
            ids.push((fields[0].1.to_string(), line, one.time != NO_TIME));
            Ok(())
        });
        assert_eq!(ids, [("7".to_owned(), 1, true), ("9".to_owned(), 3, false)]);
        assert_eq!(seen.unwrap(), Read { trades: 2, unread: 0 });
    }

    #[test]
    fn fills_come_as_csv_json_lines_and_arrays() {
        let expected: Vec<String> =
            vec!["2: 7 a Some(\"1.5\") 1795514400000".into(), "3: 8 b Some(\"2\") 1795514401000".into()];
        let csv = "tradeId,account,symbol,qty,time\n7,a,X,1.5,2026-11-24T10:00:00Z\n\"8\",\"b\",\"X,Y\",2,2026-11-24T10:00:01Z\n1,2\n";
        assert_eq!(entries(csv, Kind::Fills), (expected.clone(), 1));
        let array = "[\n{\"tradeId\":7,\"account\":\"a\",\"symbol\":\"X\",\"qty\":1.5,\"time\":1795514400000},\n{\"tradeId\":8,\"account\":\"b\",\"symbol\":\"X\",\"qty\":2,\"time\":1795514401000}\n]\n";
        assert_eq!(entries(array, Kind::Fills), (expected, 0));
    }

    #[test]
    fn ids_of_nested_objects_are_their_owners() {
        let line = r#"{"name":"engine","event":"fill","fill":{"fillId":7,"account":{"id":"a"},"instrument":"X","quantity":1.5},"req":{"id":9},"time":"2026-11-24T10:00:00Z"}"#;
        assert_eq!(entries(line, Kind::Logs).0, ["1: 7 a Some(\"1.5\") 1795514400000"]);
        let data = r#"{"event":"trade.created","data":{"id":7,"symbol":"X","qty":1.5,"user":{"id":"a"}},"time":"2026-11-24T10:00:00Z"}"#;
        assert_eq!(entries(data, Kind::Logs).0, ["1: 7 a Some(\"1.5\") 1795514400000"]);
    }

    #[test]
    fn exports_are_read_in_the_shapes_of_exchanges() {
        let kraken = "\"txid\",\"ordertxid\",\"pair\",\"time\",\"type\",\"ordertype\",\"price\",\"cost\",\"vol\"\n\"7\",\"O1\",\"X\",\"2026-11-24 10:00:00.0000\",\"buy\",\"limit\",\"2\",\"3\",\"1.5\"\n";
        assert_eq!(entries(kraken, Kind::Fills).0, ["2: 7 - Some(\"1.5\") 1795514400000"]);
        let binance = "Date(UTC),OrderNo,Pair,Type,Side,Order Price,Executed,Average Price,Trading total,Trade ID\n2026-11-24 10:00:00,1,X,LIMIT,BUY,2,1.5,2,3,7\n";
        assert_eq!(entries(binance, Kind::Fills).0, ["2: 7 - Some(\"1.5\") 1795514400000"]);
        let one = r#"{"trade_id":"7","size":"1.5","trade_time":"2026-11-24T10:00:00Z"}"#;
        let two = r#"{"trade_id":"8","size":"2","trade_time":"2026-11-24T10:00:01Z"}"#;
        let expected = |line: [u64; 2]| {
            vec![
                format!("{}: 7 - Some(\"1.5\") 1795514400000", line[0]),
                format!("{}: 8 - Some(\"2\") 1795514401000", line[1]),
            ]
        };
        let wrapped = format!("{{\"fills\":[{one},{two}],\"cursor\":\"\"}}");
        assert_eq!(entries(&wrapped, Kind::Fills), (expected([1, 1]), 0));
        for whole in [wrapped, format!("[{one},{two}]")] {
            let value: Value = serde_json::from_str(&whole).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let (found, unread) = entries(&pretty, Kind::Fills);
            let ids: Vec<_> =
                found.iter().map(|entry| entry.split_once(": ").unwrap().1.split(' ').next().unwrap()).collect();
            assert_eq!((ids, unread), (vec!["7", "8"], 0), "{pretty}");
        }
        // Each has a number of its own, on one line too.
        let mut numbers = Vec::new();
        let text = format!("[{one},{two}]");
        read(text.as_bytes(), Kind::Fills, &[], &mut |_, number, _| {
            numbers.push(number);
            Ok(())
        })
        .unwrap();
        assert_eq!(numbers, [0, 1]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for kind in [Kind::Logs, Kind::Fills] {
                let text = [b"rade {\"log\":\"".as_slice(), &bytes, b"\n", &bytes].concat();
                let _ = read(text.as_slice(), kind, &[], &mut |_, _, _| Ok(()));
            }
        }
    }
}
