//! CloudTrail in tables: CSV of CloudTrail Lake, of Athena, and of the console's event history. Their columns are CloudTrail's
//! fields in lower case or as words, their objects are JSON or `{type=IAMUser, arn=..}`.

use serde_json::{Map, Value};

/// Names of CloudTrail's fields that columns and objects may write in lower case.
const NAMES: [&str; 46] = [
    "accessKeyId",
    "accountId",
    "additionalEventData",
    "apiVersion",
    "awsRegion",
    "bucketName",
    "creationDate",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventID",
    "eventJson",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "federatedProvider",
    "groupName",
    "instanceId",
    "invokedBy",
    "managementEvent",
    "mfaAuthenticated",
    "policyArn",
    "policyName",
    "principalId",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "responseElements",
    "roleArn",
    "roleName",
    "serviceEventDetails",
    "sessionContext",
    "sessionIssuer",
    "sharedEventID",
    "sourceIPAddress",
    "tlsDetails",
    "userAgent",
    "userIdentity",
    "userName",
    "vpcEndpointId",
    "webIdFederationData",
    "sourceIdentity",
];
/// How deep an object may be nested.
const DEPTH: usize = 16;

/// A row with CloudTrail's names and objects, if it is an event of CloudTrail's; any other as it is.
pub(super) fn event(row: Map<String, Value>) -> Map<String, Value> {
    let has = |want: &str| row.keys().any(|name| proper(name) == Some(want));
    if !(has("eventSource") && has("eventName") || has("eventJson")) {
        return row;
    }
    row.into_iter()
        .map(|(name, value)| {
            let value = match value {
                // The whole event, which is opened as what others carry is.
                Value::String(text) if proper(&name) == Some("eventJson") => Value::String(text),
                Value::String(text) => object(&text).unwrap_or(Value::String(text)),
                other => other,
            };
            (proper(&name).map_or(name, str::to_owned), value)
        })
        .filter(|(_, value)| !value.is_null())
        .collect()
}

/// CloudTrail's name for a column.
fn proper(name: &str) -> Option<&'static str> {
    let plain = |name: &str| {
        name.bytes().filter(|b| !matches!(b, b' ' | b'_')).map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let wanted = plain(name);
    NAMES.into_iter().find(|known| known.len() == wanted.len() && known.as_bytes().eq_ignore_ascii_case(&wanted))
}

/// What a text is if it is no text: JSON, or a row or map as Athena writes them.
fn object(text: &str) -> Option<Value> {
    if !text.starts_with(['{', '[']) {
        return (text == "null").then_some(Value::Null);
    }
    serde_json::from_str(text).ok().or_else(|| {
        let mut rest = text;
        value(&mut rest, DEPTH, false).filter(|value| rest.is_empty() && !value.is_string())
    })
}

/// The value at the start of a text: `{a=b, c={d=e}}`, `[a, b]`, or words up to `, ` or the end of what holds it.
fn value(rest: &mut &str, depth: usize, in_map: bool) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if let Some(inside) = rest.strip_prefix('{') {
        let mut map = Map::new();
        *rest = inside;
        while !rest.starts_with('}') {
            let (name, after) = rest.split_once('=').filter(|(name, _)| !name.contains(['{', '}', ',']))?;
            *rest = after;
            let value = value(rest, depth, true)?;
            if !value.is_null() {
                map.insert(proper(name).unwrap_or(name).to_owned(), value);
            }
            *rest = rest.strip_prefix(", ").unwrap_or(rest);
        }
        *rest = &rest[1..];
        return Some(Value::Object(map));
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let mut list = Vec::new();
        *rest = inside;
        while !rest.starts_with(']') {
            let before = rest.len();
            list.push(value(rest, depth, false)?);
            *rest = rest.strip_prefix(", ").unwrap_or(rest);
            if rest.len() == before {
                return None;
            }
        }
        *rest = &rest[1..];
        return Some(Value::Array(list));
    }
    let (text, after) = rest.split_at(end(rest, in_map)?);
    *rest = after;
    Some(if text == "null" { Value::Null } else { text.into() })
}

/// Where words end: before a bracket that closes, or before `, ` and the next of a list, in a map and the next name.
fn end(text: &str, in_map: bool) -> Option<usize> {
    text.bytes().enumerate().position(|(at, byte)| match byte {
        b'}' | b']' => true,
        b',' => text[at..].strip_prefix(", ").is_some_and(|next| {
            let name = next.split(['=', ',', '}', ']']).next().unwrap_or_default();
            !in_map || (!name.contains(' ') && next[name.len()..].starts_with('='))
        }),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_of_cloudtrail_has_its_names_and_objects() {
        let row = |names: [&str; 5]| {
            let values = [
                "iam.amazonaws.com",
                "CreateUser",
                "{type=IAMUser, arn=arn:aws:iam::1:user/eve, username=eve, sessioncontext={attributes={mfaauthenticated=false}, sessionissuer=null}, invokedby=null}",
                r#"{"userName":"bob","tags":[1]}"#,
                "Mozilla/5.0 (X11, Linux) x",
            ];
            names.into_iter().zip(values).map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
        };
        for names in [
            ["eventSource", "eventName", "userIdentity", "requestParameters", "userAgent"],
            ["eventsource", "eventname", "useridentity", "requestparameters", "useragent"],
            ["Event source", "Event name", "User identity", "Request parameters", "User agent"],
        ] {
            assert_eq!(
                Value::Object(event(row(names))),
                json!({
                    "eventSource": "iam.amazonaws.com",
                    "eventName": "CreateUser",
                    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/eve", "userName": "eve",
                        "sessionContext": {"attributes": {"mfaAuthenticated": "false"}}},
                    "requestParameters": {"userName": "bob", "tags": [1]},
                    "userAgent": "Mozilla/5.0 (X11, Linux) x",
                })
            );
        }
        let other: Map<String, Value> = row(["a", "eventName", "c", "d", "e"]);
        assert_eq!(event(other.clone()), other);
    }

    #[test]
    fn what_is_no_object_stays_a_text() {
        for text in ["{", "{a", "{a=", "[a", "{a=b} c", "{a={b=c}", "plain"] {
            assert_eq!(object(text), None, "{text}");
        }
        assert_eq!(object("[a, b]"), Some(json!(["a", "b"])));
        assert_eq!(object("{}"), Some(json!({})));
        assert_eq!(object("{a=b, c, d=e}"), Some(json!({"a": "b, c", "d": "e"})));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_hangs(text in "[{\\[][{}\\[\\]=, a\u{e9}]{0,30}") {
            let _ = object(&text);
        }
    }
}
