//! Requests to somebody else's HTTP API, as policies declare them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A key that an HTTP API makes, tests and deletes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpApiPolicy {
    /// Makes a new key; its answer is JSON.
    pub create: ApiRequest,
    /// JSON pointer (RFC 6901) of the new key's id in that answer; absent if keys have none.
    #[serde(default)]
    pub created_id: Option<String>,
    /// JSON pointer (RFC 6901) of the new key's secret in that answer.
    pub created_secret: String,
    /// Deletes the old key.
    pub revoke: ApiRequest,
    /// A read-only request that a live key is allowed: 2xx, and 401 or 403 with a dead one.
    pub test: ApiRequest,
    /// Cancels all open orders; sent with the old key before it is killed.
    #[serde(default)]
    pub cancel: Option<ApiRequest>,
}

/// One request. In `url`, `{id}` stands for the id of the key that it is about; in headers and body also `{secret}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiRequest {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// Address.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body, sent as `application/json` unless a header says otherwise.
    #[serde(default)]
    pub body: Option<String>,
}
