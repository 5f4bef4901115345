use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::{DigestContext, Source, Timestamp, clean};
use crate::report::markdown::place;
use crate::report::model::Report;

/// Namespace of the identifiers of observables (STIX 2.1, section 2.9).
const NAMESPACE: [u8; 16] =
    [0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c, 0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7];

/// Findings as a STIX 2.1 bundle: the incident, each finding as observed data with a note, and the observables they name.
pub fn stix(report: &Report) -> Result<Vec<u8>, serde_json::Error> {
    let made = stamp(report.made);
    let identity = id("identity", &[&report.ledger.machine_key]);
    let incident = id("incident", &[&report.incident.id]);
    let common = json!({"spec_version": "2.1", "created": made, "modified": made, "created_by_ref": identity});
    let mut objects = vec![
        json!({
            "type": "identity", "spec_version": "2.1", "id": identity, "created": made, "modified": made,
            "name": "Portcullis", "identity_class": "system",
        }),
        object(
            &common,
            json!({
                "type": "incident", "id": incident, "name": report.incident.id, "description": clean(&report.incident.reason),
            }),
        ),
    ];
    let mut observables: BTreeMap<String, Value> = BTreeMap::new();
    let mut refs = vec![incident.clone()];
    for line in &report.findings {
        let finding = &line.finding;
        let seen = observed(&finding.source, &finding.event);
        let mut about = incident.clone();
        if let Some(time) = finding.time {
            about = id("observed-data", &[&report.incident.id, &finding.id]);
            let ids: Vec<String> = seen.iter().filter_map(|o| o["id"].as_str().map(ToOwned::to_owned)).collect();
            let time = stamp(time);
            objects.push(object(
                &common,
                json!({
                    "type": "observed-data", "id": about, "first_observed": time, "last_observed": time,
                    "number_observed": 1, "object_refs": ids, "labels": [finding.rule.level],
                }),
            ));
            refs.push(about.clone());
            for one in seen {
                observables.insert(one["id"].as_str().unwrap_or_default().to_owned(), one);
            }
        }
        let note = id("note", &[&report.incident.id, &finding.id]);
        let verdict = line.decision.as_ref().map_or("undecided", |decision| decision.verdict.as_str());
        let content = format!(
            "{} in {}; {verdict}; matched {}",
            finding.rule.title,
            place(&finding.source),
            Value::Object(finding.matched.clone())
        );
        objects.push(object(
            &common,
            json!({
                "type": "note", "id": note, "abstract": clean(&finding.rule.title), "content": clean(&content),
                "object_refs": [about], "labels": [finding.rule.level],
            }),
        ));
        refs.push(note);
    }
    objects.extend(observables.into_values());
    objects.push(object(
        &common,
        json!({
            "type": "report", "id": id("report", &[&report.incident.id, &made]),
            "name": format!("Incident {}", report.incident.id), "description": clean(&report.summary.join(" ")),
            "report_types": ["observed-data"], "published": made, "object_refs": refs,
        }),
    ));
    let bundle = id("bundle", &[&report.incident.id, &made]);
    serde_json::to_vec_pretty(&json!({"type": "bundle", "id": bundle, "objects": objects}))
}

fn object(common: &Value, own: Value) -> Value {
    let mut fields: Map<String, Value> = Map::new();
    for part in [own, common.clone()] {
        if let Value::Object(part) = part {
            fields.extend(part);
        }
    }
    Value::Object(fields)
}

/// The observables of a finding: at least the file or table that it lies in.
fn observed(source: &Source, event: &Map<String, Value>) -> Vec<Value> {
    let name = match source {
        Source::File { path, .. } => path.rsplit('/').next().unwrap_or(path).to_owned(),
        Source::Table { table, .. } => format!("table {table}"),
    };
    let mut all = vec![observable("file", "name", &name)];
    for key in ["c-ip", "ip", "sourceIPAddress", "remote_addr", "client_ip", "clientIp", "src_ip"] {
        let Some(text) = event.get(key).and_then(Value::as_str) else { continue };
        match text.parse() {
            Ok(std::net::IpAddr::V4(_)) => all.push(observable("ipv4-addr", "value", text)),
            Ok(std::net::IpAddr::V6(_)) => all.push(observable("ipv6-addr", "value", text)),
            Err(_) => {}
        }
    }
    for key in ["apiKeyId", "api_key_id", "username", "user", "cs-username", "account", "accountId"] {
        if let Some(text) = event.get(key).and_then(Value::as_str).filter(|text| !text.is_empty() && *text != "-") {
            all.push(observable("user-account", "user_id", text));
        }
    }
    all
}

fn observable(kind: &str, field: &str, value: &str) -> Value {
    let value = clean(value);
    let contributing = json!({ field: value }).to_string();
    let mut object = json!({"type": kind, "spec_version": "2.1", "id": name_based(kind, &contributing)});
    object[field] = value.into();
    object
}

/// UUID version 5 (RFC 9562, section 5.5) of the contributing properties, as STIX wants it of observables.
fn name_based(kind: &str, name: &str) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&NAMESPACE);
    context.update(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    uuid(kind, bytes, 5)
}

/// An identifier that is the same whenever the same thing is exported: SHA-256 in the form of a UUID version 4.
fn id(kind: &str, parts: &[&str]) -> String {
    let mut context = DigestContext::new();
    for part in std::iter::once(&kind).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().0[..16]);
    uuid(kind, bytes, 4)
}

fn uuid(kind: &str, mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{kind}--{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
