//! The ledger: journal and audit trail in one file. Entries, their replay into state, the Merkle tree over their bytes.
//!
//! Pure: bytes in, values out. The file itself is behind `ports::CaseStore`; the writer is `engine::Journal`.

mod checkpoint;
mod entry;
mod event;
mod kept;
pub mod merkle;
mod order;
mod read;
mod state;
mod stream;
mod switches;
mod watched;

pub use checkpoint::{Checkpoint, CheckpointError, MAX_CHECKPOINT_BYTES, VerifierKey, origin};
pub use entry::{Entry, EntryError, MAX_ENTRY_BYTES};
pub use event::{Event, FileBinding, GateCheck, Verdict};
pub use kept::{CosignerKey, KeptError, compare};
pub use read::{LedgerError, Tail, Verified, read, replay};
pub use state::{
    ApprovalState, CredentialState, Disposition, IncidentState, PauseState, ReplayError, ScanState, StepState,
};
pub use watched::Watched;
