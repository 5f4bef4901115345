use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{given}` is not valid: use 1 to {max} of a-z A-Z 0-9 . _ - and start with a letter or digit")]
pub struct IdError {
    kind: &'static str,
    given: String,
    max: usize,
}

fn check(kind: &'static str, max: usize, text: &str) -> Result<(), IdError> {
    let valid = text.len() <= max
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if valid {
        return Ok(());
    }
    Err(IdError { kind, given: text.escape_debug().take(80).collect(), max })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks the text: 1 to the limit of `a-z A-Z 0-9 . _ -`, so that it is safe as a file name.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($kind, $max, &text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// An incident, for instance `inc-20261124T105541Z-7f3a`. Also the name of its case folder.
    IncidentId, "incident", 64
);
id!(
    /// A credential's name in `policies/credentials.yml`.
    CredentialId, "credential", 64
);
id!(
    /// A step of a plan, unique within an incident: for instance `rotate.db-app.issue`.
    StepId, "step", 160
);
