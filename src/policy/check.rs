use std::collections::BTreeSet;

use super::{Policies, PolicyError, contacts, evidence, nearest};
use crate::policy::aws::LONGEST_SETTLE;
use crate::policy::credentials::{CredentialPolicy, GenerateKind, IssuerPolicy, ProofPolicy, ValuePart};
use crate::policy::pause::GUARD;
use crate::policy::resume::WitnessPolicy;

/// Shortest generated value.
const MIN_LENGTH: usize = 20;

/// Longest retention that S3 takes: 100 years.
const MAX_RETAIN_DAYS: u32 = 36_500;

/// What the types alone can't say: versions, names that must be unique or known, limits.
pub(super) fn check(policies: &Policies) -> Result<(), PolicyError> {
    let versions = [
        ("credentials.yml", policies.credentials.version),
        ("pause.yml", policies.pause.version),
        ("resume.yml", policies.resume.version),
        ("recovery.yml", policies.recovery.version),
        (contacts::FILE, policies.contacts.version),
        (evidence::FILE, policies.evidence.version),
        (super::monitoring::FILE, policies.monitoring.version),
    ];
    for (file, version) in versions {
        if version != 1 {
            return Err(at(policies, file, "version:", format!("version is {version}, this program reads 1")));
        }
    }
    check_credentials(policies)?;
    check_pause(policies)?;
    check_contacts(policies)?;
    check_roster(policies)
}

fn check_places(policies: &Policies) -> Result<(), PolicyError> {
    let places = &policies.recovery.directory;
    let wrong = |place: &str, message: String| Err(at(policies, "recovery.yml", place, message));
    if places.is_empty() {
        return wrong("directory:", "directory names no place for backups".into());
    }
    for place in places {
        let bucket = place.strip_prefix("s3://").map(|rest| rest.split('/').next().unwrap_or_default());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_some_and(|bucket| bucket.is_empty() || !bucket.chars().all(plain)) || place.is_empty() {
            return wrong(place, format!("`{}` is no folder and no s3://BUCKET/PREFIX", place.escape_debug()));
        }
    }
    if let Some(place) = duplicate(places.iter().map(String::as_str)) {
        return wrong(place, format!("`{place}` is named twice"));
    }
    Ok(())
}

fn check_contacts(policies: &Policies) -> Result<(), PolicyError> {
    let contacts = &policies.contacts.contacts;
    if let Some(name) = duplicate(contacts.iter().map(|contact| contact.name.as_str())) {
        return Err(at(policies, contacts::FILE, name, format!("contact `{name}` is declared twice")));
    }
    for contact in contacts {
        if let Some(problem) = contact.problem() {
            let message = format!("contact `{}`: {problem}", contact.name.escape_debug());
            return Err(at(policies, contacts::FILE, &contact.name, message));
        }
    }
    Ok(())
}

fn check_credentials(policies: &Policies) -> Result<(), PolicyError> {
    const FILE: &str = "credentials.yml";
    let services: Vec<&str> = policies.credentials.services.iter().map(|service| service.name.as_str()).collect();
    if let Some(name) = duplicate(services.iter().copied()) {
        return Err(at(policies, FILE, name, format!("service `{name}` is declared twice")));
    }
    let ids = policies.credentials.credentials.iter().map(|credential| credential.id.as_str());
    if let Some(id) = duplicate(ids) {
        return Err(at(policies, FILE, &format!("id: {id}"), format!("credential `{id}` is declared twice")));
    }
    for credential in &policies.credentials.credentials {
        let fail = |message: String| Err(at(policies, FILE, &format!("id: {}", credential.id), message));
        let id = &credential.id;
        for service in &credential.used_by {
            if !services.contains(&service.as_str()) {
                let near = nearest(service, &services).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
                return fail(format!("credential `{id}`: used_by names the unknown service `{service}`{near}"));
            }
        }
        if credential.generate.length < MIN_LENGTH || credential.generate.length > 512 {
            return fail(format!("credential `{id}`: generate.length must be {MIN_LENGTH} to 512"));
        }
        if let IssuerPolicy::HttpApi(api) = &credential.issuer
            && let Some((key, problem)) = api.problem(credential.is_pair())
        {
            return Err(below(
                policies,
                FILE,
                &format!("id: {id}"),
                key,
                format!("credential `{id}`: {key}: {problem}"),
            ));
        }
        if let Some(problem) = inconsistent(credential) {
            return fail(format!("credential `{id}`: {problem}"));
        }
    }
    check_places(policies)?;
    for service in &policies.recovery.services {
        if !services.contains(&service.as_str()) {
            let message = format!("services names `{service}`, which credentials.yml does not declare");
            return Err(at(policies, "recovery.yml", "services:", message));
        }
    }
    Ok(())
}

fn inconsistent(credential: &CredentialPolicy) -> Option<&'static str> {
    let manual = matches!(credential.issuer, IssuerPolicy::Manual { .. });
    let sessions = matches!(credential.issuer, IssuerPolicy::AwsRoleSessions(_));
    if !manual && !sessions && credential.kept.is_empty() {
        return Some("`kept` is empty, so its value could neither be read nor replaced");
    }
    if matches!(credential.issuer, IssuerPolicy::SelfMade { .. }) && credential.proof.is_none() {
        return Some(
            "a self_made credential needs `proof`: `http`, or `store` to accept that only the stores are asked",
        );
    }
    let has = |part| credential.kept.iter().any(|slot| slot.part() == part);
    if credential.is_pair() && !(has(ValuePart::KeyId) && has(ValuePart::KeySecret)) {
        return Some("one of `kept` has part key_id or key_secret, so another must have the other");
    }
    if credential.is_pair() && (has(ValuePart::Whole) || has(ValuePart::UrlPassword)) {
        return Some("where one of `kept` has part key_id or key_secret, all must");
    }
    let pem = credential.generate.kind == GenerateKind::Ed25519Pem;
    if pem && !matches!(credential.issuer, IssuerPolicy::SelfMade { .. }) {
        return Some("generate.kind ed25519_pem is for self_made credentials");
    }
    if pem && credential.is_pair() {
        return Some("generate.kind ed25519_pem makes one text, no id with a secret");
    }
    if has(ValuePart::PublicKey) && !pem {
        return Some("part public_key needs generate.kind ed25519_pem");
    }
    if has(ValuePart::PublicKey) && !has(ValuePart::Whole) {
        return Some("part public_key alone does not keep the key: another of `kept` must be whole");
    }
    if matches!(credential.issuer, IssuerPolicy::AwsIamUser(_)) && !credential.is_pair() {
        return Some("an AWS access key is kept as two parts: key_id and key_secret");
    }
    if let IssuerPolicy::AwsRoleSessions(role) = &credential.issuer {
        if !role.is_role() {
            return Some("role_arn is no ARN of a role (arn:aws:iam::ACCOUNT:role/NAME)");
        }
        if !credential.kept.is_empty() {
            return Some("sessions are kept nowhere: leave `kept` out");
        }
    }
    if credential.issuer.propagation().as_secs() > LONGEST_SETTLE {
        return Some("settle_s must be 0 to 10");
    }
    if let Some(ProofPolicy::Http { url, template, .. }) = &credential.proof {
        if url.contains('{') {
            return Some("proof.url may hold no placeholder, since addresses are logged; use the header");
        }
        if !template.contains("{value}") && !template.contains("{jwt}") {
            return Some("proof.template must hold {value} or {jwt}");
        }
    }
    None
}

fn check_pause(policies: &Policies) -> Result<(), PolicyError> {
    let names = policies.pause.switches.iter().map(crate::policy::pause::SwitchPolicy::name);
    if let Some(name) = duplicate(names.chain([GUARD])) {
        return Err(at(policies, "pause.yml", name, format!("switch `{name}` is declared twice (`guard` is taken)")));
    }
    for switch in &policies.pause.switches {
        if switch.name() == "prove" || switch.name().starts_with("cancel.") {
            let message = format!("`{}` is the name of a step of the pause: give the switch another", switch.name());
            return Err(at(policies, "pause.yml", &format!("name: {}", switch.name()), message));
        }
        if let Some(problem) = switch.problem() {
            let message = format!("switch `{}`: {problem}", switch.name().escape_debug());
            return Err(at(policies, "pause.yml", &format!("name: {}", switch.name()), message));
        }
    }
    if policies.pause.guard.is_none() && policies.pause.switches.is_empty() {
        return Err(PolicyError::whole(
            "pause.yml",
            "neither a guard nor a switch is declared: nothing could be paused",
        ));
    }
    Ok(())
}

fn check_roster(policies: &Policies) -> Result<(), PolicyError> {
    if policies.resume.threshold == 0 {
        return Err(at(policies, "resume.yml", "threshold:", "threshold must be at least 1".into()));
    }
    if let Some(glass) = &policies.resume.break_glass {
        let wrong = |key: &str, message: String| Err(below(policies, "resume.yml", "break_glass:", key, message));
        if glass.threshold <= policies.resume.threshold {
            let least = policies.resume.threshold.saturating_add(1);
            return wrong("threshold", format!("break_glass needs more people than a resume: at least {least}"));
        }
        if glass.delay_minutes == 0 {
            return wrong("delay_minutes", "break_glass needs a delay of at least 1 minute".into());
        }
    }
    let witnesses = &policies.resume.witnesses;
    if let Some(name) = duplicate(witnesses.iter().map(WitnessPolicy::name)) {
        return Err(at(policies, "resume.yml", name, format!("witness `{name}` is declared twice")));
    }
    if let Some(bad) = witnesses.iter().find(|witness| !is_word(witness.name())) {
        let name = bad.name();
        let message = format!("witness `{}`: a name is 1 to 64 letters, digits, - or _", name.escape_debug());
        return Err(at(policies, "resume.yml", name, message));
    }
    for witness in witnesses {
        check_bucket(policies, witness)?;
    }
    let names = policies.resume.approvers.iter().map(|approver| approver.name.as_str());
    if let Some(name) = duplicate(names) {
        return Err(at(policies, "resume.yml", name, format!("approver `{name}` is listed twice")));
    }
    Ok(())
}

fn check_bucket(policies: &Policies, witness: &WitnessPolicy) -> Result<(), PolicyError> {
    let WitnessPolicy::S3 { name, bucket, prefix, retain_days, .. } = witness else { return Ok(()) };
    let wrong = |message: String| Err(at(policies, "resume.yml", name, format!("witness `{name}`: {message}")));
    // Names of buckets as S3 takes them; dots would part the address.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        return wrong("`bucket` is 3 to 63 lower-case letters, digits, - or .".into());
    }
    if prefix.starts_with('/') || prefix.len() > 512 || prefix.chars().any(char::is_control) {
        return wrong("`prefix` has at most 512 characters and does not begin with /".into());
    }
    if retain_days.is_some_and(|days| !(1..=MAX_RETAIN_DAYS).contains(&days)) {
        return wrong(format!("`retain_days` is 1 to {MAX_RETAIN_DAYS}"));
    }
    Ok(())
}

fn is_word(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn duplicate<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// An error at the first line of the file that holds `needle`.
fn at(policies: &Policies, file: &str, needle: &str, message: String) -> PolicyError {
    let text = policies.texts.get(file).map_or("", String::as_str);
    let place = text.lines().enumerate().find_map(|(number, line)| {
        let code = line.split(" #").next().unwrap_or(line);
        (!line.trim_start().starts_with('#')).then(|| code.find(needle).map(|column| (number, column))).flatten()
    });
    let (line, column) = place.map_or((0, 0), |(line, column)| (line as u64 + 1, column as u64 + 1));
    PolicyError { file: file.to_owned(), line, column, message }
}

/// An error at the first line after `above` that holds `key:`; at `above` if there is none.
fn below(policies: &Policies, file: &str, above: &str, key: &str, message: String) -> PolicyError {
    let start = at(policies, file, above, message);
    let text = policies.texts.get(file).map_or("", String::as_str);
    let needle = format!("{key}:");
    let skipped = usize::try_from(start.line.saturating_sub(1)).unwrap_or(0);
    let place = text.lines().enumerate().skip(skipped).find_map(|(number, line)| Some((number, line.find(&needle)?)));
    match place {
        Some((line, column)) => PolicyError { line: line as u64 + 1, column: column as u64 + 1, ..start },
        None => start,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::shipped::SHIPPED;

    fn with(file: &str, from: &str, to: &str) -> Result<Policies, PolicyError> {
        let mut texts: BTreeMap<String, String> =
            SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let text = texts.get_mut(file).unwrap();
        assert!(text.contains(from), "the shipped {file} holds {from}");
        *text = text.replacen(from, to, 1);
        Policies::from_texts(texts)
    }

    #[test]
    fn a_bucket_that_can_keep_no_copies_is_refused_at_its_line() {
        let witness = |words: &str| {
            let words = format!("required_attestations: []\nwitnesses:\n  - {{ kind: s3, name: vault, {words} }}\n");
            with("resume.yml", "required_attestations: []", &words)
        };
        for good in [
            "bucket: acme-checkpoints",
            "bucket: a.b, prefix: x/y, retain_days: 1, retain_mode: governance",
            "bucket: abc, retain_days: 36500, retain_mode: compliance",
        ] {
            witness(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for (bad, word) in [
            ("prefix: x", "bucket"),
            ("bucket: ab", "3 to 63"),
            ("bucket: Acme-checkpoints", "lower-case"),
            ("bucket: acme/checkpoints", "lower-case"),
            ("bucket: abc, prefix: /x", "does not begin with /"),
            ("bucket: abc, retain_days: 0", "1 to 36500"),
            ("bucket: abc, retain_days: 36501", "1 to 36500"),
            ("bucket: abc, retain_mode: maybe", "compliance"),
            ("bucket: abc, region: here", "region"),
        ] {
            let error = witness(bad).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("resume.yml"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_contact_is_said_at_its_line() {
        let cases = [
            ("name: desk", "nam: desk", "did you mean `name`?"),
            ("on: [contained]", "on: [containd]", "did you mean `contained`?"),
            ("on: [contained]", "on: []", "`on` is empty"),
            ("kind: slack", "kind: slak", "did you mean `slack`?"),
            ("url_env:", "urlenv:", "did you mean `url_env`?"),
            ("url_env: SLACK_URL", "url_env: ''", "names no environment variable"),
            ("url_env: SLACK_URL", "url_env: https://hooks.example/T0/B0", "the name of an environment variable"),
            ("name: board", "name: desk", "declared twice"),
            ("tls: starttls", "tls: none", "in the clear"),
            ("password_env: P, ", "", "user_env and password_env"),
            ("to: [b@example.com]", "to: []", "`to` is empty"),
            ("http://127.0.0.1:9/page", "http://example.com/page", "in the clear"),
            ("http://127.0.0.1:9/page", "https://user:pw@example.com/", "may hold no password"),
            ("version: 1", "version: 3", "this program reads 1"),
        ];
        let whole = "version: 1\ncontacts:\n  - name: desk\n    on: [contained]\n    channel: { kind: slack, url_env: SLACK_URL }\n  \
                     - name: board\n    on: [resumed]\n    channel: { kind: smtp, host: mail.example.com, tls: starttls, user_env: U, password_env: P, from: a@example.com, to: [b@example.com] }\n  \
                     - name: hook\n    on: [test]\n    channel: { kind: webhook, url: \"http://127.0.0.1:9/page\", bearer_env: T }\n";
        let read = |text: String| {
            let shipped = SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
            let texts: BTreeMap<String, String> = shipped.chain([(contacts::FILE.to_owned(), text)]).collect();
            Policies::from_texts(texts)
        };
        assert_eq!(read(whole.to_owned()).unwrap().contacts.contacts.len(), 3);
        for (from, to, expected) in cases {
            assert!(whole.contains(from), "{from}");
            let error = read(whole.replacen(from, to, 1)).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.file, contacts::FILE);
            assert!(error.line > 0, "{text}");
            assert!(text.contains(expected), "`{text}` should say `{expected}`");
            assert!(!text.contains("pw@") && !text.contains("hooks.example"), "{text}");
        }
    }

    #[test]
    fn each_fault_names_file_line_and_what_is_meant() {
        let cases = [
            ("credentials.yml", "used_by: [backend]", "used_by: [backnd]", "did you mean `backend`?"),
            ("credentials.yml", "length: 64", "length: 8", "must be 20 to 512"),
            ("credentials.yml", "id: jwt", "id: database", "declared twice"),
            ("credentials.yml", "    proof: { kind: store }\n", "", "needs `proof`"),
            ("credentials.yml", "used_by", "usedby", "did you mean `used_by`?"),
            ("credentials.yml", "version: 1", "version: 2", "this program reads 1"),
            (
                "credentials.yml",
                "key: JWT_SECRET }",
                "key: JWT_SECRET, part: key_secret }",
                "another must have the other",
            ),
            ("credentials.yml", "key: JWT_SECRET }", "key: K, part: public_key }", "needs generate.kind ed25519_pem"),
            ("credentials.yml", "{ length: 64 }", "{ kind: ed25519_pen }", "ed25519_pem"),
            (
                "credentials.yml",
                "{ kind: postgres_role, role: trading_app }",
                "{ kind: aws_iam_user, user: desk }",
                "kept as two parts",
            ),
            ("pause.yml", "name: flag", "name: guard", "declared twice"),
            ("resume.yml", "threshold: 2", "threshold: 0", "at least 1"),
            ("resume.yml", "threshold: 2", "threshold: -2", "u32"),
            ("resume.yml", "threshold: 2", "treshold: 2", "did you mean `threshold`?"),
            ("recovery.yml", "services: [backend]", "services: [api]", "does not declare"),
        ];
        for (file, from, to, expected) in cases {
            let error = with(file, from, to).unwrap_err();
            assert_eq!(error.file, file);
            let text = error.to_string();
            assert!(error.line > 0, "{text}");
            assert!(text.contains(expected), "`{text}` should say `{expected}`");
        }
    }
}
