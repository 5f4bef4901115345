//! What the proxy does by itself, driven over the wire.

use std::time::{Duration, Instant};

use crate::peers::address;
use crate::proxy::aws::AwsProxy;
use crate::proxy::http::{Message, ask};
use crate::support::wait;

fn send(proxy: &AwsProxy, service: &str, key: &str, target: Option<&str>, body: &str) -> Message {
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let kind = if target.is_some() { "application/x-amz-json-1.1" } else { "application/x-www-form-urlencoded" };
    let mut headers =
        vec![("host", format!("{service}.amazonaws.com")), ("content-type", kind.into()), ("authorization", signed)];
    headers.extend(target.map(|action| ("x-amz-target", format!("secretsmanager.{action}"))));
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let request = Message { first: "POST / HTTP/1.1".into(), headers, body: body.into() };
    wait(ask(proxy.url.trim_start_matches("http://"), &request)).expect("the proxy answers")
}

fn query(proxy: &AwsProxy, service: &str, key: &str, body: &str) -> (u16, String) {
    let reply = send(proxy, service, key, None, body);
    (reply.status(), reply.text())
}

fn element(xml: &str, name: &str) -> String {
    xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once('<')).expect(xml).0.to_owned()
}

fn proxy() -> Option<AwsProxy> {
    Some(AwsProxy::start(&address("PORTCULLIS_TEST_MOTO_URL")?))
}

#[test]
fn a_token_names_one_value_and_writes_above_the_limit_are_throttled() {
    let Some(proxy) = proxy() else { return };
    let name = format!("proxy/{}", std::process::id());
    let put = |token: &str, value: &str| {
        let body = format!(
            r#"{{"SecretId":"{name}","SecretString":"{value}","ClientRequestToken":"{token}-0000-4000-8000-000000000000"}}"#
        );
        send(&proxy, "secretsmanager", "test", Some("PutSecretValue"), &body)
    };
    let create = format!(r#"{{"Name":"{name}","SecretString":"first"}}"#);
    assert_eq!(send(&proxy, "secretsmanager", "test", Some("CreateSecret"), &create).status(), 200);
    assert_eq!(put("00000001", "a").status(), 200);
    assert_eq!(put("00000001", "a").status(), 200);
    let other = put("00000001", "b");
    assert!(other.status() == 400 && other.text().contains("ResourceExistsException"), "{}", other.text());
    proxy.limit_writes(5.0, 2.0);
    let before = proxy.counts();
    let began = Instant::now();
    let throttled = (0..20).filter(|n| put(&format!("0000001{}", n % 10), "c").text().contains("ThrottlingException"));
    let throttled = u32::try_from(throttled.count()).unwrap();
    let allowed = 2.0 + began.elapsed().as_secs_f64() * 5.0;
    let counts = proxy.counts();
    assert_eq!(counts.throttled - before.throttled, u64::from(throttled));
    assert!(throttled > 0 && 20.0 - f64::from(throttled) <= allowed.ceil(), "{throttled} of 20, {allowed} allowed");
    // Others who take the whole limit leave nothing.
    proxy.limit_writes(5.0, 1.0);
    let others = proxy.foreign_writes(100.0);
    std::thread::sleep(Duration::from_millis(100));
    let refused = (0..5).filter(|n| put(&format!("0000002{n}"), "d").status() == 400).count();
    assert!(refused >= 3, "{refused}");
    drop(others);
}

#[test]
fn a_deactivated_key_is_refused_after_a_while_and_an_old_session_denied() {
    let Some(proxy) = proxy() else { return };
    let user = format!("u{}", std::process::id());
    let iam = |key: &str, body: &str| query(&proxy, "iam", key, &format!("{body}&Version=2010-05-08"));
    let who = |key: &str| query(&proxy, "sts", key, "Action=GetCallerIdentity&Version=2011-06-15").0;
    assert_eq!(iam("test", &format!("Action=CreateUser&UserName={user}")).0, 200);
    proxy.propagate(Duration::from_millis(300));
    let made = iam("test", &format!("Action=CreateAccessKey&UserName={user}")).1;
    let key = element(&made, "AccessKeyId");
    assert_eq!(who(&key), 403, "a new key is not known yet");
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(who(&key), 200);
    let session = query(&proxy, "sts", &key, "Action=GetSessionToken&Version=2011-06-15").1;
    let session = element(&session, "AccessKeyId");
    let off = format!("Action=UpdateAccessKey&UserName={user}&AccessKeyId={key}&Status=Inactive");
    assert_eq!(iam("test", &off).0, 200);
    assert_eq!(who(&key), 200, "still honoured for a while");
    std::thread::sleep(Duration::from_millis(350));
    let refused = query(&proxy, "sts", &key, "Action=GetCallerIdentity&Version=2011-06-15");
    assert!(refused.0 == 403 && refused.1.contains("InvalidClientTokenId"), "{refused:?}");
    // The session outlives its key until a policy denies what was issued before.
    let list = format!("Action=ListAccessKeys&UserName={user}");
    assert_eq!(iam(&session, &list).0, 200);
    let policy = r"%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Deny%22%2C%22Action%22%3A%22*%22%2C%22Resource%22%3A%22*%22%2C%22Condition%22%3A%7B%22DateLessThan%22%3A%7B%22aws%3ATokenIssueTime%22%3A%222100-01-01T00%3A00%3A00Z%22%7D%7D%7D%5D%2C%22Version%22%3A%222012-10-17%22%7D";
    let put = format!("Action=PutUserPolicy&UserName={user}&PolicyName=dead&PolicyDocument={policy}");
    assert_eq!(iam("test", &put).0, 200);
    let denied = iam(&session, &list);
    assert!(denied.0 == 403 && denied.1.contains("AccessDenied"), "{denied:?}");
    assert_eq!(who(&session), 200, "GetCallerIdentity is never denied");
    assert_eq!(iam("test", &list).0, 200, "others are not");
}
