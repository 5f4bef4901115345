use std::sync::Mutex;

use super::*;
use crate::adapters::{case_files::CaseFiles, vault::SealedFiles};
use crate::domain::IncidentId;
use crate::ports::{CaseFolders, Vault};

fn injector(plan: &str) -> Arc<Injector> {
    Injector::new(FaultPlan::parse(plan).unwrap(), None)
}

#[tokio::test]
async fn a_lost_reply_is_an_effect_all_the_same() {
    let injector = injector("lose-reply=2");
    let done = Mutex::new(0);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let effect = async {
            *done.lock().unwrap() += 1;
            Ok(())
        };
        kinds.push(injector.effect("guard", "engage", effect).await.err().map(|fault| fault.kind));
    }
    assert_eq!(kinds, [None, Some(FaultKind::OutcomeUnknown), None]);
    assert_eq!(*done.lock().unwrap(), 3);
}

#[test]
fn what_cannot_be_reached_has_no_effect_and_is_not_counted() {
    let home = tempfile::tempdir().unwrap();
    let injector = injector("fail=vault");
    let sealed: Arc<dyn Vault> = Arc::new(SealedFiles::new(home.path(), &[1; 32]).unwrap());
    let faulty = files::vault(&injector, Arc::clone(&sealed));
    assert_eq!(faulty.seal("a", &"x".into()).unwrap_err().kind, FaultKind::Unavailable);
    assert!(sealed.open("a").unwrap().is_none());
    assert_eq!(injector.effects.load(Ordering::SeqCst), 0);
}

#[test]
fn appends_and_writes_of_the_case_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let count = home.path().join("count");
    let injector = injector(&format!("count={}", count.display()));
    let cases: Arc<dyn CaseFolders> = Arc::new(CaseFiles::new(home.path()));
    let case = files::cases(&injector, cases).open(&IncidentId::new("inc-1").unwrap(), true).unwrap();
    case.append_ledger(b"one\n").unwrap();
    case.write("evidence/x", b"x").unwrap();
    assert_eq!(case.read("evidence/x").unwrap().unwrap(), b"x");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "2");
}
