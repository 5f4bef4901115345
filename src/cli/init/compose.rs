//! What a compose file says of its services (<https://compose-spec.io>).

use serde_json::Value;

/// Whether a name can stand in a policy as it is.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Names of the services.
pub(super) fn services(document: &Value) -> Vec<String> {
    let services = document.get("services").and_then(Value::as_object);
    services.into_iter().flat_map(|services| services.keys()).filter(|name| is_name(name)).cloned().collect()
}

/// A port on this machine and the one in the container.
fn published(port: &Value) -> Option<(u16, u16)> {
    if let Some(long) = port.as_object() {
        let number = |key: &str| match long.get(key)? {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        return Some((number("published")?, number("target")?));
    }
    // HOST:CONTAINER or ADDRESS:HOST:CONTAINER, perhaps with /tcp; a single number is published at any port.
    let text = port.as_str()?.split('/').next()?;
    let mut parts = text.rsplit(':');
    let (target, host) = (parts.next()?, parts.next()?);
    Some((host.parse().ok()?, target.parse().ok()?))
}

/// Port and path of the address on the service itself that its health check asks.
fn checked(service: &Value) -> Option<(u16, String)> {
    let test = match service.get("healthcheck")?.get("test")? {
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.as_str()?.to_owned(),
    };
    let start = ["http://localhost", "http://127.0.0.1"].into_iter().find_map(|start| test.split_once(start))?.1;
    let address: String =
        start.chars().take_while(|letter| !letter.is_whitespace() && !"\"'|;&)".contains(*letter)).collect();
    let (port, path) = address.split_once('/').unwrap_or((&address, ""));
    let port = port.strip_prefix(':').map_or(Some(80), |port| port.parse().ok())?;
    Some((port, format!("/{path}")))
}

/// The health address of a service as this machine reaches it: the address that its health check asks, at the port that is
/// published for it. `None` where no port is.
pub(super) fn health(document: &Value, name: &str) -> Option<String> {
    let service = document.get("services")?.get(name)?;
    let ports: Vec<(u16, u16)> =
        service.get("ports").and_then(Value::as_array).into_iter().flatten().filter_map(published).collect();
    let (target, path) = checked(service).unzip();
    let (host, _) = match target {
        Some(target) => ports.iter().find(|(_, inside)| *inside == target)?,
        None => ports.first()?,
    };
    Some(format!("http://localhost:{host}{}", path.as_deref().unwrap_or("/health")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_health_address_is_that_of_the_check_at_the_published_port() {
        let of = |service: Value| health(&json!({"services": {"api": service}}), "api");
        let asks =
            |test: Value| json!({"ports": ["9229:9229", "127.0.0.1:8080:3001/tcp"], "healthcheck": {"test": test}});
        let wanted = Some("http://localhost:8080/healthz".to_owned());
        assert_eq!(of(asks(json!(["CMD", "curl", "-f", "http://localhost:3001/healthz"]))), wanted);
        assert_eq!(of(asks(json!("wget -q 'http://127.0.0.1:3001/healthz' || exit 1"))), wanted);
        // A check of something else says nothing of ports.
        assert_eq!(of(asks(json!("pg_isready"))).as_deref(), Some("http://localhost:9229/health"));
        assert_eq!(
            of(json!({"ports": [{"published": "4000", "target": 3001}]})).as_deref(),
            Some("http://localhost:4000/health")
        );
        assert_eq!(of(json!({"ports": ["3001"]})), None);
        assert_eq!(of(json!({})), None);
    }
}
