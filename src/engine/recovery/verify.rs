use super::records::{self, BackupRecord, Occasion};
use super::store;
use crate::detect::backup::{Sighting, Survey, survey_for};
use crate::detect::indicators::Indicators;
use crate::domain::{Backup, BackupCheck, BackupVerdict, Timestamp};
use crate::engine::Deployment;
use crate::ports::{BackupAccess, BackupFacts, BackupStore, Fault, ObjectVersions, UnreadPlace};

/// A backup that is so many times smaller or larger than its neighbours is worth a look.
const ODD_SIZE: u64 = 2;
/// How long after its start a dump may still be written, in seconds.
const LATE: i64 = 6 * 3600;
/// How far the clocks of two machines may differ, in seconds.
const SKEW: i64 = 300;

/// Reads a backup once, to its end: digest, completeness, statements, indicators.
pub(super) fn read(store: &dyn BackupStore, backup: &mut Backup, indicators: &Indicators) -> Result<Survey, String> {
    let opened = store.open(&backup.path).map_err(|fault| fault.chain())?;
    let seen = survey_for(opened.text, store.dialect(), indicators).map_err(|error| crate::gate::with_cause(&error))?;
    backup.sha256 = opened.digest.get();
    Ok(seen)
}

/// The trade table's name, as policy has it.
fn trade_table(deployment: &Deployment) -> &str {
    deployment.policies.pause.guard.as_ref().map_or("Trade", |guard| guard.table.as_str())
}

/// Every check on one backup, in one pass over it: readable to its end, whole, nothing in it that a restore must not run, trades inside,
/// as it was when it was last seen, and in its place among its neighbours. An indicator in it is worth a look; whether it refuses the backup
/// says who chooses.
pub fn verify(
    deployment: &Deployment,
    backup: &Backup,
    indicators: &Indicators,
) -> Result<(BackupVerdict, Option<Survey>), Fault> {
    let mut backup = backup.clone();
    let store = store(deployment)?;
    let seen = match read(store.as_ref(), &mut backup, indicators) {
        Ok(seen) => seen,
        Err(reason) => {
            return Ok((BackupVerdict { backup, checks: vec![BackupCheck::of("readable", Err(reason))] }, None));
        }
    };
    let mut checks = content(deployment, &seen);
    let known = records::read(deployment)?;
    checks.extend(digest(deployment, &backup, &known)?);
    checks.extend(rows(deployment, &backup, &seen, &known));
    checks.push(written(&seen, &backup));
    checks.extend(sighted(&seen, indicators));
    match store.facts(&backup.path) {
        Ok(facts) => {
            checks.push(order(&backup, &facts, deployment.clock.now()));
            checks.extend(access(&facts.access));
        }
        Err(fault) => checks.push(BackupCheck::advice("order", Err(fault.chain()))),
    }
    Ok((BackupVerdict { backup, checks }, Some(seen)))
}

fn content(deployment: &Deployment, seen: &Survey) -> Vec<BackupCheck> {
    let table = trade_table(deployment);
    let trades = seen.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(_, rows)| *rows);
    vec![
        BackupCheck::of("readable", Ok(format!("{} bytes of text, {} statements", seen.bytes, seen.statements))),
        BackupCheck::of("whole", seen.incomplete.clone().map_or(Ok("its end marker is there".into()), Err)),
        BackupCheck::of(
            "statements",
            match seen.suspicions.first() {
                None => Ok("nothing that a restore must not run".into()),
                Some(first) => {
                    let count = match seen.suspicious {
                        1 => "a statement is not expected".to_owned(),
                        several => format!("{several} statements are not expected"),
                    };
                    Err(format!("{count}; line {}: {}", first.line, first.what))
                }
            },
        ),
        BackupCheck::of(
            "trades",
            match trades {
                Some(0) => Err(format!("`{table}` is empty")),
                Some(rows) => Ok(format!("{rows} rows of `{table}`")),
                None => Err(format!("there is no `{table}` in it")),
            },
        ),
    ]
}

/// The file against what this machine signed of it: its own records, and the manifest beside it.
fn digest(deployment: &Deployment, backup: &Backup, known: &[BackupRecord]) -> Result<Option<BackupCheck>, Fault> {
    let Some(sha256) = backup.sha256 else { return Ok(None) };
    let manifest = store(deployment)?.manifest(&backup.path)?;
    let manifest = match &manifest {
        None => None,
        Some(bytes) => match records::unseal(deployment.machine.as_ref(), bytes.trim_ascii_end()) {
            None => return Ok(Some(BackupCheck::of("digest", Err("its manifest can't be read".into())))),
            Some((record, ours)) => Some((record, ours)),
        },
    };
    let recorded = known.iter().find(|record| record.path == backup.path && record.sha256.is_some());
    let (record, signed) = match (recorded, &manifest) {
        (Some(record), _) => (record, true),
        (None, Some((record, ours))) => (record, *ours),
        (None, None) => return Ok(None),
    };
    let as_then = record.sha256 == Some(sha256);
    let whose = if signed { "this machine signed" } else { "another machine says" };
    Ok(Some(BackupCheck::of(
        "digest",
        if as_then {
            Ok(format!("as {whose} on {}", record.time))
        } else {
            Err(format!("not the file that {whose} on {}", record.time))
        },
    )))
}

/// Tables and rows against the newest older backup that this machine has seen. Fewer trades than before are no proof of damage, but
/// fewer than half are.
fn rows(deployment: &Deployment, backup: &Backup, seen: &Survey, known: &[BackupRecord]) -> Option<BackupCheck> {
    let older =
        known.iter().filter(|record| record.passed && record.path != backup.path && record.started < backup.started);
    let last = older.max_by_key(|record| record.started)?;
    let missing: Vec<_> =
        last.tables.keys().filter(|table| !seen.tables.contains_key(*table)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Some(BackupCheck::of(
            "rows",
            Err(format!("tables of {} are missing: {}", last.path, missing.join(", "))),
        ));
    }
    let table = trade_table(deployment);
    let of = |tables: &std::collections::BTreeMap<String, u64>| {
        tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map_or(0, |(_, rows)| *rows)
    };
    let (before, now) = (of(&last.tables), of(&seen.tables));
    let words = format!("{now} trades, {before} in {}", last.path);
    Some(match now {
        now if now >= before => BackupCheck::of("rows", Ok(words)),
        now if now < before / 2 => BackupCheck::of("rows", Err(format!("less than half: {words}"))),
        _ => BackupCheck::advice("rows", Err(format!("fewer than before: {words}"))),
    })
}

/// What `pg_dump --verbose` wrote of its start, against the name.
fn written(seen: &Survey, backup: &Backup) -> BackupCheck {
    let inside = seen.started.as_deref().and_then(|text| {
        let text = text.trim_end_matches(" UTC").replacen(' ', "T", 1);
        format!("{text}Z").parse::<Timestamp>().ok()
    });
    let result = match (inside, backup.started) {
        (Some(inside), Some(name)) if (inside.as_second() - name.as_second()).abs() > SKEW => {
            Err(format!("its name says {name}, its text {inside}"))
        }
        (Some(inside), _) => Ok(format!("its text says {inside}")),
        (None, Some(name)) => Ok(format!("its name says {name}")),
        (None, None) => Err("neither its name nor its text says when it was started".into()),
    };
    BackupCheck { advisory: inside.is_none(), ..BackupCheck::of("start", result) }
}

/// A file that is older than its own name, or comes from the future, was given that name later.
fn order(backup: &Backup, facts: &BackupFacts, now: Timestamp) -> BackupCheck {
    let (Some(started), Some(modified)) = (backup.started, facts.modified) else {
        return BackupCheck::advice("order", Err("its times can't be compared".into()));
    };
    let late = modified.as_second() - started.as_second();
    if started.as_second() > now.as_second() + SKEW {
        return BackupCheck::of("order", Err(format!("it says that it was started at {started}, which is to come")));
    }
    BackupCheck::advice(
        "order",
        if late < -SKEW {
            Err(format!("it is older than its name says: last changed at {modified}"))
        } else if late > LATE {
            Err(format!("it was changed long after it was started, at {modified}"))
        } else {
            match late.max(0) {
                seconds @ ..120 => Ok(format!("written within {seconds} s of its start")),
                seconds => Ok(format!("written within {} min of its start", (seconds + 59) / 60)),
            }
        },
    )
}

/// The name of the check that [`sighted`] makes.
pub(super) const INDICATORS: &str = "indicators";

/// Indicators in its text; nothing where there is no list.
fn sighted(seen: &Survey, indicators: &Indicators) -> Option<BackupCheck> {
    let refused = indicators.refused().len();
    if indicators.is_empty() && refused == 0 {
        return None;
    }
    let left_out = match refused {
        0 => String::new(),
        several => format!("; {several} values of the lists are not looked for (scan logs names them)"),
    };
    let result = match seen.sightings.first() {
        None => Ok(format!("none of {} stands in its text{left_out}", indicators.len())),
        Some(worst) => {
            let place = worst
                .place
                .as_ref()
                .map_or("a statement".to_owned(), |(table, column)| format!("`{table}`, `{column}`"));
            let Sighting { indicator, level, list, line, .. } = worst;
            let all = if seen.sighted > 1 { format!(", {} places in all", seen.sighted) } else { String::new() };
            Err(format!("{indicator} ({level}, {list}) stands in {place}, line {line}{all}{left_out}"))
        }
    };
    Some(BackupCheck::advice(INDICATORS, result))
}

fn access(access: &BackupAccess) -> Vec<BackupCheck> {
    match access {
        BackupAccess::Mode(mode) => vec![permissions(mode & 0o777)],
        BackupAccess::Object { public, versions } => vec![
            BackupCheck::advice(
                "permissions",
                match public {
                    Ok(true) => Err("everybody can read it".into()),
                    Ok(false) => Ok("not for everybody, by its list and the bucket's policy".into()),
                    Err(reason) => Err(format!("not known: {reason}")),
                },
            ),
            BackupCheck::advice(
                "versions",
                versions.as_ref().map_err(|why| format!("not known: {why}")).and_then(written_over),
            ),
        ],
    }
}

/// A backup is written once. One that was written again may not be what it was.
fn written_over(versions: &ObjectVersions) -> Result<String, String> {
    match versions.count {
        0 | 1 if versions.kept => Ok("written once".into()),
        0 | 1 => Ok("the bucket keeps no older ones: a backup that is written over is gone".into()),
        several => {
            let oldest = versions.oldest.map_or(String::new(), |time| format!(", first at {time}"));
            Err(format!("written {several} times{oldest}: the older version may be the true one"))
        }
    }
}

fn permissions(mode: u32) -> BackupCheck {
    BackupCheck::advice(
        "permissions",
        match mode {
            mode if mode & 0o022 != 0 => Err(format!("others than its owner can write it (mode {mode:o})")),
            mode if mode & 0o004 != 0 => Err(format!("everybody on this machine can read it (mode {mode:o})")),
            mode => Ok(format!("mode {mode:o}")),
        },
    )
}

/// A place that could not be looked at, where a backup would stand: it may hold a better one.
pub(super) fn unread(place: &UnreadPlace) -> BackupVerdict {
    let backup = Backup { path: place.place.clone(), bytes: 0, started: None, sha256: None };
    BackupVerdict { backup, checks: vec![BackupCheck::of("place", Err(place.reason.clone()))] }
}

/// What all of them say together: sizes among neighbours, and the age of the newest against the objective.
pub fn verify_set(deployment: &Deployment, verdicts: &[BackupVerdict]) -> Vec<BackupCheck> {
    let mut checks = Vec::new();
    let sizes: Vec<_> = verdicts.iter().map(|verdict| verdict.backup.bytes).collect();
    for (at, verdict) in verdicts.iter().enumerate() {
        let near: Vec<u64> = sizes[at.saturating_sub(2)..sizes.len().min(at + 3)].to_vec();
        let mut others = near.clone();
        others.sort_unstable();
        let middle = others[others.len() / 2];
        let bytes = verdict.backup.bytes;
        if near.len() > 2 && (bytes.saturating_mul(ODD_SIZE) < middle || bytes > middle.saturating_mul(ODD_SIZE)) {
            let words = format!("{} has {bytes} bytes, its neighbours about {middle}", verdict.backup.path);
            checks.push(BackupCheck::advice("size", Err(words)));
        }
    }
    let limit = deployment.policies.recovery.rpo_minutes;
    let good = verdicts.iter().filter(|verdict| verdict.usable()).filter_map(|verdict| verdict.backup.started).max();
    let age = good.map(|started| deployment.clock.now().duration_since(started).as_secs() / 60);
    let fits = age.is_some_and(|age| u64::try_from(age).unwrap_or(0) <= limit);
    let words = age.map_or("there is no good backup".to_owned(), |age| {
        format!("the newest good one is {age} min old (RPO {limit} min)")
    });
    checks.push(BackupCheck::of("age", if fits { Ok(words) } else { Err(words) }));
    checks
}

/// Remembers what a verification saw, so that later ones can be held against it.
pub fn remember(
    deployment: &Deployment,
    occasion: Occasion,
    verdict: &BackupVerdict,
    survey: Option<&Survey>,
    took_ms: Option<u64>,
) -> Result<BackupRecord, Fault> {
    let record = BackupRecord {
        occasion,
        time: deployment.clock.now(),
        path: verdict.backup.path.clone(),
        started: verdict.backup.started,
        bytes: verdict.backup.bytes,
        sha256: verdict.backup.sha256,
        tables: survey.map(|seen| seen.tables.clone()).unwrap_or_default(),
        position: None,
        took_ms,
        passed: verdict.usable(),
        checks: verdict.checks.clone(),
    };
    records::add(deployment, &record)?;
    Ok(record)
}
