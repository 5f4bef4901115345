use std::collections::HashSet;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::{store, trade_scan};
use crate::detect::trades::roles::Role;
use crate::domain::{Backup, Digest};
use crate::engine::scan_trades::{self, TradeScan};
use crate::engine::{Deployment, Journal, JournalError};
use crate::ledger::Event;
use crate::ports::{Fault, FaultKind};

/// Longest reconciliation that is exported, in bytes.
const MAX_EXPORT: usize = 256 << 20;

/// Writes into the case every trade that the live database has and the backup has not: nothing is dropped unlisted.
/// Returns how many there are.
pub async fn reconcile(deployment: &Deployment, journal: &Journal, backup: &Backup) -> Result<u64, JournalError> {
    let Some(live) = &deployment.database else { return Ok(0) };
    let scan = trade_scan(deployment);
    let (tables, mapping) = scan_trades::map(live.as_ref(), scan.schema.as_deref(), &scan.table).await?;
    let trades = &mapping.trades;
    let Some(id) = trades.index(Role::Id) else { return Ok(0) };
    let Some(table) = tables.iter().find(|table| table.name == trades.table) else { return Ok(0) };
    let kept = kept_ids(deployment, backup, &scan).await?;
    let time = trades.time().and_then(|role| trades.index(role));
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let mut lines = Vec::new();
    let mut count = 0;
    live.rows(&trades.table, &names, None, &mut |row| {
        let stays = match (&kept, row.get(id).and_then(Option::as_ref)) {
            (Some(kept), Some(id)) => kept.contains(id),
            // Without a scratch copy: what is older than the backup is taken to be in it.
            _ => time
                .and_then(|index| row.get(index)?.as_deref())
                .and_then(crate::detect::trades::value::moment)
                .is_some_and(|time| backup.started.is_some_and(|started| time < started)),
        };
        if !stays {
            count += 1;
            let fields: Map<String, Value> = names
                .iter()
                .zip(row)
                .map(|(name, cell)| (name.clone(), cell.map_or(Value::Null, Value::String)))
                .collect();
            if lines.len() < MAX_EXPORT {
                lines.extend_from_slice(Value::Object(fields).to_string().as_bytes());
                lines.push(b'\n');
            }
        }
        ControlFlow::Continue(())
    })
    .await?;
    let path = format!("evidence/{}", Digest::of(&lines));
    let file = journal.write_file(&path, &lines)?;
    journal.record(Event::EvidenceCollected { name: "reconciliation/trades-not-in-backup".into(), file })?;
    Ok(count)
}

async fn kept_ids(
    deployment: &Deployment,
    backup: &Backup,
    scan: &TradeScan,
) -> Result<Option<HashSet<String>>, Fault> {
    let scratch = match store(deployment)?.scratch(&backup.path).await {
        Ok(scratch) => scratch,
        Err(fault) if fault.kind == FaultKind::Invalid => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let (_, mapping) = scan_trades::map(scratch.as_ref(), scan.schema.as_deref(), &scan.table).await?;
    let Some(id) = mapping.trades.column(Role::Id) else { return Ok(None) };
    let mut kept = HashSet::new();
    scratch
        .rows(&mapping.trades.table, &[id.to_owned()], None, &mut |row| {
            kept.extend(row.into_iter().flatten());
            ControlFlow::Continue(())
        })
        .await?;
    Ok(Some(kept))
}
