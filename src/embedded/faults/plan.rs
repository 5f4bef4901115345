use std::path::{Path, PathBuf};

use crate::ports::{Fault, FaultKind};

/// Environment variable that holds a plan; only an embedded deployment reads it.
pub const FAULTS_VARIABLE: &str = "PORTCULLIS_EMBEDDED_FAULTS";

/// What goes wrong, and when. Effects are counted from 1 within a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// The process dies (SIGKILL) just before that effect.
    pub kill_before: Option<u64>,
    /// The process dies just after that effect, before anybody hears of it.
    pub kill_after: Option<u64>,
    /// From just before that effect on nothing has any effect: a death that the process survives, for many in one.
    pub halt_before: Option<u64>,
    /// From just after that effect on nothing has any effect.
    pub halt_after: Option<u64>,
    /// That effect happens, and its reply is lost.
    pub lose_reply: Option<u64>,
    /// Places that can't be reached at all: `secretsmanager`, `dotenv`, `issuer`, `switch`, `guard`, `service`, `ledger`,
    /// `case`, `vault`, `backup`, or one of several by name, `switch:flag`.
    pub fail: Vec<String>,
    /// Where the number of effects so far is written after each.
    pub count: Option<PathBuf>,
    /// Where each effect is named, one line each: its number, its place, what it does.
    pub log: Option<PathBuf>,
    /// Folder into which every write and sync is noted, for the rehearsal of a power cut.
    pub record: Option<PathBuf>,
    /// Syncs that are left out: `file:NAME` or `folder:NAME`, the last part of a path or its beginning.
    pub skip_sync: Option<String>,
    /// Steps, by the beginning of their id, that act without looking first.
    pub skip_look: Option<String>,
    /// Intents are written after the effect.
    pub skip_intent: bool,
}

impl FaultPlan {
    /// Reads `kill-before=7, fail=secretsmanager, count=FILE`: parts between commas, `fail` as often as wanted.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut plan = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| wrong(part, "it has no `=`"))?;
            let number = || match value.parse::<u64>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(wrong(part, "effects are counted from 1")),
            };
            match name {
                "kill-before" => plan.kill_before = number()?,
                "kill-after" => plan.kill_after = number()?,
                "lose-reply" => plan.lose_reply = number()?,
                "fail" if PLACES.contains(&value.split(':').next().unwrap_or(value)) => plan.fail.push(value.into()),
                "fail" => return Err(wrong(part, &format!("places are {}", PLACES.join(", ")))),
                "halt-before" => plan.halt_before = number()?,
                "halt-after" => plan.halt_after = number()?,
                "log" => plan.log = Some(Path::new(value).to_owned()),
                "record" => plan.record = Some(Path::new(value).to_owned()),
                "skip-sync" if value.starts_with("file:") || value.starts_with("folder:") => {
                    plan.skip_sync = Some(value.to_owned());
                }
                "skip-look" => plan.skip_look = Some(value.to_owned()),
                "skip-intent" => plan.skip_intent = value == "all",
                "count" => plan.count = Some(Path::new(value).to_owned()),
                _ => {
                    let known =
                        "kill-before, kill-after, halt-before, halt-after, lose-reply, fail, count, log, record";
                    return Err(wrong(part, &format!("use {known}, skip-sync, skip-look or skip-intent")));
                }
            }
        }
        Ok(plan)
    }

    /// Whether a place can't be reached: named by itself or with the name of one of several.
    pub(super) fn fails(&self, place: &str) -> bool {
        let family = place.split(':').next().unwrap_or(place);
        self.fail.iter().any(|fail| fail == place || fail == family)
    }
}

const PLACES: [&str; 10] =
    ["secretsmanager", "dotenv", "issuer", "switch", "guard", "service", "ledger", "case", "vault", "backup"];

fn wrong(part: &str, why: &str) -> Fault {
    Fault::new(FaultKind::Invalid, format!("{FAULTS_VARIABLE}: `{}` can't be understood: {why}", part.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_mistakes_named() {
        let plan = FaultPlan::parse("kill-after=7, fail=secretsmanager,fail=switch:flag ,count=/tmp/n").unwrap();
        assert_eq!(plan.kill_after, Some(7));
        assert_eq!(plan.count.as_deref(), Some(Path::new("/tmp/n")));
        assert!(plan.fails("secretsmanager") && plan.fails("switch:flag"));
        assert!(!plan.fails("switch:api") && !plan.fails("guard"));
        assert!(FaultPlan::parse("fail=switch").unwrap().fails("switch:api"));
        assert_eq!(FaultPlan::parse("").unwrap(), FaultPlan::default());
        for bad in ["kill-before=0", "kill-before=x", "kill", "fail=moon", "explode=1"] {
            assert_eq!(FaultPlan::parse(bad).unwrap_err().kind, FaultKind::Invalid, "{bad}");
        }
    }
}
