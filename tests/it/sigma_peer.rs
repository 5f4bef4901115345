//! Sigma rules evaluated by us and by another, rsigma-eval: every case of the specification, every rule that comes with the
//! program, and the rules and logs of others. Where the two differ, [`DIFFERENCES`] says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use portcullis::detect::logs::formats::Format;
use portcullis::detect::logs::{Coverage, Decoded, Ruleset, ScanOptions, commands, decode, scan_reader};
use portcullis::domain::{Finding, Source, Timestamp};
use regex::Regex;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, Engine, JsonEvent};
use serde_json::Value;

use crate::shipped_cases;
use crate::sigma;
use crate::support::files;

/// Why the two differ, and on what: a line of the comparison, or the start of several.
const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "Base64 tells letters by their case: without regard to it other texts are found. They compare it as any text.",
        &[r#"M Encoding: base64: theirs alone on {"f":"ywrtaw4="}"#],
    ),
    (
        "The last letter of an encoded part also holds bits of what follows, so it is left out. They leave it in where the \
         part's length is 2 modulo 3 and what follows begins with other bits.",
        &[r#"M Encoding: wide and base64offset: ours alone on {"f":"xxcABpAG4AZw"}"#],
    ),
    (
        "A rule that can't mean what it says is refused, so that nobody relies on it. They run it; it matches nothing, \
         or the sign itself.",
        &[
            "M Encoding: wildcards can't be encoded: they take it",
            "M Generic: exists needs a boolean: they take it",
            "M Specific: a placeholder without a value is refused: they take it",
            "R Condition: a pattern that fits nothing: they take it",
            "R Detection: a map as a value: they take it",
            "R Detection: an empty list: they take it",
        ],
    ),
    (
        "`exists` asks for the field, not for its value: one that is null is there. They take it for absent.",
        &[r#"M Generic: exists, denied: theirs alone on {"f":null}"#, r#"M Generic: exists: ours alone on {"f":null}"#],
    ),
    (
        "`neq` of a list is none of it, as `not` of the list is. They match what differs from one of its values: always.",
        &[
            r#"M Generic: neq of a list is none of it: theirs alone on {"f":"a"}"#,
            r#"M Generic: neq of a list is none of it: theirs alone on {"f":"b"}"#,
        ],
    ),
    (
        "`fieldref` can be denied, and go with startswith, endswith and contains, as the specification has it. They \
         pass over neq and refuse the others.",
        &[
            r#"M Specific: fieldref with neq: ours alone on {"f":"a","g":"b"}"#,
            r#"M Specific: fieldref with neq: theirs alone on {"f":"a","g":"a"}"#,
            "M Specific: fieldref with endswith and contains: they refuse it",
            "M Specific: fieldref with startswith: they refuse it",
        ],
    ),
    (
        "`windash` gives every form of the sign, whichever stands in the rule. They replace the hyphen alone.",
        &[r#"M String: windash of a slash: ours alone on {"f":"x -f"}"#],
    ),
    (
        "A time without a zone has an hour too; of one with a zone it is the hour of the clock that wrote it; and it can \
         be compared. They read RFC 3339 alone, turn it into UTC, and refuse comparisons.",
        &[
            r#"M Time: hour: ours alone on {"f":"2026-11-24 03:07:09.5"}"#,
            r#"M Time: the hour as it stands, whatever the zone: ours alone on {"f":"2026-11-24T03:07:09+05:00"}"#,
            "M Time: with a comparison: they refuse it",
        ],
    ),
    (
        "The words of a condition are the same in capitals, as pySigma reads them. They refuse them.",
        &["R Condition: words in capitals: they refuse it"],
    ),
    (
        "A field may have a dot in its name at any depth. They look for one only at the first.",
        &[r#"R Detection, Field names: a path through objects: ours alone on {"a":{"b.c":"x"}}"#],
    ),
    (
        "A keyword may be a number, and several with `|all` may stand in one value or in many. They search neither.",
        &["R Detection, Keywords: a number: ours alone", "R Detection, Keywords: |all needs each of them: ours alone"],
    ),
    (
        "A list without elements has no value; null counts inside a list of values; `*` is any sign, a line end too.",
        &[
            r"R Detection, Special values: null in a list: ours alone on {}",
            r#"R Detection, Special values: null is no value: ours alone on {"f":[]}"#,
            r#"R Detection, Wildcards: * is any number of characters: ours alone on {"f":"a\nc"}"#,
        ],
    ),
    (
        "What AWS gives as an object is text for `contains`, as SigmaHQ's own rules need it. They match no object.",
        &[
            "aws-logs-off: theirs alone: AWS logs or detection switched off",
            "snapshot-shared: ours alone: Snapshot or image shared",
        ],
    ),
    (
        "A correlation that another one names is followed, and what a correlation names is not shown by itself unless it \
         says `generate`. They do both for ids alone, not for names.",
        &[
            "brute-force-then-login: ours alone: Login after many refused ones",
            "brute-force-then-login: theirs alone: Login let in",
            "brute-force-then-login: theirs alone: Login refused",
            "brute-force-then-login: theirs alone: Many refused logins of one user",
            "database-password-guessing: theirs alone: Password refused by the database",
            "mass-export: theirs alone: Export asked for",
            "password-spraying: theirs alone: Login refused to one address",
            "secrets-swept: theirs alone: A secret was read",
            "ssh-brute-force: ours alone: Log-in over SSH after many refused ones",
            "ssh-brute-force: theirs alone: Many refused log-ins over SSH",
            "ssh-brute-force: theirs alone: sshd accepted a login",
            "ssh-brute-force: ours alone: Password accepted over SSH after many refused in a day",
            "ssh-brute-force: ours alone: Password of a user accepted over SSH after many refused in a day",
            "ssh-brute-force: theirs alone: Many log-ins of a user refused over SSH in a day",
            "database-password-guessing: theirs alone: Many passwords of one address refused by the database",
            "database-password-guessing: theirs alone: Many passwords of one user refused by the database",
            "web-login-guessing: theirs alone: Log-in refused over the web",
            "web-login-guessing: theirs alone: Many log-ins refused over the web",
            "web-enumeration: theirs alone: Number of a key or a user tried",
            "ssh-brute-force: theirs alone: Many log-ins refused over SSH in a day",
            "ssh-brute-force: theirs alone: sshd accepted a password",
            "ssh-scan: theirs alone: sshd was spoken to in a foreign way",
            "ssh-brute-force: theirs alone: sshd refused a login",
            "user-from-many-addresses: theirs alone: User logged in",
            "database-injection-error: theirs alone: Statement that PostgreSQL could not read",
            "aws-credentials-harvested: theirs alone: Parameters were read in the clear",
            "console-login-guessing: theirs alone: Console login failed",
            "aws-attack-tool: theirs alone: Tool for attacks or its system named itself",
        ],
    ),
];

/// A rule that finds every event, and so shows how it was read.
const EVERY: &str = "{title: every, id: every, detection: {s: {no such field: null}, condition: s}}";

fn scanned(rules: &Ruleset, bytes: &[u8]) -> (Vec<Finding>, Coverage) {
    let mut found = Vec::new();
    let options = ScanOptions { written: "2026-11-24T12:00:00Z".parse().unwrap(), ..ScanOptions::default() };
    let coverage = scan_reader(rules, "log", bytes, &options, &mut |finding| found.push(finding));
    (found, coverage)
}

/// The events of a log as we read them, with their times.
fn events(bytes: &[u8]) -> Vec<(Option<Timestamp>, Value)> {
    let (found, coverage) = scanned(&Ruleset::from_texts([("every.yml", EVERY)]), bytes);
    assert_eq!(found.len() as u64, coverage.events);
    let aliases = aliases(coverage.format.unwrap());
    let named = |finding: Finding| {
        let mut event = finding.event;
        for (name, others) in &aliases {
            if !event.contains_key(name)
                && let Some(value) = others.iter().find_map(|other| event.get(other)).cloned()
            {
                event.insert(name.clone(), value);
            }
        }
        if let Some(statement) = event.get("statement").and_then(Value::as_str) {
            event.insert("commands".into(), commands(statement).into());
        }
        (finding.time, Value::Object(event))
    };
    found.into_iter().map(named).collect()
}

/// What rules call the fields of a format, beside the format's own names.
fn aliases(format: Format) -> BTreeMap<String, Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/logs/sources.yml");
    let sources: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let of_format = |group: &&Value| group["formats"].as_array().unwrap().contains(&format.id().into());
    let groups = sources["fields"].as_array().unwrap().iter().filter(of_format);
    groups.flat_map(|group| serde_json::from_value::<BTreeMap<_, _>>(group["names"].clone()).unwrap()).collect()
}

/// The rules of a file as they read it; why they do not take it.
fn parsed(text: &str) -> Result<rsigma_parser::SigmaCollection, String> {
    let collection = rsigma_parser::parse_sigma_yaml(text).map_err(|error| error.to_string())?;
    collection.errors.first().map_or(Ok(()), |error| Err(error.clone()))?;
    Ok(collection)
}

/// Their engine with the rules of a file, which shows what it finds as we do: not what correlations are made of.
fn peer(text: &str) -> Result<CorrelationEngine, String> {
    let collection = parsed(text)?;
    let config = CorrelationConfig { emit_detections: false, ..CorrelationConfig::default() };
    let mut engine = CorrelationEngine::new(config);
    engine.add_collection(&collection).map_err(|error| error.to_string())?;
    Ok(engine)
}

/// Titles of the rules that they find in the events, which come in order.
fn peer_finds(engine: &mut CorrelationEngine, events: &[(Option<Timestamp>, Value)]) -> BTreeSet<String> {
    let mut titles = BTreeSet::new();
    for (time, event) in events {
        let second = time.map_or(0, Timestamp::as_second);
        let found = engine.process_event_at(&JsonEvent::borrow(event), second);
        titles.extend(found.into_iter().map(|result| result.header.rule_title));
    }
    titles
}

fn titles(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().map(|finding| finding.rule.title.clone()).collect()
}

/// How one and the other differ, as lines.
fn compare(what: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> Vec<String> {
    let ours_alone = ours.difference(theirs).map(|rule| format!("{what}: ours alone: {rule}"));
    let theirs_alone = theirs.difference(ours).map(|rule| format!("{what}: theirs alone: {rule}"));
    ours_alone.chain(theirs_alone).collect()
}

/// Every case of the specification: ours is known to be right by the table's own test.
fn specification() -> Vec<String> {
    let mut differences = Vec::new();
    for (section, detection, yes, no) in sigma::CASES {
        let text = format!("title: t\nid: t\nlogsource: {{category: any}}\ndetection: {detection}\n");
        let mut engine = match peer(&text) {
            Ok(engine) => engine,
            Err(why) => {
                differences.push(format!("{section}: they refuse it: {why}"));
                continue;
            }
        };
        for (event, ours) in yes.iter().map(|event| (event, true)).chain(no.iter().map(|event| (event, false))) {
            let parsed = [(None, serde_json::from_str(event).unwrap())];
            if peer_finds(&mut engine, &parsed).is_empty() == ours {
                differences.push(format!("{section}: {} on {event}", if ours { "ours alone" } else { "theirs alone" }));
            }
        }
    }
    for (section, detection, _) in sigma::REFUSED {
        let text = format!("title: t\nid: t\nlogsource: {{category: any}}\ndetection: {detection}\n");
        if peer(&text).is_ok() {
            differences.push(format!("{section}: they take it"));
        }
    }
    differences
}

/// Logs for each of the rules that come with the program: what it must find, and what it must spare.
fn shipped_logs() -> Vec<(&'static str, String)> {
    let line = |request: &str, agent: &str| {
        format!("192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET {request} HTTP/1.1\" 200 5 \"-\" \"{agent}\"\n")
    };
    let mut logs: Vec<(&str, String)> = Vec::new();
    for (name, yes, no) in shipped_cases::CASES {
        logs.extend([(*name, (*yes).to_owned()), (name, (*no).to_owned())]);
    }
    for (name, yes, no) in shipped_cases::correlated() {
        logs.extend([(name, yes), (name, no)]);
    }
    for (name, yes, no) in shipped_cases::REQUESTS {
        logs.extend(yes.iter().chain(*no).map(|request| (*name, line(request, "x"))));
    }
    for (name, yes, no) in shipped_cases::STATEMENTS {
        let line = |message| format!("2026-11-24 01:02:03 UTC [5] LOG:  {message}\n");
        logs.extend(yes.iter().chain(*no).map(|message| (*name, line(message))));
    }
    let agents = shipped_cases::AGENTS.0.iter().chain(shipped_cases::AGENTS.1);
    logs.extend(agents.map(|agent| ("scanner-user-agent", line("/", agent))));
    logs
}

/// The rules that come with the program, each on its logs.
fn shipped() -> Vec<String> {
    let mut differences = Vec::new();
    for (name, log) in shipped_logs() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/logs/{name}.yml"));
        let text = fs::read_to_string(file).unwrap();
        match peer(&text) {
            Ok(mut engine) => {
                let rules = Ruleset::from_texts([("rules.yml", text.as_str())]);
                let ours = titles(&scanned(&rules, log.as_bytes()).0);
                differences.extend(compare(name, &ours, &peer_finds(&mut engine, &events(log.as_bytes()))));
            }
            Err(why) => differences.push(format!("{name}: they refuse it: {why}")),
        }
    }
    differences
}

/// The first lines of a log, unpacked: large ones say the same again and again.
fn start_of(packed: &[u8]) -> Vec<u8> {
    let Decoded::Stream(stream) = decode(packed).unwrap() else { panic!("not read") };
    let mut bytes = Vec::new();
    stream.take(1 << 20).read_to_end(&mut bytes).unwrap();
    let whole =
        if bytes.len() < 1 << 20 { bytes.len() } else { bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1 };
    bytes.truncate(whole);
    bytes
}

/// Rules of others with every log source taken for any, so that each is run on each event.
fn rules_of_others(folder: &Path) -> Vec<(String, String)> {
    let source = Regex::new(r"(?m)^logsource:.*\n(?:[ \t]+.*\n)+").unwrap();
    let rule = |path: &Path| path.extension().is_some_and(|ending| ending == "yml");
    let texts = files(folder).into_iter().filter(|path| rule(path)).map(|path| {
        let text = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, source.replace(&text, "logsource: {category: any}\n").into_owned())
    });
    texts.collect()
}

/// How many findings the rules of others have alike in the logs of others, and which they have not, in the folder that
/// `PORTCULLIS_SHARED_DATA` names.
fn others(folder: &Path) -> (usize, Vec<String>) {
    let (mut alike, mut differences) = (0, Vec::new());
    let mut texts = rules_of_others(&folder.join("sigma/rules"));
    let mut engine = Engine::new();
    texts.retain(|(name, text)| {
        let taken = parsed(text).and_then(|rules| engine.add_collection(&rules).map_err(|error| error.to_string()));
        differences.extend(taken.as_ref().err().map(|why| format!("{name}: they refuse it: {why}")));
        taken.is_ok()
    });
    let rules = Ruleset::from_texts(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    differences.extend(rules.skipped().iter().map(|skipped| format!("{}: we refuse it", skipped.file)));
    let logs = ["cloudtrail", "text"].into_iter().flat_map(|part| files(&folder.join(part)));
    for log in logs.filter(|path| path.file_name().is_some_and(|name| name != "LICENSE")) {
        let bytes = start_of(&fs::read(&log).unwrap());
        let mut alone: BTreeMap<(String, &str), usize> = BTreeMap::new();
        let mut ours: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for finding in scanned(&rules, &bytes).0 {
            let Source::File { record, .. } = finding.source else { panic!("{finding:?}") };
            ours.entry(record).or_default().insert(finding.rule.title);
        }
        for (record, (_, event)) in events(&bytes).into_iter().enumerate() {
            let found = engine.evaluate(&JsonEvent::borrow(&event));
            let theirs: BTreeSet<String> = found.into_iter().map(|result| result.header.rule_title).collect();
            let ours = ours.remove(&(record as u64)).unwrap_or_default();
            alike += ours.intersection(&theirs).count();
            for (rules, whose) in [(ours.difference(&theirs), "ours"), (theirs.difference(&ours), "theirs")] {
                rules.for_each(|rule| *alone.entry((rule.clone(), whose)).or_default() += 1);
            }
        }
        let name = log.file_name().unwrap().to_string_lossy();
        differences.extend(alone.into_iter().map(|((rule, whose), n)| format!("{name}: {whose} alone: {rule} ({n})")));
    }
    (alike, differences)
}

/// Whether all differences are listed; those of a part that was compared must also have been seen.
fn assert_as_listed(found: &[String], part: fn(&str) -> bool) {
    let listed = || DIFFERENCES.iter().flat_map(|(_, lines)| *lines).filter(|line| part(line));
    let unknown: Vec<_> = found.iter().filter(|line| !listed().any(|start| line.starts_with(start))).collect();
    assert!(unknown.is_empty(), "not listed: {unknown:#?}");
    let gone: Vec<_> = listed().filter(|start| !found.iter().any(|line| line.starts_with(**start))).collect();
    assert!(gone.is_empty(), "listed, but no difference: {gone:#?}");
}

/// Whether a line is of the specification's cases.
fn of_specification(line: &str) -> bool {
    line.starts_with("M ") || line.starts_with("R ")
}

#[test]
fn the_specification_is_read_alike() {
    assert_as_listed(&specification(), of_specification);
}

#[test]
fn the_shipped_rules_find_alike() {
    assert_as_listed(&shipped(), |line| !of_specification(line));
}

#[test]
fn rules_and_logs_of_others_give_the_same() {
    let Some(folder) = std::env::var_os("PORTCULLIS_SHARED_DATA") else {
        println!("PORTCULLIS_SHARED_DATA is not set: nothing was checked");
        return;
    };
    let (found, differences) = others(Path::new(&folder));
    println!("{found} findings alike");
    assert!(found > 0);
    assert_eq!(differences, [] as [&str; 0]);
}
