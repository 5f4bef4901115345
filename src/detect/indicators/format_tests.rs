use super::*;

fn read(name: &str, text: &str) -> Indicators {
    let mut reader = Reader::default();
    reader.read(name, text.as_bytes());
    reader.finish()
}

fn values(indicators: &Indicators) -> Vec<(&'static str, String)> {
    let ids = 0..u32::try_from(indicators.len()).unwrap();
    ids.map(|id| (indicators.kind(id).name(), indicators.value(id).into_owned())).collect()
}

fn holds(indicators: &Indicators, want: &[(&'static str, &str)]) {
    let want: Vec<_> = want.iter().map(|(kind, value)| (*kind, (*value).to_owned())).collect();
    assert_eq!(values(indicators), want);
}

fn refused(indicators: &Indicators) -> Vec<(u64, &str)> {
    indicators.refused().iter().map(|refused| (refused.line, refused.reason.as_str())).collect()
}

#[test]
fn lines_are_read_in_any_spelling_and_bad_ones_are_named() {
    let list = "\u{feff}# a list\n\
        203.0.113.7 # seen on Tuesday\n\
        203.0.113.0/25\n\
        2001:DB8:0:0::1\n\
        ::ffff:203.0.113.9\n\
        *.Evil.Example.\n\
        hxxps://bad[.]example/a/b?x=1\n\
        mule(at)example.org\n\
        E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\n\
        d41d8cd98f00b204e9800998ecf8427f\n\
        AKIAIOSFODNN7EXAMPLE\n\
        bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\n\
        ua:evil bot/1\n\
        # level: low\n\
        string: two words\n\
        10.0.0.1\n\
        private-ip:10.0.0.1\n\
        0.0.0.0/0\n\
        abc\n\
        203.0.113.007\n\
        localhost\n\
        1.2.3.4-1.2.3.9\n\
        ip:nonsense\n";
    let read = read("list.txt", list);
    holds(
        &read,
        &[
            ("ip", "203.0.113.7"),
            ("ip", "203.0.113.0/25"),
            ("ip", "2001:db8::1"),
            ("ip", "203.0.113.9"),
            ("domain", "evil.example"),
            ("url", "bad.example/a/b?x=1"),
            ("email", "mule@example.org"),
            ("hash", "d41d8cd98f00b204e9800998ecf8427f"),
            ("key-id", "AKIAIOSFODNN7EXAMPLE"),
            ("wallet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
            ("user-agent", "evil bot/1"),
            ("string", "two words"),
            ("ip", "10.0.0.1"),
            ("string", "localhost"),
            ("string", "1.2.3.4-1.2.3.9"),
        ],
    );
    assert_eq!((read.note(0), read.origin(0).as_str()), ("seen on Tuesday", "list.txt:2"));
    assert_eq!((read.level(0), read.level(11)), (Level::High, Level::Low));
    let words: Vec<(u64, bool)> = vec![(9, true), (16, true), (18, true), (19, true), (23, true)];
    let told = refused(&read);
    assert_eq!(told.iter().map(|(line, _)| (*line, true)).collect::<Vec<_>>(), words, "{told:?}");
    for (at, part) in
        ["digest of nothing", "private-ip:10.0.0.1", "too wide", "too short", "neither"].iter().enumerate()
    {
        assert!(told[at].1.contains(part), "{told:?}");
    }
    assert_eq!((read.files()[0].indicators, read.files()[0].repeated, read.files()[0].refused), (15, 1, 5));
}

#[test]
fn csv_is_read_by_its_header() {
    let list = "Type;Value;Description;Severity\n\
        ip;203.0.113.7;\"said \"\"x\"\"; over\nlines\";critical\n\
        domain;evil.example;;\n\
        colour;red;;\n\
        md5;short;;\n\
        ip;203.0.113.8;;loud\n";
    let read = read("a.csv", list);
    holds(&read, &[("ip", "203.0.113.7"), ("domain", "evil.example")]);
    assert_eq!((read.note(0), read.level(0)), ("said \"x\"; over lines", Level::Critical));
    let told = refused(&read);
    assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7]);
    assert!(told[0].1.contains("`colour` is not a type"), "{told:?}");
    assert_eq!(read.files()[0].format, "csv");
    let single = self::read("b.csv", "domain\nevil.example\nworse.example\n");
    holds(&single, &[("domain", "evil.example"), ("domain", "worse.example")]);
}

#[test]
fn stix_patterns_joined_by_or_are_read_and_others_are_named() {
    let list = r#"{"type":"bundle","id":"bundle--1","objects":[
      {"type":"identity","name":"x"},
      {"type":"indicator","name":"c2","pattern_type":"stix",
       "pattern":"[ipv4-addr:value = '203.0.113.7' OR ipv6-addr:value ISSUBSET '2001:db8::/32'] OR [domain-name:value='evil.example']"},
      {"type":"indicator","pattern_type":"stix","pattern":"[file:hashes.'SHA-256' = '5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5']"},
      {"type":"indicator","pattern_type":"stix","pattern":"[url:value IN ('http://a.example/x', 'http://a.example/y')]"},
      {"type":"indicator","pattern_type":"stix","pattern":"[ipv4-addr:value = '203.0.113.1' AND domain-name:value = 'x.example']"},
      {"type":"indicator","pattern_type":"yara","pattern":"rule x {}"},
      {"type":"indicator","pattern_type":"stix","revoked":true,"pattern":"[domain-name:value = 'old.example']"},
      {"type":"indicator","pattern_type":"stix","pattern":"[process:pid = '5']"},
      {"type":"indicator","pattern_type":"stix","pattern":"[domain-name:value LIKE 'x%']"}]}"#;
    let read = read("b.json", list);
    holds(
        &read,
        &[
            ("ip", "203.0.113.7"),
            ("ip", "2001:db8::/32"),
            ("domain", "evil.example"),
            ("hash", "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"),
            ("url", "a.example/x"),
            ("url", "a.example/y"),
        ],
    );
    assert_eq!((read.note(0), read.origin(0).as_str()), ("c2", "b.json:3"));
    let told = refused(&read);
    assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [7, 8, 10, 11], "{told:?}");
    assert!(told[0].1.contains("AND"), "{told:?}");
    assert_eq!((read.files()[0].format, read.files()[0].left_out), ("stix", 1));
}

#[test]
fn misp_events_are_read_and_to_ids_is_honoured() {
    let list = r#"{"response":[{"Event":{"info":"campaign","threat_level_id":"2","Attribute":[
      {"type":"ip-dst","value":"203.0.113.7","to_ids":true,"comment":"c2"},
      {"type":"ip-dst|port","value":"203.0.113.8|443","to_ids":true},
      {"type":"domain","value":"benign.example","to_ids":false},
      {"type":"filename|sha1","value":"x.exe|da39a3ee5e6b4b0d3255bfef95601890afd80708","to_ids":true},
      {"type":"yara","value":"rule","to_ids":true}],
      "Object":[{"name":"file","Attribute":[{"type":"md5","value":"d41d8cd98f00b204e9800998ecf8427f","to_ids":true}]}]}}]}"#;
    let read = read("m.json", list);
    holds(
        &read,
        &[
            ("ip", "203.0.113.7"),
            ("ip", "203.0.113.8"),
            ("hash", "da39a3ee5e6b4b0d3255bfef95601890afd80708"),
            ("hash", "d41d8cd98f00b204e9800998ecf8427f"),
        ],
    );
    assert_eq!((read.note(0), read.note(1), read.level(0)), ("c2", "campaign", Level::Medium));
    assert_eq!(read.origin(2), "m.json:5");
    assert_eq!(read.files()[0].left_out, 1);
    assert!(refused(&read)[0].1.contains("`yara`"));
    let flat = self::read("f.json", r#"[{"type":"btc","value":"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"}]"#);
    holds(&flat, &[("wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")]);
    for wrong in ["{\"a\":1}", "[1,2", "{\"type\":\"bundle\"}", "[]"] {
        let read = self::read("w.json", wrong);
        assert!(read.is_empty() && read.refused().len() == 1, "{wrong}: {:?}", read.refused());
    }
}

#[test]
fn the_shipped_list_is_read_without_a_complaint() {
    let (name, text) = crate::policy::shipped::INDICATORS_EXAMPLE;
    let read = read(name, text);
    assert_eq!(read.refused(), []);
    assert_eq!(read.len(), 12);
    let kinds: std::collections::BTreeSet<_> = values(&read).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

#[test]
fn what_is_refused_too_often_is_counted() {
    let list = "abc\n".repeat(500);
    let read = read("l", &list);
    assert_eq!((read.refused().len(), read.files()[0].refused), (21, 500));
    assert!(read.refused()[20].reason.contains("480 more"));
}

proptest::proptest! {
    #[test]
    fn no_list_makes_the_reader_give_up(text in "[ -~\n]{0,200}", json in "[\\[\\]{}\":,a-z ']{0,80}") {
        read("x", &text);
        read("x", &json);
        read("x", &format!("value,type\n{text}"));
        let pattern = json.replace(['"', '\\'], "");
        read("x", &format!(r#"{{"type":"bundle","objects":[{{"type":"indicator","pattern":"{pattern}"}}]}}"#));
    }
}
