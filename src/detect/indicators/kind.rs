//! Kinds of indicators and the names that lists give them.

/// What an indicator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An IP address or a network.
    Ip,
    /// A domain with all below it.
    Domain,
    /// A URL; its scheme does not count.
    Url,
    /// An e-mail address.
    Email,
    /// A digest of a file.
    Hash,
    /// The id of an access key.
    KeyId,
    /// An address of a wallet.
    Wallet,
    /// A user agent, or a part of one.
    UserAgent,
    /// Any text.
    String,
}

impl Kind {
    /// All kinds, in their order.
    pub(super) const ALL: [Self; 9] = [
        Self::Ip,
        Self::Domain,
        Self::Url,
        Self::Email,
        Self::Hash,
        Self::KeyId,
        Self::Wallet,
        Self::UserAgent,
        Self::String,
    ];

    /// Its name, as it stands behind `indicator:` in a rule's id.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Domain => "domain",
            Self::Url => "url",
            Self::Email => "email",
            Self::Hash => "hash",
            Self::KeyId => "key-id",
            Self::Wallet => "wallet",
            Self::UserAgent => "user-agent",
            Self::String => "string",
        }
    }

    /// Its name for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ip => "address",
            Self::Domain => "domain",
            Self::Url => "URL",
            Self::Email => "e-mail address",
            Self::Hash => "hash",
            Self::KeyId => "key id",
            Self::Wallet => "wallet",
            Self::UserAgent => "user agent",
            Self::String => "text",
        }
    }
}

/// A type as a list names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: Kind,
    /// Whether a private network is meant.
    pub(super) private: bool,
}

/// Names of types in lines, CSV and MISP, without regard to case and to `_` or `-`.
const NAMES: &[(Kind, &[&str])] = &[
    (
        Kind::Ip,
        &["ip", "ipaddress", "address", "ipv4", "ipv6", "ipv4addr", "ipv6addr", "cidr", "ipsrc", "ipdst", "network"],
    ),
    (Kind::Domain, &["domain", "domainname", "hostname", "host", "fqdn"]),
    (Kind::Url, &["url", "uri", "link"]),
    (Kind::Email, &["email", "emailaddr", "emailaddress", "emailsrc", "emaildst", "mail", "emailreplyto"]),
    (
        Kind::Hash,
        &[
            "hash",
            "md5",
            "sha1",
            "sha256",
            "sha384",
            "sha512",
            "filehash",
            "filehashmd5",
            "filehashsha1",
            "filehashsha256",
        ],
    ),
    (Kind::KeyId, &["keyid", "key", "accesskey", "accesskeyid", "apikey", "apikeyid", "awsaccesskey"]),
    (Kind::Wallet, &["wallet", "btc", "eth", "xmr", "dash", "bitcoin", "ethereum", "walletaddress"]),
    (Kind::UserAgent, &["useragent", "ua", "httpuseragent"]),
    (Kind::String, &["string", "text", "pattern", "filename", "regkey", "mutex", "processname"]),
];

impl Named {
    /// The type of that name; none where no list calls anything so.
    pub(super) fn of(name: &str) -> Option<Self> {
        let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect::<String>().to_lowercase();
        if matches!(plain.as_str(), "privateip" | "internalip") {
            return Some(Self { kind: Kind::Ip, private: true });
        }
        let kind = NAMES.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(kind, _)| *kind)?;
        Some(Self { kind, private: false })
    }
}

/// The names that lines may use, for an error.
pub(super) const KNOWN: &str =
    "ip, private-ip, domain, url, email, hash (md5, sha1, sha256, sha512), key-id, wallet, user-agent, string";
