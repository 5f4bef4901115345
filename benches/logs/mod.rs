//! Logs that look like real ones, and what they cost: shared by the benches of the log scan.

#![allow(dead_code)]

use std::fmt::Write as _;

/// Numbers that look like chance and are the same on every run (Knuth's MMIX constants).
pub struct Dice(pub u64);

impl Dice {
    /// A number below another.
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// So many letters of an alphabet.
    pub fn letters(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(alphabet[usize::try_from(self.next(alphabet.len() as u64)).unwrap()])).collect()
    }

    /// One of several.
    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.next(of.len() as u64)).unwrap()]
    }

    fn address(&mut self) -> String {
        format!("{}.{}.{}.{}", 11 + self.next(80), self.next(256), self.next(256), 1 + self.next(254))
    }
}

/// Base32's letters, small letters, and the digits of hex.
pub const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Small letters.
pub const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
/// Digits of hex.
pub const HEX: &[u8] = b"0123456789abcdef";

/// `CloudTrail` as JSON lines: quiet events, which hardly a rule is about.
pub fn cloudtrail(size: usize) -> String {
    let mut dice = Dice(7);
    let mut text = String::with_capacity(size + 2_048);
    while text.len() < size {
        let name = dice.one(&[
            "DescribeInstances",
            "HeadObject",
            "GetObject",
            "DescribeVolumes",
            "GetMetricData",
            "ListTagsForResource",
            "Decrypt",
            "PutLogEvents",
        ]);
        let service = dice.one(&["ec2", "s3", "monitoring", "rds", "kms", "logs"]);
        let (key, id, request) = (dice.letters(UPPER, 16), dice.letters(HEX, 12), dice.letters(HEX, 12));
        let (second, address, user) = (dice.next(60), dice.address(), dice.letters(LOWER, 8));
        writeln!(
            text,
            "{{\"eventVersion\":\"1.09\",\"userIdentity\":{{\"type\":\"IAMUser\",\"principalId\":\"AIDA{key}\",\"arn\":\
             \"arn:aws:iam::123456789012:user/{user}\",\"accountId\":\"123456789012\",\"accessKeyId\":\"AKIA{key}\",\"userName\":\
             \"{user}\"}},\"eventTime\":\"2026-11-24T01:02:{second:02}Z\",\"eventSource\":\"{service}.amazonaws.com\",\"eventName\":\
             \"{name}\",\"awsRegion\":\"eu-central-1\",\"sourceIPAddress\":\"{address}\",\"userAgent\":\"aws-sdk-java/2.25.11 \
             Linux/5.10.220 OpenJDK_64-Bit_Server_VM/17.0.11\",\"requestParameters\":{{\"bucketName\":\"trades-{user}\",\"Host\":\
             \"trades-{user}.s3.eu-central-1.amazonaws.com\"}},\"responseElements\":null,\"requestID\":\"c8f99ffe-e27c-41ab-84a4-\
             {request}\",\"eventID\":\"48c0979a-5d65-43f7-aa41-{id}\",\"readOnly\":true,\"eventType\":\"AwsApiCall\",\"managementEvent\":\
             true,\"recipientAccountId\":\"123456789012\",\"eventCategory\":\"Management\",\"tlsDetails\":{{\"tlsVersion\":\"TLSv1.3\",\
             \"cipherSuite\":\"TLS_AES_128_GCM_SHA256\",\"clientProvidedHostHeader\":\"{service}.eu-central-1.amazonaws.com\"}}}}"
        )
        .unwrap();
    }
    text
}

/// nginx's combined format.
pub fn access(size: usize) -> String {
    let mut dice = Dice(11);
    let mut text = String::with_capacity(size + 2_048);
    while text.len() < size {
        let (address, second, path, bytes) = (dice.address(), dice.next(60), dice.letters(LOWER, 9), dice.next(90_000));
        let agent = dice.one(&[
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
            "trading-sdk/2.4.1",
        ]);
        writeln!(
            text,
            "{address} - - [24/Nov/2026:01:02:{second:02} +0000] \"GET /api/v1/orders/{path}?page=3 HTTP/1.1\" 200 {bytes} \
             \"https://trade.example.com/orders\" \"{agent}\""
        )
        .unwrap();
    }
    text
}

/// `sshd` and its neighbours in syslog: logins with keys, sessions, noise of the network.
pub fn sshd(size: usize) -> String {
    let mut dice = Dice(17);
    let mut text = String::with_capacity(size + 2_048);
    while text.len() < size {
        let (minute, second, process, port) =
            (dice.next(60), dice.next(60), 1_000 + dice.next(60_000), 1_024 + dice.next(60_000));
        let (address, user, key) = (dice.address(), dice.one(&["deploy", "git", "backup"]), dice.letters(HEX, 43));
        let said = match dice.next(8) {
            0 => format!("Accepted publickey for {user} from {address} port {port} ssh2: ED25519 SHA256:{key}"),
            1 | 2 => format!("pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)"),
            3 | 4 => format!("pam_unix(sshd:session): session closed for user {user}"),
            5 => format!("Received disconnect from {address} port {port}:11: disconnected by user"),
            6 => format!("Disconnected from user {user} {address} port {port}"),
            _ => format!("Connection closed by {address} port {port} [preauth]"),
        };
        writeln!(text, "Nov 24 01:{minute:02}:{second:02} bastion sshd[{process}]: {said}").unwrap();
    }
    text
}

/// PostgreSQL's text log with the statements of an application.
pub fn postgres(size: usize) -> String {
    let mut dice = Dice(19);
    let mut text = String::with_capacity(size + 2_048);
    while text.len() < size {
        let (second, process, id) = (dice.next(60), 1_000 + dice.next(60_000), dice.letters(HEX, 24));
        let said = match dice.next(8) {
            0 | 1 => "LOG:  duration: 3.071 ms  execute <unnamed>: SELECT \"public\".\"Order\".\"id\", \"public\".\"Order\".\"price\" \
                      FROM \"public\".\"Order\" WHERE \"public\".\"Order\".\"accountId\" = $1 ORDER BY \"createdAt\" DESC LIMIT $2"
                .to_owned(),
            2 | 3 => format!("DETAIL:  parameters: $1 = '{id}', $2 = '50'"),
            4 | 5 => format!("LOG:  statement: UPDATE \"Order\" SET \"status\" = 'FILLED' WHERE \"id\" = '{id}'"),
            6 => format!("LOG:  statement: INSERT INTO \"Trade\" (\"id\",\"price\",\"quantity\") VALUES ('{id}', 10.5, 3)"),
            _ => "LOG:  disconnection: session time: 0:00:07.123 user=trading database=trades host=10.0.3.7 port=5512".to_owned(),
        };
        writeln!(text, "2026-11-24 01:02:{second:02}.071 UTC [{process}] trading@trades {said}").unwrap();
    }
    text
}

/// A list of indicators as people have them: addresses and networks, domains, digests, key ids and wallets, a few texts.
pub fn indicators(count: usize) -> String {
    let mut dice = Dice(13);
    let mut text = String::new();
    for number in 0..count {
        let line = match number % 20 {
            // Out of the range of the logs' addresses: what is measured is the looking.
            0..=7 => format!("{}.{}.{}.{}", 130 + dice.next(30), dice.next(256), dice.next(256), dice.next(256)),
            8 => format!("{}.{}.{}.0/24", 130 + dice.next(30), dice.next(256), dice.next(256)),
            9 => format!("2a02:{:x}:{:x}::{:x}", dice.next(65_536), dice.next(65_536), 1 + dice.next(65_535)),
            10..=13 => format!("{}.example-{}.net", dice.letters(LOWER, 6), dice.letters(LOWER, 5)),
            14..=16 => dice.letters(HEX, 64),
            17 => format!("AKIA{}", dice.letters(UPPER, 16)),
            18 => format!("0x{}", dice.letters(HEX, 40)),
            _ if number % 200 == 19 => format!("string:{} {}", dice.letters(LOWER, 7), dice.letters(LOWER, 7)),
            _ => format!("https://{}.example.org/{}", dice.letters(LOWER, 8), dice.letters(LOWER, 6)),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Clock ticks (hundredths of a second) of processor time that this process has used, and those that it waited for.
pub fn processor_ticks() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (fields.iter().take(2).sum(), fields.iter().skip(2).sum())
}

/// Bytes of memory that this process holds, and the most that it held.
pub fn resident() -> (u64, u64) {
    resident_of("self")
}

/// The same of another process.
pub fn resident_of(process: &str) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    (of("VmRSS"), of("VmHWM"))
}
