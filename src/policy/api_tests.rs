use std::collections::BTreeMap;

use crate::policy::shipped::SHIPPED;
use crate::policy::{Policies, PolicyError};

const EXCHANGE: &str = "  - id: exchange
    kept:
      - { store: dotenv, key: K, part: key_id }
      - { store: dotenv, key: S, part: key_secret }
    issuer:
      kind: http_api
      sign: { over: '{timestamp}{method}{target}{body}' }
      create: { method: POST, url: 'https://x.example/keys', headers: { x-key: '{id}', x-sign: '{signature}' } }
      created_id: /id
      created_secret: /secret
      revoke: { method: DELETE, url: 'https://x.example/keys/{target_id}', headers: { x-key: '{id}', x-sign: '{signature}' } }
      test: { method: GET, url: 'https://x.example/me?sign={signature}', headers: { x-key: '{id}' } }
      cancel: { method: DELETE, url: 'https://x.example/orders', headers: { x-key: '{id}', x-sign: '{signature}' } }
";

fn with(from: &str, to: &str) -> Result<Policies, PolicyError> {
    let mut texts: BTreeMap<String, String> =
        SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    assert!(EXCHANGE.contains(from), "{from}");
    texts.get_mut("credentials.yml").unwrap().push_str(&EXCHANGE.replacen(from, to, 1));
    Policies::from_texts(texts)
}

#[test]
fn what_is_declared_well_is_read() {
    with("", "").unwrap();
    with(
        "over: '{timestamp}{method}{target}{body}'",
        "over: '{path}{sha256:{nonce}{body}}', hash: sha512, encoding: base64, key_encoding: base64",
    )
    .unwrap();
    with("method: POST, url", "auth: { env: ADMIN_KEY }, method: POST, url").unwrap();
}

#[test]
fn no_secret_gets_into_an_address_and_each_fault_has_its_line() {
    let cases = [
        ("/keys/{target_id}'", "/keys/{secret}'", "may hold no secret", "revoke:"),
        ("/keys/{target_id}'", "/keys/{env:TOKEN}'", "may hold no secret", "revoke:"),
        ("https://x.example/orders", "http://x.example/orders", "https://", "cancel:"),
        ("https://x.example/orders", "https://me:pw@x.example/orders", "may hold no password", "cancel:"),
        ("https://x.example/orders", "https://x{id}.example/orders", "host of `url`", "cancel:"),
        ("https://x.example/orders", "https://x.example/orders?{query}", "can't hold a part of itself", "cancel:"),
        ("?sign={signature}", "?sign={signature}&x=1", "must be the last parameter", "test:"),
        ("over: '{timestamp}", "over: '{signature}", "can't hold the {signature} itself", "create:"),
        ("over: '{timestamp}", "secret_env: X, over: '{timestamp}", "leave secret_env out", "sign:"),
        ("method: GET", "method: PUT", "only reads", "test:"),
        ("method: POST", "method: post", "method is GET, POST", "create:"),
        ("method: POST", "auth: new, method: POST", "can't make itself", "create:"),
        ("method: POST", "auth: { env: 'sk live' }, method: POST", "never the secret", "create:"),
        ("method: GET", "auth: old, method: GET", "by the key that is tested", "test:"),
        ("created_secret: /secret", "created_secret: secret", "no JSON pointer", "created_secret:"),
        ("      created_id: /id\n", "", "created_id goes with parts", "created_secret:"),
        ("x-key: '{id}'", "'x key': '{id}'", "no name of a header", "create:"),
        ("      sign: { over: '{timestamp}{method}{target}{body}' }\n", "", "needs `sign`", "create:"),
    ];
    for (from, to, expected, line) in cases {
        let error = with(from, to).map(|_| ()).expect_err(to);
        let text = error.to_string();
        assert!(text.contains(expected), "{to}: `{text}` should say `{expected}`");
        let changed = EXCHANGE.replacen(from, to, 1);
        let shipped = SHIPPED.iter().find(|(path, _)| *path == "credentials.yml").unwrap().1;
        let whole = format!("{shipped}{changed}");
        let seen = whole.lines().nth(usize::try_from(error.line).unwrap() - 1).unwrap_or_default();
        assert!(seen.contains(line), "{to}: `{text}` should be at `{line}`, but is at `{seen}`");
    }
}

#[test]
fn an_unknown_placeholder_is_named_with_the_nearest_known_one() {
    let text = with("{target_id}", "{targetid}").unwrap_err().to_string();
    assert!(text.contains("unknown placeholder `{targetid}`; did you mean `{target_id}`?"), "{text}");
    let text = with("over:", "ovr:").unwrap_err().to_string();
    assert!(text.contains("did you mean `over`?"), "{text}");
}

/// What the documentation shows can be typed.
#[test]
fn the_examples_of_the_documentation_are_read() {
    const PAGE: &str = include_str!("../../docs/POLICIES.md");
    let blocks: Vec<&str> = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let mut seen = 0;
    for (file, mark) in [("credentials.yml", "issuer:"), ("pause.yml", "switches:")] {
        for block in blocks.iter().filter(|block| block.contains(mark)) {
            let mut texts: BTreeMap<String, String> =
                SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
            let mut text = (*block).to_owned();
            if file == "credentials.yml" && !text.contains("services:") {
                text = text.replacen("version: 1\n", "version: 1\nservices: [{ name: backend }]\n", 1);
            }
            texts.insert(file.to_owned(), text);
            Policies::from_texts(texts).unwrap_or_else(|error| panic!("{error}\n{block}"));
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
    // The signatures of the table, in a policy.
    let rows = PAGE.lines().skip_while(|line| !line.starts_with("| as | `sign`")).skip(2);
    let mut signs = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let sign = row.split('`').nth(1).unwrap();
        with("sign: { over: '{timestamp}{method}{target}{body}' }", &format!("sign: {sign}"))
            .unwrap_or_else(|error| panic!("{error}: {sign}"));
        signs += 1;
    }
    assert_eq!(signs, 4);
}
