use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;

use super::*;

fn set(list: &str) -> Indicators {
    let mut reader = Reader::default();
    reader.read("list", list.as_bytes());
    let read = reader.finish();
    assert_eq!(read.refused(), []);
    read
}

fn found(indicators: &Indicators, text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    indicators.find(text, Level::Informational, |hit| {
        out.insert(indicators.value(hit.id).into_owned());
    });
    let mut raw = BTreeSet::new();
    indicators.sweep(text.as_bytes(), Level::Informational, |hit| {
        raw.insert(indicators.value(hit.id).into_owned());
    });
    assert!(out.is_subset(&raw), "the raw look misses some of {out:?} in {text:?}");
    out
}

#[test]
fn addresses_are_found_in_any_spelling_and_never_inside_others() {
    let set = set("1.2.3.4\n198.51.100.0/24\n2001:db8::1\n2001:db8:bad::/48\n");
    for (text, want) in [
        ("from 1.2.3.4.", "1.2.3.4"),
        ("1.2.3.4:8080", "1.2.3.4"),
        ("a=1.2.3.4,b", "1.2.3.4"),
        ("ip-1.2.3.4-x", "1.2.3.4"),
        ("001.002.003.004", "1.2.3.4"),
        ("?next=http%3A%2F%2F1.2.3.4%2F", "1.2.3.4"),
        ("\\n1.2.3.4\\n", "1.2.3.4"),
        ("\\x201.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::FFFF:102:304", "1.2.3.4"),
        ("198.51.100.255", "198.51.100.0/24"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("src:2001:db8:0:0:0:0:0:1;", "2001:db8::1"),
        ("x%202001:db8::1", "2001:db8::1"),
        ("2001:db8:bad:5::7%eth0", "2001:db8:bad::/48"),
        ("to 2001:db8::1: refused", "2001:db8::1"),
    ] {
        assert_eq!(found(&set, text), BTreeSet::from([want.to_owned()]), "{text}");
    }
    for text in [
        "11.2.3.4",
        "1.2.3.45",
        "1.2.3.4.5",
        "5.1.2.3.4",
        "v1.2.3.4",
        "1.2.3.4a",
        "1.2.3",
        "1.2.3.256",
        "198.51.101.1",
        "2001:db8::12",
        "2001:db8::1:1",
        "12001:db8::1",
        "x2001:db8::1",
        "2001:db8:bae::1",
        "1..2.3.4",
        "::",
    ] {
        assert_eq!(found(&set, text), BTreeSet::new(), "{text}");
    }
}

#[test]
fn names_digests_and_texts_have_edges() {
    let digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";
    let set = set(&format!(
        "evil.example\nt.co\n{digest}\nkey-id:key_12\nuser-agent:sqlmap\nmule@example.org\nhttp://bad.example/a\nstring:Night/Fall\n"
    ));
    for (text, want) in [
        ("https://www.EVIL.example:443/x", "evil.example"),
        ("a@evil.example.", "evil.example"),
        ("https://t.co/abc", "t.co"),
        ("x%2Fevil.example", "evil.example"),
        ("image@sha256:5994471ABB01112AFCC18159F6CC74B4F511B99806DA59B3CAF5A9C173CACFC5", digest),
        ("used key_12, again", "key_12"),
        ("SQLMap/1.7", "sqlmap"),
        ("<Mule@Example.org>", "mule@example.org"),
        ("GET http://bad.example/a?x", "bad.example/a"),
        ("bad.example/a.", "bad.example/a"),
        ("theNIGHT/FALLers", "Night/Fall"),
    ] {
        assert_eq!(found(&set, text), BTreeSet::from([want.to_owned()]), "{text}");
    }
    let longer = format!("a{digest}");
    for text in [
        "notevil.example",
        "evil.example.org",
        "evil.examples",
        "at.co",
        "key_123",
        "monkey_12",
        "sqlmapper",
        "xmule@example.org",
        "bad.example/ab",
        "bad.example/a.php",
        "night fall",
        &longer,
    ] {
        assert_eq!(found(&set, text), BTreeSet::new(), "{text}");
    }
}

/// The same question asked in another way: every place of every value, and what stands beside it.
fn naive(values: &[(&str, &str)], text: &str) -> BTreeSet<String> {
    static ESCAPE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(%[0-9a-fA-F]{2}|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[abefnrtv0])$").unwrap());
    static QUAD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})").unwrap());
    let lower = text.to_ascii_lowercase();
    let is = |c: Option<char>, kind: &str| {
        c.is_some_and(|c| match kind {
            "ip" => c.is_ascii_alphanumeric() || c == '.',
            "hash" | "run" | "wallet" => c.is_ascii_alphanumeric(),
            "key-id" | "user-agent" => c.is_ascii_alphanumeric() || c == '_',
            "domain" => c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
            "url" | "email" => c.is_ascii_alphanumeric() || "-_.%~+".contains(c),
            _ => false,
        })
    };
    // What stands where, and what it may not stand beside.
    let fits = |kind: &str, at: usize, value: &str| {
        let (before, after) = (&text[..at], &text[at + value.len()..]);
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let left = !word(value.chars().next()) || !is(before.chars().next_back(), kind) || ESCAPE.is_match(before);
        let (next, second) = (after.chars().next(), after.chars().nth(1));
        let right = match kind {
            "ip" if next == Some('.') => !is(second.filter(|c| *c != '.'), kind),
            "domain" => !is(after.trim_start_matches('.').chars().next(), kind),
            _ => !word(value.chars().next_back()) || (next == Some('.') && !word(second)) || !is(next, kind),
        };
        left && right
    };
    let mut out = BTreeSet::new();
    for (kind, value) in values {
        if let Some((network, bits)) = value.split_once('/').filter(|_| *kind == "ip") {
            let (network, bits): (std::net::Ipv4Addr, u32) = (network.parse().unwrap(), bits.parse().unwrap());
            for (at, _) in text.char_indices() {
                let Some(quad) = QUAD.captures(&text[at..]) else { continue };
                let groups = (1..5).map(|group| quad[group].parse::<u32>().unwrap());
                if groups.clone().all(|group| group < 256) && fits(kind, at, &quad[0]) {
                    let address = groups.fold(0, |address, group| address << 8 | group);
                    if address >> (32 - bits) == network.to_bits() >> (32 - bits) {
                        out.insert((*value).to_owned());
                    }
                }
            }
            continue;
        }
        let sought = value.to_ascii_lowercase();
        if (0..lower.len()).any(|at| lower.as_bytes()[at..].starts_with(sought.as_bytes()) && fits(kind, at, value)) {
            out.insert((*value).to_owned());
        }
    }
    out
}

/// Short and long ones of every kind.
const VALUES: [(&str, &str); 22] = [
    ("ip", "1.2.3.4"),
    ("ip", "12.2.3.41"),
    ("ip", "1.2.0.0/16"),
    ("ip", "12.2.3.40/29"),
    ("domain", "a1.b"),
    ("domain", "b.a1.b"),
    ("domain", "long-name.b"),
    ("domain", "ab.long-name.com"),
    ("domain", "a-longer-name-of-a.host.b1.example"),
    ("hash", "aabbccddeeff00112233445566778899"),
    ("hash", "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"),
    ("key-id", "a_1b"),
    ("run", "AKIA1234567890ab"),
    ("wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("user-agent", "ab bot"),
    ("user-agent", "a bot-of-theirs/1.0 (b; a)"),
    ("email", "a1@long-name.com"),
    ("url", "a1.b/a1"),
    ("url", "b.long-name.com/ab/12-a?a=b"),
    ("string", "%2fa1"),
    ("string", "a 12.ab 1"),
    ("string", "two words: a b 1 2"),
];

/// Texts that are made of the values and of what can stand around them, longer than what is looked at together.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => proptest::sample::select(VALUES.iter().map(|(_, value)| *value).collect::<Vec<_>>()).prop_map(str::to_owned),
        2 => "[ab12._ /:%\\-]{0,3}",
        1 => proptest::sample::select(vec![
            "%2F", "\\n", "\\x3d", "\\u003d", ".", "..", "A1.B", "::", "n", "\u{e9}", "\\", "1.2.3.5", "012.002.003.043", "1.2.300.4",
        ]).prop_map(str::to_owned),
        1 => "[a ]{0,70}",
    ];
    proptest::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

fn all_kinds() -> Indicators {
    let line = |(kind, value): &(&str, &str)| format!("{}:{value}\n", if *kind == "run" { "key-id" } else { kind });
    set(&VALUES.iter().map(line).collect::<String>())
}

#[test]
fn each_kind_is_found_at_every_place_of_a_text() {
    let set = all_kinds();
    for (kind, value) in VALUES.iter().filter(|(_, value)| !value.ends_with("/16") && !value.ends_with("/29")) {
        for pad in 0..150 {
            let text = format!("{} {} -", "=".repeat(pad), value.to_uppercase());
            assert!(found(&set, &text).contains(*value), "{kind} {text}");
            assert_eq!(found(&set, &text), naive(&VALUES, &text), "{kind} {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_search_agrees_with_a_plain_one(text in texts(), first in texts()) {
        let set = all_kinds();
        // What is looked for is chosen by the first text.
        prop_assert_eq!(found(&set, &first), naive(&VALUES, &first), "{:?}", first);
        prop_assert_eq!(found(&set, &text), naive(&VALUES, &text), "{:?} after {:?}", text, first);
    }

    #[test]
    fn networks_of_ipv6_hold_what_lies_in_them(bits: u128, length in 16_u8..=128, other: u128) {
        let global = |bits: u128| (bits & (u128::MAX >> 16)) | 0x2a02 << 112;
        let (address, mask) = (global(bits), u128::MAX << (128 - length));
        let set = set(&format!("{}/{length}\n", std::net::Ipv6Addr::from_bits(address & mask)));
        for probe in [address, global(other), (address & mask) | (other & !mask)] {
            let hit = !found(&set, &format!("x {}", std::net::Ipv6Addr::from_bits(probe))).is_empty();
            prop_assert_eq!(hit, probe & mask == address & mask);
        }
    }

    #[test]
    fn any_address_is_found_in_any_form(bits: u128, zeros in 0_u32..128, left in "[ \\[=\"(,]", right in "[ \\]\"),;/]") {
        // Global unicast: private and link-local addresses are refused.
        let address = std::net::Ipv6Addr::from_bits(((bits >> zeros) & (u128::MAX >> 16)) | 0x2001 << 112);
        let set = set(&format!("{address}\n"));
        let [a, b, c, d, e, f, g, h] = address.segments();
        for form in [
            address.to_string(),
            format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}"),
            format!("{a:04X}:{b:04X}:{c:04X}:{d:04X}:{e:04X}:{f:04X}:{g:04X}:{h:04X}"),
        ] {
            for pad in 0..9 {
                let text = format!("{}{left}{form}{right}", "-".repeat(pad));
                prop_assert_eq!(found(&set, &text).len(), 1, "{}", text);
            }
        }
    }

    #[test]
    fn any_run_is_found_wherever_it_stands(run in "[a-zA-Z0-9]{16,90}", pad in 0_usize..20) {
        let set = set(&format!("key-id:{run}\n"));
        prop_assert_eq!(found(&set, &format!("{}{run}\"", "-".repeat(pad))).len(), 1);
        prop_assert_eq!(found(&set, &format!("{}{run}x", "-".repeat(pad))).len(), 0);
    }

    #[test]
    fn networks_hold_what_lies_in_them(address: u32, bits in 8_u8..=32, other: u32) {
        prop_assume!(value::read(None, &std::net::Ipv4Addr::from_bits(address).to_string()).is_ok());
        let mask = u32::MAX << (32 - u32::from(bits));
        let network = std::net::Ipv4Addr::from_bits(address & mask);
        let set = set(&format!("private-ip:{network}/{bits}\n"));
        for probe in [address, other, (address & mask) | (other & !mask)] {
            let hit = !found(&set, &format!("x {}", std::net::Ipv4Addr::from_bits(probe))).is_empty();
            prop_assert_eq!(hit, probe & mask == address & mask);
        }
    }
}

#[test]
fn hostile_texts_cost_no_more_than_their_length() {
    let set = set("evil.example\n1.2.3.4\n2001:db8::1\nkey-id:abcdefghijklmnopqrst\nstring:needle\n");
    let started = std::time::Instant::now();
    for text in ["a.", "1.", "a:", "::", "ab", "1.2.3.", "\\n", "%2F", "needl"] {
        assert_eq!(found(&set, &text.repeat(400_000 / text.len())), BTreeSet::new());
    }
    let urls = (0..20_000).fold(String::new(), |urls, number| urls + &format!("https://one.host.example/{number}\n"));
    assert_eq!(found(&self::set(&urls), "https://one.host.example/19999").len(), 1);
    // A search that looks at anything twice for each byte would take minutes.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
