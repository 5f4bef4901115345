//! What is read beside the trade table.

use std::sync::{Arc, Mutex, PoisonError};

use super::TradeScan;
use super::pass::EachRow;
use crate::detect::trades::reference::{ACCOUNT_ROLES, ByNumber, KEY_ROLES, LIMIT_ROLES, Units, columns};
use crate::detect::trades::roles::{Mapping, Role, SchemaMapping};
use crate::detect::trades::value::millis;
use crate::detect::trades::{HALT_ROLES, Pause, Reference};
use crate::domain::Timestamp;
use crate::ports::{Fault, RawRow, Snapshot, TableRead};

/// Keys, accounts and sessions.
pub(super) async fn reference(
    snapshot: &mut dyn Snapshot,
    mapping: &SchemaMapping,
    scan: &TradeScan,
) -> Result<Reference, Fault> {
    let mut reference = Reference {
        now: scan.now.map_or(i64::MAX, Timestamp::as_millisecond),
        pauses: scan
            .pauses
            .iter()
            .map(|(from, to)| Pause {
                from: from.as_millisecond(),
                to: to.map(Timestamp::as_millisecond),
                ..Pause::default()
            })
            .collect(),
        keys_of_owners: mapping.keys_of_owners,
        ..Reference::default()
    };
    for (role, name, from, to) in &scan.traces {
        reference.add_trace(*role, name, from.as_millisecond(), to.as_millisecond());
    }
    if let Some(keys) = mapping.keys.as_ref().filter(|keys| keys.column(Role::Id).is_some()) {
        reference.keys = Some(ByNumber::default());
        reference = read(snapshot, keys, &KEY_ROLES, reference, Reference::add_key).await?;
    }
    if let Some(accounts) = mapping.accounts.as_ref().filter(|accounts| accounts.column(Role::Id).is_some()) {
        reference.accounts = Some(ByNumber::default());
        reference.units = Units::of(&mapping.trades, accounts);
        reference = read(snapshot, accounts, &ACCOUNT_ROLES, reference, Reference::add_account).await?;
    }
    if let Some(limits) = mapping.limits.as_ref().filter(|_| reference.accounts.is_some()) {
        reference.units = Units::of(&mapping.trades, limits);
        reference = read(snapshot, limits, &LIMIT_ROLES, reference, Reference::add_limits).await?;
    }
    if let Some(halts) = &mapping.halts {
        let table = halts.table.name.clone();
        let add =
            move |reference: &mut Reference, row: RawRow<'_>, roles: &[Role]| reference.add_halt(row, roles, &table);
        reference = read(snapshot, halts, &HALT_ROLES, reference, add).await?;
        reference.settle_halts();
    }
    if let Some(sessions) = &mapping.sessions {
        reference = intruder_sessions(snapshot, sessions, reference).await?;
    }
    Ok(reference)
}

async fn read(
    snapshot: &mut dyn Snapshot,
    mapping: &Mapping,
    wanted: &[Role],
    reference: Reference,
    add: impl Fn(&mut Reference, RawRow<'_>, &[Role]) + Send + Sync + 'static,
) -> Result<Reference, Fault> {
    let (roles, columns) = columns(mapping, wanted);
    let shared = Arc::new(Mutex::new(reference));
    let own = Arc::clone(&shared);
    let sink =
        EachRow(move |row: RawRow<'_>| add(&mut own.lock().unwrap_or_else(PoisonError::into_inner), row, &roles));
    let read = TableRead { table: mapping.table.clone(), columns, ..TableRead::default() };
    snapshot.read(&read, vec![Box::new(sink)]).await?;
    // The sink is gone with its read; nobody else holds the reference.
    let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *held))
}

/// An address of the intruder's that is that of a session makes the session's account the intruder's while it lasted.
async fn intruder_sessions(
    snapshot: &mut dyn Snapshot,
    sessions: &Mapping,
    reference: Reference,
) -> Result<Reference, Fault> {
    let wanted = [Role::Account, Role::Ip, Role::CreatedAt, Role::ExpiresAt];
    let has = |role: Role| sessions.column(role).is_some();
    if reference.traces.is_empty() || ![Role::Account, Role::Ip, Role::CreatedAt].into_iter().all(has) {
        return Ok(reference);
    }
    read(snapshot, sessions, &wanted, reference, |reference, row, roles| {
        let cell = |role| row.cell(roles.iter().position(|one| *one == role)?);
        let text = |role| cell(role).and_then(|bytes| String::from_utf8(bytes.into_owned()).ok());
        let time = |role| cell(role).and_then(|text| millis(&text));
        let (Some(account), Some(ip), Some(from)) = (text(Role::Account), text(Role::Ip), time(Role::CreatedAt)) else {
            return;
        };
        let ip = ip.split('/').next().unwrap_or(&ip);
        let to = time(Role::ExpiresAt).unwrap_or(from.saturating_add(86_400_000));
        if reference.traces.iter().any(|trace| trace.role == Role::Ip && trace.text == ip) {
            reference.add_trace(Role::Account, &account, from, to);
        }
    })
    .await
}
