use proptest::prelude::*;

use super::*;

fn nothing() -> Variables {
    Arc::new(|_| None)
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn sign(over: &str, hash: Hash, encoding: SignatureEncoding, key_encoding: KeyEncoding) -> SignPolicy {
    SignPolicy { over: template(over), hash, encoding, key_encoding, secret_env: None }
}

/// What a call comes to: address, headers, body.
fn filled(call: &Call<'_>, at: &str) -> (String, Vec<(String, String)>, String) {
    let request = call.request_at(at.parse().unwrap()).unwrap();
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
    let body = request.body.as_ref().map_or(String::new(), |body| body.expose_secret().to_owned());
    (request.url.clone(), headers.collect(), body)
}

fn key(id: &str, secret: &str) -> CallKey {
    CallKey { id: Some(id.into()), secret: SecretString::from(secret) }
}

/// The example in Binance's documents: the query is signed, and the signature is its last parameter.
#[test]
fn a_signed_query_is_as_binance_wants_it() {
    let url = template(
        "https://api.binance.com/api/v3/order?symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp={timestamp_ms}&signature={signature}",
    );
    let (header, variables) = (template("{id}"), nothing());
    let sign = sign("{query}", Hash::Sha256, SignatureEncoding::Hex, KeyEncoding::Text);
    let call = Call {
        method: "POST",
        url: &url,
        headers: vec![("X-MBX-APIKEY", &header)],
        body: None,
        sign: Some(&sign),
        key: key(
            "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
            "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        ),
        target_id: None,
        variables: &variables,
        bound: Duration::from_secs(1),
    };
    let (url, headers, _) = filled(&call, "2017-07-12T02:41:59.559Z");
    assert!(url.ends_with(
        "&timestamp=1499827319559&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    ));
    assert!(headers[0].1.starts_with("vmPUZE6mv9SD"));
    assert_eq!(call.place(), "POST https://api.binance.com/api/v3/order", "errors leave the query out");
}

/// The example in Kraken's documents: HMAC-SHA512 under the decoded secret, over the path and the hash of nonce and body.
#[test]
fn a_hash_within_a_signature_is_as_kraken_wants_it() {
    let url = template("https://api.kraken.com/0/private/AddOrder");
    let body = template("nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25");
    let (form, signature) = (template("application/x-www-form-urlencoded"), template("{signature}"));
    let sign = sign("{path}{sha256:1616492376594{body}}", Hash::Sha512, SignatureEncoding::Base64, KeyEncoding::Base64);
    let variables = nothing();
    let call = Call {
        method: "POST",
        url: &url,
        headers: vec![("content-type", &form), ("API-Sign", &signature)],
        body: Some(&body),
        sign: Some(&sign),
        key: key("k", "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="),
        target_id: None,
        variables: &variables,
        bound: Duration::from_secs(1),
    };
    let (_, headers, _) = filled(&call, "2021-03-23T09:39:36.594Z");
    assert_eq!(
        headers[1].1,
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    );
}

/// OKX and Coinbase Exchange: time, method, path with query and body in a row; the passphrase from the environment.
#[test]
fn a_signed_target_is_as_okx_and_coinbase_want_it() {
    let url = template("https://www.okx.com/api/v5/account/balance?ccy=BTC");
    let texts = ["{id}", "{timestamp_iso}", "{env:OKX_PASSPHRASE}", "{signature}"].map(template);
    let sign =
        sign("{timestamp_iso}{method}{target}{body}", Hash::Sha256, SignatureEncoding::Base64, KeyEncoding::Text);
    let variables: Variables = Arc::new(|name| (name == "OKX_PASSPHRASE").then(|| SecretString::from("pass phrase")));
    let names = ["OK-ACCESS-KEY", "OK-ACCESS-TIMESTAMP", "OK-ACCESS-PASSPHRASE", "OK-ACCESS-SIGN"];
    let call = Call {
        method: "GET",
        url: &url,
        headers: names.into_iter().zip(&texts).collect(),
        body: None,
        sign: Some(&sign),
        key: key("k-1", "s3cret"),
        target_id: None,
        variables: &variables,
        bound: Duration::from_secs(1),
    };
    let (_, headers, _) = filled(&call, "2020-12-08T09:08:57.7154Z");
    assert_eq!(headers[1].1, "2020-12-08T09:08:57.715Z");
    assert_eq!(headers[2].1, "pass phrase");
    let over = "2020-12-08T09:08:57.715ZGET/api/v5/account/balance?ccy=BTC";
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s3cret"), over.as_bytes());
    assert_eq!(headers[3].1, STANDARD.encode(tag));
}

#[test]
fn values_are_written_as_their_place_needs_it() {
    let url = template("https://x.example/keys/{target_id}?a=1");
    let (json, form) = (template(r#"{"id":"{id}","note":{"n":1}}"#), template("id={id}"));
    let form_type = template("application/x-www-form-urlencoded");
    let variables = nothing();
    let mut call = Call {
        method: "DELETE",
        url: &url,
        headers: Vec::new(),
        body: Some(&json),
        sign: None,
        key: key("a\"b/c&d", "s"),
        target_id: Some("x/../y?z"),
        variables: &variables,
        bound: Duration::from_secs(1),
    };
    let (address, _, body) = filled(&call, "2026-01-01T00:00:00Z");
    assert_eq!(address, "https://x.example/keys/x%2F..%2Fy%3Fz?a=1");
    assert_eq!(body, r#"{"id":"a\"b/c&d","note":{"n":1}}"#);
    (call.body, call.headers) = (Some(&form), vec![("Content-Type", &form_type)]);
    assert_eq!(filled(&call, "2026-01-01T00:00:00Z").2, "id=a%22b%2Fc%26d");
}

#[test]
fn what_is_missing_is_named_without_a_secret() {
    let (url, header) = (template("https://x.example/a?b=c"), template("{secret} {env:NOT_SET} {id}"));
    let variables = nothing();
    let call = Call {
        method: "GET",
        url: &url,
        headers: vec![("h", &header)],
        body: None,
        sign: None,
        key: CallKey { id: None, secret: SecretString::from("hunter2") },
        target_id: None,
        variables: &variables,
        bound: Duration::from_secs(1),
    };
    let words = call.request().unwrap_err().chain();
    assert_eq!(words, "GET https://x.example/a needs the environment variable NOT_SET");
    let over = sign("{path}", Hash::Sha256, SignatureEncoding::Hex, KeyEncoding::Base64);
    let signed = Call { sign: Some(&over), headers: Vec::new(), ..call };
    let words = signed.request().unwrap_err().chain();
    assert!(words.ends_with("is no base64") && !words.contains("hunter2"), "{words}");
}

#[test]
fn nonces_only_grow() {
    let now = Timestamp::now();
    let first = MICROS.next(now);
    let second = MICROS.next(now);
    let third = MICROS.next(now - Duration::from_mins(1));
    assert!(first < second && second < third, "{first} {second} {third}");
    assert!(first >= u64::try_from(now.as_microsecond()).unwrap());
}

proptest! {
    /// No value breaks out of its place in a query or in JSON.
    #[test]
    fn values_stay_in_their_place(id in "\\PC{1,20}") {
        let (url, body) = (template("https://x.example/p?id={id}&end=1"), template(r#"{"id":"{id}"}"#));
        let variables = nothing();
        let call = Call {
            method: "POST", url: &url, headers: Vec::new(), body: Some(&body), sign: None,
            key: key(&id, "s"), target_id: None, variables: &variables, bound: Duration::from_secs(1),
        };
        let (address, _, body) = filled(&call, "2026-01-01T00:00:00Z");
        prop_assert!(address.matches(['&', '?', '=', '#']).count() == 4 && address.is_ascii(), "{}", address);
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(read["id"].as_str(), Some(id.as_str()));
    }
}
