use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    Action, ChecklistItem, CredentialId, Delivery, Digest, Fingerprint, IncidentId, Level, Moment, Outcome, Phase,
    StepId, Timestamp,
};

/// A file of the case folder, bound to the ledger by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileBinding {
    /// Path below the case folder, `/`-separated.
    pub path: String,
    /// Size in bytes at the time of binding.
    pub bytes: u64,
    /// Digest of those bytes.
    pub sha256: Digest,
}

/// The verdict of one gate check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Holds.
    Pass,
    /// Does not hold; the gate stays shut.
    Refuse,
}

/// One check of the resume gate: the `gate` record of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateCheck {
    /// Name, for instance `quorum`.
    pub check: String,
    /// Verdict.
    pub verdict: Verdict,
    /// What was seen, and for a refusal what to do.
    pub reason: String,
}

impl GateCheck {
    /// The check of that name with its ruling: what was seen, or why it refuses and what to do.
    pub fn ruled(name: &str, ruling: Result<String, String>) -> Self {
        let (verdict, reason) = match ruling {
            Ok(reason) => (Verdict::Pass, reason),
            Err(reason) => (Verdict::Refuse, reason),
        };
        Self { check: name.to_owned(), verdict, reason }
    }
}

/// What an entry says happened. Written in `kind`; unknown fields and kinds are errors, so that nothing signed goes unread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum Event {
    /// First entry of every ledger.
    #[serde(rename = "incident.opened")]
    IncidentOpened {
        /// The incident.
        incident: IncidentId,
        /// Why, in the operator's words.
        reason: String,
        /// Who (`PORTCULLIS_OPERATOR`).
        operator: String,
        /// Credentials named as compromised.
        compromised: Vec<CredentialId>,
        /// 128 random bits in hex, so that no two incidents can share a record.
        nonce: String,
        /// The machine's public key, as a C2SP signed-note verifier key.
        machine_key: String,
        /// Digests of the policies in force; copies lie in the case folder under `policies/`.
        policies: BTreeMap<String, Digest>,
        /// Version of this program.
        version: String,
    },
    /// More credentials were named as compromised.
    #[serde(rename = "incident.widened")]
    IncidentWidened {
        /// Credentials named as compromised.
        compromised: Vec<CredentialId>,
        /// Why.
        reason: String,
        /// Who.
        operator: String,
    },
    /// A plan was made and is about to be executed.
    #[serde(rename = "plan.made")]
    PlanMade {
        /// The command: `lockdown`, `restore`, `resume`, `keys rotate`.
        command: String,
        /// Number of steps.
        steps: u64,
        /// Digest of the plan's JSON.
        sha256: Digest,
        /// Who.
        operator: String,
    },
    /// A step is about to act. Written and synced before the effect.
    #[serde(rename = "step.intent")]
    StepIntent {
        /// The step.
        step: StepId,
        /// Its phase.
        phase: Phase,
        /// What it acts on.
        target: String,
        /// What it does.
        action: Action,
        /// 1 for the first try within the incident.
        attempt: u32,
    },
    /// How the step ended.
    #[serde(rename = "step.outcome")]
    StepOutcome {
        /// The step.
        step: StepId,
        /// The try that ended.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// Milliseconds from intent to outcome.
        elapsed_ms: u64,
        /// What was seen. Never a secret.
        detail: String,
    },
    /// A new value was made and sealed outside the case folder, before anything was changed.
    #[serde(rename = "credential.staged")]
    CredentialStaged {
        /// The credential.
        credential: CredentialId,
        /// Counts rotations of this credential within the incident, from 1.
        generation: u32,
        /// Fingerprint of the old value; absent if it could not be read.
        old: Option<Fingerprint>,
        /// Fingerprint of the new value; null where only the issuer can make one (`credential.created` then says it).
        new: Option<Fingerprint>,
        /// Idempotency token for stores that take one (Secrets Manager's `ClientRequestToken`).
        token: String,
    },
    /// The issuer made the new value, which is sealed outside the case folder.
    #[serde(rename = "credential.created")]
    CredentialCreated {
        /// The credential.
        credential: CredentialId,
        /// Rotation it belongs to.
        generation: u32,
        /// Fingerprint of the new value.
        new: Fingerprint,
    },
    /// The result of a proof.
    #[serde(rename = "credential.proof")]
    CredentialProof {
        /// The credential.
        credential: CredentialId,
        /// Rotation it is about.
        generation: u32,
        /// New value accepted by the server that honours it.
        new_accepted: bool,
        /// Old value refused by the server that honours it.
        old_refused: bool,
        /// `server`: the server itself was asked; `store`: policy accepts that only the stores were; `attested`: a person said so.
        strength: String,
        /// The server's words.
        detail: String,
    },
    /// The pause was proven, or found not to hold.
    #[serde(rename = "pause.proof")]
    PauseProof {
        /// A trade tried as the application was refused by the guard.
        refused: bool,
        /// Milliseconds from the start of the command to the acknowledgement.
        pause_ms: u64,
        /// The database's words.
        detail: String,
    },
    /// Evidence was captured.
    #[serde(rename = "evidence.collected")]
    EvidenceCollected {
        /// Name of the collector.
        name: String,
        /// The file under `evidence/`.
        file: FileBinding,
    },
    /// A scan ended.
    #[serde(rename = "scan.completed")]
    ScanCompleted {
        /// `logs`, `trades`, `secrets`, `database`, `backup`.
        scan: String,
        /// Findings by this scan (new or seen before).
        findings: u64,
        /// The highest level among them.
        highest: Option<Level>,
        /// Earliest event among findings at `high` or above.
        first_malicious: Option<Timestamp>,
        /// Whether everything that was asked for was read.
        complete: bool,
        /// The scan's summary record: files, rules, what was skipped, unreadable or uncovered.
        coverage: Map<String, Value>,
        /// `findings.jsonl` as it is after this scan.
        file: FileBinding,
    },
    /// A person decided what findings are.
    #[serde(rename = "finding.disposed")]
    FindingDisposed {
        /// Finding ids.
        findings: Vec<String>,
        /// `benign`, `confirmed` or `unknown`.
        verdict: String,
        /// Why.
        note: String,
        /// Who.
        operator: String,
    },
    /// A backup was chosen, or none could be.
    #[serde(rename = "backup.chosen")]
    BackupChosen {
        /// The file; absent if none passed.
        path: Option<String>,
        /// Its digest.
        sha256: Option<Digest>,
        /// Every backup that was looked at, with its checks, newest first.
        verdicts: Vec<Value>,
    },
    /// A checklist item or a manual step was attested by a person.
    #[serde(rename = "item.attested")]
    ItemAttested {
        /// Item or step.
        item: String,
        /// What the person says.
        note: String,
        /// Who.
        operator: String,
    },
    /// The post-recovery checklist was gone through.
    #[serde(rename = "checklist.reviewed")]
    ChecklistReviewed {
        /// Every item, open or not.
        items: Vec<ChecklistItem>,
        /// Who asked for it.
        operator: String,
    },
    /// The audit record was written.
    #[serde(rename = "audit.prepared")]
    AuditPrepared {
        /// `audit-record.json`.
        file: FileBinding,
        /// Entries that the record covers.
        tree_size: u64,
        /// RFC 6962 root over them.
        root: Digest,
        /// Who made it; absent in entries of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operator: Option<String>,
    },
    /// An approval was received and verified against the roster of that moment.
    #[serde(rename = "approval.recorded")]
    ApprovalRecorded {
        /// Name in `resume.yml`.
        approver: String,
        /// OpenSSH fingerprint of the key, `SHA256:...`.
        key: String,
        /// Digest of the audit record that was signed.
        record: Digest,
        /// The signature under `approvals/`.
        file: FileBinding,
    },
    /// A signed refusal was received and verified: the gate stays shut for that record.
    #[serde(rename = "refusal.recorded")]
    RefusalRecorded {
        /// Name in `resume.yml`.
        approver: String,
        /// OpenSSH fingerprint of the key, `SHA256:...`.
        key: String,
        /// Digest of the audit record that was refused.
        record: Digest,
        /// The signature under `refusals/`.
        file: FileBinding,
    },
    /// The gate was asked to open.
    #[serde(rename = "gate.evaluated")]
    GateEvaluated {
        /// Whether every check passed.
        opened: bool,
        /// Digest of the audit record.
        record: Option<Digest>,
        /// Every check.
        checks: Vec<GateCheck>,
        /// Who asked.
        operator: String,
    },
    /// Trading was let in again.
    #[serde(rename = "incident.resumed")]
    IncidentResumed {
        /// Digest of the audit record.
        record: Digest,
        /// Who acted.
        operator: String,
        /// Enhanced monitoring is due until then.
        monitor_until: Timestamp,
    },
    /// Somebody was told, or could not be.
    #[serde(rename = "notice.sent")]
    NoticeSent {
        /// Name in `contacts.yml`.
        contact: String,
        /// `webhook`, `slack`, `pagerduty`, `smtp`.
        channel: String,
        /// Why they were told.
        moment: Moment,
        /// What became of it.
        outcome: Delivery,
        /// The channel's words. Never a secret.
        detail: String,
    },
    /// A report, or the findings in another program's form, was written.
    #[serde(rename = "report.written")]
    ReportWritten {
        /// `html`, `markdown`, `json`, `csv`, `stix`, `ocsf`, `timesketch`.
        form: String,
        /// Entries that it tells of.
        entries: u64,
        /// RFC 6962 root over them.
        root: Digest,
        /// The file.
        file: FileBinding,
        /// Who asked for it.
        operator: String,
    },
    /// Enhanced monitoring began, or went on after a restart.
    #[serde(rename = "watch.started")]
    WatchStarted {
        /// Until when it is meant to go on; absent if until it is stopped.
        until: Option<Timestamp>,
        /// Alerts at this level or above drop the gate again; absent if none does.
        auto_pause: Option<Level>,
        /// What is watched, in words.
        watched: Vec<String>,
        /// Who started it.
        operator: String,
    },
    /// A stretch of time was watched.
    #[serde(rename = "watch.covered")]
    WatchCovered {
        /// Its start.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
        /// Log events that were looked at.
        events: u64,
        /// Trades that were looked at.
        trades: u64,
        /// Alerts, of any level.
        alerts: u64,
        /// What was not watched within it, in words: a file that vanished, a database that did not answer.
        gaps: Vec<String>,
    },
    /// A torn tail, left by a crash, was put aside.
    #[serde(rename = "tail.quarantined")]
    TailQuarantined {
        /// Where the bytes lie now.
        file: FileBinding,
    },
}

impl Event {
    /// The event's `kind`, as written in the ledger.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IncidentOpened { .. } => "incident.opened",
            Self::IncidentWidened { .. } => "incident.widened",
            Self::PlanMade { .. } => "plan.made",
            Self::StepIntent { .. } => "step.intent",
            Self::StepOutcome { .. } => "step.outcome",
            Self::CredentialStaged { .. } => "credential.staged",
            Self::CredentialCreated { .. } => "credential.created",
            Self::CredentialProof { .. } => "credential.proof",
            Self::PauseProof { .. } => "pause.proof",
            Self::EvidenceCollected { .. } => "evidence.collected",
            Self::ScanCompleted { .. } => "scan.completed",
            Self::FindingDisposed { .. } => "finding.disposed",
            Self::BackupChosen { .. } => "backup.chosen",
            Self::ItemAttested { .. } => "item.attested",
            Self::ChecklistReviewed { .. } => "checklist.reviewed",
            Self::AuditPrepared { .. } => "audit.prepared",
            Self::ApprovalRecorded { .. } => "approval.recorded",
            Self::RefusalRecorded { .. } => "refusal.recorded",
            Self::GateEvaluated { .. } => "gate.evaluated",
            Self::IncidentResumed { .. } => "incident.resumed",
            Self::NoticeSent { .. } => "notice.sent",
            Self::ReportWritten { .. } => "report.written",
            Self::WatchStarted { .. } => "watch.started",
            Self::WatchCovered { .. } => "watch.covered",
            Self::TailQuarantined { .. } => "tail.quarantined",
        }
    }
}
