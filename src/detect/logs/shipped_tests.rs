//! Every rule that comes with the program, on an event that it must find and on one that it must not.

use super::*;
use crate::policy::shipped::SHIPPED;

const CASES: &[(&str, &str, &str)] = &[
    (
        "revoked-key-used",
        r#"{"event":"auth.rejected","reason":"key revoked","apiKeyId":"key_2"}"#,
        r#"{"event":"auth.rejected","reason":"bad signature"}"#,
    ),
    (
        "leaked-key-trade",
        r#"{"time":"2026-11-24T01:02:03.004Z","event":"trade.created","userAgent":"curl/8.5","value":"120000.00"}"#,
        r#"{"event":"trade.created","userAgent":"web-client/2.1"}"#,
    ),
    (
        "pause-flag-changed",
        r#"{"event":"config.changed","key":"TRADING_PAUSED","value":"false"}"#,
        r#"{"event":"config.changed","key":"theme"}"#,
    ),
    (
        "admin-endpoint",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /admin/users HTTP/1.1" 200 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /admin/users HTTP/1.1" 403 5 "-" "x""#,
    ),
    (
        "sql-injection-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /t?id=1%27%20OR%201=1 HTTP/1.1" 200 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /t?sort=selected HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "path-traversal-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x/..%2F..%2Fetc/passwd HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x/v1..2/doc HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "sudo-root-shell",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
    ),
    (
        "ssh-root-password",
        "Nov 24 01:02:03 web sshd[77]: Accepted password for root from 1.2.3.4 port 5 ssh2",
        "Nov 24 01:02:03 web sshd[77]: Accepted publickey for root from 1.2.3.4 port 5 ssh2",
    ),
    (
        "secrets-mass-read",
        r#"{"eventSource":"secretsmanager.amazonaws.com","eventName":"BatchGetSecretValue"}"#,
        r#"{"eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","userAgent":"aws-sdk-js/3"}"#,
    ),
    (
        "cloudtrail-stopped",
        r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging"}"#,
        r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"DescribeTrails"}"#,
    ),
    (
        "iam-access-key-created",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey"}"#,
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","errorCode":"AccessDenied"}"#,
    ),
    (
        "database-persistence",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: CREATE OR REPLACE FUNCTION x() RETURNS void",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: select 'create role x'",
    ),
];

#[test]
fn every_shipped_rule_finds_its_event_and_spares_the_other() {
    let files: Vec<_> = SHIPPED
        .iter()
        .filter(|(path, text)| path.starts_with("logs/") && !Terms::are_in(path, text))
        .copied()
        .collect();
    assert_eq!(files.len(), CASES.len());
    let rules = Ruleset::from_texts(files.iter().copied());
    assert_eq!(rules.skipped(), []);
    for (name, positive, negative) in CASES {
        let rule = rules.rules().iter().find(|rule| rule.file == format!("logs/{name}.yml")).unwrap();
        let found_in = |text: &str| {
            let mut ids = Vec::new();
            let coverage =
                scan_reader(&rules, "x", text.as_bytes(), &ScanOptions::default(), &mut |f| ids.push(f.rule.id));
            assert_eq!((coverage.events, coverage.broken), (1, 0), "{name}");
            ids.contains(&rule.rule.id)
        };
        assert!(found_in(positive), "{name} misses {positive}");
        assert!(!found_in(negative), "{name} finds {negative}");
    }
}
