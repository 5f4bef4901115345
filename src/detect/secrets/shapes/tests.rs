use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::super::Needles;
use super::super::needles::Mark;
use super::*;

fn ids(text: &str) -> Vec<&'static str> {
    let needles = Needles::new(&[]).unwrap();
    let marks = needles.find(text.as_bytes());
    marks.iter().map(|mark| if let Mark::Shape(seen) = mark { seen.id } else { "value" }).collect()
}

#[test]
fn every_row_of_the_table_is_read_and_has_a_name_of_its_own() {
    assert_eq!(rows().count(), TABLE.shapes.len());
    let broken = TABLE.shapes.iter().filter(|shape| shape.pattern().is_none()).map(|shape| shape.id);
    assert_eq!(broken.collect::<Vec<_>>(), [""; 0]);
    let ids: std::collections::BTreeSet<_> = TABLE.shapes.iter().map(|shape| shape.id).collect();
    assert!(ids.len() == TABLE.shapes.len() && ids.len() >= 60, "{}", ids.len());
}

/// Text that fits the pattern of a row, made by chance.
fn example(line: &str, runner: &mut TestRunner) -> String {
    let pattern = line.splitn(7, " | ").nth(6).unwrap();
    let pattern = pattern.replace("{is}", "=").replace("{end}", "").replace("(?<key>", "(").replace("(?i:", "(");
    let pattern = pattern.replace("(?:[^A-Za-z0-9/+]|$)", " ").replace("(?:[^A-Za-z0-9+/=_-]|$)", " ");
    let pattern = pattern.replace("(?:[^A-Za-z0-9_/+=.-]|$)", " ").replace(r"\w", "a").replace(r"\s", " ");
    let pattern = pattern.replace(r"\d", "[0-9]").replace("|$)", ")");
    // Classes that name what is not in them would give letters of all scripts.
    let pattern = regex::Regex::new(r"\[\^[^\]]*\]").unwrap().replace_all(&pattern, "[a-zA-Z0-9]").into_owned();
    proptest::string::string_regex(&pattern).unwrap().new_tree(runner).unwrap().current()
}

#[test]
fn a_key_of_every_form_is_seen() {
    let mut runner = TestRunner::deterministic();
    for (line, shape) in rows().zip(&TABLE.shapes) {
        if !matches!(shape.check, Check::Any | Check::Word | Check::Public) {
            continue;
        }
        let starts: Vec<&str> = line.split(" | ").nth(3).unwrap().split(',').collect();
        // What chance makes is now and then too regular, or names an id: ten tries.
        let seen = (0..10).any(|_| {
            let text = example(line, &mut runner);
            let text = if line.contains("{is}") {
                // Any name that begins so will do.
                format!("{}KEY={}", starts[0], text.split_once('=').unwrap().1)
            } else if let Some((_, rest)) = text.split_once("://") {
                format!("{}{}", starts[0], rest.trim_start_matches("hooks.slack.com/services/"))
            } else {
                text
            };
            ids(&format!(" {text} ")).contains(&shape.id)
        });
        assert!(seen, "{line}");
    }
}

#[test]
fn shapes_are_seen_and_ordinary_text_is_not() {
    // Put together here, so that no scanner takes this file for a leak.
    let random = "q7Zp2XvK9mRt4LwB8nYc3HdF6sJg1TaE5uQo";
    for (text, id) in [
        (format!("id={}{}", "AKIA", "Q3EGRIZJ5T7KXW2M"), "aws-access-key-id"),
        (format!("aws_secret_access_key = {random}/k+Z"), "aws-secret-key"),
        (format!("x gh{}zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17", "p_"), "github-token"),
        (format!("STRIPE_API_KEY=sk_{}{random}", "live_"), "stripe-key"),
        (format!("-----BEGIN {} KEY-----\nMIIEpAIBAAKCAQEAq7Zp", "RSA PRIVATE"), "private-key"),
        (format!("-----BEGIN {} KEY-----\\nMIIEpAIBAAKCAQEAq7Zp", "PRIVATE"), "private-key"),
        (format!("ey{}.ey{}.{random}", "JhbGciOiJIUzI1NiJ9", "JzdWIiOiIxMjM0NTY3ODkwIn0"), "jwt"),
        (format!("postgres://app:{}@db/x", &random[..12]), "database-url"),
        (format!("\"KRAKEN_API_SECRET\": \"{random}\""), "named-secret"),
        (format!("Authorization: Basic {}", "YXBwOmNvcnJlY3QgaG9yc2U="), "basic-auth"),
        (format!("BINANCE_SECRET={}", &random.repeat(2)[..64]), "binance-key"),
    ] {
        assert_eq!(ids(&text), [id], "{text}");
    }
    for text in [
        "api_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "postgres://app:${PASSWORD}@db/x",
        "xAKIAQ3EGRIZJ5T7KXW2M",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----\" is how a key begins",
        "apiKeyId: key_2",
        "\"apiKeyId\": \"q7Zp2XvK9mRt4LwB8nYc3HdF6sJg1TaE\"",
        "ghp_q7Zp2XvK9mRt4LwB8nYc3HdF6sJg1TaE5uQo",
        "password = readPassword(prompt)",
        "Basic information about it",
        "https://example.com/a:b@c",
    ] {
        assert_eq!(ids(text), Vec::<&str>::new(), "{text}");
    }
}
