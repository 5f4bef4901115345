//! Every target down, slow, throttled, lying, or its reply lost: all that the fault does not touch is contained all the same, the
//! failed step is named with its reason, and the same command ends the containment once the fault is gone.

mod scene;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use scene::{Part, Scene};

use crate::proxy::{Fault, Rule};
use crate::support::Ran;

/// Which proxy.
#[derive(Clone, Copy)]
enum At {
    Database,
    Aws,
    Service,
}

/// One fault: what it keeps from being contained (nothing: it is overcome), and a word of the step that must fail.
struct Case {
    name: &'static str,
    raise: fn(&Scene),
    lift: fn(&Scene),
    lost: &'static [Part],
    failed: &'static [&'static str],
}

fn rule(scene: &Scene, at: At, words: &[&str], fault: Fault) {
    control(scene, at).add(Rule::on(words, fault));
}

fn first(scene: &Scene, at: At, words: &[&str], fault: Fault) {
    control(scene, at).add(Rule::on(words, fault).times(1));
}

fn control(scene: &Scene, at: At) -> &crate::proxy::Control {
    match at {
        At::Database => &scene.postgres.control,
        At::Aws => &scene.aws.control,
        At::Service => &scene.service.control,
    }
}

fn heal(scene: &Scene) {
    for at in [At::Database, At::Aws, At::Service] {
        control(scene, at).heal();
    }
}

const fn case(name: &'static str, raise: fn(&Scene), lost: &'static [Part], failed: &'static [&'static str]) -> Case {
    Case { name, raise, lift: heal, lost, failed }
}

const ALL_DATABASE: &[Part] = &[Part::Guard, Part::Database, Part::Key];
const ALL_AWS: &[Part] = &[Part::Webhook, Part::Billing];
const BOTH: &[Part] = &[Part::Guard, Part::Database, Part::Key, Part::Webhook, Part::Billing];

/// What is kept in `.env`.
const DOTENV: &[Part] = &[Part::Database, Part::Jwt, Part::Key];
const DOTENV_STAGES: &[&str] = &["rotate.database.1.stage", "rotate.jwt.1.stage", "rotate.key.1.stage"];

/// `.env` in a folder of its own, in which nothing can be made.
fn read_only(scene: &Scene) {
    std::fs::create_dir(scene.path("kept")).unwrap();
    std::fs::rename(scene.path(".env"), scene.path("kept/.env")).unwrap();
    std::os::unix::fs::symlink("kept/.env", scene.path(".env")).unwrap();
    scene.become_stranger();
    scene.allow("kept/.env", 0o444);
    scene.allow("kept", 0o555);
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    // The longest first.
    case("database hangs", |s| rule(s, At::Database, &["CONNECT"], Fault::Hang), ALL_DATABASE, &["pause.guard"]),
    case("password change hangs", |s| rule(s, At::Database, &["ALTER ROLE"], Fault::Hang), &[Part::Database], &["rotate.database.1.issue"]),
    case("AWS hangs", |s| rule(s, At::Aws, &[], Fault::Hang), ALL_AWS, &["rotate.webhook.1.stage", "rotate.billing.1.stage"]),
    case("back end hangs", |s| rule(s, At::Service, &[], Fault::Hang), &[Part::Http], &["pause.backend-api", "restart.backend"]),
    case("no fault", |_| {}, &[], &[]),
    case("database down", |s| s.postgres.control.refuse(true), ALL_DATABASE, &["pause.guard"]),
    case("database slow", |s| rule(s, At::Database, &[], Fault::Slow(Duration::from_millis(150))), &[], &[]),
    case("database full of sessions", |s| rule(s, At::Database, &["CONNECT"], Fault::Throttle), ALL_DATABASE, &["pause.guard"]),
    case("database starting up", |s| rule(s, At::Database, &["CONNECT"], Fault::Broken), ALL_DATABASE, &["pause.guard"]),
    case("database cuts connections", |s| rule(s, At::Database, &["CONNECT"], Fault::CutBefore), ALL_DATABASE, &["pause.guard"]),
    case("password change refused", |s| rule(s, At::Database, &["ALTER ROLE"], Fault::Refuse("42501")), &[Part::Database], &["rotate.database.1.issue"]),
    case("password change a lie", |s| rule(s, At::Database, &["ALTER ROLE"], Fault::Lie("ALTER ROLE")), &[Part::Database], &["rotate.database.1.issue"]),
    case("password change cut", |s| rule(s, At::Database, &["ALTER ROLE"], Fault::CutBefore), &[Part::Database], &["rotate.database.1.issue"]),
    case("guard flag a lie", |s| rule(s, At::Database, &["UPDATE portcullis.guard"], Fault::Lie("UPDATE 1")), &[Part::Guard], &["pause.guard"]),
    case("AWS down", |s| s.aws.control.refuse(true), ALL_AWS, &["rotate.webhook.1.stage", "rotate.billing.1.stage"]),
    case("AWS slow", |s| rule(s, At::Aws, &[], Fault::Slow(Duration::from_millis(150))), &[], &[]),
    case("AWS throttles everything", |s| rule(s, At::Aws, &[], Fault::Throttle), ALL_AWS, &["rotate.webhook.1.stage", "rotate.billing.1.stage"]),
    case("AWS throttles twice", |s| for _ in 0..2 { first(s, At::Aws, &["PutSecretValue"], Fault::Throttle); }, &[], &[]),
    case("AWS says SlowDown once", |s| first(s, At::Aws, &["PutSecretValue"], Fault::SlowDown), &[], &[]),
    case("AWS broken", |s| rule(s, At::Aws, &["PutSecretValue"], Fault::Broken), ALL_AWS, &["rotate.webhook.1.store.0", "rotate.billing.1.store.0"]),
    case("AWS denies writes", |s| rule(s, At::Aws, &["PutSecretValue"], Fault::Refuse("AccessDeniedException")), ALL_AWS, &["rotate.webhook.1.store.0", "rotate.billing.1.store.0"]),
    case("one secret denied", |s| rule(s, At::Aws, &["billing"], Fault::Refuse("AccessDeniedException")), &[Part::Billing], &["rotate.billing.1.stage"]),
    case("AWS write cut once", |s| first(s, At::Aws, &["PutSecretValue"], Fault::CutBefore), &[], &[]),
    case("AWS reply to a write lost", |s| first(s, At::Aws, &["PutSecretValue"], Fault::CutAfter), &[], &[]),
    case("AWS reply to a promotion lost", |s| first(s, At::Aws, &["UpdateSecretVersionStage"], Fault::CutAfter), &[], &[]),
    case("AWS writes are lies", |s| rule(s, At::Aws, &["PutSecretValue"], Fault::Lie("{}")), ALL_AWS, &["rotate.webhook.1.store.0", "rotate.billing.1.store.0"]),
    case("AWS reads stale", |s| rule(s, At::Aws, &["GetSecretValue"], Fault::Stale), ALL_AWS, &["rotate.webhook.1.prove", "rotate.billing.1.prove"]),
    case("AWS reads stale for 2 s", |s| s.aws.control.add(Rule::on(&["GetSecretValue"], Fault::Stale).within(Duration::from_secs(2))), &[], &[]),
    case("database and AWS down", |s| { s.postgres.control.refuse(true); s.aws.control.refuse(true); }, BOTH, &["pause.guard", "rotate.webhook.1.stage"]),
    case("back end down", |s| s.service.control.refuse(true), &[Part::Http], &["pause.backend-api", "restart.backend"]),
    case("back end throttles", |s| rule(s, At::Service, &["/admin/pause"], Fault::Throttle), &[Part::Http], &["pause.backend-api"]),
    case("back end never healthy", |s| rule(s, At::Service, &["/health"], Fault::Broken), &[], &["restart.backend"]),
    case("scheduler switch hangs", |s| s.write_switches("[sleep, '60']"), &[Part::Command], &["pause.scheduler"]),
    case("scheduler switch fails", |s| s.write_switches("['false']"), &[Part::Command], &["pause.scheduler"]),
    Case { lift: |s| std::fs::rename(s.path("aside"), s.path(".env")).unwrap(), ..case(".env missing", |s| std::fs::rename(s.path(".env"), s.path("aside")).unwrap(), DOTENV, DOTENV_STAGES) },
    Case { lift: |s| s.allow(".env", 0o600), ..case(".env unreadable", |s| { s.become_stranger(); s.allow(".env", 0); }, DOTENV, DOTENV_STAGES) },
    Case { lift: |s| s.allow("kept", 0o755), ..case(".env read-only", read_only, &[Part::Jwt], &["rotate.database.1.store.0", "rotate.jwt.1.store.0", "rotate.key.1.store.0"]) },
    case("scheduler switch lies", |s| s.write_switches("['true']"), &[Part::Command], &["pause.scheduler"]),
];

/// Longest that a lockdown may take under a fault: what hangs is asked again within the bounds of its steps, one after another.
const BOUND: Duration = Duration::from_mins(1);

fn failed_steps(ran: &Ran) -> Vec<(String, String)> {
    let steps = ran.of_type("step").into_iter();
    let bad = steps.filter(|step| ["failed", "unknown"].contains(&step["outcome"].as_str().unwrap()));
    bad.map(|step| (step["id"].as_str().unwrap().to_owned(), step["detail"].as_str().unwrap().to_owned())).collect()
}

/// The three steps that took longest, in ms.
fn slowest(ran: &Ran) -> String {
    let steps = ran.of_type("step").into_iter();
    let mut took: Vec<_> = steps.map(|step| (step["elapsed_ms"].as_u64(), step["id"].to_string())).collect();
    took.sort();
    let words = took.iter().rev().take(3).map(|(ms, id)| format!("{} {}", id.trim_matches('"'), ms.unwrap_or(0)));
    words.collect::<Vec<_>>().join(" ")
}

/// Plays a case; what came of it, or what is wrong.
fn play(case: &Case) -> Result<String, String> {
    let Some(scene) = Scene::new(case.name) else { return Ok("skipped".into()) };
    (case.raise)(&scene);
    let began = Instant::now();
    let ran = scene.lockdown();
    let spent = began.elapsed();
    // A fault that never happened shows nothing.
    let hits: u64 = [At::Database, At::Aws, At::Service].map(|at| control(&scene, at).hits()).iter().sum();
    if hits == 0 && !["no fault", "down", "scheduler", ".env"].iter().any(|word| case.name.contains(word)) {
        return Err("the fault was never met".into());
    }
    let failed = failed_steps(&ran);
    let names: Vec<&str> = failed.iter().map(|(id, _)| id.as_str()).collect();
    let wanted = if case.lost.is_empty() && case.failed.is_empty() { 0 } else { 5 };
    if ran.code != Some(wanted) {
        return Err(format!("exit {:?} instead of {wanted}: {failed:?} {}", ran.code, ran.stderr));
    }
    scene.no_secret_in(&ran)?;
    if spent > BOUND {
        return Err(format!("took {spent:?}"));
    }
    let contained = scene.contained();
    let lost: Vec<_> = ALL.iter().filter(|part| !contained.contains(part) && !case.lost.contains(part)).collect();
    if !lost.is_empty() {
        return Err(format!("{lost:?} not contained; {failed:?}"));
    }
    for step in case.failed {
        if !failed.iter().any(|(id, detail)| id == step && !detail.is_empty()) {
            return Err(format!("{step} is not named as failed: {names:?}"));
        }
    }
    (case.lift)(&scene);
    scene.write_switches("[touch, scheduler.stopped]");
    let again = scene.lockdown();
    scene.no_secret_in(&again)?;
    let summary = again.of_type("summary").pop().unwrap_or_default();
    if again.code != Some(0) || summary["contained"] != true || scene.contained().len() != ALL.len() {
        return Err(format!("afterwards: exit {:?}, {:?} {}", again.code, failed_steps(&again), again.stderr));
    }
    let (spent, slowest) = (spent.as_millis(), slowest(&ran));
    Ok(format!("exit {wanted} after {spent:>5} ms, then 0; slowest: {slowest}; failed: {}", names.join(" ")))
}

const ALL: [Part; 9] = [
    Part::Guard,
    Part::File,
    Part::Http,
    Part::Command,
    Part::Database,
    Part::Jwt,
    Part::Key,
    Part::Webhook,
    Part::Billing,
];

#[test]
fn under_every_fault_everything_else_is_contained() {
    let only = std::env::var("PORTCULLIS_TEST_FAULT").unwrap_or_default();
    let todo = Mutex::new(CASES.iter().filter(|case| case.name.contains(&only)));
    let table = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some(case) = todo.lock().unwrap().next() else { return };
                    let outcome = std::panic::catch_unwind(|| play(case)).unwrap_or_else(|_| Err("panicked".into()));
                    table.lock().unwrap().push((case.name, outcome));
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    for (name, outcome) in &table {
        println!("{name:<32} {}", outcome.as_ref().map_or_else(|error| format!("WRONG: {error}"), String::clone));
    }
    let wrong: Vec<_> = table.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(wrong.is_empty(), "{} of {} faults: {wrong:#?}", wrong.len(), table.len());
}
