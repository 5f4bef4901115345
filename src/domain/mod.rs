//! Values and newtypes that every room shares. Imports nothing of ours, performs no effect.

mod backup;
mod catalog;
mod checklist;
mod clean;
mod copies;
mod counted;
mod credential;
mod digest;
pub mod ed25519;
pub mod ed25519_pem;
mod finding;
pub mod guard;
mod ids;
pub mod key_pair;
mod notice;
mod pause;
mod raw_row;
mod step;
pub mod url_password;

pub use backup::{Backup, BackupCheck, BackupVerdict};
pub use catalog::{Column, DatabaseObject, ObjectList, Relations, Row, Table, TableName};
pub use checklist::ChecklistItem;
pub use clean::{clean, clean_json};
pub use copies::{copy_name, is_copy};
pub use counted::counted;
pub use credential::{Fingerprint, FingerprintKey, Probe};
pub use digest::{Digest, DigestContext, DigestError};
pub use finding::{DONE_AT, Finding, FindingKind, Level, RuleRef, Source, finding_id, malicious_span};
pub use ids::{CredentialId, IdError, IncidentId, StepId};
pub use notice::{Delivery, Moment, Notice, Words};
pub use pause::{Canary, SwitchState};
pub use raw_row::{Form, RawRow};
pub use step::{Action, Outcome, Phase, Plan, StepReport, StepSpec};

/// A moment in UTC.
pub type Timestamp = jiff::Timestamp;
