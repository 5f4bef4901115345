use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::Regex;

use crate::domain::Level;

/// Longest key that a shape describes, in bytes.
pub(super) const LONGEST: usize = 4 << 10;

/// A known form of key: it starts with one of `starts`, and the expression fits there.
struct Shape {
    id: &'static str,
    title: &'static str,
    level: Level,
    starts: &'static [&'static str],
    /// Group `key` is the secret part.
    pattern: &'static str,
    /// Least Shannon entropy of the secret part, in bits a byte.
    entropy: f64,
    /// Whether the characters before the start may not be part of a word.
    word: bool,
}

const fn shape(
    id: &'static str,
    title: &'static str,
    level: Level,
    starts: &'static [&'static str],
    pattern: &'static str,
    entropy: f64,
) -> Shape {
    Shape { id, title, level, starts, pattern, entropy, word: true }
}

const SHAPES: &[Shape] = &[
    shape(
        "aws-access-key-id",
        "AWS access key id",
        Level::High,
        &["AKIA", "ASIA"],
        r"^(?<key>A[KS]IA[A-Z2-7]{16})\b",
        2.5,
    ),
    shape(
        "aws-secret-key",
        "AWS secret access key",
        Level::Critical,
        &["aws_secret_access_key", "SecretAccessKey", "secretAccessKey", "AWS_SECRET_ACCESS_KEY"],
        r#"^\w+["'\\]{0,3}\s{0,4}[:=]\s{0,4}["'\\]{0,3}(?<key>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"#,
        3.5,
    ),
    shape(
        "github-token",
        "GitHub token",
        Level::Critical,
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"^(?<key>gh[pousr]_[A-Za-z0-9]{36,251})\b",
        3.0,
    ),
    shape(
        "github-pat",
        "GitHub fine-grained token",
        Level::Critical,
        &["github_pat_"],
        r"^(?<key>github_pat_[A-Za-z0-9_]{60,251})\b",
        3.0,
    ),
    shape("gitlab-token", "GitLab token", Level::Critical, &["glpat-"], r"^(?<key>glpat-[A-Za-z0-9_-]{20,})", 3.0),
    shape(
        "stripe-key",
        "Stripe live key",
        Level::Critical,
        &["sk_live_", "rk_live_"],
        r"^(?<key>[sr]k_live_[A-Za-z0-9]{16,247})\b",
        3.0,
    ),
    shape(
        "stripe-webhook",
        "Stripe webhook secret",
        Level::High,
        &["whsec_"],
        r"^(?<key>whsec_[A-Za-z0-9+/=]{24,})",
        3.0,
    ),
    shape(
        "slack-token",
        "Slack token",
        Level::High,
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-"],
        r"^(?<key>x(?:ox[abprs]|app)-[A-Za-z0-9-]{20,})",
        2.5,
    ),
    shape(
        "slack-webhook",
        "Slack webhook",
        Level::Medium,
        &["https://hooks.slack.com/services/"],
        r"^https://hooks\.slack\.com/services/(?<key>T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{16,})",
        2.5,
    ),
    shape(
        "private-key",
        "Private key",
        Level::Critical,
        &["-----BEGIN "],
        r"^(?<key>-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----)",
        0.0,
    ),
    shape(
        "age-key",
        "age private key",
        Level::Critical,
        &["AGE-SECRET-KEY-1"],
        r"^(?<key>AGE-SECRET-KEY-1[0-9A-Z]{58})",
        3.0,
    ),
    shape(
        "jwt",
        "JSON Web Token",
        Level::Medium,
        &["eyJ"],
        r"^(?<key>eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})",
        3.5,
    ),
    shape("google-api-key", "Google API key", Level::High, &["AIza"], r"^(?<key>AIza[A-Za-z0-9_-]{35})", 3.0),
    shape(
        "sendgrid-key",
        "SendGrid key",
        Level::High,
        &["SG."],
        r"^(?<key>SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})",
        3.5,
    ),
    shape("npm-token", "npm token", Level::High, &["npm_"], r"^(?<key>npm_[A-Za-z0-9]{36})\b", 3.0),
    shape("pypi-token", "PyPI token", Level::High, &["pypi-AgE"], r"^(?<key>pypi-AgE[A-Za-z0-9_-]{50,})", 3.0),
    shape(
        "openai-key",
        "OpenAI key",
        Level::High,
        &["sk-proj-", "sk-svcacct-"],
        r"^(?<key>sk-(?:proj|svcacct)-[A-Za-z0-9_-]{40,})",
        3.5,
    ),
    shape("anthropic-key", "Anthropic key", Level::High, &["sk-ant-"], r"^(?<key>sk-ant-[A-Za-z0-9_-]{60,})", 3.5),
    shape(
        "telegram-bot",
        "Telegram bot token",
        Level::High,
        &["api.telegram.org/bot"],
        r"^api\.telegram\.org/bot(?<key>[0-9]{6,12}:[A-Za-z0-9_-]{30,})",
        3.0,
    ),
    shape(
        "database-url",
        "Database URL with a password",
        Level::High,
        &["postgres://", "postgresql://", "mysql://", "mongodb://", "mongodb+srv://", "redis://", "rediss://"],
        r#"^[a-z+]+://[^\s:@/"'<>]{0,128}:(?<key>[^\s@/"'<>${}]{4,256})@[^\s@/"']"#,
        1.5,
    ),
    Shape {
        word: false,
        ..shape(
            "exchange-key",
            "API key or secret by its name",
            Level::Medium,
            &[
                "api_key",
                "apikey",
                "apiKey",
                "API_KEY",
                "APIKEY",
                "api-key",
                "api_secret",
                "apiSecret",
                "API_SECRET",
                "api-secret",
                "API-KEY",
                "API-Key",
                "Api-Key",
                "private_key",
                "PRIVATE_KEY",
                "privateKey",
                "SECRET_KEY",
                "secret_key",
                "secretKey",
                "JWT_SECRET",
                "client_secret",
                "clientSecret",
                "CLIENT_SECRET",
            ],
            r#"^[A-Za-z_-]+["'\\]{0,3}\s{0,4}[:=]\s{0,4}["'\\]{0,3}(?<key>[A-Za-z0-9_/+=-]{24,256})(?:[^A-Za-z0-9_/+=-]|$)"#,
            3.7,
        )
    },
];

struct Compiled {
    starts: AhoCorasick,
    /// Shape of each start.
    owners: Vec<usize>,
    patterns: Vec<Regex>,
}

static COMPILED: LazyLock<Option<Compiled>> = LazyLock::new(|| {
    let mut owners = Vec::new();
    let mut starts: Vec<&str> = Vec::new();
    for (index, shape) in SHAPES.iter().enumerate() {
        owners.extend(shape.starts.iter().map(|_| index));
        starts.extend(shape.starts);
    }
    Some(Compiled {
        starts: AhoCorasick::builder().match_kind(MatchKind::Standard).build(starts).ok()?,
        owners,
        patterns: SHAPES.iter().map(|shape| Regex::new(shape.pattern).ok()).collect::<Option<_>>()?,
    })
});

/// A key that was seen.
pub(super) struct Seen {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) level: Level,
}

/// Every key in `bytes`: the place of its secret part.
pub(super) fn find(bytes: &[u8]) -> impl Iterator<Item = Seen> + '_ {
    COMPILED.iter().flat_map(move |compiled| {
        compiled.starts.find_overlapping_iter(bytes).filter_map(move |found| {
            let index = compiled.owners[found.pattern().as_usize()];
            let shape = &SHAPES[index];
            let before = found.start().checked_sub(1).map(|at| bytes[at]);
            if shape.word && before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return None;
            }
            let window = &bytes[found.start()..bytes.len().min(found.start() + LONGEST)];
            let key = compiled.patterns[index].captures(window)?.name("key")?;
            if entropy(key.as_bytes()) < shape.entropy {
                return None;
            }
            let (start, end) = (found.start() + key.start(), found.start() + key.end());
            Some(Seen { start, end, id: shape.id, title: shape.title, level: shape.level })
        })
    })
}

/// Shannon entropy in bits a byte.
#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand at most")]
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_usize; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / total).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_compiles() {
        assert!(COMPILED.is_some());
    }

    #[test]
    fn shapes_are_seen_and_ordinary_text_is_not() {
        // Put together here, so that no scanner takes this file for a leak.
        let random = "q7Zp2XvK9mRt4LwB8nYc3HdF6sJg1TaE5uQo";
        for (text, id) in [
            (format!("id={}{}", "AKIA", "Q3EGRIZJ5T7KXW2M"), "aws-access-key-id"),
            (format!("aws_secret_access_key = {random}/k+Z"), "aws-secret-key"),
            (format!("x gh{}{random}", "p_"), "github-token"),
            (format!("k:sk_{}{random}", "live_"), "stripe-key"),
            (format!("-----BEGIN {} KEY-----\nMII", "RSA PRIVATE"), "private-key"),
            (format!("ey{}.ey{}.{random}", "JhbGciOiJIUzI1NiJ9", "JzdWIiOiIxMjM0NTY3ODkwIn0"), "jwt"),
            (format!("postgres://app:{}@db/x", &random[..12]), "database-url"),
            (format!("\"KRAKEN_API_SECRET\": \"{random}\""), "exchange-key"),
        ] {
            let ids: Vec<_> = find(text.as_bytes()).map(|seen| seen.id).collect();
            assert_eq!(ids, [id], "{text}");
        }
        for text in [
            "api_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "postgres://app:${PASSWORD}@db/x",
            "xAKIAQ3EGRIZJ5T7KXW2M",
            "-----BEGIN PUBLIC KEY-----",
            "apiKeyId: key_2",
        ] {
            assert_eq!(find(text.as_bytes()).count(), 0, "{text}");
        }
    }
}
