//! Keys that are an id and a secret, as one value: `id:secret`. Ids hold no colon (AWS: `[A-Z0-9]`; a `kid` is made by us).

use secrecy::{ExposeSecret, SecretString};

/// The value of a key.
pub fn join(id: &str, secret: &SecretString) -> SecretString {
    SecretString::from(format!("{id}:{}", secret.expose_secret()))
}

/// The id, which is no secret; `None` if the value is no pair.
pub fn id_of(value: &SecretString) -> Option<&str> {
    value.expose_secret().split_once(':').map(|(id, _)| id)
}

/// The secret; `None` if the value is no pair.
pub fn secret_of(value: &SecretString) -> Option<SecretString> {
    value.expose_secret().split_once(':').map(|(_, secret)| SecretString::from(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_back() {
        let pair = join("AKIA1", &SecretString::from("s:e/c"));
        assert_eq!((id_of(&pair), secret_of(&pair).unwrap().expose_secret()), (Some("AKIA1"), "s:e/c"));
        assert!(id_of(&SecretString::from("whole")).is_none() && secret_of(&SecretString::from("whole")).is_none());
    }
}
