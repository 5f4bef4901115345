use serde::{Deserialize, Serialize};

/// An item of the post-recovery checklist: what was seen by this program, or said by a person who is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChecklistItem {
    /// Name; what `checklist --attest` takes, where a person answers for it.
    pub item: String,
    /// Whether it holds.
    pub done: bool,
    /// What was seen or said; if it is open, what to do.
    pub detail: String,
    /// Who attests it; absent where this program saw for itself, and while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
}
