//! What the tables beside the trade table, and their columns, are called.

use super::Role;
use super::names::{Known, known};

pub(super) const KEYS: &[Known] = &[
    known(Role::Id, &["id", "keyid", "apikeyid", "uuid"], &[], &[]),
    known(
        Role::Account,
        &[
            "accountid",
            "account",
            "tradingaccountid",
            "userid",
            "user",
            "ownerid",
            "clientid",
            "customerid",
            "memberid",
            "traderid",
        ],
        &["account", "user", "owner", "client", "customer", "trader", "member"],
        &["ip", "agent"],
    ),
    known(
        Role::RevokedAt,
        &["revokedat", "revoked", "revokedon", "disabledat", "deletedat", "deactivatedat"],
        &["revoked", "disabled", "deactivated", "deleted"],
        &["by", "reason", "is"],
    ),
    known(
        Role::ExpiresAt,
        &["expiresat", "expiry", "expiresin", "expirationdate", "validuntil", "expires", "expireson"],
        &["expires", "expiry", "expiration"],
        &[],
    ),
    known(Role::CreatedAt, &["createdat", "created", "createdon", "issuedat"], &["created", "issued"], &["by"]),
    known(
        Role::Scope,
        &["scope", "scopes", "permissions", "permission", "rights", "role", "access"],
        &["scope", "scopes", "permissions", "rights"],
        &[],
    ),
    known(Role::Active, &["active", "isactive", "enabled", "isenabled", "status"], &["active", "enabled"], &[]),
    known(
        Role::Ip,
        &["allowedips", "ipwhitelist", "ipallowlist", "allowedip"],
        &["ips", "whitelist", "allowlist"],
        &[],
    ),
    known(
        Role::Secret,
        &[
            "keyhash",
            "hash",
            "hashedkey",
            "keydigest",
            "secrethash",
            "tokenhash",
            "key",
            "apikey",
            "secret",
            "token",
            "value",
        ],
        &["hash", "hashed", "secret", "token", "digest"],
        &[],
    ),
];

pub(super) const ACCOUNTS: &[Known] = &[
    known(Role::Id, &["id", "accountid", "userid", "uuid"], &[], &[]),
    known(
        Role::DailyLimit,
        &["dailylimit", "daylimit", "dailytradelimit", "maxdailyvolume", "dailyvolumelimit"],
        &["daily", "day"],
        &["loss", "count"],
    ),
    known(Role::PositionLimit, &["positionlimit", "maxposition", "maxpositionsize"], &["position"], &[]),
    known(
        Role::Limit,
        &[
            "tradelimit",
            "maxtradevalue",
            "maxtrade",
            "limit",
            "tradinglimit",
            "maxordervalue",
            "ordervaluelimit",
            "maxtradesize",
            "pertradelimit",
        ],
        &["limit"],
        &["daily", "day", "position", "rate", "count", "withdraw", "withdrawal", "weekly", "monthly", "credit", "open"],
    ),
    known(
        Role::RevokedAt,
        &["closedat", "deletedat", "frozenat", "suspendedat", "disabledat", "deactivatedat"],
        &["closed", "frozen", "suspended", "deleted", "disabled"],
        &["by", "reason", "is"],
    ),
    known(Role::CreatedAt, &["createdat", "created", "createdon", "openedat"], &["created", "opened"], &["by"]),
    known(Role::Status, &["status", "state"], &["status"], &["kyc"]),
];

pub(super) const SESSIONS: &[Known] = &[
    known(Role::Id, &["id", "sessionid", "uuid"], &[], &[]),
    known(
        Role::Account,
        &["accountid", "userid", "user", "account", "ownerid", "actorid"],
        &["account", "user", "actor"],
        &["agent"],
    ),
    known(Role::Ip, &["ip", "ipaddress", "clientip", "remoteip", "sourceip", "ipaddr"], &["ip"], &[]),
    known(
        Role::CreatedAt,
        &["createdat", "created", "startedat", "loginat", "timestamp", "at"],
        &["created", "started", "login"],
        &["by"],
    ),
    known(
        Role::ExpiresAt,
        &["expiresat", "expires", "endedat", "logoutat", "expiry"],
        &["expires", "ended", "logout", "expiry"],
        &[],
    ),
    known(
        Role::Secret,
        &["token", "tokenhash", "sessiontoken", "refreshtoken", "accesstoken"],
        &["token", "hash", "secret"],
        &[],
    ),
];

/// Words of the names of tables that hold a thing.
pub(super) const KEY_TABLES: &[&str] = &[
    "apikey",
    "apikeys",
    "accesskey",
    "accesskeys",
    "apitoken",
    "apitokens",
    "apicredential",
    "apicredentials",
    "credential",
    "credentials",
];
pub(super) const ACCOUNT_TABLES: &[&str] = &[
    "account",
    "accounts",
    "tradingaccount",
    "tradingaccounts",
    "brokerageaccount",
    "brokerageaccounts",
    "user",
    "users",
    "customer",
    "customers",
    "client",
    "clients",
    "trader",
    "traders",
    "member",
    "members",
    "portfolio",
    "portfolios",
    "wallet",
    "wallets",
];
pub(super) const ORDER_TABLES: &[&str] = &[
    "order",
    "orders",
    "tradeorder",
    "tradeorders",
    "tradingorder",
    "tradingorders",
    "marketorder",
    "stockorder",
    "stockorders",
];
pub(super) const SESSION_TABLES: &[&str] = &[
    "session",
    "sessions",
    "usersession",
    "usersessions",
    "loginsession",
    "loginsessions",
    "authsession",
    "loginevent",
    "loginevents",
];
/// Names of trade tables, where policy's is not there.
pub(super) const TRADE_TABLES: &[&str] = &[
    "trade",
    "trades",
    "tradeexecution",
    "tradeexecutions",
    "execution",
    "executions",
    "fill",
    "fills",
    "deal",
    "deals",
    "tradehistory",
    "transaction",
    "transactions",
    "markettrade",
    "stocktrade",
];
